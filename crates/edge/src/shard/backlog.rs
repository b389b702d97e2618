//! Slots that a turn has left to be flushed, so that a broadcast to very many sessions does not
//! delay the others of its shard.
//!
//! A turn flushes a slice of the sessions that it touched. The rest goes here and is flushed slice
//! by slice; between two slices the shard handles everything else. A session that is touched again
//! meanwhile is flushed completely and in order in that turn, and its place here is no longer
//! valid. The bytes of an app server are returned as credit when the last session that they were
//! for has been flushed: an app server that broadcasts faster than the node writes has to wait.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hub::BatchCredit;

/// Sessions that are flushed before the shard handles anything else: some 5 µs each.
pub(super) const SLICE: usize = 256;

/// Slots that wait to be flushed, oldest first.
#[derive(Debug)]
pub(super) struct Backlog<Credit = Arc<BatchCredit>> {
    waiting: VecDeque<Entry<Credit>>,
    slots: usize,
}

#[derive(Debug)]
enum Entry<Credit> {
    Slot(u32),
    /// The credit of a batch: all slots that it touched come before this entry.
    Credit {
        _given_back_when_dropped: Credit,
    },
}

impl<Credit> Default for Backlog<Credit> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), slots: 0 }
    }
}

impl<Credit> Backlog<Credit> {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of places, including those that are no longer valid.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn push(&mut self, slot: u32) {
        self.slots += 1;
        self.waiting.push_back(Entry::Slot(slot));
    }

    /// Keeps a batch's credit until everything here has been flushed; returns it at once if nothing
    /// is here.
    pub(super) fn push_credit(&mut self, credit: Credit) {
        if !self.is_empty() {
            self.waiting.push_back(Entry::Credit { _given_back_when_dropped: credit });
        }
    }

    /// The next slot; credit that is due before it is returned.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let mut next = None;
        while next.is_none() {
            match self.waiting.pop_front()? {
                Entry::Slot(slot) => next = Some(slot),
                Entry::Credit { .. } => (),
            }
        }
        self.slots -= 1;
        // Credit directly after the last slot is due with that slot, not with the next slice.
        while matches!(self.waiting.front(), Some(Entry::Credit { .. })) && self.slots == 0 {
            self.waiting.pop_front();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn credit_comes_back_when_what_stood_before_it_is_done() {
        let mut backlog = Backlog::default();
        let (first, second, third) = (Rc::new(()), Rc::new(()), Rc::new(()));
        let kept = |credit: &Rc<()>| Rc::strong_count(credit) == 2;
        backlog.push_credit(Rc::clone(&first));
        assert!(!kept(&first), "nothing waits for it");
        backlog.push(7);
        backlog.push(8);
        backlog.push_credit(Rc::clone(&second));
        backlog.push(7);
        backlog.push_credit(Rc::clone(&third));
        assert_eq!((backlog.pop(), kept(&second)), (Some(7), true));
        assert_eq!((backlog.pop(), backlog.slots()), (Some(8), 1));
        assert_eq!((backlog.pop(), kept(&second)), (Some(7), false));
        assert!(!kept(&third) && backlog.is_empty());
        assert_eq!((backlog.pop(), backlog.slots()), (None, 0));
    }
}
