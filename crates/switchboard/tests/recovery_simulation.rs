//! Clients that leave and return at several shards while app servers broadcast, with every
//! interleaving drawn from a seed. The oracle: while a client is recovered, it receives each packet
//! for it once, and the packets of each app server in order.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_switchboard::recovery::{Audience, Cut, Feed, Persisted, Recovery, Restored, Return};
use trunkline_switchboard::{NamespaceKey, SessionKey};

const SHARDS: usize = 3;
const SERVERS: usize = 3;
const CLIENTS: usize = 6;
const STEPS: usize = 4_000;
const KEEP: Duration = Duration::from_secs(1_000_000);

/// xorshift64*: gives the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Server and number of a packet that a client receives.
type Packet = (usize, u64);

struct Shard {
    log: Recovery<Packet, ()>,
    feeds: Vec<Feed>,
    /// Numbers of the packets that each app server has under way to this shard.
    under_way: Vec<VecDeque<u64>>,
}

/// Something on its way to a client.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Packet(Packet),
    /// The answer to its `CONNECT`: earlier packets count from here on.
    Connected,
}

#[derive(Debug)]
struct Back {
    keeper: usize,
    log: String,
    cut: Cut,
    last: String,
}

#[derive(Debug)]
enum State {
    Away,
    /// A middleware runs; the socket is not attached yet.
    Pending(usize, SessionKey, Back),
    Live(usize, SessionKey),
    /// The connection is lost, and its app server does not know it yet.
    Lost(usize, SessionKey),
}

struct Client {
    state: State,
    under_way: VecDeque<Sent>,
    /// Packets that arrived before the answer to `CONNECT`.
    early: Vec<Packet>,
    connected: bool,
    offset: Option<String>,
    pid: String,
    /// The number of the last packet from each app server.
    has: Vec<u64>,
    /// For each app server, the numbers before which packets were lost while the client was
    /// connected.
    lost: Vec<Vec<u64>>,
}

struct World {
    random: Random,
    shards: Vec<Shard>,
    clients: Vec<Client>,
    /// The audience of each broadcast of each app server: all, or the clients with an even or odd
    /// number.
    sent: Vec<Vec<Option<bool>>>,
    sessions: u32,
    pids: u32,
    lives: u32,
    faults: bool,
    bytes_max: usize,
    recovered: usize,
    fresh: usize,
}

fn offset((server, number): Packet) -> String {
    format!("{server}.{number}")
}

fn room(client: usize) -> &'static str {
    if client.is_multiple_of(2) { "even" } else { "odd" }
}

