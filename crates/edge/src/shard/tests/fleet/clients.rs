//! The clients: each of their requests goes to the node that the balancer chooses. They poll and
//! post, open a WebSocket at some node and change to it, and check what they get.

use std::time::Duration;

use rand::Rng;
use trunkline_clock::Timestamp;
use trunkline_trunk::SessionNumber;

use super::tasks::{Ask, Wish};
use super::{Event, Fleet};
use crate::reply::{self, Awaited};
use crate::shard::command::{Answer, SlotKey};
use crate::shard::tests::client::{Client, said};
use crate::shard::tests::wire::Wire;
use crate::sid::{Sid, SidSecret};

/// The silence after which a client gives its session up: its ping interval and timeout.
const SILENCE: Duration = Duration::from_secs(17);

/// One session of a client, from its side.
pub(super) struct Player {
    pub(super) state: State,
    pub(super) sid: String,
    pub(super) server: Option<usize>,
    /// The messages of its own app server that it has got.
    pub(super) got: Vec<u32>,
    /// The last message of each app server, and its place among those to all.
    pub(super) last: Vec<(Option<u32>, Option<usize>)>,
    /// Messages that it has given away, and those of them that have arrived for sure.
    pub(super) said: u32,
    pub(super) acked: u32,
    unsent: Vec<String>,
    pub(super) poll: Option<Request>,
    post: Option<(Request, u32)>,
    poll_at: Timestamp,
    heard_at: Timestamp,
}

pub(super) enum State {
    Opening(Request),
    Polling,
    /// Has asked some node for a WebSocket.
    Asking(Request, Wire),
    /// Its second WebSocket probes at this node.
    Probing(Far),
    /// Has stopped polling, but for the requests under way.
    Pausing(Far),
    Upgraded(Far),
    Gone,
}

/// A request under way.
pub(super) struct Request {
    pub(super) node: usize,
    pub(super) life: u32,
    pub(super) asked_at: Timestamp,
    answer: Awaited<Answer>,
}

/// A WebSocket at some node.
pub(super) struct Far {
    pub(super) node: usize,
    pub(super) life: u32,
    pub(super) since: Timestamp,
    client: Client,
}

impl Player {
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, State::Gone | State::Opening(_))
    }

    pub(super) fn is_polling(&self) -> bool {
        matches!(self.state, State::Polling)
    }

    pub(super) fn has_upgraded(&self) -> bool {
        matches!(self.state, State::Upgraded(_))
    }

    /// Whether a request of it is under way that is no poll.
    pub(super) fn is_busy(&self) -> bool {
        self.post.is_some()
            || matches!(
                self.state,
                State::Opening(_) | State::Asking(..) | State::Probing(_) | State::Pausing(_)
            )
    }

    fn far(&self) -> Option<&Far> {
        match &self.state {
            State::Probing(far) | State::Pausing(far) | State::Upgraded(far) => Some(far),
            State::Opening(_) | State::Polling | State::Asking(..) | State::Gone => None,
        }
    }

    /// The node where its WebSocket is.
    pub(super) fn at(&self) -> Option<usize> {
        self.far().map(|far| far.node)
    }

    /// Its WebSocket, as a stranger to the node's numbers.
    fn stranger(wire: Wire) -> Client {
        let sid = Sid { node: 0, shard: 0, slot: 0, secret: SidSecret([0; 15]) };
        Client::new(SlotKey::here(0, 0, 0), SessionNumber(0), sid, wire)
    }
}

impl Fleet {
    /// Sends a request to the node that the balancer chooses. `None`: there is no node.
    fn request(&mut self, sid: &str, wish: Wish) -> Option<Request> {
        let node = self.balanced()?;
        let life = self.nodes[node].life;
        let (reply, answer) = reply::pair();
        let ask = Ask { sid: sid.to_owned(), wish, reply };
        self.happens(Event::Http { node, life, ask });
        self.work(node);
        self.note(("asked", node, sid));
        Some(Request { node, life, asked_at: self.now, answer })
    }

    pub(super) fn client_comes(&mut self) {
        let Some(request) = self.request("", Wish::Open) else { return };
        self.players.push(Player {
            state: State::Opening(request),
            sid: String::new(),
            server: None,
            got: Vec::new(),
            last: vec![(None, None); self.servers.len()],
            said: 0,
            acked: 0,
            unsent: Vec::new(),
            poll: None,
            post: None,
            poll_at: self.now,
            heard_at: self.now,
        });
        self.clients_react();
    }

    /// Opens a WebSocket at some node.
    pub(super) fn client_upgrades(&mut self, place: usize) {
        if !self.players[place].is_polling() {
            return;
        }
        let sid = self.players[place].sid.clone();
        let wire = Wire::default();
        if let Some(request) = self.request(&sid, Wish::Upgrade(wire.clone())) {
            self.players[place].state = State::Asking(request, wire);
            self.seen.upgrades += 1;
            // Much is said while the session moves.
            let span = 50_000 + 4 * u64::try_from(self.make.lag.as_micros()).unwrap();
            for _ in 0..4 {
                let after = Duration::from_micros(self.rng.random_range(0..span));
                self.at(self.now + after, Event::Talk(place));
            }
        }
        self.clients_react();
    }

