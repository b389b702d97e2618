//! What each hub has, and what it may have: read from the hubs whenever somebody asks. The label is
//! the hub's name, and a node has as many hubs as its operator has configured.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::environment::Environment;
use crate::hub::{Hub, HubLimits};

/// One gauge: name, help, and its value for a hub.
type Figure = (&'static str, &'static str, fn(&Hub) -> usize);

const FIGURES: [Figure; 3] = [
    (
        "trunkline_hub_sessions",
        "Sessions of a hub, those that are being opened included",
        Hub::sessions,
    ),
    ("trunkline_hub_app_servers", "App servers of a hub that are connected", Hub::app_servers),
    (
        "trunkline_hub_sessions_slowed",
        "Sessions of a hub that wait, because its clients together send more than they may",
        |hub| hub.flow.waiting(),
    ),
];

impl Metrics {
    /// Notes whose hubs these are.
    pub(crate) fn belong_to(&self, env: &Arc<Environment>) {
        // Only one node has these metrics.
        let _ = self.environment.set(Arc::downgrade(env));
    }

    pub(super) fn register_hubs(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(HubCollector(self.clone())));
    }
}

#[derive(Debug)]
struct HubCollector(Metrics);

impl Collector for HubCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let env = self.0.environment.get().and_then(std::sync::Weak::upgrade);
        let Some(env) = env else { return Ok(()) };
        let hubs: Vec<&Arc<Hub>> = env.directory.hubs().filter(|hub| !hub.is_removed()).collect();
        let kind = ConstGauge::new(0_u64).metric_type();
        for (name, help, value) in FIGURES {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for hub in &hubs {
                let labels = [("hub", &*hub.name)];
                ConstGauge::new(value(hub) as u64).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "The limits of a hub, those that it has";
        let mut family = encoder.encode_descriptor("trunkline_hub_limit", help, None, kind)?;
        for hub in &hubs {
            for (limit, most) in limits(&hub.limits()) {
                let Some(most) = most else { continue };
                let labels = [("hub", &*hub.name), ("limit", limit)];
                ConstGauge::new(most).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn limits(limits: &HubLimits) -> [(&'static str, Option<u64>); 5] {
    let count = |most: Option<usize>| most.map(|most| most as u64);
    [
        ("hub_sessions_max", count(limits.sessions_max)),
        ("hub_app_servers_max", count(limits.app_servers_max)),
        ("app_server_sessions_max", count(limits.app_server_sessions_max)),
        ("hub_messages_per_second", limits.messages_per_second.map(u64::from)),
        ("hub_bytes_per_second", limits.bytes_per_second.map(u64::from)),
    ]
}
