//! How many handshakes one app server may have at once: all shards ask, and all bring answers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use trunkline_admission::Pace;
use trunkline_clock::Timestamp;

use super::{Trunk, locked};

/// The newcomers of one app server.
#[derive(Debug)]
pub(super) struct Newcomers {
    pace: Mutex<Pace>,
    /// The pace's limit, for a look without the lock.
    limit: AtomicU32,
}

impl Default for Newcomers {
    fn default() -> Self {
        let pace = Pace::default();
        let limit = AtomicU32::new(pace.limit());
        Self { pace: Mutex::new(pace), limit }
    }
}

impl Newcomers {
    /// Whether one more may come, when so many handshakes are not answered.
    pub(super) fn has_room(&self, pending: usize) -> bool {
        pending < self.limit.load(Ordering::Relaxed) as usize
    }

    /// Notes that one has to wait, see [`Pace::refused`]. True: send the app server a `Ping`.
    pub(super) fn refused(&self, now: Timestamp, heard_at: Timestamp) -> bool {
        self.change(|pace| pace.refused(now, heard_at))
    }

    pub(super) fn answered(&self, now: Timestamp, asked_at: Timestamp) {
        self.change(|pace| pace.answered(now, now.since(asked_at)));
    }

    pub(super) fn lags(&self, lag: Duration) {
        self.change(|pace| pace.lags(lag));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Pace) -> T) -> T {
        let mut pace = locked(&self.pace);
        let changed = change(&mut pace);
        self.limit.store(pace.limit(), Ordering::Relaxed);
        changed
    }
}

impl Trunk {
    /// Whether the app server can take one more newcomer at the pace at which it answers.
    pub(crate) fn takes_newcomer(&self, now: Timestamp) -> bool {
        let has_room = self.newcomers.has_room(self.pending());
        if !has_room && self.newcomers.refused(now, self.heard_at()) {
            self.note(|notes| notes.ping = true);
        }
        has_room
    }

    /// Notes that the app server's event loop is late.
    pub(crate) fn lags(&self, lag: Duration) {
        self.newcomers.lags(lag);
    }
}
