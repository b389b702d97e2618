//! Permits for streams: the node holds a limited number of streams, and each needs one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline_http::LogPace;

use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::reserve::{Claim, Reserve};

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
    max: usize,
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
            max,
            beyond_max,
            reserve: Reserve::new(beyond_max),
            metrics,
            refused: LogPace::default(),
        })
    }

    /// Takes a place for one more stream. `None` when even the places beyond `streams_max` are
    /// taken.
    pub(crate) fn permit(self: &Arc<Self>) -> Option<StreamPermit> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before >= self.max.saturating_add(self.beyond_max) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.metrics.streams.inc();
        let beyond_max = (before >= self.max).then(|| self.reserve.claim());
        Some(StreamPermit { streams: Arc::clone(self), beyond_max })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        self.streams.metrics.streams.dec();
    }
}
