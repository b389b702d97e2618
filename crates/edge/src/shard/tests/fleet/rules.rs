//! What must hold in a fleet, whatever goes wrong: which ends a session may have, one home for each
//! session, and that everything has arrived in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;
use trunkline_mesh::{Event, Presence};

use super::clients::Player;
use super::tasks::UNANSWERED;
use super::{Fleet, Node};
use crate::metrics::Outcome;
use crate::shard::slot::State;
use crate::sid::Sid;

/// The time for which a request waits for an owner that cannot be reached, less a tick.
const PATIENCE: Duration = Duration::from_millis(2_950);

/// The time for which a search waits for a node that has not said that it has ids of the app's, less
/// the interval in which it looks.
const NEWS: Duration = Duration::from_millis(75);

/// A request's node, its life, and the time of the request.
pub(super) type From = (usize, u32, Timestamp);

/// What happened in a play, to see that plays go everywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) moved: u64,
    pub(super) upgrades: u64,
    pub(super) polls: u64,
    pub(super) posts: u64,
    pub(super) messages: u64,
    pub(super) relayed: u64,
    pub(super) words: BTreeMap<String, u64>,
}

impl Seen {
    pub(super) fn end(&mut self, said: &str) {
        *self.words.entry(format!("end: {said}")).or_default() += 1;
    }

    pub(super) fn word(&mut self, word: &str) {
        *self.words.entry(word.into()).or_default() += 1;
    }

    pub(super) fn count(&mut self, event: &Event) {
        let word = match event {
            Event::Suspect(_) => "mesh: suspect",
            Event::Dead { .. } => "mesh: dead",
            Event::Left(_) => "mesh: left",
            Event::Renumbered { .. } => "mesh: renumbered",
            Event::LinkEnded { .. } => "mesh: link ended",
            Event::BusDown { .. } => "mesh: bus down",
            Event::BusUp
            | Event::Ready { .. }
            | Event::Joined(_)
            | Event::Changed(_)
            | Event::Trusted(_)
            | Event::LinkUp(_)
            | Event::Frame { .. }
            | Event::Stranger(_)
            | Event::DiffersInHubs(_) => return,
        };
        self.word(word);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.moved += other.moved;
        self.upgrades += other.upgrades;
        self.polls += other.polls;
        self.posts += other.posts;
        self.messages += other.messages;
        self.relayed += other.relayed;
        for (word, count) in &other.words {
            *self.words.entry(word.clone()).or_default() += count;
        }
    }
}

impl Node {
    /// Whether this node has the session, open.
    fn has(&self, text: &str) -> bool {
        let Some(process) = &self.process else { return false };
        let parsed = Sid::parse(text);
        process.world.shard.slots.iter().any(|(index, slot)| {
            let State::Live(live) = &slot.state else { return false };
            let custom = live.extra.as_ref().and_then(|extra| extra.custom_sid.as_deref());
            let is_it = custom.map_or_else(
                || {
                    parsed.is_some_and(|sid| {
                        sid.slot == index
                            && slot.secret.matches(&sid.secret)
                            && process.world.env.numbers.owns(sid.node)
                    })
                },
                |custom| custom == text,
            );
            is_it && live.session.is_open()
        })
    }
}

impl Fleet {
    /// The node that has a session. There are never two.
    pub(super) fn home(&self, sid: &str) -> Option<usize> {
        let mut homes = self.nodes.iter().enumerate().filter(|(_, node)| node.has(sid));
        let home = homes.next().map(|(place, _)| place);
        let other = homes.next().map(|(place, _)| place);
        assert_eq!(other, None, "{sid}: it is at {home:?} as well");
        home
    }

    pub(super) fn check_homes(&self) {
        for player in self.players.iter().filter(|player| player.is_alive()) {
            self.home(&player.sid);
        }
    }

    /// Checks that a session may end as its client says.
    pub(super) fn check_end(&mut self, place: usize, from: Option<From>, said: &str) {
        let player = &self.players[place];
        let sid = player.sid.clone();
        let Some(server) = player.server else { return };
        if !self.servers[server].conns[&sid].is_open {
            return; // Its app server has ended it, or knows of its end.
        }
        assert_ne!(said, format!("status {UNANSWERED}"), "{sid}: a reply was dropped");
        assert!(self.is_rough, "{sid}: nobody has ended it, but it says {said}; {from:?}");
        let Some(home) = self.home(&sid) else { return };
        let Some((node, life, since)) = from else { return };
        if !self.is_alive(node, life) {
            return;
        }
        self.check_word(&sid, home, (node, since), said);
    }

