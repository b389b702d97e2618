//! Nodes of one cluster in virtual time: the cores of their shards and of their clusters, and a bus
//! between them that a test may break.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::Protocol;
use trunkline_mesh::{
    Beat, BusEvent, ClusterKey, Config, Destination, Event, Identity, Keys, Load, Mesh, NodeState,
    Transmit,
};

use super::client::{Client, said};
use super::world::World;
use crate::cluster::core::Core;
use crate::cluster::{Found, Input, Relayed, Witness};
use crate::reply::{self, Awaited};
use crate::shard::command::{Answer, Asked, Command, Inspected, PostBegun, WholePost};
use crate::sid::Sid;

/// Rounds after which nodes that always have something to do count as stuck in a loop.
const ROUNDS_MAX: usize = 10_000;
const KEY: &[u8] = b"a key for all of them, long enough";

#[derive(Debug)]
struct Nobody;

impl Witness for Nobody {
    fn saw(&mut self, _: Timestamp, _: &Mesh, _: &Event) {}
    fn looked(&mut self, _: Timestamp, _: &Mesh, _: &Relayed) {}
}

/// One node.
pub(super) struct Node {
    pub(super) world: World,
    core: Core,
    incarnation: u64,
    /// The numbers under which it has subscribed.
    numbers: Vec<u16>,
    inbox: VecDeque<BusEvent>,
    /// Set while its process hangs.
    pub(super) hangs: bool,
    pub(super) dead: bool,
}

/// Nodes that share a bus.
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    pub(super) now: Timestamp,
    bus_is_up: bool,
}

impl Nodes {
    /// Nodes that have joined.
    pub(super) fn joined(count: usize) -> Self {
        let mut nodes =
            Self { all: Vec::new(), now: Timestamp::from_micros(1_000_000), bus_is_up: true };
        for _ in 0..count {
            nodes.start();
        }
        nodes.pass(Duration::from_secs(6));
        for node in &nodes.all {
            assert!(node.world.env.numbers.present().is_some(), "it has joined");
            assert_eq!(node.core.mesh().members().count(), count - 1);
        }
        nodes
    }

    /// Starts another node.
    pub(super) fn start(&mut self) -> usize {
        let place = self.all.len();
        let incarnation = place as u64 + 1;
        let identity = Identity {
            cluster: "test".into(),
            node_id: format!("n{place}"),
            incarnation,
            number: None,
            advertise: String::new(),
            version: "1".into(),
            hubs_digest: [0; 8],
        };
        let key = ClusterKey::new(KEY.to_vec());
        let mesh = Mesh::new(self.now, identity, &key, Config::default(), incarnation);
        let mut world = World::joining();
        world.now = self.now;
        let core = Core::new(Arc::clone(&world.env), 1, mesh, Box::new(Nobody));
        let inbox = if self.bus_is_up { connected() } else { VecDeque::new() };
        let (numbers, hangs, dead) = (Vec::new(), false, false);
        self.all.push(Node { world, core, incarnation, numbers, inbox, hangs, dead });
        place
    }

