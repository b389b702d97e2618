//! Marks: an app server's questions whether everything before a `Mark` has left a session's outbox.

use trunkline_trunk::{Frame, NumberState, SessionNumber};

use super::Shard;
use super::slot::{State, number_of};
use super::slow::{Slow, Waiting};

/// The most waiting marks of one session; one more replaces the last.
const MARKS_MAX: usize = 8;

/// Why a session's outbox is watched. Most are not.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) slow: Option<Slow>,
    marks: Vec<Mark>,
    /// Marks to answer once the app server has taken the session over.
    due: Vec<u32>,
}

#[derive(Debug)]
struct Mark {
    number: u32,
    /// The bytes of the outbox before the mark.
    ahead_bytes: usize,
}

impl Watch {
    fn push_mark(&mut self, mark: Mark) {
        if self.marks.len() == MARKS_MAX {
            // The answer to the later one answers both.
            self.marks.pop();
        }
        self.marks.push(mark);
    }

    fn push_due(&mut self, number: u32) {
        if self.due.len() == MARKS_MAX {
            self.due.pop();
        }
        self.due.push(number);
    }

    /// Notes that this many bytes have left the outbox. Returns the last mark that has nothing
    /// before it any longer.
    fn left(&mut self, bytes: usize) -> Option<u32> {
        for mark in &mut self.marks {
            mark.ahead_bytes = mark.ahead_bytes.saturating_sub(bytes);
        }
        let done = self.marks.iter().take_while(|mark| mark.ahead_bytes == 0).count();
        self.marks.drain(..done).next_back().map(|mark| mark.number)
    }
}

impl Shard {
    /// A session's entry in the table of watched sessions.
    pub(super) fn watch(&mut self, index: u32) -> &mut Watch {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.watched = true;
        }
        self.watches.entry(index).or_default()
    }

    /// Removes a session from the table of watched sessions.
    pub(super) fn unwatch(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && std::mem::take(&mut slot.watched)
        {
            self.watches.remove(&index);
        }
    }

    /// Forgets the marks of a session whose app server is gone.
    pub(super) fn forget_marks(&mut self, index: u32) {
        if let Some(watch) = self.watches.get_mut(&index) {
            watch.marks.clear();
            watch.due.clear();
            self.unwatch_if_idle(index);
        }
    }

    /// Removes a session from the table of watched sessions if it is neither slow nor marked.
    pub(super) fn unwatch_if_idle(&mut self, index: u32) {
        let is_idle =
            |watch: &Watch| watch.slow.is_none() && watch.marks.is_empty() && watch.due.is_empty();
        if self.watches.get(&index).is_some_and(is_idle) {
            self.unwatch(index);
        }
    }

    /// Handles a `Mark` from the app server: answers at once, or when the present content has left.
    pub(super) fn mark(&mut self, index: u32, number: u32, now: bool) {
        let Some(live) = self.slots.live(index) else { return };
        let ahead_bytes = live.session.outbox_bytes();
        if now {
            return self.answer_mark(index, number, ahead_bytes);
        }
        self.watch(index).push_mark(Mark { number, ahead_bytes });
        self.mark_dirty(index);
    }

    /// The content of a watched session's outbox before a flush.
    pub(super) fn waiting_if_watched(&self, index: u32) -> Option<Waiting> {
        let slot = self.slots.get(index).filter(|slot| slot.watched)?;
        match &slot.state {
            State::Live(live) => Some(live.waiting()),
            State::Opening(_) | State::Arriving(_) | State::Ended => None,
        }
    }

    /// Notes what left in a flush.
    pub(super) fn note_left(&mut self, index: u32, before: Waiting) {
        let now = self.now;
        let Some(after) = self.waiting_if_watched(index) else { return };
        let Some(watch) = self.watches.get_mut(&index) else { return };
        if let Some(slow) = &mut watch.slow {
            slow.took(now, before.all_bytes.saturating_sub(after.all_bytes));
        }
        let answered = watch.left(before.outbox_bytes.saturating_sub(after.outbox_bytes));
        if let Some(mark) = answered {
            self.answer_mark(index, mark, after.outbox_bytes);
            self.unwatch_if_idle(index);
        }
    }

    /// Answers the marks of an app server that has just taken the session over.
    pub(super) fn answer_due_marks(&mut self, index: u32) {
        let Some(watch) = self.watches.get_mut(&index) else { return };
        let due = std::mem::take(&mut watch.due);
        let waiting_bytes = self.slots.live(index).map_or(0, |live| live.session.outbox_bytes());
        for mark in due {
            self.answer_mark(index, mark, waiting_bytes);
        }
        self.unwatch_if_idle(index);
    }

    fn answer_mark(&mut self, index: u32, mark: u32, waiting_bytes: usize) {
        let session: SessionNumber = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get(index) else { return };
        if slot.number == NumberState::Adopting {
            // The app server does not expect any answer before its own.
            return self.watch(index).push_due(mark);
        }
        if slot.number != NumberState::Open {
            return; // The app has closed the session and needs no answer.
        }
        if let Some(shard_trunk) = self.trunks.get_mut(&slot.trunk) {
            let waiting_bytes = u32::try_from(waiting_bytes).unwrap_or(u32::MAX);
            Frame::Marked { session, mark, waiting_bytes }.encode(&mut shard_trunk.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_answered_when_all_before_it_has_left() {
        let mut watch = Watch::default();
        watch.push_mark(Mark { number: 1, ahead_bytes: 100 });
        watch.push_mark(Mark { number: 2, ahead_bytes: 150 });
        watch.push_mark(Mark { number: 3, ahead_bytes: 900 });
        assert_eq!(watch.left(99), None);
        assert_eq!(watch.left(60), Some(2), "the latest of those that are due");
        assert_eq!(watch.left(0), None);
        assert_eq!(watch.left(10_000), Some(3));
        watch.push_mark(Mark { number: 4, ahead_bytes: 0 });
        assert_eq!(watch.left(0), Some(4));
    }

    #[test]
    fn an_app_server_that_only_asks_is_answered_for_the_last() {
        let mut watch = Watch::default();
        for number in 0..1_000 {
            watch.push_mark(Mark { number, ahead_bytes: 10 });
        }
        assert_eq!(watch.marks.len(), MARKS_MAX);
        assert_eq!(watch.left(10), Some(999));
    }
}
