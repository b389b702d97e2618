//! Nodes on a modelled bus, in virtual time.
#![expect(unreachable_pub, reason = "a module that tests share")]
#![expect(clippy::unwrap_used, reason = "what a test asks for is there, or the test fails")]
#![allow(dead_code, reason = "no test uses everything")]

mod bus;
mod random;

use std::collections::BTreeMap;
use std::time::Duration;

pub use bus::{Faults, Tally};
use bus::{Flight, Freight};
use bytes::Bytes;
pub use random::Random;
use trunkline_mesh::{
    BusEvent, ClusterKey, Config, Event, Frame, Identity, Lane, Member, Mesh, PeerKey, RequestId,
    Timestamp, Transmit,
};

/// NATS's limit by default.
const PAYLOAD_MAX: usize = 1 << 20;

/// One node: its place stays over restarts, its mesh does not.
#[derive(Debug)]
pub struct Node {
    /// `None`: its process is gone.
    pub mesh: Option<Mesh>,
    /// All that its mesh reported and no test took, with the time.
    pub events: Vec<(Timestamp, Event)>,
    /// The numbers of this life that it subscribed to.
    pub subscribed: Vec<u16>,
    /// The process does not run: what arrives waits.
    pub stopped: bool,
    waiting: Vec<BusEvent>,
    /// Whether it has a connection to the bus.
    pub connected: bool,
    /// Nodes of different sides do not reach one another.
    pub side: u8,
    /// Its clock is so far ahead.
    pub ahead: Duration,
}

/// Nodes and their bus.
#[derive(Debug)]
pub struct Cluster {
    pub now: Timestamp,
    pub nodes: Vec<Node>,
    pub faults: Faults,
    pub tally: Tally,
    pub random: Random,
    pub config: Config,
    /// Whether each process has a clock of its own.
    pub clocks_differ: bool,
    /// By time, then in the order of sending.
    flights: BTreeMap<(Timestamp, u64), Flight>,
    flown: u64,
    lives: u64,
}

/// An identity for tests.
pub fn identity(node_id: &str, incarnation: u64) -> Identity {
    Identity {
        cluster: "test".into(),
        node_id: node_id.into(),
        incarnation,
        number: None,
        advertise: format!("ws://{node_id}:3000"),
        version: "1.2.3".into(),
        hubs_digest: [7; 8],
    }
}

pub fn key() -> ClusterKey {
    ClusterKey::new("a key that nobody guesses")
}

impl Node {
    /// The cluster's time at which it has something to do.
    fn deadline(&self) -> Option<Timestamp> {
        Some(self.mesh.as_ref()?.poll_deadline()? - self.ahead)
    }
}