    /// Breaks the bus, or brings it back. What was under way is lost.
    pub(super) fn set_bus(&mut self, is_up: bool) {
        self.bus_is_up = is_up;
        for node in &mut self.all {
            node.inbox = if is_up {
                connected()
            } else {
                [BusEvent::Disconnected { cause: "gone".into() }].into()
            };
        }
        self.run();
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.run();
            let next = self.alive().map(|node| node.core.deadline()).min();
            let shards = self.alive().filter_map(|node| node.world.shard.wake_at()).min();
            let Some(next) = [next, shards].into_iter().flatten().min().filter(|at| *at < until)
            else {
                break;
            };
            self.now = next.max(self.now + Duration::from_micros(100));
        }
        self.now = until;
        self.run();
    }

    fn alive(&self) -> impl Iterator<Item = &Node> {
        self.all.iter().filter(|node| !node.dead && !node.hangs)
    }

    /// Lets all nodes work until nothing is left to do at this time.
    pub(super) fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut sent = Vec::new();
            let mut busy = false;
            for node in self.all.iter_mut().filter(|node| !node.dead && !node.hangs) {
                busy |= node.work(self.now, &mut sent);
            }
            if sent.is_empty() && !busy {
                return;
            }
            for (from, to, payload) in sent {
                self.deliver(from, to, &payload);
            }
        }
        panic!("the nodes find no rest");
    }

    fn deliver(&mut self, from: u64, to: Destination, payload: &bytes::Bytes) {
        if !self.bus_is_up {
            return;
        }
        let mut heard = false;
        for node in self.all.iter_mut().filter(|node| !node.dead) {
            let lane = match to {
                Destination::Everybody if node.incarnation != from => None,
                Destination::Node { number, incarnation, lane }
                    if incarnation == node.incarnation && node.numbers.contains(&number) =>
                {
                    Some(lane)
                }
                Destination::Everybody | Destination::Node { .. } => continue,
            };
            heard = true;
            node.inbox.push_back(BusEvent::Datagram { lane, payload: payload.clone() });
        }
        if let (false, Destination::Node { number, incarnation, .. }) = (heard, to) {
            let sender = self.all.iter_mut().find(|node| node.incarnation == from);
            let event = BusEvent::Unreachable { number, incarnation };
            sender.expect("it has sent").inbox.push_back(event);
        }
    }

    /// Lets a node, which is the older one, claim a number that another node has already.
    pub(super) fn claim(&mut self, at: usize, number: u16) {
        let numbers = [&[number], self.all[at].core.mesh().numbers()].concat();
        self.all[at].world.env.numbers.change(number);
        self.beat_as(at, numbers, (0, true));
        // The one that had it says that it has another one now.
        self.pass(Duration::from_millis(100));
        // Its own mesh knows nothing of the claim.
        self.all[at].world.env.numbers.share(vec![number]);
    }

    /// Lets a node say something else than its mesh does; nobody hears its own beats any longer.
    fn beat_as(&mut self, at: usize, numbers: Vec<u16>, (rank, fixed): (u64, bool)) {
        let node = &self.all[at];
        let keys = Keys::new(&ClusterKey::new(KEY.to_vec()), "test");
        let beat = Beat {
            incarnation: node.incarnation,
            sequence: 1 << 20,
            numbers,
            state: NodeState::Up,
            rank,
            fixed,
            node_id: format!("n{at}"),
            advertise: String::new(),
            version: "1".into(),
            hubs_digest: [0; 8],
            load: Load::default(),
        };
        let payload = beat.encode(&keys);
        self.deliver(node.incarnation, Destination::Everybody, &payload);
        self.run();
    }

    /// Sends a command as a task of this node would: to the node that has the session.
    pub(super) fn tell(&mut self, at: usize, sid: &Sid, command: Command) {
        let node = &mut self.all[at];
        let numbers = &node.world.env.numbers;
        if numbers.owns(sid.node) && !numbers.is_shared(sid.node) {
            node.world.now = self.now;
            node.world.tell(command);
        } else {
            node.core.handle(self.now, Input::Command(command));
        }
        self.run();
    }

    /// Polls at a node.
    pub(super) fn poll(&mut self, at: usize, client: &Client) -> FarPoll {
        self.poll_as(at, client.asked())
    }

    /// Polls at a node for the session with this sid.
    pub(super) fn poll_of(&mut self, at: usize, sid: Sid) -> FarPoll {
        self.poll_as(at, Asked { sid, protocol: Protocol::V4, hub: 0 })
    }

    fn poll_as(&mut self, at: usize, asked: Asked) -> FarPoll {
        let (reply, answer) = reply::pair();
        let number = self.all[at].world.poll_number();
        self.tell(at, &asked.sid, Command::Poll { asked, poll: number, reply });
        FarPoll { number, answer }
    }

    /// Ends the connection of a poll.
    pub(super) fn poll_gone(&mut self, at: usize, client: &Client, poll: FarPoll) {
        drop(poll.answer);
        let gone = Command::PollGone { sid: client.sid, poll: poll.number };
        self.tell(at, &client.sid, gone);
    }

    pub(super) fn begin_post(&mut self, at: usize, client: &Client) -> Awaited<PostBegun> {
        let (reply, begun) = reply::pair();
        self.tell(at, &client.sid, Command::PostBegin { asked: client.asked(), reply });
        begun
    }

    /// Posts at a node.
    pub(super) fn post(&mut self, at: usize, client: &Client, body: &[u8]) -> String {
        let mut begun = self.begin_post(at, client);
        match begun.try_recv() {
            Ok(PostBegun::Wanted { key, .. }) => {
                let (reply, mut answer) = reply::pair();
                let body = bytes::Bytes::copy_from_slice(body);
                self.tell(at, &client.sid, Command::PostBody { key, binary: false, body, reply });
                said(&mut answer)
            }
            Ok(PostBegun::Refused(refusal)) => format!("refused {:?}", refusal.error),
            Ok(PostBegun::Status(status)) => format!("status {status}"),
            Ok(PostBegun::Unavailable(why)) => why.slug().into(),
            Err(_) => "waits".into(),
        }
    }

    /// Posts at a node; the body arrived together with the head.
    pub(super) fn post_whole(&mut self, at: usize, client: &Client, body: &[u8]) -> String {
        said(&mut self.begin_post_whole(at, client, body))
    }

    pub(super) fn begin_post_whole(
        &mut self,
        at: usize,
        client: &Client,
        body: &[u8],
    ) -> Awaited<Answer> {
        let (reply, answer) = reply::pair();
        let (asked, body) = (client.asked(), bytes::Bytes::copy_from_slice(body));
        let post = Box::new(WholePost { asked, binary: false, body, reply });
        self.tell(at, &client.sid, Command::Post(post));
        answer
    }

    /// The frames that all nodes have sent.
    pub(super) fn frames(&self) -> u64 {
        self.all.iter().map(|node| node.core.mesh().stats().frames_sent).sum()
    }

    /// Lets the other nodes take this one for one of an earlier version.
    pub(super) fn make_older(&mut self, at: usize) {
        let (number, rank) = (self.all[at].core.mesh().numbers().to_vec(), 1);
        self.beat_as(at, number, (rank, false));
    }

    pub(super) fn inspect(
        &mut self,
        at: usize,
        client: &Client,
    ) -> Option<Result<Inspected, Answer>> {
        let (reply, mut found) = reply::pair();
        self.tell(at, &client.sid, Command::Inspect { asked: client.asked(), reply });
        found.try_recv().ok()
    }

    /// Asks a node for the session with an id that the app made.
    pub(super) fn find(&mut self, at: usize, id: &str) -> Awaited<Found> {
        let (reply, found) = reply::pair();
        self.all[at].core.handle(self.now, Input::Find { hub: 0, id: id.into(), reply });
        self.run();
        found
    }

    /// Gives a node any input.
    pub(super) fn input(&mut self, at: usize, input: Input) {
        self.all[at].core.handle(self.now, input);
        self.run();
    }

    pub(super) fn give_polls_back(&mut self, at: usize) {
        self.all[at].core.give_polls_back(self.now);
        self.run();
    }

    pub(super) fn relayed(&self, at: usize) -> Relayed {
        self.all[at].core.relayed()
    }
}

