//! Random app servers that crash at any point, leave in order and come back, and clients that must
//! not notice more than they have to.
//!
//! Each byte of the input is a choice, as in [`random`](super::random). The oracle: each message of
//! a client is handled once and in order, or its session is closed; a session has one home at a
//! time; every broadcast reaches every socket once and in order, also while it has no home; and at
//! each loss of an app server exactly those sessions are closed of which nobody can tell what was
//! done, or which nobody could take over.

mod clients;
mod servers;

use std::time::Duration;

use trunkline_engineio::TransportKind;
use trunkline_trunk::settings::ConnectionStateRecovery;

use self::clients::Player;
use self::servers::Server;
use super::random::Choices;
use super::world::World;
use crate::metrics::Metrics;

const CLIENTS_MAX: usize = 8;
const APPS_MAX: usize = 3;

/// The state of the play.
struct Play<'a> {
    choices: Choices<'a>,
    world: World,
    servers: Vec<Server>,
    players: Vec<Player>,
    ids: u32,
    servers_ever: u32,
    /// The number of broadcasts so far.
    news: u32,
}

/// Plays the operations that `input` chooses, and then lets all come to rest and go. Returns the
/// metrics.
pub(crate) fn play(input: &[u8]) -> Metrics {
    play_within(input, None)
}

/// The same when all clients together may send this many messages per second.
fn play_within(input: &[u8], hub_rate: Option<u32>) -> Metrics {
    let mut world = World::with(|limits, settings| {
        limits.hub_messages_per_second = hub_rate;
        limits.orphan_close_per_second = 200;
        limits.rehome_per_second = 100;
        // Nobody here counts as hanging.
        limits.handshake_retry_after = Duration::from_secs(100);
        settings.numbers = true;
        // Clients here do not answer pings.
        settings.ping_interval = Duration::from_secs(100_000);
        settings.connection_state_recovery = Some(ConnectionStateRecovery {
            max_disconnection: Duration::from_secs(60),
            skip_middlewares: true,
        });
    });
    world.own.rehome = true;
    let mut play = Play {
        choices: Choices(input),
        world,
        servers: Vec::new(),
        players: Vec::new(),
        ids: 0,
        servers_ever: 0,
        news: 0,
    };
    play.server_comes();
    while !play.choices.0.is_empty() {
        play.step();
        play.look();
    }
    play.comes_to_rest();
    play.everybody_goes()
}

