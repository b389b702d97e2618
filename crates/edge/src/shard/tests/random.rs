//! Random operations of clients and app servers, and the invariants that must hold whatever they
//! do.
//!
//! Each byte of the input is a choice: the same bytes give the same play. [`World::check`] checks
//! the shard itself, and both ends check what they receive. Numbers are used as `spec/trunk.md`
//! says. Messages arrive once and in order. Credit is returned to the byte. A client that returns
//! has missed exactly what was recorded in between. When all clients and app servers have gone,
//! nothing is left.

mod clients;
mod returns;
mod servers;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use trunkline_engineio::TransportKind;
use trunkline_trunk::settings::ConnectionStateRecovery;

use self::clients::{Player, State};
use self::returns::{KEEP, Returns};
use self::servers::Server;
use super::world::World;
use crate::metrics::Metrics;
use crate::shard::command::Command;

/// The most clients at a time that have a session or ask for one.
const CLIENTS_MAX: usize = 12;
const APPS_MAX: usize = 3;
const CREDIT: u32 = 20;
const CEILING: usize = 1_000_000;

/// The source of the choices; at the end of the input every choice is the first.
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl Choices<'_> {
    pub(super) fn byte(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.byte() % bound }
    }
}

/// The state of the play.
struct Play<'a> {
    choices: Choices<'a>,
    world: World,
    servers: Vec<Server>,
    players: Vec<Player>,
    /// The id of the latest client.
    ids: u32,
    servers_ever: u32,
    news: u32,
    /// The number of the message that each client's app server is to receive next; outlives the
    /// client.
    up_heard: HashMap<u32, u32>,
    returns: Returns,
}

/// Plays the operations that `input` chooses, and then lets all clients and app servers go. Returns
/// the metrics.
pub(crate) fn play(input: &[u8]) -> Metrics {
    play_within(input, None)
}

/// The same when all clients together may send this many messages per second.
fn play_within(input: &[u8], hub_rate: Option<u32>) -> Metrics {
    let world = World::with(|limits, settings| {
        limits.hub_messages_per_second = hub_rate;
        limits.outbox_bytes_max = 200_000;
        limits.orphan_close_per_second = 40;
        limits.memory_bytes_max = Some(CEILING);
        settings.max_http_buffer_bytes = 5_000;
        settings.numbers = true;
        settings.connection_state_recovery =
            Some(ConnectionStateRecovery { max_disconnection: KEEP, skip_middlewares: true });
    });
    let mut play = Play {
        choices: Choices(input),
        world,
        servers: Vec::new(),
        players: Vec::new(),
        ids: 0,
        servers_ever: 0,
        news: 0,
        up_heard: HashMap::new(),
        returns: Returns::default(),
    };
    play.server_comes();
    while !play.choices.0.is_empty() {
        play.step();
        play.look();
    }
    play.everybody_goes()
}

