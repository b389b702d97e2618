//! Follows the mesh on the cluster's thread: a log line for each change with its cause, the list of
//! nodes for app servers, and what the admin port shows.

use std::time::{Duration, Instant};

use trunkline_edge::{ClusterNode, NodeState as Listed, Relayed, Witness};
use trunkline_mesh::{
    DeathCause, Event, Member, Mesh, NodeState, PeerKey, Presence, Stranger, Timestamp,
};

use super::seen::{Peer, Shared};

/// How long the app servers that peers have are waited for.
const APP_SERVERS_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a node that has left is listed as one that has.
const LEFT_LISTED: Duration = Duration::from_secs(60);

/// The node's witness.
#[derive(Debug)]
pub(super) struct NodeWitness {
    shared: Shared,
}

impl NodeWitness {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Looks at everything again.
    fn look(&self, now: Timestamp, mesh: &Mesh) {
        let own_hubs = mesh.identity().hubs_digest;
        let peer = |member: Member| Peer {
            same_hubs: member.hubs_digest == own_hubs,
            since: now.since(member.since),
            last_beat: now.since(member.last_beat),
            member,
        };
        let peers: Vec<Peer> = mesh.members().map(peer).collect();
        let departed: Vec<Peer> = mesh.departed().map(peer).collect();
        self.shared.list(nodes(mesh, &peers, &departed));
        let at = Instant::now();
        self.shared.change(|seen| {
            seen.at = at;
            seen.number = mesh.number();
            seen.former_numbers = mesh.numbers().iter().skip(1).copied().collect();
            seen.state = mesh.state();
            if seen.number.is_some() {
                seen.joined.get_or_insert(at);
            }
            seen.has_app_servers |= seen.joined.is_some_and(|joined| {
                at.duration_since(joined) >= APP_SERVERS_WAIT_MAX
                    || shares_app_servers(mesh, &peers)
            });
            seen.peers = peers;
            seen.departed = departed;
            seen.stats = mesh.stats();
        });
    }

    fn count(&self, event: &Event) {
        self.shared.change(|seen| match event {
            Event::Joined(_) => seen.counts.joined += 1,
            Event::Left(_) => seen.counts.left += 1,
            Event::Dead { cause, .. } => seen.counts.died(*cause),
            Event::Suspect(_) => seen.counts.suspected += 1,
            Event::Renumbered { .. } => seen.counts.renumbered += 1,
            Event::Stranger(Stranger::Version { .. }) => seen.counts.other_versions += 1,
            Event::BusUp
            | Event::BusDown { .. }
            | Event::Ready { .. }
            | Event::Changed(_)
            | Event::Trusted(_)
            | Event::LinkUp(_)
            | Event::LinkEnded { .. }
            | Event::Frame { .. }
            | Event::Stranger(Stranger::Forged | Stranger::Broken)
            | Event::DiffersInHubs(_) => {}
        });
    }
}

impl Witness for NodeWitness {
    fn saw(&mut self, now: Timestamp, mesh: &Mesh, event: &Event) {
        if matches!(event, Event::Frame { .. }) {
            return;
        }
        log(now, mesh, event);
        self.count(event);
        self.look(now, mesh);
    }

    fn looked(&mut self, now: Timestamp, mesh: &Mesh, relayed: &Relayed) {
        self.look(now, mesh);
        self.shared.change(|seen| seen.relayed = *relayed);
    }
}

/// Whether each peer that serves has the same app servers as this node.
fn shares_app_servers(mesh: &Mesh, peers: &[Peer]) -> bool {
    let own = mesh.load().app_servers_digest;
    let serving = peers.iter().filter(|peer| peer.member.state == NodeState::Up);
    let mut theirs = serving.map(|peer| peer.member.load.app_servers_digest);
    theirs.all(|digest| digest == own || digest == [0; 8])
}