/// A GET at some node.
pub(super) struct FarPoll {
    pub(super) number: u32,
    answer: Awaited<Answer>,
}

impl FarPoll {
    pub(super) fn said(&mut self) -> String {
        said(&mut self.answer)
    }

    pub(super) fn take(&mut self) -> Answer {
        self.answer.try_recv().expect("there is an answer")
    }
}

impl Node {
    /// Handles what is there. Whether anything was.
    fn work(&mut self, now: Timestamp, sent: &mut Vec<(u64, Destination, bytes::Bytes)>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut busy = false;
        self.world.now = self.world.now.max(now);
        while let Some(event) = self.inbox.pop_front() {
            self.core.handle_bus(now, event);
            busy = true;
        }
        self.core.handle_timeout(now);
        self.world.run();
        loop {
            let settled = self.core.settle(now, &mut cx);
            let Some((shard, command)) = self.core.next_for_shard() else {
                if !settled {
                    break;
                }
                busy = true;
                continue;
            };
            assert_eq!(shard, 0);
            self.world.tell(command);
            busy = true;
        }
        while let Some(transmit) = self.core.poll_transmit(now) {
            match transmit {
                Transmit::Subscribe { number } => self.numbers.push(number),
                Transmit::Publish { to, payload } => sent.push((self.incarnation, to, payload)),
            }
        }
        busy
    }
}

fn connected() -> VecDeque<BusEvent> {
    [BusEvent::Connected { payload_max: 1 << 20 }].into()
}
