//! Connections that have sent no request yet: they make room for others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections that have sent nothing whole yet, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Newcomers(Arc<Mutex<VecDeque<Arc<Notify>>>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Newcomer {
    all: Newcomers,
    dismissed: Arc<Notify>,
}

impl Newcomers {
    pub(crate) fn enter(&self) -> Newcomer {
        let dismissed = Arc::new(Notify::new());
        self.all().push_back(Arc::clone(&dismissed));
        Newcomer { all: self.clone(), dismissed }
    }

    /// Ends the oldest; false if there is none.
    pub(crate) fn dismiss_oldest(&self) -> bool {
        let oldest = self.all().pop_front();
        if let Some(oldest) = &oldest {
            oldest.notify_one();
        }
        oldest.is_some()
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        // Each critical section is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newcomer {
    /// It has sent a request, and is served like all others from now on.
    pub(crate) fn has_come(&self) {
        self.all.all().retain(|other| !Arc::ptr_eq(other, &self.dismissed));
    }

    /// Waits until it has to make room; for ever if it need not.
    pub(crate) async fn dismissed(&self) {
        self.dismissed.notified().await;
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.has_come();
    }
}