/// The nodes as app servers learn of them, this one first.
fn nodes(mesh: &Mesh, peers: &[Peer], departed: &[Peer]) -> Vec<ClusterNode> {
    let identity = mesh.identity();
    let Some(number) = mesh.number() else { return Vec::new() };
    let own = ClusterNode {
        id: identity.node_id.clone(),
        number,
        url: identity.advertise.clone(),
        state: listed(mesh.state()),
    };
    let node = |member: &Member, state| ClusterNode {
        id: member.node_id.clone(),
        number: member.number,
        url: member.advertise.clone(),
        state,
    };
    let is_present = |id: &str| id == own.id || peers.iter().any(|peer| peer.member.node_id == id);
    let left = departed.iter().filter(|peer| {
        let member = &peer.member;
        // A node that came back under its name is not one that has left.
        member.presence == Presence::Left
            && peer.since < LEFT_LISTED
            && !is_present(&member.node_id)
    });
    let mut nodes: Vec<ClusterNode> =
        peers.iter().map(|peer| node(&peer.member, listed(peer.member.state))).collect();
    nodes.extend(left.map(|peer| node(&peer.member, Listed::Left)));
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    nodes.dedup_by(|a, b| a.id == b.id);
    nodes.insert(0, own);
    nodes
}

fn listed(state: NodeState) -> Listed {
    match state {
        NodeState::Joining | NodeState::Up => Listed::Up,
        NodeState::Draining => Listed::Draining,
        NodeState::Leaving => Listed::Left,
    }
}

fn name(mesh: &Mesh, peer: PeerKey) -> String {
    mesh.member(peer).map_or_else(|| format!("{:016x}", peer.incarnation), |member| member.node_id)
}

/// Writes a line for what an operator may have to explain later.
fn log(now: Timestamp, mesh: &Mesh, event: &Event) {
    match event {
        Event::Ready { number } => {
            tracing::info!(number, "the node has joined its cluster");
        }
        Event::Renumbered { from, to } => tracing::warn!(
            from,
            to,
            "an older node has this node's number; new sessions get another one, and both stay valid"
        ),
        Event::Joined(member) => tracing::info!(
            peer = member.node_id,
            number = member.number,
            version = member.version,
            advertise = member.advertise,
            "a node has joined the cluster"
        ),
        Event::Changed(member) => tracing::debug!(
            peer = member.node_id,
            number = member.number,
            state = super::status::state(member.state),
            "a node has changed"
        ),
        Event::Suspect(peer) => tracing::warn!(
            peer = name(mesh, *peer),
            silent_ms = silent_ms(now, mesh, *peer),
            "a node does not answer; nothing new is sent there"
        ),
        Event::Trusted(peer) => {
            tracing::info!(peer = name(mesh, *peer), "a node answers again");
        }
        Event::Dead { member, cause } => tracing::warn!(
            peer = member.node_id,
            number = member.number,
            cause = cause.as_str(),
            "{}",
            of_death(*cause)
        ),
        Event::Left(member) => tracing::info!(
            peer = member.node_id,
            number = member.number,
            "a node has left the cluster, in an orderly way"
        ),
        Event::LinkEnded { peer, cause } => tracing::info!(
            peer = name(mesh, *peer),
            %cause,
            "the link to a node has ended, with the requests that were under way on it"
        ),
        Event::Stranger(stranger) => tracing::warn!(
            cause = stranger.as_str(),
            "{stranger} came through NATS, and is ignored"
        ),
        Event::DiffersInHubs(member) => tracing::warn!(
            peer = member.node_id,
            "a node is configured with other hubs, keys or paths than this one: clients and app \
             servers that it takes may be refused here"
        ),
        // The bus writes its own lines; links come and go with their nodes.
        Event::BusUp | Event::BusDown { .. } | Event::LinkUp(_) | Event::Frame { .. } => {}
    }
}

fn silent_ms(now: Timestamp, mesh: &Mesh, peer: PeerKey) -> u64 {
    let last = mesh.member(peer).map_or(now, |member| member.last_beat);
    u64::try_from(now.since(last).as_millis()).unwrap_or(u64::MAX)
}

fn of_death(cause: DeathCause) -> &'static str {
    match cause {
        DeathCause::Silent => "a node is gone: nothing came from it for too long",
        DeathCause::Unreachable => "a node is gone: NATS says that it no longer listens",
        DeathCause::Replaced => "a node is gone: another process runs under its name",
    }
}
