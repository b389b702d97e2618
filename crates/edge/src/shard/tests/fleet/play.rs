//! Random plays: clients come, talk, change to WebSockets and go, app servers send and broadcast, and
//! nodes, app servers, trunks and the bus fail in every way.
//!
//! `FLEET_SEEDS=10000 cargo test --release -p trunkline-edge --lib fleet` plays more seeds,
//! `FLEET_FIRST=N` begins with seed N, and `FLEET_NODES=100` has so many nodes and a fifth as many app
//! servers.

use std::hash::Hasher as _;
use std::time::Duration;

use rand::Rng;
use trunkline_mesh::NodeState;

use super::bus::Faults;
use super::rules::Seen;
use super::{Event, Fleet, Make};
use crate::cluster::Input;

/// Seeds of one run; the variable `FLEET_SEEDS` asks for more.
const SEEDS: u64 = 200;

/// What has to happen in some play.
const EVER: [&str; 12] = [
    "end: closed",
    "end: dropped",
    "end: mesh_down",
    "end: owner_lost",
    "end: refused UnknownSid",
    "end: stream",
    "mesh: bus down",
    "mesh: dead",
    "mesh: left",
    "mesh: renumbered",
    "mesh: suspect",
    "no upgrade: cannot_move",
];

/// What goes wrong in a play.
#[derive(Clone, Copy, Debug, Default)]
struct Wrong {
    /// Clients go, and apps close sessions.
    ends: bool,
    /// The bus loses, repeats and reorders a little, as links are made for.
    noise: bool,
    /// The bus loses much, is late, splits and goes away.
    bus: bool,
    kills: bool,
    hangs: bool,
    /// Trunks end, or lose their streams for a while.
    trunks: bool,
    servers: bool,
    leaves: bool,
}

impl Wrong {
    /// Whether sessions may end for no reason of theirs.
    fn is_rough(self) -> bool {
        self.bus || self.kills || self.hangs || self.trunks || self.servers || self.leaves
    }
}

struct Plan {
    make: Make,
    wrong: Wrong,
    clients: usize,
    steps: usize,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn plan(seed: u64) -> Plan {
    let asked = number("FLEET_NODES").and_then(|nodes| usize::try_from(nodes).ok());
    let nodes = asked.unwrap_or(match seed {
        _ if seed % 200 == 199 => 20,
        _ if seed % 50 == 49 => 8,
        _ => 2 + usize::try_from(seed % 3).unwrap(),
    });
    let lag = [0, 1, 20, 150][usize::try_from(seed / 3 % 4).unwrap()];
    // A third of the plays is gentle: no session may end there.
    let rough = |share: u64| !seed.is_multiple_of(3) && (seed / 3).is_multiple_of(share);
    let wrong = Wrong {
        ends: seed % 4 != 1,
        noise: seed % 5 != 2,
        bus: rough(2),
        kills: rough(3),
        hangs: rough(4),
        trunks: rough(5),
        servers: rough(7),
        leaves: rough(6),
    };
    let is_large = nodes > 4;
    let make = Make {
        nodes,
        servers: if is_large { (nodes / 5).max(2) } else { 2 },
        lag: Duration::from_millis(lag),
        slow: seed % 8 < 4,
        recovers: seed % 6 < 3,
        own_ids: seed % 9 == 4,
        clash: seed % 11 == 5,
        checked: !is_large && seed % 4 == 3,
    };
    let clients = if is_large { nodes } else { 6 };
    Plan { make, wrong, clients, steps: 80 }
}

/// Plays a seed. Returns what happened, and the trace.
fn play(seed: u64) -> (Seen, u64) {
    let Plan { make, wrong, clients, steps } = plan(seed);
    let mut fleet = Fleet::new(seed, make);
    fleet.is_rough = true;
    fleet.is_torn = wrong.bus || wrong.hangs || wrong.kills;
    if make.clash {
        fleet.joins_apart();
    }
    fleet.pass(Duration::from_secs(6));
    for _ in 0..clients / 2 {
        fleet.client_comes();
    }
    if make.own_ids {
        // Every node has one that the others know of.
        for _ in 0..make.nodes {
            fleet.client_comes();
        }
        fleet.pass(Duration::from_secs(20));
        fleet.servers_look();
    }
    fleet.is_rough = wrong.is_rough();
    if wrong.noise {
        fleet.make_noise();
    }
    for _ in 0..steps {
        fleet.does_something(wrong, clients);
        let pause = [0, 0, 1, 7, 60, 300, 900][fleet.rng.random_range(0..7)];
        fleet.pass(Duration::from_millis(pause));
        fleet.servers_look();
        fleet.check_homes();
    }
    if wrong.is_rough() {
        fleet.heals();
    } else {
        fleet.bus = Faults::default();
        // A client that goes is missed after a ping.
        fleet.talks(18);
    }
    fleet.comes_to_rest();
    // An app may close a session while it moves.
    if !wrong.is_rough() && !wrong.ends {
        assert_eq!(fleet.failures(), (0, 0), "every move succeeds");
    }
    fleet.everybody_goes();
    (fleet.seen.clone(), fleet.trace.finish())
}

impl Fleet {
    /// Two nodes take the same number, and have sessions with it before they hear each other.
    fn joins_apart(&mut self) {
        self.nodes[0].side = 1;
        self.pass(Duration::from_secs(6));
        for _ in 0..2 * self.nodes.len() {
            self.client_comes();
        }
        self.pass(Duration::from_secs(1));
        self.nodes[0].side = 0;
    }

