//! Counters and gauges of this door. Labels come from bounded sets; never a connection, a group or a user.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use trunkline_token::TokenRefused;

use crate::{identity, webhook};

/// Cheap to clone: all clones count into the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The metrics themselves.
#[derive(Debug, Default)]
pub struct Inner {
    pub(crate) tunnels: Gauge,
    pub(crate) tunnels_refused: Family<Cause, Counter>,
    pub(crate) tunnels_ended: Family<Cause, Counter>,
    pub(crate) frames_malformed: Family<Cause, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) connects: Family<Outcome, Counter>,
    pub(crate) events: Family<EventOutcome, Counter>,
    pub(crate) clients_closed: Family<Cause, Counter>,
    pub(crate) calls: Family<CallOutcome, Counter>,
    pub(crate) calls_unauthorized: Family<Cause, Counter>,
    pub(crate) peer_calls: Family<Outcome, Counter>,
    pub(crate) answers_dropped: Counter,
    pub(crate) invoke_answers: Counter,
    pub(crate) invokes_cut: Counter,
    pub(crate) serverless_sockets: Gauge,
    pub(crate) serverless_ignored: Family<Cause, Counter>,
    pub(crate) webhooks: webhook::Metrics,
    pub(crate) identity: identity::Metrics,
}

/// Why something was refused or ended: a slug from a bounded set.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Cause {
    pub(crate) cause: &'static str,
}

/// The result of an attempt: a slug from a bounded set.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) outcome: &'static str,
}

/// An app server's answer to an event.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct EventOutcome {
    pub(crate) event: &'static str,
    pub(crate) outcome: &'static str,
}

/// The result of a REST call.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct CallOutcome {
    pub(crate) operation: &'static str,
    pub(crate) via: &'static str,
    pub(crate) status: u16,
}

/// The possible ends of a tunnel.
const TUNNELS_ENDED: [&str; 10] = [
    "aborted",
    "app_server_closed",
    "app_server_does_not_read",
    "app_server_gone",
    "app_server_silent",
    "closed_by_node",
    "malformed_frame",
    "node_stops",
    "stream_broken",
    "websocket_violation",
];

/// The possible results of a handshake that an app server decides.
const CONNECTS: [&str; 5] =
    ["accepted", "app_server_lost", "no_app_server", "refused", "serverless"];

/// The possible results of a call that concerns several nodes.
const PEER_CALLS: [&str; 3] = ["answered", "away", "silent"];

/// Why a tunnel can be refused.
const TUNNELS_REFUSED: [&str; 2] = ["bad_request", "hub_unknown"];

/// The rules that a tunnel's frame can break.
const FRAMES_MALFORMED: [&str; 6] =
    ["content", "json", "length", "shape", "truncated", "type_unknown"];

/// Why this door can close a client by itself.
const CLIENTS_CLOSED: [&str; 7] = [
    "acks_waiting",
    "app_server_lost",
    "event_refused",
    "events_waiting",
    "handlers_removed",
    "namespace_timeout",
    "packet_invalid",
];

/// What can lead to nothing in a hub with event handlers.
const IGNORED: [&str; 5] = ["ack", "answer_unreadable", "binary", "event_name", "no_handler"];

impl Metrics {
    /// A counter that first appears with the value 1 has no rate, so the first event would raise no
    /// alert.
    fn begin_at_zero(&self) {
        for cause in TUNNELS_ENDED {
            self.tunnels_ended.get_or_create(&Cause { cause }).inc_by(0);
        }
        let causes: [(_, &[&'static str]); 6] = [
            (&self.tunnels_refused, &TUNNELS_REFUSED),
            (&self.tunnels_refused, &TokenRefused::SLUGS),
            (&self.calls_unauthorized, &TokenRefused::SLUGS),
            (&self.frames_malformed, &FRAMES_MALFORMED),
            (&self.clients_closed, &CLIENTS_CLOSED),
            (&self.serverless_ignored, &IGNORED),
        ];
        for (family, words) in causes {
            for cause in words {
                family.get_or_create(&Cause { cause }).inc_by(0);
            }
        }
        for event in ["connect", "message"] {
            for outcome in ["accepted", "refused", "lost"] {
                self.events.get_or_create(&EventOutcome { event, outcome }).inc_by(0);
            }
        }
        let told = EventOutcome { event: "disconnected", outcome: "told" };
        self.events.get_or_create(&told).inc_by(0);
        for outcome in CONNECTS {
            self.connects.get_or_create(&Outcome { outcome }).inc_by(0);
        }
        for outcome in PEER_CALLS {
            self.peer_calls.get_or_create(&Outcome { outcome }).inc_by(0);
        }
    }

    /// Registers every metric for the admin port.
    pub fn register(&self, registry: &mut Registry) {
        let m = &self.0;
        self.begin_at_zero();
        registry.register("trunkline_azure_tunnels", "Connected tunnels", m.tunnels.clone());
        registry.register(
            "trunkline_azure_tunnels_refused",
            "Tunnels that were refused, by cause",
            m.tunnels_refused.clone(),
        );
        registry.register(
            "trunkline_azure_tunnels_ended",
            "Tunnels that ended, by cause",
            m.tunnels_ended.clone(),
        );
        registry.register(
            "trunkline_azure_tunnel_frames_malformed",
            "Tunnel frames that broke the format, by rule",
            m.frames_malformed.clone(),
        );
        registry.register(
            "trunkline_azure_connections",
            "Clients of app servers behind tunnels",
            m.connections.clone(),
        );
        registry.register(
            "trunkline_azure_connects",
            "Connect events, by outcome",
            m.connects.clone(),
        );
        registry.register(
            "trunkline_azure_events",
            "Answers of app servers to events, by event and outcome",
            m.events.clone(),
        );
        registry.register(
            "trunkline_azure_clients_closed",
            "Clients that this door closed by itself, by cause",
            m.clients_closed.clone(),
        );
        registry.register(
            "trunkline_azure_calls",
            "Calls of the data plane, by operation, way and status",
            m.calls.clone(),
        );
        registry.register(
            "trunkline_azure_calls_unauthorized",
            "Calls over HTTP without a good token, by cause",
            m.calls_unauthorized.clone(),
        );
        registry.register(
            "trunkline_azure_peer_calls",
            "Calls of the data plane that concerned several nodes, by outcome",
            m.peer_calls.clone(),
        );
        registry.register(
            "trunkline_azure_answers_dropped",
            "Answers that app servers did not come back for, or callers did not read",
            m.answers_dropped.clone(),
        );
        registry.register(
            "trunkline_azure_invoke_answers",
            "Acknowledgements that clients gave to invocations",
            m.invoke_answers.clone(),
        );
        registry.register(
            "trunkline_azure_invokes_cut",
            "Invocations that ended early, because too many acknowledgements were waited for",
            m.invokes_cut.clone(),
        );
        registry.register(
            "trunkline_azure_serverless_sockets",
            "Sockets of hubs with event handlers, until their handler has been told of their end",
            m.serverless_sockets.clone(),
        );
        registry.register(
            "trunkline_azure_serverless_ignored",
            "What clients or handlers sent that leads to nothing, by cause",
            m.serverless_ignored.clone(),
        );
        m.webhooks.register(registry);
        m.identity.register(registry);
    }
}
