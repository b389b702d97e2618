//! Credit that an app server gets back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

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
