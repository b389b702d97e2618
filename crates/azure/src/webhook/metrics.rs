//! Counters and gauges of webhooks. Labels come from bounded sets; never a URL or an event's own name.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Cheap to clone: all clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) calls: Family<Called, Counter>,
    pub(crate) tries: Family<Tried, Counter>,
    pub(crate) pending: Gauge,
    pub(crate) permissions: Family<Tried, Counter>,
    pub(crate) seconds: Histogram,
}

/// The event of a call, and its result.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Called {
    pub(crate) event: &'static str,
    pub(crate) outcome: &'static str,
}

/// The result of a try.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Tried {
    pub(crate) outcome: &'static str,
}

/// The possible results of a call.
const OUTCOMES: [&str; 12] = [
    "ok",
    "redirect",
    "refused",
    "error",
    "unreachable",
    "broken",
    "timeout",
    "too_long",
    "not_allowed",
    "not_asked",
    "no_handler",
    "pending_full",
];

/// The possible results of a try.
const TRIES: [&str; 8] =
    ["ok", "redirect", "refused", "error", "unreachable", "broken", "timeout", "too_long"];

/// The possible results of asking a handler whether it wants events.
const PERMISSIONS: [&str; 7] =
    ["granted", "refused", "error", "unreachable", "broken", "timeout", "too_long"];

impl Metrics {
    /// A counter that first appears with the value 1 has no rate, so the first failure would raise
    /// no alert.
    fn begin_at_zero(&self) {
        for (family, outcomes) in [(&self.tries, &TRIES[..]), (&self.permissions, &PERMISSIONS)] {
            for outcome in outcomes {
                family.get_or_create(&Tried { outcome }).inc_by(0);
            }
        }
        for outcome in OUTCOMES {
            for event in ["connect", "connected", "disconnected", "user"] {
                self.calls.get_or_create(&Called { event, outcome }).inc_by(0);
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            tries: Family::default(),
            pending: Gauge::default(),
            permissions: Family::default(),
            // From 1 ms to 65 s.
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
        }
    }
}

impl Metrics {
    /// Registers every metric for the admin port.
    pub fn register(&self, registry: &mut Registry) {
        self.begin_at_zero();
        registry.register(
            "trunkline_azure_webhook_calls",
            "Events that were told to handlers, by event and by how that ended",
            self.calls.clone(),
        );
        registry.register(
            "trunkline_azure_webhook_tries",
            "HTTP requests to handlers, by outcome; more than calls, because of retries",
            self.tries.clone(),
        );
        registry.register(
            "trunkline_azure_webhook_pending",
            "Calls that are not done: on the wire, waiting, or between two tries",
            self.pending.clone(),
        );
        registry.register(
            "trunkline_azure_webhook_permissions",
            "Times that a handler was asked whether it wants events, by outcome",
            self.permissions.clone(),
        );
        registry.register(
            "trunkline_azure_webhook_duration_seconds",
            "Time from an event to its handler's answer, retries included",
            self.seconds.clone(),
        );
    }
}