    /// Lets a client send its next message, over whatever it has.
    pub(super) fn client_says(&mut self, place: usize) {
        let player = &mut self.players[place];
        if player.is_alive() {
            player.unsent.push(format!("4u{}", player.said));
            player.said += 1;
            self.clients_react();
        }
    }

    pub(super) fn client_goes(&mut self, place: usize) {
        self.players[place].unsent.clear();
        self.leave(place);
    }

    /// Ends all of a client's connections.
    fn leave(&mut self, place: usize) {
        let player = &mut self.players[place];
        let state = std::mem::replace(&mut player.state, State::Gone);
        let mut nodes = Vec::new();
        nodes.extend(player.poll.take().map(|request| request.node));
        nodes.extend(player.post.take().map(|(request, _)| request.node));
        match state {
            State::Opening(request) | State::Asking(request, _) => nodes.push(request.node),
            State::Probing(far) | State::Pausing(far) | State::Upgraded(far) => {
                far.client.wire.client_ends();
                nodes.push(far.node);
            }
            State::Polling | State::Gone => (),
        }
        for node in nodes {
            self.work(node);
        }
    }

    /// The streams to a node that has died break.
    pub(super) fn streams_break(&mut self, node: usize) {
        for player in &mut self.players {
            if let Some(far) = player.far()
                && far.node == node
            {
                far.client.wire.breaks();
            }
        }
    }

    /// Lets all clients read what came, and do what follows.
    pub(super) fn clients_react(&mut self) {
        for _ in 0..10_000 {
            let mut any = false;
            for place in 0..self.players.len() {
                any |= self.client_reacts(place);
            }
            if !any {
                return;
            }
        }
        panic!("the clients find no rest");
    }

    fn client_reacts(&mut self, place: usize) -> bool {
        match self.players[place].state {
            State::Gone => false,
            State::Opening(_) => self.opens(place),
            State::Polling | State::Asking(..) | State::Probing(_) | State::Pausing(_) => {
                let did = self.reads_poll(place) | self.reads_post(place);
                let did = did | self.looks_at_upgrade(place);
                did | self.asks(place) | self.misses(place)
            }
            State::Upgraded(_) => self.reads_stream(place) | self.misses(place),
        }
    }

    fn opens(&mut self, place: usize) -> bool {
        let State::Opening(request) = &mut self.players[place].state else { return false };
        let said = said(&mut request.answer);
        if said == "waits" {
            return false;
        }
        let (node, life, since) = (request.node, request.life, request.asked_at);
        let Some((sid, _)) =
            said.strip_prefix("0{\"sid\":\"").and_then(|rest| rest.split_once('"'))
        else {
            self.check_refusal((node, life, since), &said);
            self.leave(place);
            return true;
        };
        let (sid, now) = (sid.to_owned(), self.now);
        self.note(("opened", &sid));
        let before = self.sids.insert(sid.clone(), place);
        assert!(before.is_none(), "a session has one client");
        let server = self.servers.iter().position(|one| one.conns.contains_key(&sid));
        let player = &mut self.players[place];
        player.sid = sid;
        player.server = server;
        player.state = State::Polling;
        (player.heard_at, player.poll_at) = (now, now);
        true
    }

    fn reads_poll(&mut self, place: usize) -> bool {
        let now = self.now;
        let player = &mut self.players[place];
        let Some(request) = &mut player.poll else { return false };
        let said = said(&mut request.answer);
        if said == "waits" {
            return false;
        }
        let from = (request.node, request.life, request.asked_at);
        player.poll = None;
        self.note(("polled", place, from.0, &said));
        // Over a network, the next poll does not come at once.
        let think = [0, 0, 300, 5_000, 30_000][self.rng.random_range(0..5)];
        self.players[place].poll_at = now + Duration::from_micros(think);
        if think > 0 {
            self.at(now + Duration::from_micros(think), Event::Client(place));
        }
        if !said.starts_with(|c: char| c.is_ascii_digit()) {
            self.check_held(place, from, &said);
            self.ends(place, Some(from), &said);
            return true;
        }
        self.seen.polls += 1;
        self.players[place].heard_at = now;
        for packet in said.split('|') {
            match packet {
                "1" => {
                    self.ends(place, Some(from), "closed");
                    return true;
                }
                "2" => self.players[place].unsent.push("3".into()),
                "6" => (),
                packet => self.client_gets(place, packet),
            }
        }
        true
    }

    fn reads_post(&mut self, place: usize) -> bool {
        let player = &mut self.players[place];
        let Some((request, messages)) = &mut player.post else { return false };
        let said = said(&mut request.answer);
        if said == "waits" {
            return false;
        }
        let from = (request.node, request.life, request.asked_at);
        if said == "ok" {
            player.acked += *messages;
            player.post = None;
            self.seen.posts += 1;
        } else {
            player.post = None;
            self.ends(place, Some(from), &said);
        }
        true
    }