    /// Something is said to a client, or by it.
    pub(super) fn talks_with(&mut self, place: usize) {
        let sid = self.players[place].sid.clone();
        let Some(server) = self.players[place].server else { return };
        if !self.servers[server].conns[&sid].is_open {
            return;
        }
        match self.rng.random_range(0..6) {
            0 | 1 => self.app_sends(server, &sid),
            2 => self.app_changes_room(server, &sid, "dyn"),
            3 => self.client_says(place),
            _ => {
                let server = self.rng.random_range(0..self.servers.len());
                let room = [None, Some("dyn")][self.rng.random_range(0..2)];
                self.app_broadcasts(server, room);
            }
        }
    }

    fn make_noise(&mut self) {
        let mut some = |max: u32| if self.rng.random() { self.rng.random_range(0..max) } else { 0 };
        let (lost, repeated, reordered) = (some(30), some(100), some(300));
        self.bus = Faults { lost, repeated, reordered, ..Faults::default() };
    }

    fn any_node(&mut self) -> usize {
        self.rng.random_range(0..self.nodes.len())
    }

    fn does_something(&mut self, wrong: Wrong, clients: usize) {
        if wrong.is_rough() && self.rng.random_ratio(1, 8) {
            self.fails(wrong);
        }
        let server = self.rng.random_range(0..self.servers.len());
        let open = self.servers[server].open();
        let sid = (!open.is_empty()).then(|| open[self.rng.random_range(0..open.len())].clone());
        let alive: Vec<usize> =
            (0..self.players.len()).filter(|place| self.players[*place].is_alive()).collect();
        let player = (!alive.is_empty()).then(|| alive[self.rng.random_range(0..alive.len())]);
        match (self.rng.random_range(0..100), sid, player) {
            (0..14, ..) if alive.len() < clients => self.client_comes(),
            (14..26, _, Some(place)) => self.client_upgrades(place),
            (26..42, Some(sid), _) => self.app_sends(server, &sid),
            (42..56, ..) => {
                let room = [None, Some("base"), Some("dyn")][self.rng.random_range(0..3)];
                self.app_broadcasts(server, room);
            }
            (56..63, Some(sid), _) => self.app_changes_room(server, &sid, "dyn"),
            (63..94, _, Some(place)) => self.client_says(place),
            (94..97, Some(sid), _) if wrong.ends => self.app_closes(server, &sid),
            (97..99, _, Some(place)) if wrong.ends => self.client_goes(place),
            _ => (),
        }
    }

    /// Lets something fail, or lets it work again.
    fn fails(&mut self, wrong: Wrong) {
        let node = self.any_node();
        let server = self.rng.random_range(0..self.servers.len());
        let is_there = self.nodes[node].process.is_some();
        let hangs = self.nodes[node].hangs_since.is_some();
        match self.rng.random_range(0..12) {
            0 if wrong.kills && is_there => self.kill(node),
            1 if !is_there => self.start(node),
            2 if wrong.hangs && is_there && !hangs => self.hang(node),
            3 => self.wake_all(),
            4 if wrong.trunks && is_there => {
                if self.nodes[node].trunks[server].is_some() {
                    self.disconnect(node, server);
                } else {
                    self.connect(node, server);
                }
            }
            5 if wrong.trunks => {
                let time = Duration::from_millis(self.rng.random_range(1..2_000));
                self.blip(node, server, time);
            }
            6 if wrong.servers => {
                if self.servers[server].is_alive {
                    self.kill_server(server);
                } else {
                    self.start_server(server);
                }
            }
            7 if wrong.bus => self.change_bus(),
            8 if wrong.bus => self.nodes[node].side ^= 1,
            9 if wrong.bus => {
                if self.nodes[node].connected {
                    self.cut_bus(node);
                } else {
                    self.connect_bus(node);
                }
            }
            10 if wrong.bus && self.rng.random_ratio(1, 3) => {
                for node in 0..self.nodes.len() {
                    self.cut_bus(node);
                }
            }
            10 => self.mend_bus(),
            11 if wrong.leaves && is_there && !hangs && !self.nodes[node].leaves => {
                let life = self.nodes[node].life;
                self.nodes[node].leaves = true;
                self.at(self.now, Event::Leaves { node, life, step: 0 });
            }
            _ => (),
        }
    }

