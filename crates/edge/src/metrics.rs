//! Counters and gauges of the public port. Labels come from bounded sets; never a sid, a room or a
//! user.

mod hubs;
mod known;

use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use trunkline_engineio::{Blame, CloseReason, Idle};
use trunkline_switchboard::affinity::Hang;
use trunkline_trunk::Origin;

use crate::environment::Environment;

/// The counters and gauges. Cheap to clone: all clones share the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The numbers themselves.
#[derive(Debug, Default)]
pub struct Inner {
    pub(crate) streams: Gauge,
    pub(crate) trunk_port_streams: Gauge,
    pub(crate) streams_accepted: Counter,
    pub(crate) greetings: Gauge,
    pub(crate) tls_handshakes: Family<Outcome, Counter>,
    pub(crate) streams_refused: Family<Cause, Counter>,
    pub(crate) streams_broken: Counter,
    pub(crate) http_requests_refused: Family<Cause, Counter>,
    pub(crate) answers_unread: Gauge,
    pub(crate) idle: Family<Kind, Counter>,
    pub(crate) inflated_bytes: Counter,
    pub(crate) answers_uncompressed: Counter,
    pub(crate) acceptor_stalls: Counter,
    pub(crate) flush_slices: Counter,
    pub(crate) handshakes: Family<Outcome, Counter>,
    pub(crate) handshakes_retried: Counter,
    pub(crate) requests_retried: Counter,
    pub(crate) app_servers_ejected: Family<Cause, Counter>,
    pub(crate) sessions: Family<Carrier, Gauge>,
    pub(crate) sessions_closed: Family<Ending, Counter>,
    pub(crate) upgrades: Family<Outcome, Counter>,
    pub(crate) moves: Family<Outcome, Counter>,
    pub(crate) misbehaviour: Family<Cause, Counter>,
    pub(crate) messages_received: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) volatile_dropped: Counter,
    pub(crate) broadcasts: Counter,
    pub(crate) broadcast_deliveries: Counter,
    pub(crate) recoveries: Family<Outcome, Counter>,
    pub(crate) relayed: Counter,
    pub(crate) relayed_dropped: Counter,
    pub(crate) client_tokens_refused: Family<Cause, Counter>,
    pub(crate) homes_waiting: Gauge,
    pub(crate) rehomed: Family<Rehomed, Counter>,
    pub(crate) rehome_seconds: Seconds,
    pub(crate) trunks: Gauge,
    pub(crate) paths_refused: Counter,
    pub(crate) trunks_refused: Family<Cause, Counter>,
    pub(crate) trunks_ended: Family<Cause, Counter>,
    pub(crate) trunks_resumed: Counter,
    pub(crate) trunks_forgotten: Counter,
    pub(crate) trunk_received_bytes: Counter,
    pub(crate) trunk_waits_expired: Counter,
    pub(crate) trunk_sent_bytes: Counter,
    pub(crate) trunk_stalls: Counter,
    pub(crate) trunk_window_waits: Counter,
    pub(crate) sessions_slowed: Family<Cause, Counter>,
    pub(crate) newcomers_waiting: Gauge,
    /// The node that these are of, once it has started.
    pub(crate) environment: OnceLock<Weak<Environment>>,
}

/// The reason why something was refused or ended: a slug from a bounded set.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Cause {
    pub(crate) cause: &'static str,
}

/// A kind of frame or packet that brings no message.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Kind {
    pub(crate) kind: &'static str,
}

/// The outcome of an attempt: a slug from a bounded set.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) outcome: &'static str,
}

/// What became of a session whose app server is gone, and why that was.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Rehomed {
    pub(crate) origin: &'static str,
    pub(crate) outcome: &'static str,
}

/// Times from a millisecond to a minute.
#[derive(Clone, Debug)]
pub(crate) struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.001, 2.0, 17)))
    }
}

impl Seconds {
    pub(crate) fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
    }
}

/// The transport that carries a session.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Carrier {
    pub(crate) transport: &'static str,
}

/// The reason why a session ended, and the side that caused it.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Ending {
    pub(crate) cause: &'static str,
    pub(crate) blame: &'static str,
}

impl Ending {
    pub(crate) fn of(reason: CloseReason) -> Self {
        let blame = match reason.blame() {
            Blame::AppServer => "app_server",
            Blame::Client => "client",
            Blame::Node => "node",
        };
        Self { cause: reason.slug(), blame }
    }
}

