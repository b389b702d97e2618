//! Whole clusters in virtual time. Of each node, what runs is real: the mesh, the cluster's core and
//! a shard's core. Models of the rest are around them: a bus that loses, repeats, reorders and delays
//! (`bus.rs`), HTTP tasks (`tasks.rs`), app servers with a trunk to each node (`servers.rs`), and
//! clients that come through a balancer which goes round all nodes (`clients.rs`).
//!
//! `play.rs` makes everything go wrong, and `rules.rs` has what must hold nevertheless.

mod bus;
mod clients;
mod cost;
mod facts;
mod play;
mod process;
mod rules;
mod servers;
mod tasks;
mod trunks;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trunkline_clock::Timestamp;
use trunkline_mesh::BusEvent;
use trunkline_trunk::Frame;
use trunkline_trunk::settings::ConnectionStateRecovery;

use self::bus::{Faults, Tally};
use self::clients::Player;
use self::facts::Facts;
use self::process::{Birth, Process};
use self::rules::Seen;
use self::servers::Server;
use self::tasks::Ask;
use super::app::App;
use crate::hub::Remains;

/// The time for which the balancer goes on with a node that hangs.
const BALANCER_LOOKS: Duration = Duration::from_secs(2);

/// The properties of a fleet.
#[derive(Clone, Copy, Debug)]
struct Make {
    nodes: usize,
    servers: usize,
    /// The longest delay on a trunk.
    lag: Duration,
    /// Whether the threads of a node take their time.
    slow: bool,
    /// Whether sockets can be recovered: broadcasts are recorded.
    recovers: bool,
    /// Whether apps make the ids of sessions.
    own_ids: bool,
    /// Whether two nodes were given the same number.
    clash: bool,
    /// Whether the invariants of shards are checked at each step.
    checked: bool,
}

/// A place of a node: processes come and go there.
struct Node {
    process: Option<Process>,
    life: u32,
    facts: Facts,
    hangs_since: Option<Timestamp>,
    /// What arrives while it hangs.
    waiting: VecDeque<Event>,
    /// Nodes of different sides do not reach one another over the bus.
    side: u8,
    connected: bool,
    /// For each app server, its trunk and which one that is.
    trunks: Vec<Option<(App, u32)>>,
    /// Set while it leaves in an orderly way.
    leaves: bool,
    /// The life that left in an orderly way, and when that began.
    left: Option<(u32, Timestamp)>,
}

/// What happens at its time.
enum Event {
    Bus {
        from: Option<(usize, u8)>,
        to: usize,
        life: u32,
        event: BusEvent,
    },
    ToServer {
        node: usize,
        server: usize,
        trunk: u32,
        frames: Vec<Frame>,
    },
    ToNode {
        node: usize,
        server: usize,
        trunk: u32,
        frames: Vec<Frame>,
    },
    /// An app server opens a trunk.
    Connect {
        node: usize,
        server: usize,
    },
    /// A trunk has ended, and its node notices.
    TrunkEnds {
        node: usize,
        life: u32,
        app: App,
    },
    /// A trunk goes on on another stream.
    Resumes {
        node: usize,
        server: usize,
        trunk: u32,
    },
    Http {
        node: usize,
        life: u32,
        ask: Ask,
    },
    /// A client does what it had put off.
    Client(usize),
    /// Something is said to a client that moves, or by it.
    Talk(usize),
    /// A node that leaves takes the next step.
    Leaves {
        node: usize,
        life: u32,
        step: u8,
    },
}

/// A way on which nothing overtakes anything.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Way {
    Down(usize, usize),
    Up(usize, usize),
}

/// Everything.
struct Fleet {
    now: Timestamp,
    rng: StdRng,
    make: Make,
    bus: Faults,
    tally: Tally,
    nodes: Vec<Node>,
    servers: Vec<Server>,
    players: Vec<Player>,
    /// The next node in the balancer's round.
    round: usize,
    events: BTreeMap<(Timestamp, u64), Event>,
    next_event: u64,
    last: HashMap<Way, Timestamp>,
    /// What sessions' ids mean: the player.
    sids: HashMap<String, usize>,
    trace: DefaultHasher,
    seen: Seen,
    /// Set once sessions may end although nobody wants that.
    is_rough: bool,
    /// Set if nodes may lose one another.
    is_torn: bool,
    prints: bool,
}

