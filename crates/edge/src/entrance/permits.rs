//! Permits for streams: the node holds a limited number of streams, and each needs one.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::gauge::Gauge;
use trunkline_http::LogPace;

use super::reserve::{Claim, Reserve};
use crate::gate::{CountedStream, Gate, Refused};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::peer::PortKind;

/// One of the streams that the node may hold; returned when dropped.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    streams: Arc<Streams>,
    /// In a box: every WebSocket has a permit, and many have none of these.
    notes: Option<Box<Notes>>,
}

/// What only some permits have.
#[derive(Debug, Default)]
struct Notes {
    /// Set when the node already has `streams_max` streams: this one is read, but opens no session.
    beyond_max: Option<Arc<Claim>>,
    /// The stream in the count of its client's address.
    counted: Option<CountedStream>,
}

/// The streams of the node: their number and its limit.
#[derive(Debug)]
pub(crate) struct Streams {
    open: AtomicUsize,
    max: AtomicUsize,
    beyond_max: usize,
    reserve: Reserve,
    /// For which port they are.
    kind: PortKind,
    pub(crate) metrics: Metrics,
    pub(super) gate: Arc<Gate>,
    /// Limits log lines about streams that the acceptor refuses.
    pub(crate) refused: LogPace,
}

impl Streams {
    pub(crate) fn new(
        kind: PortKind,
        limits: &Limits,
        gate: &Arc<Gate>,
        metrics: Metrics,
    ) -> Arc<Self> {
        let max = match kind {
            PortKind::Public => limits.streams_max,
            PortKind::Trunks => limits.trunk_streams_max,
        };
        let beyond_max = Limits::streams_beyond(max);
        Arc::new(Self {
            open: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
            beyond_max,
            reserve: Reserve::new(beyond_max),
            kind,
            metrics,
            gate: Arc::clone(gate),
            refused: LogPace::default(),
        })
    }

    /// Changes the most streams. Streams that are open stay; the places beyond it are as many as before.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn gauge(&self) -> &Gauge {
        match self.kind {
            PortKind::Public => &self.metrics.streams,
            PortKind::Trunks => &self.metrics.trunk_port_streams,
        }
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
        self.gauge().inc();
        let beyond_max = (before >= max).then(|| self.reserve.claim());
        let notes = beyond_max.map(|claim| Notes { beyond_max: Some(claim), counted: None });
        Some(StreamPermit { streams: Arc::clone(self), notes: notes.map(Box::new) })
    }
}

impl StreamPermit {
    /// Counts the stream for its client, whom a proxy has named.
    ///
    /// The error is the reason why it may not be here.
    pub(super) fn count_for(&mut self, client: IpAddr) -> Result<(), Refused> {
        let gate = &self.streams.gate;
        let counted = gate.admit_stream(&gate.rules(), client)?;
        self.note_counted(counted);
        Ok(())
    }

    pub(super) fn note_counted(&mut self, counted: Option<CountedStream>) {
        if let Some(counted) = counted {
            self.notes.get_or_insert_default().counted = Some(counted);
        }
    }

    /// The claim of a stream beyond `streams_max`: it is read, but opens no session.
    pub(crate) fn beyond_max(&self) -> Option<&Arc<Claim>> {
        self.notes.as_ref()?.beyond_max.as_ref()
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        self.streams.gauge().dec();
    }
}