impl World {
    fn new(seed: u64, faults: bool, bytes_max: usize) -> Self {
        let mut world = Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            shards: Vec::new(),
            clients: Vec::new(),
            sent: vec![Vec::new(); SERVERS],
            sessions: 0,
            pids: 0,
            lives: 0,
            faults,
            bytes_max,
            recovered: 0,
            fresh: 0,
        };
        for _ in 0..SHARDS {
            let shard = world.fresh_shard();
            world.shards.push(shard);
        }
        for _ in 0..CLIENTS {
            world.clients.push(Client {
                state: State::Away,
                under_way: VecDeque::new(),
                early: Vec::new(),
                connected: false,
                offset: None,
                pid: String::new(),
                has: vec![0; SERVERS],
                lost: vec![Vec::new(); SERVERS],
            });
        }
        world
    }

    fn fresh_shard(&mut self) -> Shard {
        self.lives += 1;
        let mut log = Recovery::new(&format!("life {}", self.lives), self.bytes_max);
        let feeds = (0..SERVERS).map(|server| {
            let mut feed = log.source_up(&server.to_string());
            log.number(&mut feed, self.sent[server].len() as u64 + 1).unwrap();
            feed
        });
        let feeds = feeds.collect();
        Shard { log, feeds, under_way: vec![VecDeque::new(); SERVERS] }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..20 => self.broadcast(),
            20..60 => {
                let (shard, server) = (self.random.below(SHARDS), self.random.below(SERVERS));
                // Some paths are slower than others.
                if self.random.chance(30 + 20 * ((shard + server) % SERVERS)) {
                    self.arrive(shard, server);
                }
            }
            60..80 => {
                let client = self.random.below(CLIENTS);
                self.hear(client);
            }
            80..98 => {
                let client = self.random.below(CLIENTS);
                self.live_on(client);
            }
            _ if self.faults && self.random.chance(20) => self.fault(),
            _ => (),
        }
    }

    fn broadcast(&mut self) {
        let server = self.random.below(SERVERS);
        let to = [None, None, Some(true), Some(false)][self.random.below(4)];
        self.sent[server].push(to);
        let number = self.sent[server].len() as u64;
        for shard in &mut self.shards {
            shard.under_way[server].push_back(number);
        }
    }

    fn is_for(&self, client: usize, (server, number): Packet) -> bool {
        self.sent[server][usize::try_from(number).unwrap() - 1]
            .is_none_or(|even| even == client.is_multiple_of(2))
    }

    fn arrive(&mut self, at: usize, server: usize) {
        let Some(number) = self.shards[at].under_way[server].pop_front() else { return };
        let to = self.sent[server][usize::try_from(number).unwrap() - 1];
        let rooms = to.map(|even| Box::from(if even { "even" } else { "odd" }));
        let audience = Audience { rooms: rooms.into_iter().collect(), ..Audience::default() };
        let shard = &mut self.shards[at];
        let origin = shard.log.advance(&mut shard.feeds[server]).unwrap();
        assert_eq!(origin.number, number);
        let packet = (server, number);
        let named = offset(packet);
        shard.log.record(
            Timestamp::ORIGIN,
            KEEP,
            ("/", &named),
            Some(origin),
            audience,
            (packet, 10),
        );
        for client in 0..CLIENTS {
            let State::Live(own, session) = self.clients[client].state else { continue };
            let seat = (session, NamespaceKey::DEFAULT);
            if own == at
                && self.is_for(client, packet)
                && !self.shards[at].log.has_had(origin, seat)
            {
                self.clients[client].under_way.push_back(Sent::Packet(packet));
            }
        }
    }

    /// The client reads the next thing from its stream.
    fn hear(&mut self, number: usize) {
        let client = &mut self.clients[number];
        match client.under_way.pop_front() {
            None => (),
            Some(Sent::Packet(packet)) if client.connected => self.take(number, packet),
            Some(Sent::Packet(packet)) => client.early.push(packet),
            Some(Sent::Connected) => {
                client.connected = true;
                for packet in std::mem::take(&mut client.early) {
                    self.take(number, packet);
                }
            }
        }
    }

    /// Checks a received packet: this is the oracle.
    fn take(&mut self, number: usize, (server, packet): Packet) {
        assert!(self.is_for(number, (server, packet)), "{number} got {server}.{packet}");
        let has = self.clients[number].has[server];
        let is_next = |after: u64| {
            (after + 1..=packet).find(|next| self.is_for(number, (server, *next))) == Some(packet)
        };
        let lost = &self.clients[number].lost[server];
        let is_after_loss = lost.iter().any(|lost| has < *lost && is_next(lost - 1));
        assert!(
            is_next(has) || is_after_loss,
            "client {number} got {packet} of app server {server} after {has}"
        );
        let client = &mut self.clients[number];
        client.has[server] = packet;
        client.offset = Some(offset((server, packet)));
    }

    /// The next thing in a client's life.
    fn live_on(&mut self, number: usize) {
        match std::mem::replace(&mut self.clients[number].state, State::Away) {
            State::Away => self.come(number),
            State::Pending(at, session, back) if self.random.chance(30) => {
                // The client left before its middlewares were done.
                self.cut(number);
                self.release(number, &back);
                self.shards[at].log.leave(session);
            }
            State::Pending(at, session, back) => self.resume(number, at, session, &back),
            State::Live(at, session) if self.random.chance(25) => {
                self.cut(number);
                self.clients[number].state = State::Lost(at, session);
            }
            State::Live(at, session) => self.clients[number].state = State::Live(at, session),
            State::Lost(at, session) => self.persist(number, at, session),
        }
    }

    /// Cuts the client off; some packets under way still arrive.
    fn cut(&mut self, number: usize) {
        let arrives = self.random.below(self.clients[number].under_way.len() + 1);
        for _ in 0..arrives {
            self.hear(number);
        }
        let client = &mut self.clients[number];
        client.under_way.clear();
        client.early.clear();
        client.connected = false;
    }

    fn persist(&mut self, number: usize, at: usize, session: SessionKey) {
        let Shard { log, feeds, .. } = &mut self.shards[at];
        let socket = Persisted {
            nsp: "/".into(),
            socket: "s".into(),
            server: feeds[number % SERVERS].source(),
            rooms: vec![room(number).into()],
            data: (),
            data_bytes: 0,
        };
        let seat = (session, NamespaceKey::DEFAULT);
        log.persist(Timestamp::ORIGIN, KEEP, &self.clients[number].pid, socket, seat);
        log.leave(session);
    }

    fn come(&mut self, number: usize) {
        let at = self.random.below(SHARDS);
        self.sessions += 1;
        let session = SessionKey(self.sessions);
        match self.restore(number) {
            Some((missed, back)) if self.shards[at].log.proves(Timestamp::ORIGIN, &back.cut) => {
                let client = &mut self.clients[number];
                client.under_way.extend(missed.into_iter().map(Sent::Packet));
                client.state = State::Pending(at, session, back);
            }
            Some((_, back)) => {
                self.release(number, &back);
                self.start_anew(number, at, session);
            }
            None => self.start_anew(number, at, session),
        }
    }

    fn restore(&mut self, number: usize) -> Option<(Vec<Packet>, Back)> {
        let client = &self.clients[number];
        let named = client.offset.clone()?;
        let first = self.random.below(SHARDS);
        for step in 0..SHARDS {
            let keeper = (first + step) % SHARDS;
            let log = &mut self.shards[keeper].log;
            let id = log.id().to_owned();
            if let Restored::Found(found) = log.restore(Timestamp::ORIGIN, "/", &client.pid, &named)
            {
                let missed = found.missed.into_iter().copied().collect();
                let last = found.last.into_string();
                return Some((missed, Back { keeper, log: id, cut: found.cut, last }));
            }
        }
        None
    }

    fn release(&mut self, number: usize, back: &Back) {
        self.shards[back.keeper].log.release("/", &self.clients[number].pid);
    }

    fn start_anew(&mut self, number: usize, at: usize, session: SessionKey) {
        self.fresh += 1;
        self.pids += 1;
        let log = &mut self.shards[at].log;
        log.take_seat((session, NamespaceKey::DEFAULT));
        let cut: BTreeMap<_, _> = log.cut().0.into_iter().collect();
        let client = &mut self.clients[number];
        client.pid = format!("pid {}", self.pids);
        client.offset = None;
        client.has = (0..SERVERS).map(|server| cut[&*server.to_string()]).collect();
        client.lost = vec![Vec::new(); SERVERS];
        client.under_way.push_back(Sent::Connected);
        client.state = State::Live(at, session);
    }

    fn resume(&mut self, number: usize, at: usize, session: SessionKey, back: &Back) {
        let client = &mut self.clients[number];
        let rooms = BTreeSet::from([room(number)]);
        let own = Return { pid: &client.pid, log: &back.log, cut: &back.cut, last: &back.last };
        let server = self.shards[at].feeds[number % SERVERS].source();
        let log = &mut self.shards[at].log;
        let seat = (session, NamespaceKey::DEFAULT);
        match log.resume(Timestamp::ORIGIN, seat, ("/", server), &rooms, &own) {
            Ok(packets) => {
                self.recovered += 1;
                client.under_way.extend(packets.into_iter().map(|packet| Sent::Packet(*packet)));
                client.under_way.push_back(Sent::Connected);
                client.state = State::Live(at, session);
            }
            // The node closes the session; its app server sends `Persist` anyway.
            Err(_) => {
                client.under_way.clear();
                client.early.clear();
                self.persist(number, at, session);
            }
        }
    }

    fn fault(&mut self) {
        let at = self.random.below(SHARDS);
        if self.random.chance(50) {
            // A trunk breaks, and the packets under way are lost.
            let server = self.random.below(SERVERS);
            let next = self.sent[server].len() as u64 + 1;
            let Shard { log, feeds, under_way } = &mut self.shards[at];
            under_way[server].clear();
            log.source_down(Timestamp::ORIGIN, feeds[server]);
            feeds[server] = log.source_up(&server.to_string());
            log.number(&mut feeds[server], next).unwrap();
            // Clients that are connected lose them, too; recovery cannot help there.
            for client in &mut self.clients {
                if matches!(client.state, State::Live(own, _) if own == at) {
                    client.lost[server].push(next);
                }
            }
        } else {
            self.shards[at] = self.fresh_shard();
            for client in 0..CLIENTS {
                if matches!(self.clients[client].state, State::Live(own, _) | State::Pending(own, ..) | State::Lost(own, _) if own == at)
                {
                    self.cut(client);
                    self.clients[client].state = State::Away;
                }
            }
        }
    }

    fn finish(&mut self) {
        for shard in 0..SHARDS {
            for server in 0..SERVERS {
                while !self.shards[shard].under_way[server].is_empty() {
                    self.arrive(shard, server);
                }
            }
        }
        for client in 0..CLIENTS {
            if !matches!(self.clients[client].state, State::Live(..)) {
                continue;
            }
            while !self.clients[client].under_way.is_empty() {
                self.hear(client);
            }
            for server in 0..SERVERS {
                let has = self.clients[client].has[server];
                let lost = self.clients[client].lost[server].last().copied().unwrap_or(0);
                let rest = (has + 1).max(lost)..=self.sent[server].len() as u64;
                let missing: Vec<_> =
                    rest.filter(|next| self.is_for(client, (server, *next))).collect();
                assert!(missing.is_empty(), "client {client} has not got {missing:?} of {server}");
            }
        }
    }
}

/// Recovered and fresh sockets.
fn run(seeds: std::ops::Range<u64>, faults: bool, bytes_max: usize) -> (usize, usize) {
    let mut total = (0, 0);
    for seed in seeds {
        let mut world = World::new(seed, faults, bytes_max);
        for _ in 0..STEPS {
            world.step();
        }
        world.finish();
        total = (total.0 + world.recovered, total.1 + world.fresh);
    }
    total
}

#[test]
fn no_gap_and_no_double_while_app_servers_are_unequally_fast() {
    let (recovered, fresh) = run(1..40, false, 1 << 24);
    assert!(recovered > fresh, "{recovered} recovered, {fresh} fresh");
}

#[test]
fn no_gap_and_no_double_while_trunks_break_and_nodes_restart() {
    let (recovered, fresh) = run(100..140, true, 1 << 24);
    assert!(recovered * 3 > fresh, "{recovered} recovered, {fresh} fresh");
}

#[test]
fn no_gap_and_no_double_with_logs_that_hold_little() {
    let (recovered, fresh) = run(200..240, true, 8_000);
    assert!(recovered * 10 > fresh, "{recovered} recovered, {fresh} fresh");
}
