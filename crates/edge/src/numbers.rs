//! The numbers of this node: each sid begins with the number that its node had when it was made.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};

/// The value of `present` while the node has no number.
const NONE: u32 = u32::MAX;

/// The numbers that the node has and had. A node alone has one for its whole life. In a cluster it
/// has none until it has joined, and it may have to change it.
#[derive(Debug)]
pub(crate) struct Numbers {
    present: AtomicU32,
    /// Set once there are former numbers; until then they are not searched.
    any_former: AtomicBool,
    former: RwLock<Vec<u16>>,
    /// Set while another node answers for one of these numbers as well.
    any_shared: AtomicBool,
    shared: RwLock<Vec<u16>>,
}

impl Numbers {
    pub(crate) fn new(present: Option<u16>) -> Self {
        Self {
            present: AtomicU32::new(present.map_or(NONE, u32::from)),
            any_former: AtomicBool::new(false),
            former: RwLock::default(),
            any_shared: AtomicBool::new(false),
            shared: RwLock::default(),
        }
    }

    /// The number for new sids; `None` before the node has joined its cluster.
    pub(crate) fn present(&self) -> Option<u16> {
        u16::try_from(self.present.load(Ordering::Acquire)).ok()
    }

    /// Whether sids with this number may be this node's.
    pub(crate) fn owns(&self, number: u16) -> bool {
        let present = self.present.load(Ordering::Acquire);
        present == u32::from(number)
            || self.any_former.load(Ordering::Acquire)
                && self.former.read().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    /// Whether sids with this number may also be another node's: both had taken it before they heard
    /// each other.
    pub(crate) fn is_shared(&self, number: u16) -> bool {
        self.any_shared.load(Ordering::Acquire)
            && self.shared.read().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    /// Sets the numbers that other nodes have as well.
    pub(crate) fn share(&self, numbers: Vec<u16>) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        self.any_shared.store(!numbers.is_empty(), Ordering::Release);
        *shared = numbers;
    }

    /// Sets the number for new sids. The one before stays this node's: it may have sessions with
    /// it.
    pub(crate) fn change(&self, to: u16) {
        let mut former = self.former.write().unwrap_or_else(PoisonError::into_inner);
        let before = self.present.load(Ordering::Acquire);
        if let Ok(before) = u16::try_from(before)
            && before != to
            && !former.contains(&before)
        {
            former.push(before);
            self.any_former.store(true, Ordering::Release);
        }
        self.present.store(u32::from(to), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_answers_for_every_number_that_it_had() {
        let numbers = Numbers::new(None);
        assert_eq!(numbers.present(), None);
        assert!(!numbers.owns(u16::MAX), "no number is not the largest one");
        for number in [4, u16::MAX, 4, 9] {
            numbers.change(number);
            assert_eq!(numbers.present(), Some(number));
        }
        assert!([4, u16::MAX, 9].iter().all(|number| numbers.owns(*number)));
        assert!(!numbers.owns(5));
        assert_eq!(numbers.former.read().expect("no panic").len(), 2, "each once");
        numbers.share(vec![4]);
        assert!(numbers.is_shared(4) && !numbers.is_shared(9));
        numbers.share(Vec::new());
        assert!(!numbers.is_shared(4) && numbers.owns(4));
    }
}
