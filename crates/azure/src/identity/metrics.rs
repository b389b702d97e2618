//! Counters of identity providers. Labels come from bounded sets; never an issuer, a key's name or a subject.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use trunkline_token::TokenRefused;

/// Cheap to clone: all clones count into the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) tokens: Family<Outcome, Counter>,
    pub(crate) fetches: Family<Outcome, Counter>,
}

/// The result of an operation: a slug from a bounded set.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) outcome: &'static str,
}

/// The possible results of a fetch.
const FETCHES: [&str; 8] = [
    "ok",
    "refused",
    "timeout",
    "too_long",
    "unreachable",
    "broken",
    "discovery_unusable",
    "keys_unusable",
];

impl Metrics {
    /// Registers every metric for the admin port.
    pub fn register(&self, registry: &mut Registry) {
        // A counter that first appears with the value 1 has no rate, so the first failure would
        // raise no alert.
        for outcome in FETCHES {
            self.fetches.get_or_create(&Outcome { outcome }).inc_by(0);
        }
        for outcome in TokenRefused::SLUGS.into_iter().chain(["accepted"]) {
            self.tokens.get_or_create(&Outcome { outcome }).inc_by(0);
        }
        registry.register(
            "trunkline_azure_identity_tokens",
            "Tokens that an identity provider may have signed, by what was found",
            self.tokens.clone(),
        );
        registry.register(
            "trunkline_azure_identity_fetches",
            "Times that an identity provider was asked for its keys, by outcome",
            self.fetches.clone(),
        );
    }
}
