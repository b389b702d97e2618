//! Follows the mesh on the cluster's thread: a log line for each change with its cause, the list of
//! nodes for app servers, and what the admin port shows.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use trunkline_edge::{ClusterNode, NodeState as Listed, Relayed, Witness};
use trunkline_mesh::{
    DeathCause, Event, Member, Mesh, NodeState, PeerKey, Presence, Stranger, Timestamp,
};

use super::seen::{Peer, Shared};

/// How long the app servers that peers have are waited for.
const APP_SERVERS_WAIT_MAX: Duration = Duration::from_secs(5);
/// The shortest such wait: links to the peers that were heard before open within it.
const APP_SERVERS_WAIT_MIN: Duration = Duration::from_millis(500);
/// How long a node that has left is listed as one that has.
const LEFT_LISTED: Duration = Duration::from_secs(60);

/// The node's witness.
#[derive(Debug)]
pub(super) struct NodeWitness {
    shared: Shared,
    /// When the node got its first number.
    joined: Option<Timestamp>,
    /// The incarnations of the nodes that were seen to have other hubs.
    differing: BTreeSet<u64>,
}

impl NodeWitness {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared, joined: None, differing: BTreeSet::new() }
    }

    /// Looks at everything again.
    fn look(&mut self, now: Timestamp, mesh: &Mesh) {
        let own_hubs = mesh.identity().hubs_digest;
        let peer = |member: Member| Peer {
            same_hubs: member.hubs_digest == own_hubs,
            since: now.since(member.since),
            last_beat: now.since(member.last_beat),
            member,
        };
        let peers: Vec<Peer> = mesh.members().map(peer).collect();
        self.compare_hubs(&peers);
        let departed: Vec<Peer> = mesh.departed().map(peer).collect();
        self.shared.list(nodes(mesh, &peers, &departed));
        if mesh.number().is_some() {
            self.joined.get_or_insert(now);
        }
        let waited = self.joined.map(|joined| now.since(joined));
        let has_app_servers = waited.is_some_and(|waited| {
            waited >= APP_SERVERS_WAIT_MAX
                || waited >= APP_SERVERS_WAIT_MIN && shares_app_servers(mesh, &peers)
        });
        self.shared.change(|seen| {
            seen.at = Instant::now();
            seen.number = mesh.number();
            seen.former_numbers = mesh.numbers().iter().skip(1).copied().collect();
            seen.state = mesh.state();
            seen.has_joined = waited.is_some();
            // What comes and goes later is no reason.
            seen.has_app_servers |= has_app_servers;
            seen.peers = peers;
            seen.departed = departed;
            seen.stats = mesh.stats();
        });
    }

    /// Says when a node that had other hubs has the same ones: one of the two was reloaded.
    fn compare_hubs(&mut self, peers: &[Peer]) {
        for Peer { same_hubs, member, .. } in peers {
            let incarnation = member.key.incarnation;
            if !same_hubs {
                self.differing.insert(incarnation);
            } else if self.differing.remove(&incarnation) {
                tracing::info!(
                    peer = member.node_id,
                    "a node has the same hubs, keys and paths again as this one"
                );
            }
        }
        let differing = &mut self.differing;
        differing.retain(|one| peers.iter().any(|peer| peer.member.key.incarnation == *one));
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
    let left = departed
        .iter()
        .filter(|peer| peer.member.presence == Presence::Left && peer.since < LEFT_LISTED);
    let mut nodes: Vec<ClusterNode> =
        peers.iter().map(|peer| node(&peer.member, listed(peer.member.state))).collect();
    nodes.extend(left.map(|peer| node(&peer.member, Listed::Left)));
    // Of two processes with one name, the one that stays counts.
    nodes.retain(|node| node.id != own.id);
    nodes.sort_by(|a, b| (&a.id, a.state).cmp(&(&b.id, b.state)));
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
            tracing::info!(number, "the node has joined its cluster: trunkline is ready");
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

#[cfg(test)]
mod tests {
    use trunkline_mesh::{
        BusEvent, ClusterKey, Config, Destination, Identity, Load, Stats, Transmit,
    };

    use super::super::seen::Seen;
    use super::*;

    struct Node {
        mesh: Mesh,
        witness: NodeWitness,
    }

    impl Node {
        fn new(id: &str, incarnation: u64, hubs: u8) -> Self {
            let identity = Identity {
                cluster: "eu".into(),
                node_id: id.into(),
                incarnation,
                number: None,
                advertise: format!("http://{id}"),
                version: "9.9.9".into(),
                hubs_digest: [hubs; 8],
            };
            let shared = Shared::new(Seen::new(&identity));
            let key = ClusterKey::new("the key of this cluster");
            let start = Timestamp::ORIGIN;
            let mut mesh = Mesh::new(start, identity, &key, Config::default(), incarnation);
            mesh.handle_bus(start, BusEvent::Connected { payload_max: 1 << 20 });
            Self { mesh, witness: NodeWitness::new(shared) }
        }

        fn seen(&self) -> std::sync::Arc<Seen> {
            self.witness.shared.get()
        }

        fn list(&self) -> Vec<(String, Listed)> {
            let seen = self.seen();
            let nodes = nodes(&self.mesh, &seen.peers, &seen.departed);
            nodes.into_iter().map(|node| (node.id, node.state)).collect()
        }
    }

    /// Lets time pass for nodes whose datagrams all arrive at once.
    fn pass(nodes: &mut [Node], now: &mut Timestamp, span: Duration) {
        let end = *now + span;
        while *now < end {
            *now = *now + Duration::from_millis(10);
            let mut sent = Vec::new();
            for (at, node) in nodes.iter_mut().enumerate() {
                node.mesh.handle_timeout(*now);
                while let Some(transmit) = node.mesh.poll_transmit(*now) {
                    if let Transmit::Publish { to, payload } = transmit {
                        sent.push((at, to, payload));
                    }
                }
            }
            for (from, to, payload) in sent {
                let (lane, wanted) = match to {
                    Destination::Everybody => (None, None),
                    Destination::Node { incarnation, lane, .. } => (Some(lane), Some(incarnation)),
                };
                for (at, node) in nodes.iter_mut().enumerate() {
                    let own = node.mesh.identity().incarnation;
                    if at != from && wanted.is_none_or(|wanted| wanted == own) {
                        let payload = payload.clone();
                        node.mesh.handle_bus(*now, BusEvent::Datagram { lane, payload });
                    }
                }
            }
            for node in nodes.iter_mut() {
                while let Some(event) = node.mesh.poll_event() {
                    node.witness.saw(*now, &node.mesh, &event);
                }
            }
        }
        for node in nodes {
            node.witness.looked(*now, &node.mesh, &Relayed { asked: 3, ..Relayed::default() });
        }
    }

    const JOIN: Duration = Duration::from_secs(4);

    #[test]
    fn who_is_there_is_seen_counted_and_listed() {
        let mut now = Timestamp::ORIGIN;
        let mut nodes =
            vec![Node::new("n-1", 1, 7), Node::new("n-2", 2, 7), Node::new("n-3", 3, 8)];
        assert_eq!(nodes[0].list(), []);
        pass(&mut nodes, &mut now, JOIN);
        let seen = nodes[0].seen();
        assert_eq!(seen.number, nodes[0].mesh.number());
        let hubs: Vec<_> =
            seen.peers.iter().map(|peer| (&*peer.member.node_id, peer.same_hubs)).collect();
        assert_eq!(hubs, [("n-2", true), ("n-3", false)]);
        assert_eq!((seen.counts.joined, seen.relayed.asked), (2, 3));
        assert_ne!(seen.stats, Stats::default());
        let up = |id: &str| (id.to_owned(), Listed::Up);
        assert_eq!(nodes[1].list(), [up("n-2"), up("n-1"), up("n-3")]);

        // One drains and leaves; the other falls silent.
        nodes[1].mesh.set_state(now, NodeState::Draining);
        pass(&mut nodes, &mut now, Duration::from_millis(200));
        assert_eq!(nodes[0].list()[1], ("n-2".into(), Listed::Draining));
        nodes[1].mesh.set_state(now, NodeState::Leaving);
        pass(&mut nodes, &mut now, Duration::from_millis(200));
        nodes.truncate(1);
        pass(&mut nodes, &mut now, Duration::from_secs(6));
        assert_eq!(nodes[0].list(), [up("n-1"), ("n-2".into(), Listed::Left)]);
        let counts = nodes[0].seen().counts;
        assert_eq!((counts.left, counts.suspected, counts.silent), (1, 1, 1));
        pass(&mut nodes, &mut now, LEFT_LISTED);
        assert_eq!(nodes[0].list(), [up("n-1")]);
    }

    #[test]
    fn a_node_that_came_back_under_its_name_is_listed_as_it_is() {
        let mut now = Timestamp::ORIGIN;
        let mut nodes = vec![Node::new("n-1", 1, 7), Node::new("n-2", 2, 7)];
        pass(&mut nodes, &mut now, JOIN);
        nodes[1].mesh.set_state(now, NodeState::Leaving);
        pass(&mut nodes, &mut now, Duration::from_millis(200));
        nodes[1] = Node::new("n-2", 3, 7);
        pass(&mut nodes, &mut now, JOIN);
        assert_eq!(nodes[0].list()[1..], [("n-2".to_owned(), Listed::Up)]);
    }

    #[test]
    fn of_two_processes_with_one_name_the_one_that_stays_is_listed() {
        let mut now = Timestamp::ORIGIN;
        // The old process of n-2 has the lower incarnation, and that of n-3 the higher one.
        let mut nodes = vec![
            Node::new("n-1", 5, 7),
            Node::new("n-2", 2, 7),
            Node::new("n-2", 3, 7),
            Node::new("n-3", 8, 7),
            Node::new("n-3", 7, 7),
        ];
        pass(&mut nodes, &mut now, JOIN);
        for old in [1, 3] {
            nodes[old].mesh.set_state(now, NodeState::Draining);
        }
        pass(&mut nodes, &mut now, Duration::from_millis(200));
        let up = |id: &str| (id.to_owned(), Listed::Up);
        assert_eq!(nodes[0].list(), [up("n-1"), up("n-2"), up("n-3")]);
        // Nor does a node list its own former process.
        assert_eq!(nodes[2].list(), [up("n-2"), up("n-1"), up("n-3")]);
    }

    #[test]
    fn app_servers_of_peers_are_waited_for() {
        let mut now = Timestamp::ORIGIN;
        let mut nodes = vec![Node::new("n-1", 1, 7), Node::new("n-2", 2, 7)];
        let load = |digest| Load { app_servers_digest: [digest; 8], ..Load::default() };
        nodes[0].mesh.set_load(now, load(5));
        pass(&mut nodes, &mut now, JOIN);
        // The node that has them waits for nobody; the other one has none yet.
        assert_eq!(
            nodes.iter().map(|n| n.seen().has_app_servers).collect::<Vec<_>>(),
            [true, false]
        );
        nodes[1].mesh.set_load(now, load(5));
        pass(&mut nodes, &mut now, Duration::from_millis(100));
        assert!(nodes[1].seen().has_app_servers);
        // What comes and goes later is no reason.
        nodes[1].mesh.set_load(now, load(6));
        pass(&mut nodes, &mut now, Duration::from_millis(100));
        assert!(nodes[1].seen().has_app_servers);
    }
}
