//! The admin port's view of this node.

use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;
use trunkline_api::{Asked, Cause, Liveness, ProcessCollector, Readiness, Source};
use trunkline_edge::{Full, MemoryCeiling as Ceiling};

use crate::cluster::Cluster;
use crate::config::Unready;
use crate::heap;
use crate::load::{LoadFigure, Uses};
use crate::logging;
use crate::reload::{ReloadCollector, Reloads, Shown};
use crate::tls::PortCertificates;

/// The node's own facts, fixed when it starts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) node: String,
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) listen: SocketAddr,
    /// The port for app servers, if they have one of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trunk_listen: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) threads: usize,
    /// The most streams that the system allows; absent when it sets no limit.
    pub(crate) streams_possible: Option<u64>,
    /// Whether SIGHUP reloads the configuration.
    pub(crate) reloadable: bool,
}

/// Implements the admin port's [`Source`] with the edge and the node's own state.
pub(crate) struct View {
    pub(crate) facts: Facts,
    pub(crate) started: Instant,
    pub(crate) draining: AtomicBool,
    pub(crate) unready_on: RwLock<Vec<Unready>>,
    pub(crate) reloads: Reloads,
    pub(crate) edge: Arc<trunkline_edge::Running>,
    /// The certificates of the ports with TLS, which a reload exchanges.
    pub(crate) certificates: PortCertificates,
    pub(crate) registry: Registry,
    /// The cluster; `None` when the node is alone.
    pub(crate) cluster: Option<Cluster>,
}

/// All metrics of this process.
pub(crate) fn registry(
    facts: &Facts,
    metrics: &trunkline_edge::Metrics,
    azure: &trunkline_azure::Metrics,
    load: &LoadFigure,
    (ceiling, reloads): (Ceiling, &Reloads),
) -> Registry {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    azure.register(&mut registry);
    let process = ProcessCollector::new(facts.version, facts.node.clone());
    registry.register_collector(Box::new(process));
    registry.register_collector(Box::new(HeapCollector { ceiling }));
    registry.register_collector(Box::new(ReloadCollector(reloads.clone())));
    registry.register_collector(Box::new(LogCollector));
    registry.register_collector(Box::new(load.clone()));
    registry
}

/// The memory in use, as the ceiling counts it.
#[derive(Debug)]
struct HeapCollector {
    ceiling: Ceiling,
}

impl Collector for HeapCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, about, bytes: usize| {
            let value = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            let descriptor =
                encoder.encode_descriptor(name, about, Some(&Unit::Bytes), value.metric_type())?;
            value.encode(descriptor)
        };
        gauge("trunkline_memory_heap", "Heap in use.", heap::bytes_in_use())?;
        match self.ceiling.bytes_max() {
            Some(bytes) => gauge("trunkline_memory_ceiling", "Memory that may be in use.", bytes),
            None => Ok(()),
        }
    }
}

/// Log lines that were dropped.
#[derive(Debug)]
struct LogCollector;

impl Collector for LogCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let dropped = ConstCounter::new(logging::dropped_lines());
        let about = "Log lines dropped because standard error is not read fast enough.";
        let kind = dropped.metric_type();
        dropped.encode(encoder.encode_descriptor(
            "trunkline_log_lines_dropped",
            about,
            None,
            kind,
        )?)
    }
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    /// The number for new sids; null before the node has joined its cluster.
    node_number: Option<u16>,
    /// The limit of streams; beyond it handshakes are refused.
    streams_max: usize,
    /// The memory ceiling; absent when there is none.
    memory_bytes_max: Option<usize>,
    /// The reloads of the configuration.
    reloads: Shown,
    uptime_seconds: u64,
    ready: bool,
    causes: &'a [Cause],
    notes: &'a [Cause],
    #[serde(flatten)]
    edge: &'a trunkline_edge::Status,
}

impl View {
    /// Changes the states in which the node is not ready.
    pub(crate) fn set_unready_on(&self, unready_on: Vec<Unready>) {
        *self.unready_on.write().unwrap_or_else(PoisonError::into_inner) = unready_on;
    }

