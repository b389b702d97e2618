//! A signal that is given once, to all that wait for it and to all that come later.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A signal for any number of tasks; once given, it stays given.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    given: AtomicBool,
    wake: Notify,
}

impl Signal {
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.wake.notify_waiters();
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Waits until the signal is given.
    pub(crate) async fn given(&self) {
        loop {
            // The order matters: a signal given in between is not missed.
            let woken = self.wake.notified();
            if self.is_given() {
                return;
            }
            woken.await;
        }
    }
}
