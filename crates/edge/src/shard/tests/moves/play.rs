//! Random plays: clients that change nodes while three app servers broadcast, send, change rooms and
//! close, with any delays, and with trunks and nodes that are lost at any step.

use std::time::Duration;

use rand::Rng;
use trunkline_engineio::CloseReason;

use super::Net;
use super::clients::State;
use crate::metrics::Outcome;

/// Seeds of one run; the variable `MOVES_SEEDS` asks for more.
const SEEDS: u64 = 200;
const STEPS: usize = 160;
const CLIENTS_MAX: usize = 8;

/// Which things go wrong in a play.
#[derive(Clone, Copy)]
struct Faults {
    ends: bool,
    trunks: bool,
    nodes: bool,
}

fn play(seed: u64) -> usize {
    let lag = [0, 1, 20, 200, 900][usize::try_from(seed % 5).unwrap()];
    let faults =
        Faults { ends: !seed.is_multiple_of(3), trunks: seed % 4 == 3, nodes: seed % 7 == 6 };
    let nodes = if seed.is_multiple_of(2) { 2 } else { 3 };
    let mut net = Net::new(seed, nodes, 3, Duration::from_millis(lag), seed % 6 < 3);
    for _ in 0..STEPS {
        net.does_something(faults);
        let pause = [0, 0, 1, 7, 60, 300][net.rng.random_range(0..6)];
        net.pass(Duration::from_millis(pause));
        net.servers_look();
    }
    net.comes_to_rest();
    if !faults.ends && !faults.trunks && !faults.nodes {
        // A session that ends honestly is no excuse where nothing goes wrong.
        let (failed, ended) = net.failures();
        assert_eq!((failed, ended), (0, 0), "every move succeeds");
    }
    net.everybody_goes();
    net.moved
}

impl Net {
    fn does_something(&mut self, faults: Faults) {
        let server = self.rng.random_range(0..self.servers.len());
        let open = self.servers[server].open();
        let sid = (!open.is_empty()).then(|| open[self.rng.random_range(0..open.len())].clone());
        let player = match self.players.len() {
            0 => None,
            count => Some(self.rng.random_range(0..count)),
        };
        match (self.rng.random_range(0..100), sid, player) {
            (0..12, ..) => {
                let node = self.rng.random_range(0..self.nodes.len());
                let alive = self.players.iter().filter(|one| !matches!(one.state, State::Gone));
                if alive.count() < CLIENTS_MAX && self.nodes[node].is_alive {
                    self.client_comes(node);
                }
            }
            (12..32, _, Some(place)) => {
                let choice = self.rng.random_range(0..8);
                let far = self.other_node(self.players[place].node, choice);
                self.client_probes(place, far);
            }
            (32..45, Some(sid), _) => self.app_sends(server, &sid),
            (45..62, ..) => {
                let room = [None, Some("base"), Some("dyn")][self.rng.random_range(0..3)];
                self.app_broadcasts(server, room);
            }
            (62..70, Some(sid), _) => self.app_changes_room(server, &sid, "dyn"),
            (70..90, _, Some(place)) => self.client_says(place),
            (90..93, Some(sid), _) if faults.ends => self.app_closes(server, &sid),
            (93..96, _, Some(place)) if faults.ends => self.client_goes(place),
            (96..98, ..) if faults.trunks => {
                let node = self.rng.random_range(0..self.nodes.len());
                if self.nodes[node].trunks[server].is_some() {
                    self.disconnect(node, server);
                } else if self.nodes[node].is_alive {
                    self.connect(node, server);
                }
            }
            (98..99, ..) if faults.nodes => {
                let alive = self.nodes.iter().filter(|node| node.is_alive).count();
                let node = self.rng.random_range(0..self.nodes.len());
                if alive > 1 && self.nodes[node].is_alive {
                    self.kill(node);
                }
            }
            _ => (),
        }
    }

    /// Lets everything under way come to its end, and checks that nothing is missing.
    fn comes_to_rest(&mut self) {
        // Long enough for clients that are gone without a word to be missed.
        for _ in 0..60 {
            self.pass(Duration::from_secs(1));
            self.servers_look();
        }
        for node in self.nodes.iter().filter(|node| node.is_alive) {
            assert!(node.world.shard.departures.is_empty(), "every move has ended");
            assert!(node.world.shard.arrivals.count == 0, "every move has ended");
            assert!(node.begun.is_empty() && node.owned.is_empty());
        }
        for server in 0..self.servers.len() {
            self.app_broadcasts(server, None);
        }
        self.pass(Duration::from_secs(5));
        for (place, player) in self.players.iter().enumerate() {
            let Some(server) = player.server else { continue };
            let conn = &self.servers[server].conns[&player.sid];
            assert_eq!(player.is_alive(), conn.is_open, "{}: at both ends or at none", player.sid);
            assert_eq!(self.homes(&player.sid), usize::from(conn.is_open), "{}: homes", player.sid);
            if !conn.is_open {
                continue;
            }
            assert_eq!(player.got, conn.expected, "{}: all of it", player.sid);
            assert_eq!(player.sent, conn.heard, "{}: all that its client said", player.sid);
            let has_upgraded = matches!(player.state, State::Upgraded { .. });
            assert_eq!(conn.upgraded, has_upgraded, "{}: the app knows the transport", player.sid);
            let home = player.far.filter(|_| has_upgraded).unwrap_or(player.node);
            for (other, one) in self.servers.iter().enumerate() {
                if self.nodes[home].trunks[other].is_some() {
                    let last = one.to_all.last().copied();
                    assert_eq!(self.last_of(place, other), last, "{}: of {other}", player.sid);
                }
            }
        }
    }

    /// Moves that failed, and sessions that ended with one.
    fn failures(&self) -> (u64, u64) {
        let outcome = Outcome { outcome: "failed" };
        let failed = self.nodes.iter().map(|node| {
            let metrics = &node.world.env.metrics;
            let ended = node.world.closed(CloseReason::MoveFailed);
            (metrics.moves.get_or_create(&outcome).get(), ended)
        });
        failed.fold((0, 0), |(failed, ended), one| (failed + one.0, ended + one.1))
    }

    /// The nodes that have a session.
    fn homes(&self, sid: &str) -> usize {
        let alive = self.nodes.iter().filter(|node| node.is_alive);
        alive.map(|node| usize::from(node.world.has_session(sid))).sum()
    }

    fn everybody_goes(&mut self) {
        for place in 0..self.players.len() {
            self.client_goes(place);
        }
        self.pass(Duration::from_secs(60));
        for server in &self.servers {
            assert_eq!(server.open(), [""; 0], "no app server has a session left");
        }
        for node in self.nodes.iter_mut().filter(|node| node.is_alive) {
            let shard = &node.world.shard;
            assert_eq!(shard.slots.len(), 0, "sessions");
            assert!(shard.departures.is_empty() && shard.arrivals.is_empty());
            let counts = shard.boards[0].counts();
            assert_eq!((counts.sockets, counts.memberships, counts.namespaces), (0, 0, 1));
        }
    }
}

#[test]
fn whatever_happens_while_sessions_move_nothing_is_lost_or_doubled_and_every_move_ends() {
    let seeds = std::env::var("MOVES_SEEDS").ok().and_then(|text| text.parse().ok());
    let first = std::env::var("MOVES_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut moved = 0;
    for seed in first..first + seeds.unwrap_or(SEEDS) {
        let played = std::panic::catch_unwind(|| play(seed));
        let Ok(count) = played else { panic!("seed {seed}") };
        moved += count;
    }
    assert!(moved > 500 || seeds.is_some(), "plays without moves prove nothing: {moved}");
}
