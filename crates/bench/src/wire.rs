//! The messages between the parent and its workers: one JSON value per line over the worker's stdin
//! and stdout.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

use crate::kind::ScenarioKind;
use crate::manner::Manner;
use crate::transport::Transport;

/// The first line a worker reads.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) kind: ScenarioKind,
    /// This worker's number, from 0; it picks the loopback source addresses.
    pub(crate) worker: u32,
    /// Distinguishes runs, so that source ports of the last run do not matter.
    pub(crate) run: u32,
    pub(crate) targets: Vec<SocketAddrV4>,
    pub(crate) manner: Manner,
    pub(crate) transport: Transport,
    /// The moment the run began, ns: seconds are counted from it in all processes.
    pub(crate) begun_ns: u64,
    pub(crate) clients: u32,
    /// Handshakes under way at once.
    pub(crate) connecting_max: u32,
    /// Messages outstanding per client (echo).
    pub(crate) window: u32,
    pub(crate) payload_bytes: usize,
    /// Open loop: messages per second of this worker; 0 means closed loop.
    pub(crate) rate_per_s: f64,
    /// Rooms of this worker, and how many of them each client joins.
    pub(crate) rooms: u32,
    pub(crate) rooms_per_client: u32,
    /// Whether the first attempt to return waits as socket.io-client does.
    pub(crate) backs_off: bool,
    /// Whether a cut stream ends with a reset.
    pub(crate) resets: bool,
}

/// Parent to worker.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Command {
    /// The scenario's load begins.
    Start,
    /// The measured window begins; answered with [`Line::Measuring`].
    Measure,
    /// No new load; answered with [`Line::Report`] when nothing is outstanding, or after a grace time.
    /// `sent` is what each client should have received in all (fanout).
    Stop { sent: u64 },
    /// Ask the app for broadcasts `first..first + count`, in one event.
    Broadcast { first: u64, count: u32 },
    /// Ask for `count` broadcasts one by one, `rate_per_s` of them a second.
    Schedule { first: u64, count: u64, rate_per_s: f64 },
    /// An app server was killed; `victim` is its answer to `who`.
    Killed { at_ns: u64, victim: String },
    /// Every stream is cut now, but for the one of the client that asks; clients stay away for `away_ns` at least.
    Cut { away_ns: u64 },
    /// No more of what [`Command::Schedule`] began; answered with [`Line::Asked`].
    Pause,
}

/// Worker to parent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Line {
    Progress(Progress),
    Second(Second),
    /// Every client has joined or failed.
    Ready(Progress),
    Measuring,
    /// Every client has broadcast `sequence`; the last one `last_ns` after it was asked for.
    Delivered {
        sequence: u64,
        last_ns: u64,
    },
    /// Every client knows its app server.
    Known,
    /// Every client that was cut off, or whose app server was killed, is back.
    Back {
        at_ns: u64,
    },
    /// How many broadcasts were asked for, by all schedules so far.
    Asked {
        count: u64,
    },
    Report(Box<WorkerReport>),
}

/// The counts of a worker so far.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Progress {
    pub(crate) joined: u32,
    pub(crate) lost: u64,
    /// Operations so far: the scenario's own unit.
    pub(crate) operations: u64,
}

/// The events of one second in a worker.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Second {
    /// Whole seconds since [`Job::begun_ns`].
    pub(crate) second: u32,
    /// The total progress at the end of the second.
    pub(crate) progress: Progress,
    /// The scenario's main latency, ns.
    pub(crate) latency: Pairs,
}

/// A histogram as `(value, count)` pairs.
pub(crate) type Pairs = Vec<(u64, u64)>;

/// The result of a worker.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct WorkerReport {
    pub(crate) joined: u32,
    /// Clients that were lost or never joined, by cause.
    pub(crate) losses: BTreeMap<String, u64>,
    /// Sums over all workers.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Nanoseconds.
    pub(crate) histograms: BTreeMap<String, Pairs>,
    /// Growth of this worker's memory from before the first client to the last one.
    pub(crate) rss_growth_bytes: u64,
}
