//! Permits for streams: the node holds a limited number of streams, and each needs one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline_http::LogPace;

use super::reserve::{Claim, Reserve};
use crate::limits::Limits;
use crate::metrics::Metrics;

/// One of the streams that the node may hold; returned when dropped.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    streams: Arc<Streams>,
    /// Set when the node already has `streams_max` streams: this one is read, but opens no session.
    pub(crate) beyond_max: Option<Arc<Claim>>,
}

/// The streams of the node: their number and its limit.
#[derive(Debug)]
pub(crate) struct Streams {
    open: AtomicUsize,
    max: AtomicUsize,
    beyond_max: usize,
    reserve: Reserve,
    pub(crate) metrics: Metrics,
    /// Limits log lines about streams that the acceptor refuses.
    pub(crate) refused: LogPace,
}

impl Streams {
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Arc<Self> {
        let (max, beyond_max) = (limits.streams_max, limits.streams_beyond_max());
        Arc::new(Self {
            open: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
            beyond_max,
            reserve: Reserve::new(beyond_max),
            metrics,
            refused: LogPace::default(),
        })
    }

    /// Changes `streams_max`. Streams that are open stay; the places beyond it are as many as before.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Takes a place for one more stream. `None` when even the places beyond `streams_max` are
    /// taken.
    pub(crate) fn permit(self: &Arc<Self>) -> Option<StreamPermit> {
        let max = self.max.load(Ordering::Relaxed);
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before >= max.saturating_add(self.beyond_max) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.metrics.streams.inc();
        let beyond_max = (before >= max).then(|| self.reserve.claim());
        Some(StreamPermit { streams: Arc::clone(self), beyond_max })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        self.streams.metrics.streams.dec();
    }
}
