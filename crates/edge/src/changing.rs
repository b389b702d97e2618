//! Values that an operator may change while the node runs.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// A value that is read everywhere and often. Reading it takes a few loads and no lock, and gives a
/// reference; for that, former values stay in memory. There are few: each change is an operator's
/// act.
pub(crate) struct Changing<T> {
    /// The place of the present value.
    present: AtomicUsize,
    /// All values so far. Each list is twice as long as the one before it, and none ever moves.
    lists: [OnceLock<Box<[OnceLock<T>]>>; LISTS],
    changes: Mutex<()>,
}

/// Enough for 65,535 values.
const LISTS: usize = 16;

impl<T: PartialEq> Changing<T> {
    pub(crate) fn new(value: T) -> Self {
        let new = Self {
            present: AtomicUsize::new(0),
            lists: [const { OnceLock::new() }; LISTS],
            changes: Mutex::default(),
        };
        new.put(0, value);
        new
    }

    /// Changes the value. False: it has been changed as often as it can be in one process.
    pub(crate) fn set(&self, value: T) -> bool {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if **self == value {
            return true;
        }
        let next = self.present.load(Ordering::Relaxed) + 1;
        let is_put = self.put(next, value);
        if is_put {
            self.present.store(next, Ordering::Release);
        }
        is_put
    }

    /// Whether the value can be changed once more.
    pub(crate) fn has_room(&self) -> bool {
        place_of(self.present.load(Ordering::Relaxed) + 1).0 < LISTS
    }

    fn put(&self, number: usize, value: T) -> bool {
        let (list, place) = place_of(number);
        let Some(list_of) = self.lists.get(list) else { return false };
        let list_of = list_of.get_or_init(|| (0..1 << list).map(|_| OnceLock::new()).collect());
        list_of[place].set(value).is_ok()
    }
}

/// The list, and the place in it, of a value.
fn place_of(number: usize) -> (usize, usize) {
    let list = (number + 1).ilog2();
    (list as usize, number + 1 - (1 << list))
}

impl<T> Deref for Changing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let (list, place) = place_of(self.present.load(Ordering::Acquire));
        let value = self.lists[list].get().and_then(|list| list[place].get());
        value.expect("a value is put before its place is named")
    }
}

impl<T: fmt::Debug> fmt::Debug for Changing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A value that is read once for a handshake or more seldom; a former one goes with its last reader.
#[derive(Debug)]
pub(crate) struct Shared<T>(RwLock<Arc<T>>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the value, and returns the former one.
    pub(crate) fn set(&self, value: T) -> Arc<T> {
        let mut present = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *present, Arc::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_value_is_read_at_once_and_a_former_one_stays_readable() {
        let value = Changing::new(String::from("0"));
        let first: &String = &value;
        for change in 1..2_000 {
            assert!(value.set(change.to_string()));
            assert_eq!(*value, change.to_string());
        }
        assert_eq!(first, "0");
    }

    #[test]
    fn the_same_value_takes_no_place_and_the_places_end() {
        let value = Changing::new(0_u32);
        for change in 1..(1 << LISTS) - 1 {
            assert!(value.has_room());
            assert!(value.set(change) && value.set(change), "{change}");
        }
        assert!(!value.has_room() && !value.set(0), "this would be one more than there are places");
        assert_eq!(*value, (1 << LISTS) - 2);
    }
}