    fn is_unready_on(&self, unready: Unready) -> bool {
        self.unready_on.read().unwrap_or_else(PoisonError::into_inner).contains(&unready)
    }

    /// How much of its limits the node uses.
    pub(crate) fn uses(&self) -> Uses {
        Uses {
            memory: (heap::bytes_in_use(), self.edge.limits().memory_bytes_max),
            sessions: self.edge.sessions_of_limit(),
            streams: self.edge.streams_of_limit(),
        }
    }

    fn readiness_of(&self, status: &trunkline_edge::Status) -> Readiness {
        let mut readiness = Readiness::default();
        if self.draining.load(Ordering::Relaxed) || status.draining {
            let message = "the node is shutting down; send new connections to another".into();
            readiness.causes.push(Cause { code: "draining", message });
        }
        if let Some(cluster) = &self.cluster {
            let judged = cluster.readiness();
            readiness.causes.extend(judged.causes);
            readiness.notes.extend(judged.notes);
        }
        let Full { memory, sessions, streams } = self.edge.full();
        let full = [
            (memory, Unready::MemoryFull, "uses as much memory"),
            (sessions, Unready::SessionsFull, "holds as many sessions"),
            (streams, Unready::StreamsFull, "holds as many connections"),
        ];
        for (_, unready, what) in full.into_iter().filter(|(is_full, ..)| *is_full) {
            let message = format!("the node {what} as it may; newcomers get 503");
            self.tell(&mut readiness, unready, message);
        }
        let without = || status.hubs.iter().filter(|hub| hub.app_servers.is_empty());
        if without().count() == status.hubs.len() && self.is_unready_on(Unready::NoAppServer) {
            let message = "no hub has an app server; clients get 503 until one connects".into();
            self.tell(&mut readiness, Unready::NoAppServer, message);
            return readiness;
        }
        for hub in without() {
            let message = format!(
                "hub `{}` has no app server; its clients get 503 until one connects",
                hub.name
            );
            readiness.notes.push(Cause { code: Unready::NoAppServer.code(), message });
        }
        readiness
    }

    /// Adds a state as a cause if it is configured as one, otherwise as a note.
    fn tell(&self, readiness: &mut Readiness, unready: Unready, message: String) {
        let counts = self.is_unready_on(unready);
        let list = if counts { &mut readiness.causes } else { &mut readiness.notes };
        list.push(Cause { code: unready.code(), message });
    }
}

/// Longer than any turn of a healthy shard, even under attack.
const ANSWER_MAX: Duration = Duration::from_secs(5);

impl Source for View {
    fn liveness(&self) -> Liveness {
        let silent = self.edge.silent_shards(ANSWER_MAX);
        Box::pin(async move {
            let cause = |shard| Cause {
                code: "shard_silent",
                message: format!(
                    "shard {shard} has not answered for {} s: its clients are not served; restart the node",
                    ANSWER_MAX.as_secs()
                ),
            };
            silent.await.into_iter().map(cause).collect()
        })
    }

    fn readiness(&self) -> Readiness {
        self.readiness_of(&self.edge.status())
    }