impl Fleet {
    fn new(seed: u64, make: Make) -> Self {
        let mut fleet = Self {
            now: Timestamp::from_micros(1_000_000),
            rng: StdRng::seed_from_u64(seed),
            make,
            bus: Faults::default(),
            tally: Tally::default(),
            nodes: Vec::new(),
            servers: (0..make.servers).map(|place| Server::new(place, make.nodes)).collect(),
            players: Vec::new(),
            round: 0,
            events: BTreeMap::new(),
            next_event: 0,
            last: HashMap::new(),
            sids: HashMap::new(),
            trace: DefaultHasher::new(),
            seen: Seen::default(),
            is_rough: false,
            is_torn: false,
            prints: std::env::var_os("FLEET_LOG").is_some(),
        };
        for place in 0..make.nodes {
            fleet.nodes.push(Node {
                process: None,
                life: 0,
                facts: Facts::default(),
                hangs_since: None,
                waiting: VecDeque::new(),
                side: 0,
                connected: false,
                trunks: (0..make.servers).map(|_| None).collect(),
                leaves: false,
                left: None,
            });
            fleet.start(place);
        }
        fleet
    }

    // Nodes.

    /// Starts a process at a place, which must be free.
    fn start(&mut self, node: usize) {
        assert!(self.nodes[node].process.is_none(), "the place is taken");
        let birth = Birth {
            place: node,
            now: self.now,
            seed: self.rng.random(),
            number: (self.make.clash && node < 2).then_some(7),
            is_slow: self.make.slow,
            checked: self.make.checked,
        };
        let recovers = self.make.recovers;
        let process = Process::new(&birth, |world| {
            world.settings.numbers = true;
            world.settings.ping_interval = Duration::from_secs(8);
            world.settings.ping_timeout = Duration::from_secs(8);
            world.settings.connection_state_recovery =
                recovers.then_some(ConnectionStateRecovery {
                    max_disconnection: Duration::from_secs(120),
                    skip_middlewares: true,
                });
        });
        let at = &mut self.nodes[node];
        at.process = Some(process);
        at.life += 1;
        at.facts = Facts::default();
        at.leaves = false;
        self.connect_bus(node);
        for server in 0..self.servers.len() {
            self.connect_soon(node, server);
        }
    }

    /// Ends a process without a word.
    fn kill(&mut self, node: usize) {
        if self.nodes[node].process.is_none() {
            return;
        }
        self.note(("killed", node));
        for server in 0..self.servers.len() {
            if self.nodes[node].trunks[server].take().is_some() {
                self.servers[server].disconnected(node);
            }
        }
        let at = &mut self.nodes[node];
        at.process = None;
        at.waiting.clear();
        at.hangs_since = None;
        at.connected = false;
        self.streams_break(node);
        self.clients_react();
    }

    fn hang(&mut self, node: usize) {
        self.note(("hangs", node));
        self.nodes[node].hangs_since = Some(self.now);
    }

    fn wake(&mut self, node: usize) {
        if self.nodes[node].hangs_since.take().is_none() {
            return;
        }
        self.note(("wakes", node));
        // Timers are looked at first, or what has come.
        if self.rng.random() {
            self.work(node);
        }
        for event in std::mem::take(&mut self.nodes[node].waiting) {
            self.happens(event);
        }
        self.work(node);
        self.clients_react();
    }

    /// The process of a node, if it runs.
    fn running(&mut self, node: usize) -> Option<&mut Process> {
        let at = &mut self.nodes[node];
        at.process.as_mut().filter(|_| at.hangs_since.is_none())
    }

    fn is_alive(&self, node: usize, life: u32) -> bool {
        self.nodes[node].life == life && self.nodes[node].process.is_some()
    }

    /// The node to which the balancer gives the next request.
    fn balanced(&mut self) -> Option<usize> {
        for _ in 0..self.nodes.len() {
            self.round = (self.round + 1) % self.nodes.len();
            let node = &self.nodes[self.round];
            let hangs = node.hangs_since.is_some_and(|at| at + BALANCER_LOOKS <= self.now);
            let is_ready = node.process.as_ref().is_some_and(Process::is_ready);
            if is_ready && !hangs && !node.leaves && node.trunks.iter().any(Option::is_some) {
                return Some(self.round);
            }
        }
        None
    }

    // Time.

    fn delay(&mut self) -> Duration {
        let micros = u64::try_from(self.make.lag.as_micros()).unwrap();
        Duration::from_micros(self.rng.random_range(0..=micros))
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.events.insert((at, self.next_event), event);
        self.next_event += 1;
    }

    fn later(&mut self, way: Way, event: Event) {
        let at = self.now + self.delay();
        let last = self.last.entry(way).or_insert(at);
        *last = (*last).max(at);
        let at = *last;
        self.at(at, event);
    }