impl Play<'_> {
    fn step(&mut self) {
        match self.choices.below(25) {
            0 => self.client_comes(TransportKind::Polling),
            1 => self.client_comes(TransportKind::WebSocket),
            2 if self.choices.below(6) == 0 => self.client_goes(),
            2..=6 => self.client_speaks(),
            7..=13 => self.server_begins_a_batch(),
            14..=17 => self.server_ends_its_turn(),
            18 => self.server_broadcasts(),
            19 => self.server_pays(),
            20 if self.choices.below(3) == 0 => self.server_closes(),
            20 | 21 => self.time_passes(),
            22 => self.server_comes(),
            23 => self.client_upgrades(),
            _ => match self.choices.below(6) {
                0 | 1 => self.server_dies(true),
                2 => self.server_dies(false),
                3 | 4 => self.server_begins_to_leave(),
                _ => (),
            },
        }
    }

    fn time_passes(&mut self) {
        let millis = [1, 30, 50, 100, 1_000, 9_000, 31_000][self.choices.below(7)];
        self.world.pass(Duration::from_millis(millis));
    }

    fn look(&mut self) {
        let mut players = std::mem::take(&mut self.players);
        players.retain_mut(|player| self.look_at_player(player));
        self.players = players;
    }

    /// Lets a faultless app server do what is left to do, and checks that nothing was lost.
    fn comes_to_rest(&mut self) {
        for place in (0..self.servers.len()).rev() {
            if self.servers[place].is_leaving {
                self.server_dies_at(place, true);
            }
        }
        if self.servers.is_empty() {
            self.server_comes();
        }
        for _ in 0..200 {
            for place in 0..self.servers.len() {
                while self.begins_a_batch(place) {}
                self.pays(place);
                self.ends_turn(place);
            }
            self.world.pass(Duration::from_millis(50));
            self.look();
        }
        assert_eq!(self.world.env.metrics.homes_waiting.get(), 0, "all have a home");
        for player in &self.players {
            let Some(client) = player.client() else { continue };
            let is_open = self.world.live(client).is_some_and(|live| !live.session.is_closed());
            if is_open {
                let id = player.id;
                assert_eq!(player.handled, player.up, "{id}: all it said was handled");
                assert_eq!(player.down_heard, player.down, "{id}: it heard all that was said");
                assert_eq!(player.news_heard, Some(self.news), "{id}: every broadcast");
            }
        }
    }

    /// Ends all clients and app servers, and checks that nothing is left.
    fn everybody_goes(mut self) -> Metrics {
        for player in std::mem::take(&mut self.players) {
            self.goes(player);
        }
        self.world.pass(Duration::from_secs(100));
        for place in 0..self.servers.len() {
            while self.begins_a_batch(place) {}
            self.ends_turn(place);
        }
        while !self.servers.is_empty() {
            self.server_dies_at(0, true);
        }
        self.world.pass(Duration::from_secs(200));
        let shard = &self.world.shard;
        assert_eq!((shard.slots.len(), shard.interner.uses()), (0, 0), "sessions and their parts");
        let homes = &shard.homes;
        assert!(homes.hubs.is_empty() && homes.asked.is_empty());
        assert!(shard.lingering.is_empty() && shard.parting.is_empty());
        let on_board = shard.boards[0].counts();
        assert_eq!((on_board.sockets, on_board.memberships, on_board.namespaces), (0, 0, 1));
        let metrics = &self.world.env.metrics;
        assert_eq!((metrics.streams.get(), metrics.homes_waiting.get()), (0, 0));
        metrics.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{RngCore, SeedableRng};

    use super::*;
    use crate::metrics::origin_name;
    use crate::metrics::{Cause, Rehomed};

    /// How often a play has reached each outcome, to show that it tests something.
    fn reached(metrics: &Metrics) -> Vec<(String, u64)> {
        use trunkline_trunk::Origin::{HandedOver, Orphan};
        let outcomes = |origin| {
            let count = move |outcome| {
                let origin = origin_name(origin);
                let count = metrics.rehomed.get_or_create(&Rehomed { origin, outcome }).get();
                (format!("{origin} {outcome}"), count)
            };
            ["adopted", "ended", "lost", "no_home", "refused", "silent"].map(count)
        };
        let in_doubt = Rehomed { origin: "orphan", outcome: "in_doubt" };
        let in_doubt = metrics.rehomed.get_or_create(&in_doubt).get();
        let mut reached = outcomes(Orphan).to_vec();
        reached.extend(outcomes(HandedOver));
        reached.push(("in doubt".into(), in_doubt));
        reached.push(("retried".into(), metrics.handshakes_retried.get()));
        reached.push(("stalls".into(), metrics.trunk_stalls.get()));
        reached
    }

    #[test]
    fn whenever_app_servers_die_or_leave_messages_are_handled_once_or_the_session_is_closed() {
        let seeds = std::env::var("TRUNKLINE_JOURNEYS").ok().and_then(|text| text.parse().ok());
        let first = std::env::var("TRUNKLINE_JOURNEY").ok().and_then(|text| text.parse().ok());
        let first: u64 = first.unwrap_or(0);
        let mut ever: BTreeMap<String, u64> = BTreeMap::new();
        for seed in first..first + seeds.unwrap_or(200) {
            let mut input = vec![0; 1_500];
            StdRng::seed_from_u64(seed).fill_bytes(&mut input);
            let played = std::panic::catch_unwind(|| play(&input));
            let Ok(metrics) = played else { panic!("seed {seed}") };
            for (what, count) in reached(&metrics) {
                *ever.entry(what).or_default() += count;
            }
        }
        for (seed, rate) in (first + 10_000..).zip([2, 5, 20, 100].repeat(10)) {
            let mut input = vec![0; 1_500];
            StdRng::seed_from_u64(seed).fill_bytes(&mut input);
            let played = std::panic::catch_unwind(|| play_within(&input, Some(rate)));
            let Ok(metrics) = played else { panic!("seed {seed}, rate {rate}") };
            let key = Cause { cause: "hub_messages_per_second" };
            let slowed = metrics.sessions_slowed.get_or_create(&key).get();
            *ever.entry("slowed".into()).or_default() += slowed;
        }
        let never: Vec<_> = ever.iter().filter(|(_, count)| **count == 0).collect();
        assert!(
            never.is_empty() || seeds.is_some(),
            "plays that go nowhere prove nothing: {never:?} of {ever:?}"
        );
    }
}