    fn status_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let edge = self.edge.status();
        let readiness = self.readiness_of(&edge);
        serde_json::to_vec(&Status {
            facts: &self.facts,
            node_number: self.edge.node_number(),
            streams_max: self.edge.limits().streams_max,
            memory_bytes_max: self.edge.limits().memory_bytes_max,
            reloads: self.reloads.shown(),
            uptime_seconds: self.started.elapsed().as_secs(),
            ready: readiness.causes.is_empty(),
            causes: &readiness.causes,
            notes: &readiness.notes,
            edge: &edge,
        })
    }

    fn cluster_json(&self) -> Option<Result<Vec<u8>, serde_json::Error>> {
        self.cluster.as_ref().map(Cluster::json)
    }

    fn talkers(&self, query: &str) -> Asked {
        crate::talkers::answer(&self.edge, query)
    }

    fn write_metrics(&self, out: &mut String) -> fmt::Result {
        prometheus_client::encoding::text::encode(out, &self.registry)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_edge::{Edge, HubConfig, Limits, Secret};

    use super::*;

    fn view() -> View {
        view_with(Limits::default(), Unready::ALL.to_vec())
    }

    fn view_with(limits: Limits, unready_on: Vec<Unready>) -> View {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let keys = vec![Secret::new("0123456789abcdef")];
        let edge = Edge::bind(trunkline_edge::Config {
            listen,
            trunk_listen: None,
            tls: None,
            trunk_tls: None,
            threads: 1,
            node_id: "n-test".into(),
            node_number: 7,
            version: "9.9.9",
            hubs: vec![HubConfig { name: "chat".into(), keys, ..HubConfig::default() }],
            spare_hubs: 0,
            default_hub: "chat".into(),
            names: None,
            limits,
            addresses: trunkline_edge::AddressRules::default(),
            io_uring: true,
            heap_bytes: crate::heap::bytes_in_use,
        })
        .expect("a free port");
        let facts = Facts {
            node: "n-test".into(),
            version: "9.9.9",
            pid: 1,
            listen,
            trunk_listen: None,
            admin: None,
            threads: 1,
            streams_possible: None,
            reloadable: true,
        };
        let registry = registry(
            &facts,
            edge.metrics(),
            &trunkline_azure::Metrics::default(),
            &LoadFigure::default(),
            (edge.memory_ceiling(), &Reloads::default()),
        );
        let edge = Arc::new(edge.start().expect("threads"));
        let draining = AtomicBool::new(false);
        let cluster = None;
        let (unready_on, reloads) = (RwLock::new(unready_on), Reloads::default());
        let (started, certificates) = (Instant::now(), PortCertificates::default());
        View {
            facts,
            started,
            draining,
            unready_on,
            reloads,
            edge,
            certificates,
            registry,
            cluster,
        }
    }

    fn codes(causes: &[Cause]) -> Vec<&str> {
        causes.iter().map(|cause| cause.code).collect()
    }

    #[test]
    fn readiness_and_status_follow_the_drain() {
        let view = view_with(Limits::default(), Vec::new());
        let readiness = view.readiness();
        assert_eq!(codes(&readiness.causes), [""; 0]);
        assert_eq!(codes(&readiness.notes), ["no_app_server"]);

        view.draining.store(true, Ordering::Relaxed);
        assert_eq!(codes(&view.readiness().causes), ["draining"]);
        let status: serde_json::Value =
            serde_json::from_slice(&view.status_json().expect("it is JSON")).expect("it is JSON");
        assert_eq!(status["ready"], false);
        assert_eq!(status["causes"][0]["code"], "draining");
        assert_eq!(status["node_number"], 7);
        assert_eq!(status["hubs"][0]["name"], "chat");
        assert_eq!(status["streams_possible"], serde_json::Value::Null);
        Arc::into_inner(view.edge).expect("nobody else holds it").stop();
    }

    #[test]
    fn what_is_full_counts_as_configured() {
        let full = || Limits {
            sessions_max: 0,
            streams_max: 0,
            memory_bytes_max: Some(1),
            ..Limits::default()
        };
        let all = ["memory_full", "sessions_full", "streams_full", "no_app_server"];
        let table: [(Vec<Unready>, &[&str], &[&str]); 3] = [
            (Unready::ALL.to_vec(), &all, &[]),
            (Vec::new(), &[], &all),
            (
                vec![Unready::SessionsFull],
                &["sessions_full"],
                &["memory_full", "streams_full", "no_app_server"],
            ),
        ];
        for (unready_on, causes, notes) in table {
            let view = view_with(full(), unready_on);
            let readiness = view.readiness();
            assert_eq!((&*codes(&readiness.causes), &*codes(&readiness.notes)), (causes, notes));
            Arc::into_inner(view.edge).expect("nobody else holds it").stop();
        }
        let view = view();
        assert_eq!(codes(&view.readiness().causes), ["no_app_server"]);
        Arc::into_inner(view.edge).expect("nobody else holds it").stop();
    }
}
