//! Random play of clients, app servers, callers and links, with words that arrive late, against what must
//! always hold: every event and every message once and in order until a break, and nothing left over.

use std::collections::BTreeMap;

use super::*;

const NODES: usize = 3;
/// Plays in a usual run; `AZURE_SEEDS` sets another number.
const SEEDS: u64 = 40;

/// Numbers that are random enough, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("small")
    }
}

/// A client, as the play knows it.
#[derive(Default)]
struct Side {
    /// Messages that it has said, that its app server has seen, that were sent to it, and that it has seen.
    said: u32,
    seen: u32,
    told: u32,
    heard: u32,
}

struct Play {
    cluster: Cluster,
    dice: Dice,
    /// By connection id.
    sides: BTreeMap<String, Side>,
    open: BTreeMap<String, (usize, u32)>,
    sessions: u32,
    /// The events that the app server of each node has not answered.
    events: Vec<VecDeque<Request>>,
    calls: u64,
    /// Whether nothing has broken so far.
    calm: bool,
    /// Whether anything may break.
    breaks: bool,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut cluster = Cluster::new(NODES);
        for node in 0..2 {
            cluster.nodes[node].tunnel_up(1, &format!("app-{node}"));
            cluster.carry();
            cluster.nodes[node].take_messages();
        }
        Self {
            cluster,
            dice: Dice(seed * 2 + 1),
            sides: BTreeMap::new(),
            open: BTreeMap::new(),
            sessions: 0,
            events: (0..NODES).map(|_| VecDeque::new()).collect(),
            calls: 0,
            calm: true,
            breaks: seed.is_multiple_of(2),
        }
    }

    /// Whether nothing that concerns the client was ever lost.
    fn is_sound(&self, sid: &str) -> bool {
        let Some((node, session)) = self.open.get(sid) else { return false };
        let hub = &self.cluster.nodes[*node].hub;
        let key = hub.by_session.get(&SessionNumber(*session));
        let client = key.and_then(|key| hub.clients.get(key));
        client.is_some_and(|client| client.is_open() && !client.orphaned)
    }

    /// The node where the tunnel of a client's app server ends.
    fn server_of(&self, node: usize, session: u32) -> usize {
        let hub = &self.cluster.nodes[node].hub;
        let client = &hub.clients[&hub.by_session[&SessionNumber(session)]];
        let server = hub.servers.get(client.server).expect("it is sound");
        if &*server.id == "app-0" { 0 } else { 1 }
    }

    fn pick(&mut self) -> Option<(String, usize, u32)> {
        let sides: Vec<_> = self.open.iter().filter(|(sid, _)| self.is_sound(sid)).collect();
        if sides.is_empty() {
            return None;
        }
        let (sid, (node, session)) = sides[self.dice.0 as usize % sides.len()];
        Some((sid.clone(), *node, *session))
    }

    fn step(&mut self) {
        match self.dice.roll(12) {
            0 => {
                let node = self.dice.roll(NODES);
                self.sessions += 1;
                let session = self.sessions;
                self.cluster.nodes[node].open(session, &json!({ "sub": "someone" }));
                let sid = self.cluster.nodes[node].sid(session);
                self.sides.insert(sid.clone(), Side::default());
                self.open.insert(sid, (node, session));
            }
            1..=3 => {
                if let Some((sid, node, session)) = self.pick() {
                    let side = self.sides.get_mut(&sid).expect("it is known");
                    let number = side.said;
                    side.said += 1;
                    self.cluster.nodes[node].hear(session, &format!("2[{number}]"));
                }
            }
            4..=5 => {
                if let Some((sid, node, session)) = self.pick() {
                    let server = self.server_of(node, session);
                    let side = self.sides.get_mut(&sid).expect("it is known");
                    let number = side.told;
                    side.told += 1;
                    let path = format!("connections/{sid}/:send");
                    self.cluster.nodes[server].begin_call("POST", &path, &format!("42[{number}]"));
                }
            }
            6 => {
                let node = self.dice.roll(NODES);
                self.calls += 1;
                self.cluster.nodes[node].begin_http(self.calls, "HEAD", "users/someone", "");
            }
            7 => {
                if let Some((sid, node, session)) = self.pick() {
                    self.open.remove(&sid);
                    self.cluster.nodes[node].close(session, CloseReason::ClientClosed);
                }
            }
            8 => {
                let node = self.dice.roll(2);
                if let Some(event) = self.events[node].pop_front() {
                    self.answer(node, &event);
                }
            }
            9 if self.breaks && self.dice.roll(8) == 0 => self.break_something(),
            _ => (),
        }
        self.deliver();
        self.look();
    }

    fn answer(&mut self, node: usize, event: &Request) {
        let body =
            if header(event, "ce-eventName") == "connect" { accepted("x") } else { String::new() };
        let content = Bytes::from(body);
        let (ack_id, status_code) = (event.ack_id, 200);
        let response = Response { ack_id, status_code, content, ..Response::default() };
        let world = &mut self.cluster.nodes[node];
        world.hub.handle_tunnel_message(world.now, TunnelId(1), Message::Response(response));
        world.drain();
    }

    fn break_something(&mut self) {
        self.calm = false;
        let one = self.dice.roll(NODES);
        let other = (one + 1 + self.dice.roll(NODES - 1)) % NODES;
        if self.dice.roll(2) == 0 {
            self.cluster.notice(one, PeerNotice::Dropped { peer: key(other), hub: Str::EMPTY });
        } else {
            // What is on the way between them is lost.
            self.cluster.collect();
            let pair = [(one, other), (other, one)];
            self.cluster.wire.retain(|(from, to, ..)| !pair.contains(&(*from, *to)));
            self.cluster.notice(one, PeerNotice::Unlinked(key(other)));
            self.cluster.notice(other, PeerNotice::Unlinked(key(one)));
            self.cluster.notice(one, PeerNotice::Linked(key(other)));
            self.cluster.notice(other, PeerNotice::Linked(key(one)));
        }
        self.cluster.collect();
    }

    /// Lets the next word of some pair arrive, or none.
    fn deliver(&mut self) {
        self.cluster.collect();
        for _ in 0..self.dice.roll(4) {
            let Some(&(from, to, ..)) = self.cluster.wire.get(self.dice.roll(8)) else { continue };
            let first = self.cluster.wire.iter().position(|word| (word.0, word.1) == (from, to));
            let (_, _, number, word) =
                first.and_then(|at| self.cluster.wire.remove(at)).expect("it was seen");
            let hub = Str::EMPTY;
            self.cluster
                .notice(to, PeerNotice::Word { peer: key(from), door: 1, hub, number, word });
            self.cluster.collect();
        }
        if self.dice.roll(4) == 0 {
            let time = Duration::from_millis(self.dice.roll(300) as u64);
            for node in &mut self.cluster.nodes {
                node.pass(time);
            }
        }
    }

    /// Compares what arrived.
    fn look(&mut self) {
        for node in 0..NODES {
            for sent in self.cluster.nodes[node].take_sent() {
                let (session, text) = sent.split_once(':').expect("our own form");
                let sid = self.cluster.nodes[node].sid(session.parse().expect("a number"));
                if text == "close" {
                    // Only breaks close clients here.
                    self.open.remove(&sid);
                    assert!(!self.calm, "{sid} is closed");
                } else if self.is_sound(&sid) {
                    let side = self.sides.get_mut(&sid).expect("it is known");
                    assert_eq!(text, format!("2[{}]", side.heard), "a message to {sid}");
                    side.heard += 1;
                }
            }
        }
        for node in 0..NODES {
            for event in self.cluster.nodes[node].take_requests() {
                let sid = header(&event, "ce-connectionId").to_owned();
                if header(&event, "ce-eventName") == "message" {
                    let sound = self.calm || self.is_sound(&sid);
                    let side = self.sides.get_mut(&sid).expect("it is known");
                    if sound {
                        assert_eq!(content(&event), format!("42[{}]", side.seen), "of {sid}");
                    }
                    side.seen += 1;
                }
                self.events[node].push_back(event);
            }
        }
    }

    /// Lets everything come to rest, and looks at what is left.
    fn end(mut self) {
        for _ in 0..60 {
            self.cluster.carry();
            self.look();
            for node in 0..2 {
                while let Some(event) = self.events[node].pop_front() {
                    self.answer(node, &event);
                }
            }
            self.cluster.pass(Duration::from_millis(100));
        }
        for node in 0..NODES {
            let hub = &self.cluster.nodes[node].hub;
            assert!(hub.gathers.is_empty(), "a call waits at node {node}");
            for server in ["app-0", "app-1"] {
                assert!(hub.servers.is_at_rest(server), "{server} owes an answer at node {node}");
            }
        }
        for (sid, side) in &self.sides {
            if self.is_sound(sid) {
                assert_eq!((side.seen, side.heard), (side.said, side.told), "all of {sid}");
            }
        }
        let calls: usize = self.cluster.nodes.iter().map(|node| node.answers.len()).sum();
        assert_eq!(calls as u64, self.calls, "every caller has one answer");
        // And it goes on.
        self.cluster.nodes.iter_mut().for_each(|node| node.answers.clear());
        assert!(matches!(self.cluster.status(2, "HEAD", "users/nobody", ""), 404));
    }
}

#[test]
fn random_play_loses_and_doubles_nothing() {
    let seeds = std::env::var("AZURE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 1..=seeds.unwrap_or(SEEDS) {
        let mut play = Play::new(seed);
        for _ in 0..400 {
            play.step();
        }
        play.end();
    }
}