    fn change_bus(&mut self) {
        let mut some = |max: u32| {
            if self.rng.random_ratio(2, 5) { self.rng.random_range(0..max) } else { 0 }
        };
        self.bus = Faults {
            lost: some(300),
            repeated: some(300),
            reordered: some(500),
            late: some(100),
            unreported: some(1000),
            mute: None,
        };
        if self.rng.random_ratio(3, 10) {
            // Only its beats are heard.
            self.bus.mute = Some(self.any_node());
        }
    }

    fn mend_bus(&mut self) {
        self.bus = Faults::default();
        for node in 0..self.nodes.len() {
            self.nodes[node].side = 0;
            self.connect_bus(node);
        }
    }

    fn wake_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.wake(node);
        }
    }

    /// A node leaves in an orderly way, as `cluster/run.rs` does it.
    pub(super) fn leaves(&mut self, node: usize, life: u32, step: u8) {
        let now = self.now;
        let Some(process) = self.running(node) else { return };
        let local = now + process.ahead;
        let pause = match step {
            0 => {
                process.core.give_polls_back(local);
                self.nodes[node].left = Some((life, now));
                250
            }
            1 => {
                process.core.handle(local, Input::State(NodeState::Leaving));
                150
            }
            _ => {
                self.kill(node);
                return;
            }
        };
        self.at(now + Duration::from_millis(pause), Event::Leaves { node, life, step: step + 1 });
    }

    /// The faults end, and whoever is not there starts again.
    fn heals(&mut self) {
        self.mend_bus();
        self.wake_all();
        self.pass(Duration::from_millis(500));
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_none() {
                self.start(node);
            }
        }
        for server in 0..self.servers.len() {
            if !self.servers[server].is_alive {
                self.start_server(server);
            }
            for node in 0..self.nodes.len() {
                self.connect(node, server);
            }
        }
        // The longest delay, the longest silence, a newcomer's time and the longest wait for a link
        // are 18 s together, and a client's silence is noticed after 17 s.
        self.talks(18);
        if self.make.own_ids {
            // All nodes have sessions with ids of the app, and know that of the others.
            for _ in 0..self.nodes.len() {
                self.client_comes();
            }
        }
        self.talks(18);
        self.is_rough = false;
    }

    /// Lets time pass in which everybody goes on talking.
    fn talks(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            self.servers_look();
            self.check_homes();
        }
    }

    /// Nothing is wrong any more: no session ends, and all arrives.
    fn comes_to_rest(&mut self) {
        for _ in 0..self.nodes.len().min(4) {
            self.client_comes();
        }
        self.pass(Duration::from_secs(1));
        for place in 0..self.players.len() {
            self.client_says(place);
            if place % 2 == 0 {
                self.client_upgrades(place);
            }
        }
        for server in 0..self.servers.len() {
            for sid in self.servers[server].open() {
                self.app_sends(server, &sid);
            }
            self.app_broadcasts(server, None);
        }
        self.talks(3);
        for server in 0..self.servers.len() {
            self.app_broadcasts(server, None);
        }
        self.pass(Duration::from_secs(2));
        self.check_rest();
    }
}

#[test]
fn whatever_fails_no_session_loses_or_repeats_anything_and_all_that_ends_has_a_cause() {
    let seeds = number("FLEET_SEEDS");
    let first = number("FLEET_FIRST").unwrap_or(0);
    let mut ever = Seen::default();
    for seed in first..first + seeds.unwrap_or(SEEDS) {
        let played = std::panic::catch_unwind(|| play(seed));
        let Ok((seen, _)) = played else { panic!("seed {seed}") };
        ever.add(&seen);
    }
    if seeds.is_some() {
        println!("{ever:#?}");
        return;
    }
    let never: Vec<_> = EVER.iter().filter(|word| !ever.words.contains_key(**word)).collect();
    assert!(never.is_empty(), "plays that go nowhere prove nothing: {never:?} in {ever:#?}");
    assert!(ever.moved > 500 && ever.relayed > 5_000, "{ever:#?}");
}

#[test]
fn the_same_seed_plays_the_same() {
    for seed in [1, 5, 7, 8, 11, 13, 40] {
        let trace = play(seed).1;
        assert_eq!(trace, play(seed).1, "seed {seed}");
        assert_ne!(trace, play(seed + 1).1, "the trace says nothing");
    }
}