    /// Checks that a poll was given back that a node held for a session of another one when it left
    /// in an orderly way.
    pub(super) fn check_held(&self, place: usize, (node, life, since): From, said: &str) {
        let player = &self.players[place];
        let Some((left, at)) = self.nodes[node].left else { return };
        let was_held = left == life && since + Duration::from_millis(50) <= at;
        if self.is_torn || said != "dropped" || !was_held {
            return;
        }
        let home = self.home(&player.sid);
        assert!(home.is_none(), "{}: node {node} left with a poll for node {home:?}", player.sid);
    }

    /// Checks a word about a session that lives at `home`.
    fn check_word(&self, sid: &str, home: usize, (node, since): (usize, Timestamp), said: &str) {
        let at = &self.nodes[node];
        let owner = self.nodes[home].process.as_ref().expect("it has the session");
        let process = at.process.as_ref().expect("it lives");
        let knows = process.knows(owner.incarnation);
        match said {
            "refused UnknownSid" => {
                assert_ne!(node, home, "{sid}: its own node does not know it");
                // It has known the owner since before the request; and, for an id of the app's, knows
                // before it gives up that the owner has such ids.
                let told_own_ids = at.facts.knew_own_ids(owner.incarnation, since + NEWS);
                let member = knows.and_then(|peer| process.core.mesh().member(peer));
                let is_known = member.is_some_and(|member| {
                    member.presence == Presence::Up
                        && member.since <= since + process.ahead
                        && (!self.make.own_ids || told_own_ids)
                });
                assert!(
                    !is_known,
                    "{sid}: node {node} knows its owner {home}, and not the session"
                );
            }
            // A request may join another one's search for an id of the app's.
            "mesh_down" => assert!(
                self.make.own_ids || since + PATIENCE <= self.now,
                "{sid}: node {node} gave up at once"
            ),
            "owner_lost" => {
                assert!(at.facts.has_lost_any(since), "{sid}: node {node} has lost no link");
            }
            "dropped" => panic!("{sid}: node {node} lives and drops a request"),
            "closed" | "stream" | "silence" => (),
            "abort" | "refused BadRequest" => {
                assert!(at.facts.has_lost_any(since), "{sid}: node {node} says {said}");
            }
            other => panic!("{sid}: node {node} says {other} for a session of {home}"),
        }
    }

    /// Checks that a handshake may be refused so.
    pub(super) fn check_refusal(&mut self, (node, life, _): From, said: &str) {
        self.seen.word(&format!("refused: {said}"));
        if !self.is_alive(node, life) {
            return;
        }
        let is_usual =
            ["draining", "joining", "no_app_server", "app_server_silent", "handshakes_full"]
                .contains(&said);
        assert!(is_usual, "a handshake is refused with {said}");
        assert!(self.is_rough || said == "draining", "{said}");
    }

    /// Checks that a client may stay without its WebSocket.
    pub(super) fn check_no_upgrade(&mut self, place: usize, (node, life, since): From, said: &str) {
        self.seen.word(&format!("no upgrade: {said}"));
        let player = &self.players[place];
        let Some(server) = player.server else { return };
        let sid = player.sid.clone();
        if !self.servers[server].conns[&sid].is_open || !self.is_alive(node, life) {
            return;
        }
        assert!(self.is_rough, "{sid}: nothing keeps it from its WebSocket, but {said}");
        let Some(home) = self.home(&sid) else { return };
        match said {
            "cannot_move" | "probe" => (),
            said => self.check_word(&sid, home, (node, since), said),
        }
    }

    /// Moves that failed, and sessions that ended with one.
    pub(super) fn failures(&self) -> (u64, u64) {
        let outcome = Outcome { outcome: "failed" };
        let alive = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let failed = alive.map(|process| {
            let metrics = &process.world.env.metrics;
            let ended = process.world.closed(CloseReason::MoveFailed);
            (metrics.moves.get_or_create(&outcome).get(), ended)
        });
        failed.fold((0, 0), |(failed, ended), one| (failed + one.0, ended + one.1))
    }

    /// Checks that everything has come to its end, and that nothing is missing.
    pub(super) fn check_rest(&mut self) {
        // A client may be about to answer a ping, or its next poll about to be asked of another node.
        for _ in 0..20 {
            if !self.players.iter().any(Player::is_busy) && self.requests_are_asked() {
                break;
            }
            self.pass(Duration::from_millis(100));
        }
        self.check_requests();
        for (place, player) in self.players.iter().enumerate() {
            let Some(server) = player.server else { continue };
            let sid = &player.sid;
            let conn = &self.servers[server].conns[sid];
            assert!(conn.heard <= player.said, "{sid}: no more than its client said");
            let home = self.home(sid);
            assert_eq!(player.is_alive(), conn.is_open, "{sid}: at both ends or at none");
            assert_eq!(home.is_some(), conn.is_open, "{sid}: its home is {home:?}");
            let Some(home) = home else { continue };
            assert_eq!(player.got, conn.expected, "{sid}: all of it");
            assert_eq!(player.said, conn.heard, "{sid}: all that its client said");
            assert_eq!(conn.line.0, home, "{sid}: its app server talks to its home");
            assert_eq!(conn.upgraded, player.has_upgraded(), "{sid}: the app knows the transport");
            if player.has_upgraded() {
                assert_eq!(player.at(), Some(home), "{sid}: its WebSocket is at home");
            }
            for (other, one) in self.servers.iter().enumerate() {
                if self.nodes[home].trunks[other].is_some() {
                    let last = one.to_all.last().copied();
                    assert_eq!(self.last_of(place, other), last, "{sid}: of {other}");
                }
            }
        }
    }

