//! Clients that take less than their app sends.
//!
//! A client for which `outbox_bytes_max` waits is *slow*. A slow client that goes on reading gets everything, however
//! much it is, as in Socket.IO. One that does not is closed: in every `outbox_stall` it has to take a share of what
//! waits for it, and while it takes nothing at all, it is given little more than the limit. What all clients together
//! hold is bounded by the ceiling of memory ([`eviction`](super::eviction)).
//!
//! Only sessions for which a good part of the limit waits, and those whose app server asked what waits
//! ([`marks`](super::marks)), are in the table here: all others cost nothing but one comparison.

use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;

use super::Shard;
use super::slot::{Carrier, Live};
use crate::limits::Limits;

/// A slow client has to take one of so many parts of what waits for it within `outbox_stall`.
const SHARE: usize = 16;
/// A client that takes no byte in the time in which one of this speed would have taken all of the limit takes nothing:
/// 2 s for the default of 16 MiB. Networks and clients have pauses, so this alone closes nobody: it is closed if its
/// app goes on sending meanwhile.
const SPEED_BYTES_PER_S: u64 = 8 * 1024 * 1024;
const STUCK_MIN: Duration = Duration::from_millis(100);
/// A client is watched from this part of the limit on, and one that takes nothing gets as much beyond it.
pub(super) const PART: usize = 4;
/// How often slow clients are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A client for which much waits.
#[derive(Debug)]
pub(super) struct Slow {
    /// When its stream or its poll last took something.
    moved_at: Timestamp,
    /// Bytes that its app sent since then.
    queued_bytes: usize,
    /// The share counts from here.
    since: Timestamp,
    needed_bytes: usize,
    taken_bytes: usize,
}

impl Slow {
    fn new(now: Timestamp, waiting_bytes: usize) -> Self {
        Self {
            moved_at: now,
            queued_bytes: 0,
            since: now,
            needed_bytes: waiting_bytes / SHARE,
            taken_bytes: 0,
        }
    }

    fn is_stuck(&self, now: Timestamp, after: Duration) -> bool {
        now.since(self.moved_at) >= after
    }

    pub(super) fn took(&mut self, now: Timestamp, bytes: usize) {
        if bytes > 0 {
            self.moved_at = now;
            self.queued_bytes = 0;
            self.taken_bytes += bytes;
        }
    }

    /// From now on it has its whole time to take its share.
    fn begin(&mut self, now: Timestamp, waiting_bytes: usize) {
        self.since = now;
        self.needed_bytes = waiting_bytes / SHARE;
        self.taken_bytes = 0;
    }

    /// Whether it took too little in the time that it had. When that is over, another begins.
    fn has_failed(&mut self, now: Timestamp, stall: Duration, waiting_bytes: usize) -> bool {
        if now.since(self.since) < stall {
            return false;
        }
        if self.taken_bytes < self.needed_bytes.max(1) {
            return true;
        }
        self.begin(now, waiting_bytes);
        false
    }
}

/// After what time without a byte a client takes nothing.
fn stuck_after(limits: &Limits) -> Duration {
    let bytes = u64::try_from(limits.outbox_bytes_max).unwrap_or(u64::MAX);
    let after = Duration::from_millis(bytes.saturating_mul(1_000) / SPEED_BYTES_PER_S);
    after.max(STUCK_MIN).min(limits.outbox_stall)
}

impl Shard {
    /// After so many bytes were queued for a session with much in its outbox: may they wait, too?
    pub(super) fn may_wait(&mut self, index: u32, bytes: usize) -> bool {
        let now = self.now;
        let outbox_bytes_max = self.env.limits.outbox_bytes_max;
        let stuck_after = stuck_after(&self.env.limits);
        let Some(live) = self.slots.live(index) else {
            return true;
        };
        let waiting_bytes = live.session.outbox_bytes();
        // A client that polls is not seen to take an answer, which may be a long one, until it polls again.
        let stuck_after = match live.carrier {
            Carrier::Polling(_) => stuck_after * 4,
            Carrier::Promised | Carrier::Stream(_) | Carrier::Gone => stuck_after,
        };
        let watch = self.watch(index);
        let Some(slow) = &mut watch.slow else {
            watch.slow = Some(Slow::new(now, waiting_bytes));
            if self.slow_due.is_none() {
                self.slow_due = Some(now + LOOK);
            }
            return true;
        };
        slow.queued_bytes += bytes;
        let stuck = slow.is_stuck(now, stuck_after) && slow.queued_bytes >= outbox_bytes_max / PART;
        !(stuck && waiting_bytes >= outbox_bytes_max)
    }

    /// Lets slow clients take what they can, and closes those that took too little.
    pub(super) fn look_at_slow(&mut self) {
        if self.slow_due.is_none_or(|due| due > self.now) {
            return;
        }
        let slow: Vec<u32> = self
            .watches
            .iter()
            .filter_map(|(index, watch)| watch.slow.as_ref().map(|_| *index))
            .collect();
        for index in slow {
            self.look_at(index);
            // Whatever room there is in the kernel by now: the stream says so much later, when there is a lot.
            self.mark_dirty(index);
        }
        let any = self.watches.values().any(|watch| watch.slow.is_some());
        self.slow_due = any.then(|| self.now + LOOK);
    }

    fn look_at(&mut self, index: u32) {
        let (now, limits) = (self.now, &self.env.limits);
        let Some(live) = self.slots.live(index) else { return };
        let Some(watch) = self.watches.get_mut(&index) else { return };
        let waiting_bytes = live.session.outbox_bytes();
        let Some(slow) = &mut watch.slow else { return };
        if waiting_bytes < limits.outbox_bytes_max / PART {
            watch.slow = None;
            self.unwatch_if_idle(index);
        } else if waiting_bytes < limits.outbox_bytes_max {
            slow.begin(now, waiting_bytes);
        } else if slow.has_failed(now, limits.outbox_stall, waiting_bytes) {
            self.drop_client(index, CloseReason::OutboxFull);
        }
    }
}

/// What waits for a client: in the session's outbox, and all of it, with what its stream has and the kernel did not take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) outbox_bytes: usize,
    pub(super) all_bytes: usize,
}

impl Live {
    pub(super) fn waiting(&self) -> Waiting {
        Waiting { outbox_bytes: self.session.outbox_bytes(), all_bytes: self.held_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(20);
    const AFTER: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_client_that_takes_its_share_in_time_has_as_long_again() {
        let mut slow = Slow::new(at(0), 1_600);
        slow.took(at(3), 60);
        slow.took(at(19), 40);
        assert!(!slow.has_failed(at(19), STALL, 3_200), "there is time left");
        assert!(!slow.has_failed(at(20), STALL, 3_200), "a sixteenth is enough");
        slow.took(at(30), 199);
        assert!(slow.has_failed(at(40), STALL, 3_000), "of 3,200 it would have been 200");
    }

    #[test]
    fn a_client_is_stuck_when_it_takes_nothing() {
        let mut slow = Slow::new(at(0), 3_200);
        assert!(!slow.is_stuck(at(1), AFTER));
        assert!(slow.is_stuck(at(2), AFTER));
        slow.took(at(2), 0);
        assert!(slow.is_stuck(at(2), AFTER));
        slow.took(at(3), 1);
        assert!(!slow.is_stuck(at(3), AFTER));
        assert!(slow.has_failed(at(20), STALL, 1_600));
    }
}
