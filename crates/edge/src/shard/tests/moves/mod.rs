//! Sessions that move from node to node: the cores of two or more shards, app servers with a trunk to
//! each, clients, and delays on every way between them, in virtual time.

mod cases;
mod clients;
mod failures;
mod full;
mod keys;
mod play;
mod servers;
mod two;
mod uneven;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trunkline_clock::Timestamp;
use trunkline_mesh::PeerKey;
use trunkline_trunk::Frame;
use trunkline_trunk::settings::ConnectionStateRecovery;

use self::clients::Player;
use self::servers::Server;
use super::app::App;
use super::world::World;
use crate::cluster::{Input, Inputs, MoveKey, MoveStep};
use crate::hub::Remains;
use crate::shard::Asked;
use crate::shard::command::Command;

/// The number of the first node; the others follow.
const FIRST: u16 = 100;

/// One node: one shard, and its trunks by the place of their app servers.
struct Node {
    world: World,
    inputs: Inputs,
    is_alive: bool,
    trunks: Vec<Option<App>>,
    /// Moves that it began: the owner.
    begun: HashMap<u32, usize>,
    /// Moves of its sessions: the other node, and its number.
    owned: HashSet<(usize, u32)>,
}

/// What arrives somewhere at its time.
#[derive(Debug)]
enum Event {
    ToServer { node: usize, server: usize, life: u32, frames: Vec<Frame> },
    ToNode { node: usize, server: usize, life: u32, frames: Vec<Frame> },
    Step { to: usize, key: MoveKey, step: MoveStep },
    NodeGone { at: usize, node: usize },
}

/// A way on which nothing overtakes anything.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Way {
    Down(usize, usize),
    Up(usize, usize),
    Link(usize, usize),
}

/// Everything.
struct Net {
    now: Timestamp,
    rng: StdRng,
    /// The longest delay on a way.
    lag: Duration,
    nodes: Vec<Node>,
    servers: Vec<Server>,
    players: Vec<Player>,
    events: BTreeMap<(Timestamp, u64), Event>,
    next_event: u64,
    last: HashMap<Way, Timestamp>,
    /// Set with connection state recovery.
    recovers: bool,
    /// What sessions' ids mean: the player.
    sids: HashMap<String, usize>,
    moved: usize,
}

impl Net {
    fn new(seed: u64, nodes: usize, servers: usize, lag: Duration, recovers: bool) -> Self {
        let mut net = Self {
            now: Timestamp::from_micros(1_000_000),
            rng: StdRng::seed_from_u64(seed),
            lag,
            nodes: Vec::new(),
            servers: (0..servers).map(|place| Server::new(place, nodes)).collect(),
            players: Vec::new(),
            events: BTreeMap::new(),
            next_event: 0,
            last: HashMap::new(),
            recovers,
            sids: HashMap::new(),
            moved: 0,
        };
        for place in 0..nodes {
            let number = FIRST + u16::try_from(place).unwrap();
            let (mut world, inputs) = World::of_node(number, |limits, settings| {
                // In some plays the clients of a node wait for one another.
                limits.hub_messages_per_second = (seed % 8 == 5).then_some(10);
                settings.numbers = true;
                settings.connection_state_recovery = recovers.then_some(ConnectionStateRecovery {
                    max_disconnection: Duration::from_secs(120),
                    skip_middlewares: true,
                });
            });
            world.own.moves = true;
            let (begun, owned) = (HashMap::new(), HashSet::new());
            let trunks = Vec::new();
            net.nodes.push(Node { world, inputs, is_alive: true, trunks, begun, owned });
        }
        for server in 0..servers {
            for node in 0..nodes {
                net.connect(node, server);
            }
        }
        net
    }

    /// Opens a trunk; its number is the app server's next.
    fn connect(&mut self, node: usize, server: usize) {
        let next = self.servers[server].next_number;
        let id = self.servers[server].id.clone();
        let at = &mut self.nodes[node];
        at.world.now = self.now;
        let app = at.world.app(&id);
        at.world.app_says(&app, [Frame::Number { next }]);
        at.trunks.resize_with(at.trunks.len().max(server + 1), || None);
        at.trunks[server] = Some(app);
        self.servers[server].connected(node);
    }

    /// Breaks a trunk for good: what is on its way is lost.
    fn disconnect(&mut self, node: usize, server: usize) {
        let Some(app) = self.nodes[node].trunks[server].take() else { return };
        if self.nodes[node].is_alive {
            self.nodes[node].world.app_dies(&app, Remains::default());
        }
        self.servers[server].disconnected(node);
    }

    /// Kills a node.
    fn kill(&mut self, node: usize) {
        self.nodes[node].is_alive = false;
        for server in 0..self.servers.len() {
            self.disconnect(node, server);
        }
        for at in 0..self.nodes.len() {
            if at != node {
                self.later(Way::Link(node, at), Event::NodeGone { at, node });
            }
        }
        for player in &mut self.players {
            player.node_died(node);
        }
    }

    fn later(&mut self, way: Way, event: Event) {
        let delay = Duration::from_micros(self.rng.random_range(0..=self.lag_micros()));
        let last = self.last.entry(way).or_insert(self.now);
        *last = (*last).max(self.now + delay);
        self.events.insert((*last, self.next_event), event);
        self.next_event += 1;
    }

    fn lag_micros(&self) -> u64 {
        u64::try_from(self.lag.as_micros()).unwrap()
    }