impl Metrics {
    /// Counts an attempt to restore a socket by its outcome.
    pub(crate) fn count_recovery(&self, outcome: &'static str) {
        self.recoveries.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn count_idle_packets(&self, packets: Idle) {
        self.count_idle("noop", packets.noops);
        self.count_idle("ping", packets.pings);
        self.count_idle("pong", packets.pongs);
    }

    pub(crate) fn count_idle(&self, kind: &'static str, count: u32) {
        if count > 0 {
            self.idle.get_or_create(&Kind { kind }).inc_by(u64::from(count));
        }
    }

    /// Enters every number into the registry, under names that begin with `trunkline_`.
    pub fn register(&self, registry: &mut Registry) {
        self.begin_at_zero();
        self.register_public_port(registry);
        self.register_traffic(registry);
        self.register_trunks(registry);
        self.register_trunk_streams(registry);
        self.register_hubs(registry);
    }

    /// Counts what became of a session whose app server is gone.
    pub(crate) fn count_rehomed(&self, origin: Origin, outcome: &'static str) {
        self.rehomed.get_or_create(&Rehomed { origin: origin_name(origin), outcome }).inc();
    }

    /// An app server was found to hang.
    pub(crate) fn count_ejection(&self, hang: Hang) {
        let cause = match hang {
            Hang::Silent => "silent",
            Hang::Unanswered => "unanswered",
        };
        self.app_servers_ejected.get_or_create(&Cause { cause }).inc();
    }

    fn register_public_port(&self, registry: &mut Registry) {
        let m = &self.0;
        registry.register(
            "trunkline_edge_streams",
            "Open streams on the public port",
            m.streams.clone(),
        );
        registry.register(
            "trunkline_edge_trunk_port_streams",
            "Open streams on the port for app servers",
            m.trunk_port_streams.clone(),
        );
        registry.register(
            "trunkline_edge_greetings",
            "Streams that owe a TLS handshake or the header of a proxy",
            m.greetings.clone(),
        );
        registry.register(
            "trunkline_edge_tls_handshakes",
            "TLS handshakes that succeeded",
            m.tls_handshakes.clone(),
        );
        registry.register(
            "trunkline_edge_streams_accepted",
            "Streams accepted",
            m.streams_accepted.clone(),
        );
        registry.register(
            "trunkline_edge_answers_unread_bytes",
            "Bytes of answers to polls that clients have not read yet",
            m.answers_unread.clone(),
        );
        registry.register(
            "trunkline_edge_answers_uncompressed",
            "Answers to polls that were not compressed because too many others were being",
            m.answers_uncompressed.clone(),
        );
        registry.register(
            "trunkline_edge_acceptor_stalls",
            "Times that the acceptor had to wait for a busy shard",
            m.acceptor_stalls.clone(),
        );
        registry.register(
            "trunkline_edge_flush_slices",
            "Times that a flush of very many sessions was interrupted for others",
            m.flush_slices.clone(),
        );
        registry.register(
            "trunkline_edge_streams_refused",
            "Streams refused, or broken off by the node, by cause",
            m.streams_refused.clone(),
        );
        registry.register(
            "trunkline_edge_streams_broken",
            "Streams that the client or the network ended in the middle of a request",
            m.streams_broken.clone(),
        );
        registry.register(
            "trunkline_edge_requests_refused",
            "HTTP requests answered with an error, by cause",
            m.http_requests_refused.clone(),
        );
        registry.register(
            "trunkline_edge_handshakes",
            "Handshakes by outcome",
            m.handshakes.clone(),
        );
        registry.register("trunkline_sessions", "Open sessions by transport", m.sessions.clone());
        registry.register(
            "trunkline_sessions_closed",
            "Sessions closed, by cause and the side to blame",
            m.sessions_closed.clone(),
        );
        registry.register(
            "trunkline_edge_upgrades",
            "Transport upgrades by outcome",
            m.upgrades.clone(),
        );
        registry.register(
            "trunkline_moves",
            "Sessions of other nodes whose clients changed to a WebSocket here, by outcome",
            m.moves.clone(),
        );
        registry.register(
            "trunkline_edge_idle",
            "What clients sent that brings no message, by kind",
            m.idle.clone(),
        );
        registry.register(
            "trunkline_edge_misbehaviour",
            "Broken protocol rules of clients, by rule",
            m.misbehaviour.clone(),
        );
    }

    fn register_traffic(&self, registry: &mut Registry) {
        let m = &self.0;
        registry.register(
            "trunkline_messages_received",
            "Messages from clients",
            m.messages_received.clone(),
        );
        registry.register(
            "trunkline_messages_sent",
            "Messages queued to clients",
            m.messages_sent.clone(),
        );
        registry.register(
            "trunkline_messages_received_bytes",
            "Bytes of messages from clients",
            m.received_bytes.clone(),
        );
        registry.register(
            "trunkline_messages_sent_bytes",
            "Bytes of messages queued to clients",
            m.sent_bytes.clone(),
        );
        registry.register(
            "trunkline_messages_inflated_bytes",
            "Bytes that compressed messages from clients came to",
            m.inflated_bytes.clone(),
        );
        registry.register(
            "trunkline_messages_volatile_dropped",
            "Volatile messages dropped",
            m.volatile_dropped.clone(),
        );
        registry.register(
            "trunkline_broadcasts",
            "Broadcasts taken from app servers",
            m.broadcasts.clone(),
        );
        registry.register(
            "trunkline_broadcast_deliveries",
            "Sessions reached by broadcasts",
            m.broadcast_deliveries.clone(),
        );
    }

    fn register_trunks(&self, registry: &mut Registry) {
        let m = &self.0;
        registry.register("trunkline_trunks", "Open trunks", m.trunks.clone());
        registry.register(
            "trunkline_homes_waiting",
            "Sessions that wait for an app server because their own is gone",
            m.homes_waiting.clone(),
        );
        registry.register(
            "trunkline_rehomed",
            "Sessions whose app server is gone, by what became of them",
            m.rehomed.clone(),
        );
        registry.register(
            "trunkline_rehome_seconds",
            "Time that sessions were without an app server",
            m.rehome_seconds.0.clone(),
        );
        registry.register(
            "trunkline_app_servers_ejected",
            "Times that an app server was found to hang and newcomers went to others, by cause",
            m.app_servers_ejected.clone(),
        );
        registry.register(
            "trunkline_handshakes_retried",
            "Handshakes taken back from an app server that did not answer and given to another",
            m.handshakes_retried.clone(),
        );
        registry.register(
            "trunkline_requests_retried",
            "Preflights and refused requests taken back from an app server that did not answer and given to another",
            m.requests_retried.clone(),
        );
        registry.register(
            "trunkline_paths_refused",
            "App servers whose path belongs to another hub",
            m.paths_refused.clone(),
        );
        registry.register(
            "trunkline_trunks_refused",
            "Trunks refused, by cause",
            m.trunks_refused.clone(),
        );
        registry.register(
            "trunkline_trunks_ended",
            "Trunks ended, by cause",
            m.trunks_ended.clone(),
        );
        registry.register(
            "trunkline_trunks_resumed",
            "Trunks continued on another stream",
            m.trunks_resumed.clone(),
        );
        registry.register(
            "trunkline_trunks_forgotten",
            "Times that what an app server had not confirmed became too much to keep",
            m.trunks_forgotten.clone(),
        );
        registry.register(
            "trunkline_client_tokens_refused",
            "Handshakes refused for their token, by cause",
            m.client_tokens_refused.clone(),
        );
        registry.register(
            "trunkline_recoveries",
            "Sockets asked for by returning clients, by outcome",
            m.recoveries.clone(),
        );
        registry.register(
            "trunkline_relayed",
            "Payloads relayed between app servers",
            m.relayed.clone(),
        );
        registry.register(
            "trunkline_relayed_dropped",
            "Payloads not relayed because the receiver reads too slowly",
            m.relayed_dropped.clone(),
        );
    }

    fn register_trunk_streams(&self, registry: &mut Registry) {
        let m = self;
        registry.register(
            "trunkline_trunk_waits_expired",
            "Broadcasts that waited in vain for what other trunks had brought before",
            m.trunk_waits_expired.clone(),
        );
        registry.register(
            "trunkline_trunk_received_bytes",
            "Bytes from app servers",
            m.trunk_received_bytes.clone(),
        );
        registry.register(
            "trunkline_trunk_sent_bytes",
            "Bytes to app servers",
            m.trunk_sent_bytes.clone(),
        );
        registry.register(
            "trunkline_trunk_stalls",
            "Times that a trunk ran out of credit and its clients' streams were paused",
            m.trunk_stalls.clone(),
        );
        registry.register(
            "trunkline_trunk_window_waits",
            "Times that a session which sends much waited for its turn at its app server",
            m.trunk_window_waits.clone(),
        );
        registry.register(
            "trunkline_sessions_slowed",
            "Times that a session was not read from, because its client sent more than it may",
            m.sessions_slowed.clone(),
        );
        registry.register(
            "trunkline_newcomers_waiting",
            "Handshakes that wait until an app server can take them",
            m.newcomers_waiting.clone(),
        );
    }
}

/// The word for an origin in labels.
pub(crate) const fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Orphan => "orphan",
        Origin::HandedOver => "handed_over",
        Origin::Moved => "moved",
    }
}
