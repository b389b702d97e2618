//! Clients that read less than their app sends.
//!
//! A client with `outbox_bytes_max` waiting is *slow*. A slow client that keeps reading receives
//! everything, however much it is, as in Socket.IO. One that does not is closed: within every
//! `outbox_stall` it must read a share of what waits for it, and while it reads nothing at all, it
//! may get only a little more than the limit. The memory ceiling bounds what all clients together
//! hold ([`eviction`](super::eviction)).
//!
//! Only sessions with a good part of the limit waiting, and those whose app server sent a mark
//! ([`marks`](super::marks)), are in the table here; for all others the cost is one comparison.

use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;

use super::Shard;
use super::slot::{Carrier, Live};
use crate::limits::Limits;

/// A slow client must read this fraction of what waits for it within `outbox_stall`.
const SHARE: usize = 16;
/// A client reads nothing if it takes no byte in the time in which a client of this speed would
/// have read the whole limit: 2 s for the default of 16 MiB. Networks and clients have pauses, so
/// this alone closes no client: it is closed if its app keeps sending meanwhile.
const SPEED_BYTES_PER_S: u64 = 8 * 1024 * 1024;
const STUCK_MIN: Duration = Duration::from_millis(100);
/// A client is watched from this fraction of the limit on, and one that reads nothing gets as much
/// beyond it.
pub(super) const PART: usize = 4;
/// The interval in which slow clients are checked.
const LOOK: Duration = Duration::from_millis(250);

/// A client with much data waiting.
#[derive(Debug)]
pub(super) struct Slow {
    /// The time at which the client's stream or poll last accepted bytes.
    moved_at: Timestamp,
    /// Bytes that its app sent since then.
    queued_bytes: usize,
    /// The start of the time for its share.
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

    /// Notes that the client's stream or poll has accepted this many bytes.
    pub(super) fn took(&mut self, now: Timestamp, bytes: usize) {
        if bytes > 0 {
            self.moved_at = now;
            self.queued_bytes = 0;
            self.taken_bytes += bytes;
        }
    }

    /// Starts a new time for its share.
    fn begin(&mut self, now: Timestamp, waiting_bytes: usize) {
        self.since = now;
        self.needed_bytes = waiting_bytes / SHARE;
        self.taken_bytes = 0;
    }

    /// Whether it read too little in its time. When the time is over, a new one begins.
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

/// The time without a byte after which a client counts as reading nothing.
fn stuck_after(limits: &Limits) -> Duration {
    let bytes = u64::try_from(limits.outbox_bytes_max).unwrap_or(u64::MAX);
    let after = Duration::from_millis(bytes.saturating_mul(1_000) / SPEED_BYTES_PER_S);
    after.max(STUCK_MIN).min(limits.outbox_stall)
}

impl Shard {
    /// Whether these bytes, just queued for a session with much in its outbox, may wait, too.
    pub(super) fn may_wait(&mut self, index: u32, bytes: usize) -> bool {
        let now = self.now;
        let outbox_bytes_max = self.env.limits.outbox_bytes_max;
        let stuck_after = stuck_after(&self.env.limits);
        let Some(live) = self.slots.live(index) else {
            return true;
        };
        let waiting_bytes = live.session.outbox_bytes();
        // A polling client shows only by its next poll that it has read an answer, which may be
        // long.
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

    /// Lets slow clients take what they can, and closes those that read too little.
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
            // Use whatever room the kernel has by now: with much data, the stream's event comes far
            // later.
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

/// The bytes that wait for a client: in the session's outbox, and in total with those that its
/// stream holds because the kernel did not accept them.
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