    /// Sends what a client has to say, and polls.
    fn asks(&mut self, place: usize) -> bool {
        let (now, player) = (self.now, &self.players[place]);
        if !matches!(player.state, State::Polling | State::Asking(..) | State::Probing(_)) {
            return false;
        }
        let sid = player.sid.clone();
        if player.post.is_none() && !player.unsent.is_empty() {
            let packets = std::mem::take(&mut self.players[place].unsent);
            let messages = packets.iter().filter(|packet| packet.starts_with('4')).count();
            let slowly = [0, 0, 0, 20, 400][self.rng.random_range(0..5)];
            let at = now + Duration::from_millis(slowly);
            let wish = Wish::Post { body: packets.join("\x1e"), at };
            match self.request(&sid, wish) {
                Some(request) => {
                    let messages = u32::try_from(messages).unwrap();
                    self.players[place].post = Some((request, messages));
                }
                None => self.ends(place, None, "no node"),
            }
            return true;
        }
        if player.poll.is_none() && player.poll_at <= now {
            match self.request(&sid, Wish::Poll) {
                Some(request) => self.players[place].poll = Some(request),
                None => self.ends(place, None, "no node"),
            }
            return true;
        }
        false
    }

    fn looks_at_upgrade(&mut self, place: usize) -> bool {
        let now = self.now;
        let player = &mut self.players[place];
        match std::mem::replace(&mut player.state, State::Polling) {
            State::Asking(mut request, wire) => {
                let said = said(&mut request.answer);
                let (node, life) = (request.node, request.life);
                match &*said {
                    "waits" => {
                        player.state = State::Asking(request, wire);
                        return false;
                    }
                    "ok" => {
                        let client = Player::stranger(wire);
                        client.writes("2probe");
                        player.state = State::Probing(Far { node, life, since: now, client });
                        self.work(node);
                    }
                    said => self.check_no_upgrade(place, (node, life, request.asked_at), said),
                }
                true
            }
            State::Probing(far) => {
                let words = far.client.reads();
                let is_over = words.iter().any(|one| one.starts_with("close"))
                    || far.client.wire.has_ended()
                    || far.since + Duration::from_secs(10) <= now
                    || !self.is_alive(far.node, far.life);
                let player = &mut self.players[place];
                if words.iter().any(|one| one == "3probe") {
                    player.state = State::Pausing(far);
                } else if is_over {
                    // The attempt has failed, and polling goes on.
                    far.client.wire.client_ends();
                    let from = (far.node, far.life, far.since);
                    self.check_no_upgrade(place, from, "probe");
                    self.work(from.0);
                } else {
                    player.state = State::Probing(far);
                    return false;
                }
                true
            }
            State::Pausing(far) => {
                if player.poll.is_some() || player.post.is_some() {
                    player.state = State::Pausing(far);
                    return false;
                }
                self.note(("changes", place, far.node));
                far.client.writes("5");
                let player = &mut self.players[place];
                // What it has to say may come in the same segment.
                for packet in std::mem::take(&mut player.unsent) {
                    far.client.writes(&packet);
                }
                let node = far.node;
                player.state = State::Upgraded(Far { since: now, ..far });
                player.heard_at = now;
                self.work(node);
                true
            }
            other @ (State::Opening(_) | State::Polling | State::Upgraded(_) | State::Gone) => {
                player.state = other;
                false
            }
        }
    }

    fn reads_stream(&mut self, place: usize) -> bool {
        let now = self.now;
        let player = &mut self.players[place];
        let State::Upgraded(far) = &player.state else { return false };
        let from = (far.node, far.life, far.since);
        let words = far.client.reads();
        let is_over = far.client.wire.has_ended()
            || words.iter().any(|one| one.starts_with("close"))
            || !self.is_alive(from.0, from.1);
        let player = &mut self.players[place];
        let State::Upgraded(far) = &player.state else { return false };
        let unsent = std::mem::take(&mut player.unsent);
        for packet in &unsent {
            far.client.writes(packet);
        }
        let pongs = words.iter().filter(|word| *word == "2").count();
        for _ in 0..pongs {
            far.client.writes("3");
        }
        if !words.is_empty() {
            player.heard_at = now;
        }
        let did = !words.is_empty() || !unsent.is_empty() || is_over;
        if did {
            self.note(("stream", place, &words));
        }
        for packet in words.iter().filter(|word| *word != "2" && !word.starts_with("close")) {
            self.client_gets(place, packet);
        }
        if !unsent.is_empty() || pongs > 0 {
            self.work(from.0);
        }
        if is_over {
            self.ends(place, Some(from), "stream");
        }
        did
    }

    /// Gives a session up that has been silent for too long.
    fn misses(&mut self, place: usize) -> bool {
        let player = &self.players[place];
        if !player.is_alive() || player.heard_at + SILENCE > self.now {
            return false;
        }
        self.ends(place, None, "silence");
        true
    }

    /// A session has ended, as its client sees it.
    fn ends(&mut self, place: usize, from: Option<(usize, u32, Timestamp)>, said: &str) {
        self.note(("ends", place, said));
        self.seen.end(said);
        self.check_end(place, from, said);
        self.leave(place);
    }
}
