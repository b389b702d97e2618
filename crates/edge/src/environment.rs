//! The state that the parts of one node share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use trunkline_clock::Timestamp;

use crate::changing::{Changing, Shared};
use crate::cluster::Cluster;
use crate::compressor::Compressor;
use crate::gate::Gate;
use crate::hub::Directory;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::voucher::Voucher;
use trunkline_http::SideDoor;

/// The state that every shard and every task of the edge needs.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) node_id: String,
    /// The numbers with which sids of this node begin.
    pub(crate) numbers: Numbers,
    pub(crate) version: &'static str,
    /// The limits at present.
    pub(crate) limits: Changing<Limits>,
    /// What is counted and allowed per address.
    pub(crate) gate: Arc<Gate>,
    pub(crate) directory: Directory,
    pub(crate) io_uring: bool,
    pub(crate) memory: Memory,
    pub(crate) compressor: Compressor,
    pub(crate) metrics: Metrics,
    /// The names by which tokens may address this node.
    pub(crate) names: Shared<trunkline_token::Names>,
    pub(crate) side_doors: Vec<Arc<dyn SideDoor>>,
    /// Whether app servers have a port of their own, which alone serves trunks and side doors.
    pub(crate) trunk_port: bool,
    pub(crate) voucher: Option<Arc<dyn Voucher>>,
    /// The way to the other nodes; `None` when this node is alone.
    pub(crate) cluster: Option<Cluster>,
    /// Sessions of each shard, opening ones included.
    pub(crate) sessions: Box<[AtomicUsize]>,
    /// The start of the node's clock, the same for all of its threads.
    pub(crate) origin: Instant,
}

impl Environment {
    /// The time of the node's clock.
    pub(crate) fn now(&self) -> Timestamp {
        let micros = self.origin.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The sessions of all shards, including those that are being opened.
    pub(crate) fn sessions_total(&self) -> usize {
        self.sessions.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}