    /// Lets time pass, and everything that arrives in it take effect.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.look();
            let next = self.events.keys().next().map(|(at, _)| *at);
            let alive = self.nodes.iter().filter(|node| node.is_alive);
            let wakes = alive.filter_map(|node| node.world.shard.wake_at());
            let next = next.into_iter().chain(wakes).min().map(|at| at.max(self.now));
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.now = at;
            for node in self.nodes.iter_mut().filter(|node| node.is_alive) {
                node.world.pass(at.since(node.world.now));
            }
            while let Some(entry) = self.events.first_entry()
                && entry.key().0 <= at
            {
                let event = entry.remove();
                self.happens(event);
                self.look();
            }
        }
        self.now = until;
        for node in self.nodes.iter_mut().filter(|node| node.is_alive) {
            node.world.pass(until.since(node.world.now));
        }
        self.look();
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::ToServer { node, server, life, frames } => {
                if self.servers[server].life_of(node) == Some(life) {
                    for frame in frames {
                        self.server_hears(server, node, frame);
                    }
                }
            }
            Event::ToNode { node, server, life, frames } => {
                if self.servers[server].life_of(node) == Some(life)
                    && let Some(app) = self.nodes[node].trunks[server].clone()
                {
                    self.nodes[node].world.app_says_all(&app, frames);
                }
            }
            Event::Step { to, key, step } => self.step_arrives(to, key, step),
            Event::NodeGone { at, node } => {
                let own = self.nodes[at].begun.extract_if(|_, owner| *owner == node);
                let own: Vec<_> = own.map(|(id, _)| MoveKey { from: None, id }).collect();
                let others = self.nodes[at].owned.extract_if(|(from, _)| *from == node);
                let others = others.map(|(from, id)| key_of(from, id));
                for key in others.chain(own).collect::<Vec<_>>() {
                    self.tell(at, Command::Move { key, step: MoveStep::Failed("gone".into()) });
                }
            }
        }
    }

    fn step_arrives(&mut self, to: usize, key: MoveKey, step: MoveStep) {
        let node = &mut self.nodes[to];
        let is_last = is_last(&step);
        let is_known = match key.from {
            Some(peer) => {
                let one = (usize::from(peer.number), key.id);
                if matches!(step, MoveStep::ProbeBegun { .. }) {
                    node.owned.insert(one);
                }
                if is_last { node.owned.remove(&one) } else { node.owned.contains(&one) }
            }
            None if is_last => node.begun.remove(&key.id).is_some(),
            None => node.begun.contains_key(&key.id),
        };
        if is_known {
            self.tell(to, Command::Move { key, step });
        }
    }

    fn tell(&mut self, node: usize, command: Command) {
        let at = &mut self.nodes[node];
        if at.is_alive {
            at.world.now = self.now;
            at.world.tell(command);
        }
    }

    /// Collects what nodes have said, and lets clients do what follows from what they got.
    fn look(&mut self) {
        loop {
            for node in 0..self.nodes.len() {
                if !self.nodes[node].is_alive {
                    continue;
                }
                while let Ok(input) = self.nodes[node].inputs.try_recv() {
                    self.carry(node, input);
                }
                for server in 0..self.servers.len() {
                    let Some(app) = &self.nodes[node].trunks[server] else { continue };
                    let frames = app.frames();
                    if !frames.is_empty() {
                        let life = self.servers[server].life_of(node).expect("it is up");
                        let event = Event::ToServer { node, server, life, frames };
                        self.later(Way::Up(node, server), event);
                    }
                }
            }
            if !self.clients_react() {
                return;
            }
        }
    }

    /// Carries a step of a move to the other node.
    #[expect(clippy::wildcard_enum_match_arm, reason = "shards give nothing else to the cluster")]
    fn carry(&mut self, node: usize, input: Input) {
        match input {
            Input::BeginMove { id, asked, .. } => {
                let owner = node_of(&asked);
                self.nodes[node].begun.insert(id, owner);
                let step = MoveStep::ProbeBegun { asked, node: format!("n{node}").into() };
                let key = key_of(node, id);
                self.later(Way::Link(node, owner), Event::Step { to: owner, key, step });
            }
            Input::Move { key: MoveKey { from: None, id }, step } => {
                let Some(owner) = self.nodes[node].begun.get(&id).copied() else { return };
                if is_last(&step) {
                    self.nodes[node].begun.remove(&id);
                }
                self.moved += usize::from(matches!(step, MoveStep::Arrived));
                let key = key_of(node, id);
                self.later(Way::Link(node, owner), Event::Step { to: owner, key, step });
            }
            Input::Move { key: MoveKey { from: Some(peer), id }, step } => {
                let to = usize::from(peer.number);
                if !self.nodes[node].owned.contains(&(to, id)) {
                    return;
                }
                if is_last(&step) {
                    self.nodes[node].owned.remove(&(to, id));
                }
                let key = MoveKey { from: None, id };
                self.later(Way::Link(node, to), Event::Step { to, key, step });
            }
            other => panic!("no shard says {other:?}"),
        }
    }
}

fn is_last(step: &MoveStep) -> bool {
    matches!(step, MoveStep::ProbeGone | MoveStep::Failed(_) | MoveStep::Arrived)
}

/// The key under which the owner knows a move of this node.
fn key_of(node: usize, id: u32) -> MoveKey {
    let number = u16::try_from(node).unwrap();
    MoveKey { from: Some(PeerKey { number, incarnation: 0 }), id }
}

fn node_of(asked: &Asked) -> usize {
    usize::from(asked.sid.node - FIRST)
}