impl Play<'_> {
    fn step(&mut self) {
        match self.choices.below(23) {
            0 => self.client_comes(TransportKind::Polling),
            1 => self.client_comes(TransportKind::WebSocket),
            2 | 3 => self.server_answers_handshakes(),
            4 if self.choices.below(3) == 0 => self.client_goes(),
            4 => self.client_upgrades(),
            5 | 6 => self.client_polls(),
            7 | 8 => self.client_posts(),
            9 | 10 => self.client_writes(),
            11 => self.client_takes(),
            12 => self.client_upgrades(),
            13 | 14 => self.server_sends(),
            15 => self.server_closes(),
            16 => self.server_grants(),
            17 => self.time_passes(),
            18 => self.server_says_something_rare(),
            19 | 20 => self.server_records(),
            21 => self.recovers(),
            _ => self.something_rare(),
        }
    }

    fn something_rare(&mut self) {
        self.world.set_heap_bytes(0);
        match self.choices.below(40) {
            0..10 => self.server_comes(),
            10..14 => {
                let place = self.choices.below(self.servers.len());
                if place < self.servers.len() {
                    self.server_goes(place);
                }
            }
            14..18 => self.world.set_heap_bytes(2 * CEILING),
            18..24 if self.choices.0.len() < 1_000 => {
                self.world.env.directory.draining.store(true, Ordering::Relaxed);
                self.world.tell(Command::Drain(Duration::from_secs(5)));
            }
            _ => (),
        }
    }

    fn time_passes(&mut self) {
        let millis = [1, 30, 150, 300, 1_000, 3_000, 9_000, 20_000][self.choices.below(8)];
        self.world.pass(Duration::from_millis(millis));
    }

    // Checks of what each end receives.

    fn look(&mut self) {
        for place in 0..self.servers.len() {
            self.look_at_server(place);
        }
        let mut players = std::mem::take(&mut self.players);
        let habits = self.choices.byte();
        players.retain_mut(|player| self.look_at_player(player, habits.is_multiple_of(3)));
        self.players = players;
        if habits > 32 {
            self.clients_do_as_they_should();
        }
    }

    /// Ends all clients and app servers, and checks that nothing is left: no session, no stream,
    /// and no waiting request.
    fn everybody_goes(mut self) -> Metrics {
        self.world.set_heap_bytes(0);
        for place in 0..self.servers.len() {
            self.grant(place, 1_000_000);
        }
        self.look();
        // Some answers were never read, and some clients never return.
        let mut waiting = Vec::new();
        for mut player in std::mem::take(&mut self.players) {
            player.unread.clear();
            match player.state {
                State::Opening { handshake, .. } => {
                    if handshake.key.is_some() {
                        self.world.handshake_gone(handshake);
                    }
                }
                State::Polling(client) | State::WebSocket(client) => {
                    client.wire.set_room(None);
                    self.world.client_ends(&client);
                }
            }
            waiting.push((player.polls, player.posts));
        }
        self.world.pass(Duration::from_secs(100));
        for place in 0..self.servers.len() {
            self.look_at_server(place);
            self.answer_closes(place);
        }
        while !self.servers.is_empty() {
            self.server_goes(0);
        }
        self.world.pass(Duration::from_secs(100));
        for (polls, posts) in &mut waiting {
            for poll in polls {
                assert_ne!(poll.said(), "waits", "a poll that nobody answers");
            }
            for post in posts {
                assert!(
                    !post.is_under_way() || post.said() != "waits",
                    "a post that nobody answers"
                );
            }
        }
        drop(waiting);
        let shard = &self.world.shard;
        assert_eq!(shard.slots.len(), 0, "sessions");
        assert!(shard.watches.is_empty() && shard.lingering.is_empty() && shard.parting.is_empty());
        assert!(shard.unread.is_empty() && shard.heavy.is_empty());
        let on_board = shard.boards[0].counts();
        assert_eq!((on_board.sockets, on_board.rooms, on_board.memberships), (0, 0, 0));
        let metrics = &self.world.env.metrics;
        assert_eq!((metrics.streams.get(), metrics.answers_unread.get()), (0, 0));
        metrics.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{RngCore, SeedableRng};
    use trunkline_engineio::CloseReason;

    use super::*;
    use crate::metrics::{Cause, Ending, Outcome};

    /// How often a play has reached each outcome, to show that it tests something.
    fn reached(metrics: &Metrics) -> Vec<(&'static str, u64)> {
        let outcome = |outcome| Outcome { outcome };
        let handshakes =
            ["accepted", "rejected", "client_gone", "app_server_silent", "memory_full", "draining"]
                .map(|why| (why, metrics.handshakes.get_or_create(&outcome(why)).get()));
        let upgrades = ["done", "failed", "stream_closed"]
            .map(|how| (how, metrics.upgrades.get_or_create(&outcome(how)).get()));
        let closed = [
            CloseReason::AppServerLost,
            CloseReason::Forced,
            CloseReason::MemoryFull,
            CloseReason::NodeShutdown,
            CloseReason::OutboxFull,
            CloseReason::ParseError,
            CloseReason::PingTimeout,
            CloseReason::TransportClose,
            CloseReason::TransportError,
        ]
        .map(|why| (why.slug(), metrics.sessions_closed.get_or_create(&Ending::of(why)).get()));
        let others = [
            ("retried", metrics.handshakes_retried.get()),
            ("stalls", metrics.trunk_stalls.get()),
            ("received", metrics.messages_received.get()),
            ("sent", metrics.messages_sent.get()),
            ("broadcast", metrics.broadcast_deliveries.get()),
        ];
        let recoveries = [
            ("found", "socket found"),
            ("taken", "socket taken"),
            ("not_found", "socket not found"),
            ("unproved", "cut unproved"),
        ]
        .map(|(how, name)| (name, metrics.recoveries.get_or_create(&outcome(how)).get()));
        [&handshakes[..], &upgrades, &closed, &recoveries, &others].concat()
    }

    #[test]
    fn whatever_clients_and_app_servers_do_nothing_is_lost_and_nothing_is_left() {
        let mut ever: BTreeMap<&'static str, u64> = BTreeMap::new();
        for seed in 0..24 {
            let mut input = vec![0; 6_000];
            StdRng::seed_from_u64(seed).fill_bytes(&mut input);
            let played = std::panic::catch_unwind(|| play(&input));
            let Ok(metrics) = played else { panic!("seed {seed}") };
            for (what, count) in reached(&metrics) {
                *ever.entry(what).or_default() += count;
            }
        }
        for (seed, rate) in (100_u64..).zip([1, 3, 10, 1, 3, 10, 1, 3, 10]) {
            let mut input = vec![0; 6_000];
            StdRng::seed_from_u64(seed).fill_bytes(&mut input);
            let played = std::panic::catch_unwind(|| play_within(&input, Some(rate)));
            let Ok(metrics) = played else { panic!("seed {seed}, rate {rate}") };
            let key = Cause { cause: "hub_messages_per_second" };
            *ever.entry("slowed").or_default() += metrics.sessions_slowed.get_or_create(&key).get();
        }
        let never: Vec<_> = ever.iter().filter(|(_, count)| **count == 0).collect();
        assert!(never.is_empty(), "plays that go nowhere prove nothing: {never:?} of {ever:?}");
    }
}
