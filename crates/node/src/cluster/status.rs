//! The document at `/api/v1/cluster`: the nodes as this one sees them.

use core::time::Duration;

use serde::Serialize;
use trunkline_mesh::NodeState;

use super::seen::{Peer, Seen};

#[derive(Serialize)]
struct Document<'a> {
    cluster: &'a str,
    node: &'a str,
    number: Option<u16>,
    former_numbers: &'a [u16],
    incarnation: String,
    state: &'static str,
    version: &'a str,
    advertise: &'a str,
    nats: Nats<'a>,
    members: Vec<Row<'a>>,
    departed: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Nats<'a> {
    reached: bool,
    since_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

/// One peer.
#[derive(Serialize)]
struct Row<'a> {
    node: &'a str,
    number: u16,
    former_numbers: &'a [u16],
    incarnation: String,
    /// What this node thinks of it, and since when.
    presence: &'static str,
    since_seconds: f64,
    /// What it says of itself.
    state: &'static str,
    version: &'a str,
    advertise: &'a str,
    sessions: u64,
    same_hubs: bool,
    last_beat_seconds: f64,
    rtt_seconds: Option<f64>,
}

/// The document as JSON.
pub(super) fn json(seen: &Seen) -> Result<Vec<u8>, serde_json::Error> {
    let ago = seen.at.elapsed();
    serde_json::to_vec(&Document {
        cluster: &seen.cluster,
        node: &seen.node,
        number: seen.number,
        former_numbers: &seen.former_numbers,
        incarnation: format!("{:016x}", seen.incarnation),
        state: state(seen.state),
        version: &seen.version,
        advertise: &seen.advertise,
        nats: Nats {
            reached: seen.bus.away.is_none(),
            since_seconds: seconds(seen.bus.since.elapsed()),
            cause: seen.bus.away.as_deref(),
        },
        members: rows(&seen.peers, ago),
        departed: rows(&seen.departed, ago),
    })
}

fn rows(peers: &[Peer], ago: Duration) -> Vec<Row<'_>> {
    peers.iter().map(|peer| row(peer, ago)).collect()
}

fn row(peer: &Peer, ago: Duration) -> Row<'_> {
    let member = &peer.member;
    Row {
        node: &member.node_id,
        number: member.number,
        former_numbers: &member.former_numbers,
        incarnation: format!("{:016x}", member.key.incarnation),
        presence: member.presence.as_str(),
        since_seconds: seconds(peer.since + ago),
        state: state(member.state),
        version: &member.version,
        advertise: &member.advertise,
        sessions: member.load.sessions,
        same_hubs: peer.same_hubs,
        last_beat_seconds: seconds(peer.last_beat + ago),
        rtt_seconds: member.rtt.map(|rtt| rtt.as_secs_f64()),
    }
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The word for what a node says of itself.
pub(super) fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Joining => "joining",
        NodeState::Up => "up",
        NodeState::Draining => "draining",
        NodeState::Leaving => "leaving",
    }
}
