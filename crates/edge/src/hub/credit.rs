//! Credit that an app server gets back, and what waits for credit that it gives.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Trunk;

/// The data bytes of one batch, returned as credit when the last shard that works on the batch
/// drops its share.
#[derive(Debug)]
pub(crate) struct BatchCredit {
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) bytes: u64,
}

impl Drop for BatchCredit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.trunk.processed.fetch_add(self.bytes, Ordering::Relaxed);
            self.trunk.wake_writer.notify_one();
        }
    }
}

impl Trunk {
    /// Notes that something of a shard waits for credit or for the window. If there is room by
    /// now, whoever made it may not have seen this: the trunk's task looks again.
    pub(crate) fn note_waiting(&self) {
        self.waited_for.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.has_room() {
            self.wake_writer.notify_one();
        }
    }

    /// Whether something waits although there is room. It is to be noted again if it goes on
    /// waiting.
    pub(crate) fn take_waiting(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waited_for.load(Ordering::Relaxed)
            && self.has_room()
            && self.waited_for.swap(false, Ordering::Relaxed)
    }
}