    /// Whether no request for a session of another node is on its way there.
    fn requests_are_asked(&self) -> bool {
        let (mut asking, mut serving) = (0, 0);
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            let relayed = process.core.relayed();
            if relayed.asking != process.tasks.iter().filter(|task| task.is_elsewhere()).count() {
                return false;
            }
            asking += relayed.asking;
            serving += relayed.serving;
        }
        asking == serving
    }

    /// Checks that nodes have the requests of clients that wait, and no others.
    fn check_requests(&mut self) {
        let (mut asking, mut serving, mut held) = (0, 0, 0);
        for (place, node) in self.nodes.iter().enumerate() {
            let process = node.process.as_ref().expect("every node is there");
            let relayed = process.core.relayed();
            assert_eq!(relayed.moving, 0, "{place}: moves");
            let shard = &process.world.shard;
            assert!(shard.departures.is_empty(), "{place}: every move has ended");
            assert!(shard.arrivals.count == 0, "{place}: every move has ended");
            let elsewhere = process.tasks.iter().filter(|task| task.is_elsewhere()).count();
            assert_eq!(relayed.asking, elsewhere, "{place}: requests for sessions of others");
            asking += relayed.asking;
            serving += relayed.serving;
            held += process.tasks.len();
            self.seen.relayed += relayed.asked;
        }
        assert_eq!(asking, serving, "both nodes have a request, or none");
        let waiting = self.players.iter().filter(|player| player.poll.is_some()).count();
        assert_eq!(held, waiting, "only polls wait");
    }

    /// Lets everybody go, and checks that nothing is left of them.
    pub(super) fn everybody_goes(&mut self) {
        for place in 0..self.players.len() {
            self.client_goes(place);
        }
        self.pass(Duration::from_secs(2));
        let relayed = self.nodes.iter().filter_map(|node| node.process.as_ref());
        for relayed in relayed.map(|process| process.core.relayed()) {
            assert_eq!((relayed.asking, relayed.serving), (0, 0), "nobody waits any more");
        }
        self.pass(Duration::from_secs(18));
        for server in &self.servers {
            assert_eq!(server.open(), [""; 0], "no app server has a session left");
        }
        for node in &self.nodes {
            let process = node.process.as_ref().expect("every node is there");
            let relayed = process.core.relayed();
            assert_eq!((relayed.asking, relayed.serving, relayed.moving), (0, 0, 0));
            assert!(process.tasks.is_empty(), "requests");
            let shard = &process.world.shard;
            assert_eq!(shard.slots.len(), 0, "sessions");
            assert!(shard.departures.is_empty() && shard.arrivals.is_empty());
            let counts = shard.boards[0].counts();
            assert_eq!((counts.sockets, counts.memberships, counts.namespaces), (0, 0, 1));
        }
    }

    /// Checks a packet that a client has got.
    pub(super) fn client_gets(&mut self, place: usize, packet: &str) {
        let sid = self.players[place].sid.clone();
        self.note(("gets", &sid, packet));
        let Some(text) = packet.strip_prefix('4') else { panic!("{sid}: {packet}") };
        let (server, number) = text.split_once('.').expect("an app server's");
        let (server, number): (usize, u32) = (server.parse().unwrap(), number.parse().unwrap());
        let player = &mut self.players[place];
        let (last, last_to_all) = player.last[server];
        assert!(last.is_none_or(|last| last < number), "{sid}: {last:?}, then {text}");
        let from = &self.servers[server];
        let to_all = from.to_all.binary_search(&number).ok();
        if let (Some(at), Some(before)) = (to_all, last_to_all) {
            assert!(from.is_lossy || at == before + 1, "{sid}: nothing of {server} is missing");
        }
        player.last[server] = (Some(number), to_all.or(last_to_all));
        if player.server == Some(server) {
            let expected = &from.conns[&sid].expected;
            let next = expected.get(player.got.len());
            assert_eq!(next, Some(&number), "{sid}: its own app server's, each once and in order");
            player.got.push(number);
        }
        self.seen.messages += 1;
    }

    /// The last message of an app server that a client has got.
    pub(super) fn last_of(&self, place: usize, server: usize) -> Option<u32> {
        self.players[place].last[server].0
    }
}