impl Cluster {
    /// A cluster without nodes.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Timestamp::from_micros(1_000_000),
            nodes: Vec::new(),
            faults: Faults::default(),
            tally: Tally::default(),
            random: Random::new(seed),
            config: Config::default(),
            clocks_differ: false,
            flights: BTreeMap::new(),
            flown: 0,
            lives: 0,
        }
    }

    /// A cluster of nodes that have all joined.
    pub fn of(count: usize, seed: u64) -> Self {
        let mut cluster = Self::new(seed);
        for _ in 0..count {
            cluster.start_new();
        }
        cluster.run(Duration::from_secs(5));
        for at in 0..count {
            assert_eq!(cluster.members(at).len(), count - 1, "node {at}");
        }
        cluster.forget_events();
        cluster
    }

    /// Starts a node at a new place.
    pub fn start_new(&mut self) -> usize {
        let at = self.nodes.len();
        self.start_with(at, |_| {}, &key());
        at
    }

    /// Starts a process at a place, which must be free, with an identity of the test's making.
    pub fn start_with(&mut self, at: usize, change: impl FnOnce(&mut Identity), key: &ClusterKey) {
        self.lives += 1;
        let incarnation = self.random.next();
        let mut identity = identity(&format!("n{at}"), incarnation);
        change(&mut identity);
        let seed = self.random.next();
        // A process that starts again may have another clock.
        let ahead =
            Duration::from_millis(if self.clocks_differ { self.random.below(1 << 30) } else { 0 });
        let mesh = Mesh::new(self.now + ahead, identity, key, self.config, seed);
        let side = self.nodes.get(at).map_or(0, |node| node.side);
        let node = Node {
            mesh: Some(mesh),
            events: Vec::new(),
            subscribed: Vec::new(),
            stopped: false,
            waiting: Vec::new(),
            connected: false,
            side,
            ahead,
        };
        if at == self.nodes.len() {
            self.nodes.push(node);
        } else {
            assert!(self.nodes[at].mesh.is_none(), "the place is taken");
            self.nodes[at] = node;
        }
        self.connect(at);
    }

    /// Starts a process at the place of one that is gone.
    pub fn restart(&mut self, at: usize) {
        self.start_with(at, |_| {}, &key());
    }

    /// Ends the process without a word.
    pub fn kill(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.mesh = None;
        node.subscribed.clear();
        node.waiting.clear();
        node.stopped = false;
        node.connected = false;
    }

    /// The process does not run until [`Self::wake`].
    pub fn stop(&mut self, at: usize) {
        self.nodes[at].stopped = true;
    }

    pub fn wake(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.stopped = false;
        let waiting = std::mem::take(&mut node.waiting);
        // The clock was looked at first, or the socket.
        if self.random.below(2) == 0 {
            self.with(at, |mesh, now| mesh.handle_timeout(now));
        }
        for event in waiting {
            self.with(at, |mesh, now| mesh.handle_bus(now, event));
        }
        self.pump(at);
    }

    pub fn connect(&mut self, at: usize) {
        self.nodes[at].connected = true;
        self.handle(at, BusEvent::Connected { payload_max: PAYLOAD_MAX });
    }

    pub fn disconnect(&mut self, at: usize) {
        self.nodes[at].connected = false;
        self.handle(at, BusEvent::Disconnected { cause: "cut".into() });
    }

    /// Calls a mesh, if its process is there and runs.
    pub fn with<T>(
        &mut self,
        at: usize,
        call: impl FnOnce(&mut Mesh, Timestamp) -> T,
    ) -> Option<T> {
        let node = &mut self.nodes[at];
        let mesh = node.mesh.as_mut().filter(|_| !node.stopped)?;
        Some(call(mesh, self.now + node.ahead))
    }

    pub fn mesh(&self, at: usize) -> &Mesh {
        self.nodes[at].mesh.as_ref().unwrap()
    }

    pub fn key_of(&self, at: usize) -> u64 {
        self.mesh(at).identity().incarnation
    }

    /// The peers that are present for a node.
    pub fn members(&self, at: usize) -> Vec<Member> {
        self.mesh(at).members().collect()
    }

    /// A node's name for a peer.
    pub fn peer(&self, at: usize, other: usize) -> PeerKey {
        let incarnation = self.key_of(other);
        self.mesh(at).members().find(|member| member.key.incarnation == incarnation).unwrap().key
    }

    /// Gives an event of the bus to a node, and takes what follows.
    pub fn handle(&mut self, at: usize, event: BusEvent) {
        let node = &mut self.nodes[at];
        if node.mesh.is_none() {
            return;
        }
        if node.stopped {
            node.waiting.push(event);
            return;
        }
        self.with(at, |mesh, now| mesh.handle_bus(now, event));
        self.pump(at);
    }

    /// Takes what a mesh has to report and to send.
    pub fn pump(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let now = self.now + node.ahead;
        let Some(mesh) = node.mesh.as_mut().filter(|_| !node.stopped) else { return };
        let mut published = Vec::new();
        loop {
            while let Some(event) = mesh.poll_event() {
                node.events.push((now, event));
            }
            match mesh.poll_transmit(now) {
                Some(Transmit::Subscribe { number }) => node.subscribed.push(number),
                Some(Transmit::Publish { to, payload }) => published.push((to, payload)),
                None => break,
            }
        }
        while let Some(event) = mesh.poll_event() {
            node.events.push((now, event));
        }
        if node.connected {
            for (to, payload) in published {
                self.publish(at, to, payload);
            }
        }
    }

    /// The time of the next thing that happens by itself.
    fn next_at(&self) -> Option<Timestamp> {
        let running = self.nodes.iter().filter(|node| !node.stopped);
        let deadlines = running.filter_map(Node::deadline);
        let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
        deadlines.chain(flight).min()
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until a condition holds; fails after a virtual minute.
    pub fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now + Duration::from_secs(60);
        while !done(self) {
            let at = self.next_at().filter(|at| *at <= end).expect("the condition never held");
            self.now = self.now.max(at);
            self.step();
        }
    }

    fn step(&mut self) {
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let flight = entry.remove();
            self.land(flight);
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].deadline().is_some_and(|due| due <= self.now) {
                self.with(at, |mesh, now| mesh.handle_timeout(now));
                self.pump(at);
                let rests = |due| self.nodes[at].stopped || due > self.now;
                assert!(self.nodes[at].deadline().is_none_or(rests), "node {at} is never at rest");
            }
        }
    }

    fn land(&mut self, flight: Flight) {
        let Flight { from, from_side, to, incarnation, freight } = flight;
        let node = &self.nodes[to];
        let same_life =
            node.mesh.as_ref().is_some_and(|mesh| mesh.identity().incarnation == incarnation);
        let reached = from == to
            || node.side == from_side
                && self.nodes[from].side == from_side
                && self.faults.deaf != Some((from, to));
        if !same_life || !node.connected || !reached {
            return;
        }
        self.tally.delivered += 1;
        match freight {
            Freight::Datagram { lane, payload } => {
                self.handle(to, BusEvent::Datagram { lane, payload });
            }
            Freight::Unreachable { number, incarnation } => {
                self.handle(to, BusEvent::Unreachable { number, incarnation });
            }
        }
    }

    /// Sends a frame, and lets the mesh send datagrams.
    pub fn send(&mut self, from: usize, to: PeerKey, lane: Lane, frame: &Frame) {
        self.with(from, |mesh, now| mesh.send(now, to, lane, frame)).unwrap().unwrap();
        self.pump(from);
    }

    /// Takes the events of a node.
    pub fn events(&mut self, at: usize) -> Vec<Event> {
        std::mem::take(&mut self.nodes[at].events).into_iter().map(|(_, event)| event).collect()
    }

    pub fn forget_events(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.events.clear());
    }

    /// The frames that a node has got, and forgets its events.
    pub fn frames(&mut self, at: usize) -> Vec<Frame> {
        let events = self.events(at).into_iter();
        let frame = |event| if let Event::Frame { frame, .. } = event { Some(frame) } else { None };
        events.filter_map(frame).collect()
    }
}

/// A frame with a body of this length.
pub fn body(id: u32, length: usize) -> Frame {
    Frame::PostBody { id: RequestId(id), binary: false, body: Bytes::from(vec![id as u8; length]) }
}

/// A short frame.
pub fn short(id: u32) -> Frame {
    Frame::PollGone { id: RequestId(id) }
}

/// The numbers of frames.
pub fn ids(frames: &[Frame]) -> Vec<u32> {
    frames.iter().map(|frame| frame.id().0).collect()
}
