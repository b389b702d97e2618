//! How many handshakes one app server may have at once: all shards ask, and all bring answers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use trunkline_admission::Pace;
use trunkline_clock::Timestamp;

use super::locked;

/// The newcomers of one app server.
#[derive(Debug)]
pub(super) struct Newcomers {
    pace: Mutex<Pace>,
    /// The pace's limit, for a look without the lock.
    limit: AtomicU32,
    /// Set when somebody was refused since the last answer.
    wanted: AtomicBool,
}

impl Default for Newcomers {
    fn default() -> Self {
        let pace = Pace::default();
        let limit = AtomicU32::new(pace.limit());
        Self { pace: Mutex::new(pace), limit, wanted: AtomicBool::new(false) }
    }
}

impl Newcomers {
    /// Whether one more may come, when so many handshakes are not answered.
    pub(super) fn has_room(&self, pending: usize) -> bool {
        let has_room = pending < self.limit.load(Ordering::Relaxed) as usize;
        if !has_room {
            self.wanted.store(true, Ordering::Relaxed);
        }
        has_room
    }

    pub(super) fn answered(&self, now: Timestamp, asked_at: Timestamp) {
        let is_wanted = self.wanted.swap(false, Ordering::Relaxed);
        self.change(|pace| pace.answered(now, now.since(asked_at), is_wanted));
    }

    pub(super) fn lags(&self, lag: Duration) {
        self.change(|pace| pace.lags(lag));
    }

    fn change(&self, change: impl FnOnce(&mut Pace)) {
        let mut pace = locked(&self.pace);
        change(&mut pace);
        self.limit.store(pace.limit(), Ordering::Relaxed);
    }
}
