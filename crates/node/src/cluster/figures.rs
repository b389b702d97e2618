//! The cluster's metrics, from the last look.

use core::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use trunkline_backplane::BusFigures;
use trunkline_mesh::Presence;

use super::seen::{Seen, Shared};

/// Everything at `/metrics` that is about the cluster.
#[derive(Debug)]
pub(super) struct ClusterCollector {
    shared: Shared,
    bus: BusFigures,
}

impl ClusterCollector {
    pub(super) fn new(shared: Shared, bus: BusFigures) -> Self {
        Self { shared, bus }
    }
}

type Label = [(&'static str, &'static str); 1];

/// Writes whole families: name, description, and a value for each label.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauge(&mut self, name: &str, about: &str, value: f64) -> fmt::Result {
        self.gauge_of(name, about, None, value)
    }

    fn gauge_of(
        &mut self,
        name: &str,
        about: &str,
        unit: Option<&Unit>,
        value: f64,
    ) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, about, unit, gauge.metric_type())?)
    }

    fn gauges(&mut self, name: &str, about: &str, values: &[(Label, f64)]) -> fmt::Result {
        let kind = ConstGauge::new(0.0).metric_type();
        let mut family = self.0.encode_descriptor(name, about, None, kind)?;
        for (label, value) in values {
            ConstGauge::new(*value).encode(family.encode_family(label)?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, about: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, about, None, counter.metric_type())?)
    }

    fn counters(&mut self, name: &str, about: &str, values: &[(Label, u64)]) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, about, None, kind)?;
        for (label, value) in values {
            ConstCounter::new(*value).encode(family.encode_family(label)?)?;
        }
        Ok(())
    }
}

impl Collector for ClusterCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = self.shared.get();
        let mut to = Families(encoder);
        members(&mut to, &seen)?;
        links(&mut to, &seen)?;
        requests(&mut to, &seen)?;
        bus(&mut to, &seen, &self.bus)
    }
}

fn members(to: &mut Families<'_>, seen: &Seen) -> fmt::Result {
    let peers = [Presence::Heard, Presence::Up, Presence::Suspect].map(|presence| {
        let with = seen.peers.iter().filter(|peer| peer.member.presence == presence).count();
        ([("presence", presence.as_str())], with as f64)
    });
    to.gauges("trunkline_mesh_peers", "Other nodes of the cluster.", &peers)?;
    let joined = if seen.number.is_some() { 1.0 } else { 0.0 };
    to.gauge("trunkline_mesh_joined", "Whether the node has a number in its cluster.", joined)?;
    let counts = &seen.counts;
    let changes = [
        ("joined", counts.joined),
        ("left", counts.left),
        ("silent", counts.silent),
        ("unreachable", counts.unreachable),
        ("replaced", counts.replaced),
        ("suspected", counts.suspected),
    ];
    let changes = changes.map(|(change, count)| ([("change", change)], count));
    to.counters("trunkline_mesh_changes", "Other nodes that came or went, by how.", &changes)?;
    to.counter(
        "trunkline_mesh_renumbered",
        "This node gave up its number for new sessions to an older node.",
        counts.renumbered,
    )?;
    let hubs = seen.peers.iter().filter(|peer| !peer.same_hubs).count();
    to.gauge(
        "trunkline_mesh_hubs_differ",
        "Other nodes that are configured with other hubs.",
        hubs as f64,
    )?;
    to.counter(
        "trunkline_mesh_beats_missed",
        "Beats of other nodes that never came.",
        seen.stats.beats_missed,
    )?;
    let strangers = [
        ("forged", seen.stats.forged),
        ("broken", seen.stats.broken),
        ("version", counts.other_versions),
    ];
    let strangers = strangers.map(|(cause, count)| ([("cause", cause)], count));
    to.counters("trunkline_mesh_strangers", "Datagrams that were ignored.", &strangers)
}

fn links(to: &mut Families<'_>, seen: &Seen) -> fmt::Result {
    let stats = &seen.stats;
    to.counter(
        "trunkline_mesh_links_ended",
        "Links to other nodes that ended.",
        stats.links_ended,
    )?;
    to.counter(
        "trunkline_mesh_link_resent",
        "Pieces that were sent again to other nodes.",
        stats.pieces_resent,
    )?;
    to.counter(
        "trunkline_mesh_link_window_full",
        "Frames that were refused, because too much waited for the other node.",
        stats.full,
    )?;
    to.counter("trunkline_mesh_frames_sent", "Frames to other nodes.", stats.frames_sent)?;
    to.counter(
        "trunkline_mesh_frames_received",
        "Frames from other nodes.",
        stats.frames_received,
    )?;
    let longest = seen.peers.iter().filter_map(|peer| peer.member.rtt).max();
    let longest = longest.map_or(0.0, |rtt| rtt.as_secs_f64());
    let about = "The longest round trip to another node.";
    to.gauge_of("trunkline_mesh_rtt", about, Some(&Unit::Seconds), longest)
}

fn requests(to: &mut Families<'_>, seen: &Seen) -> fmt::Result {
    let relayed = &seen.relayed;
    let requests = [("asked", relayed.asked), ("served", relayed.served)];
    let requests = requests.map(|(side, count)| ([("side", side)], count));
    to.counters(
        "trunkline_mesh_relayed_requests",
        "Requests for sessions of other nodes, and requests of other nodes for sessions here.",
        &requests,
    )?;
    let under_way = [
        ("asked", relayed.asking as f64),
        ("served", relayed.serving as f64),
        ("moves", relayed.moving as f64),
    ];
    let under_way = under_way.map(|(side, count)| ([("side", side)], count));
    to.gauges("trunkline_mesh_under_way", "Requests and moves between nodes now.", &under_way)
}

fn bus(to: &mut Families<'_>, seen: &Seen, bus: &BusFigures) -> fmt::Result {
    let up = if seen.bus.away.is_none() { 1.0 } else { 0.0 };
    to.gauge("trunkline_mesh_bus_up", "Whether NATS is reached.", up)?;
    to.counter("trunkline_mesh_bus_connections", "Connections to NATS.", bus.connected())?;
    to.counter(
        "trunkline_mesh_bus_cut_off",
        "Connections to NATS that ended after this node had not kept up with them.",
        bus.cut_off(),
    )?;
    let ((sent, sent_bytes), (received, received_bytes)) = (bus.sent(), bus.received());
    to.counter("trunkline_mesh_bus_datagrams_sent", "Datagrams to NATS.", sent)?;
    to.counter("trunkline_mesh_bus_sent_bytes", "Their bytes.", sent_bytes)?;
    to.counter("trunkline_mesh_bus_datagrams_received", "Datagrams from NATS.", received)?;
    to.counter("trunkline_mesh_bus_received_bytes", "Their bytes.", received_bytes)?;
    let dropped = [("sending", bus.dropped_sending()), ("receiving", bus.dropped_receiving())];
    let dropped = dropped.map(|(side, count)| ([("side", side)], count));
    to.counters("trunkline_mesh_bus_dropped", "Datagrams that were dropped.", &dropped)
}