    /// Enters something into the trace; `FLEET_LOG=1` prints it.
    fn note(&mut self, what: impl Hash + Debug) {
        self.now.hash(&mut self.trace);
        if self.prints {
            println!("{:?} {what:?}", self.now);
        }
        what.hash(&mut self.trace);
    }

    fn next_at(&self) -> Option<Timestamp> {
        let first = self.events.keys().next().map(|(at, _)| *at);
        let running = self.nodes.iter().filter(|node| node.hangs_since.is_none());
        let wakes = running.filter_map(|node| node.process.as_ref()).map(Process::wake_at);
        wakes.chain(first).min()
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    fn step(&mut self) {
        let mut touched = BTreeSet::new();
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.now
        {
            let event = entry.remove();
            touched.extend(self.happens(event));
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let process = node.process.as_ref().filter(|_| node.hangs_since.is_none());
            if process.is_some_and(|process| process.wake_at() <= self.now) {
                touched.insert(place);
            }
        }
        for node in touched {
            self.work(node);
        }
        self.clients_react();
    }

    /// Lets something happen. Returns the node that has to do with it.
    fn happens(&mut self, event: Event) -> Option<usize> {
        let (now, node) = (self.now, event.node());
        if let Some((node, life)) = node {
            if life.is_some_and(|life| !self.is_alive(node, life)) {
                return None;
            }
            if self.nodes[node].hangs_since.is_some() {
                self.nodes[node].waiting.push_back(event);
                return None;
            }
        }
        let node = node.map(|(node, _)| node);
        match event {
            Event::Bus { from, to, event, .. } => {
                if from.is_none_or(|from| self.lands(from, to, &event)) {
                    self.running(to)?.bus(now, event);
                }
            }
            Event::ToServer { node, server, trunk, frames } => {
                if self.servers[server].trunk_of(node) == Some(trunk) {
                    for frame in frames {
                        self.note((server, node, format!("{frame:?}")));
                        self.server_hears(server, node, frame);
                    }
                }
            }
            Event::ToNode { node, server, trunk, frames } => {
                let (app, of) = self.nodes[node].trunks[server].clone()?;
                self.note((node, server, format!("{frames:?}")));
                if of == trunk {
                    let process = self.running(node)?;
                    process.world.now = now + process.ahead;
                    process.world.app_says_all(&app, frames);
                }
            }
            Event::Connect { node, server } => self.connect(node, server),
            Event::TrunkEnds { node, app, .. } => {
                let process = self.running(node)?;
                process.world.now = now + process.ahead;
                process.world.app_dies(&app, Remains::default());
            }
            Event::Resumes { node, server, trunk } => {
                let (app, of) = self.nodes[node].trunks[server].as_ref()?;
                if *of == trunk {
                    app.trunk.set_broken(None);
                }
            }
            Event::Http { node, ask, .. } => self.running(node)?.ask(now, ask),
            // It looks for itself, as all clients do.
            Event::Client(_) => (),
            Event::Talk(player) => self.talks_with(player),
            Event::Leaves { node, life, step } => self.leaves(node, life, step),
        }
        node
    }

    /// Lets a node do what it can, and carries on what it says.
    fn work(&mut self, node: usize) {
        let now = self.now;
        let Some(process) = self.running(node) else { return };
        let output = process.work(now);
        for event in process.news.take() {
            let word = self.nodes[node].facts.learn(now, &event);
            self.seen.count(&event);
            self.note((node, word));
        }
        for server in 0..self.servers.len() {
            let Some((app, trunk)) = &self.nodes[node].trunks[server] else { continue };
            let (frames, trunk) = (app.frames(), *trunk);
            if !frames.is_empty() {
                let event = Event::ToServer { node, server, trunk, frames };
                self.later(Way::Up(node, server), event);
            }
        }
        for transmit in output.published {
            self.publish(node, transmit);
        }
    }
}

impl Event {
    /// The node to which it happens, and in which of its lives.
    fn node(&self) -> Option<(usize, Option<u32>)> {
        match self {
            Self::Bus { to, life, .. } => Some((*to, Some(*life))),
            Self::TrunkEnds { node, life, .. }
            | Self::Http { node, life, .. }
            | Self::Leaves { node, life, .. } => Some((*node, Some(*life))),
            Self::ToNode { node, .. } | Self::Connect { node, .. } | Self::Resumes { node, .. } => {
                Some((*node, None))
            }
            Self::ToServer { .. } | Self::Client(_) | Self::Talk(_) => None,
        }
    }
}
