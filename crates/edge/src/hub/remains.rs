//! What is left of a trunk that is over: the batches on their way to its app server, and what
//! became of its sessions.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Batches that a lost app server may not have handled, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// Those that it may have handled, or has handled in part.
    pub(crate) doubtful: Vec<Bytes>,
    /// The one after them, of which it may have handled messages, and has not begun an adoption.
    pub(crate) ahead: Option<Bytes>,
    /// Those that it has certainly not begun, all of them after the others.
    pub(crate) unbegun: Vec<Bytes>,
    /// Set when there was more than could be kept: then any session of the trunk may have had a
    /// message in doubt.
    pub(crate) incomplete: bool,
}

/// What became of the sessions of a lost app server, counted by all shards.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kept: AtomicUsize,
    in_doubt: AtomicUsize,
    closed: AtomicUsize,
}

impl Tally {
    /// Counts a session that waits for another app server.
    pub(crate) fn kept(&self) {
        self.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a session that is closed because nobody can tell what the app server has done of its
    /// last messages.
    pub(crate) fn in_doubt(&self) {
        self.in_doubt.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a session that is closed because no other app server could take it over.
    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs the counts; call it when all shards have counted.
    pub(crate) fn log(&self, hub: &str, server: &str) {
        let [kept, in_doubt, closed] =
            [&self.kept, &self.in_doubt, &self.closed].map(|count| count.load(Ordering::Relaxed));
        if kept + in_doubt + closed > 0 {
            tracing::info!(
                hub,
                server,
                kept,
                in_doubt,
                closed,
                "sessions of an app server that is gone"
            );
        }
    }
}
