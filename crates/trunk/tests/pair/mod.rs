//! Both ends of a trunk and a lossless channel between them, in virtual time. The fuzz targets use it too.
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "each test and fuzz target uses its part"
)]
#![allow(clippy::unwrap_used, reason = "a broken expectation fails the test")]

mod node;
mod world;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;
use trunkline_trunk::{
    AppEnd, AppHello, Broadcast, BroadcastFlags, CannotNow, ClientRequest, CloseReason, EioVersion,
    EndEvent, Frame, LinkConfig, Misbehaved, NamespaceNumber, Part, Persist, RequestId, Response,
    Restored, SendFlags, SessionNumber, Str, Transport,
};

pub use self::node::Node;
pub use self::world::World;

pub const NAMESPACES_MAX: usize = 8;

pub fn client_request() -> ClientRequest {
    ClientRequest {
        transport: Transport::Polling,
        secure: false,
        address: Str::from_static("203.0.113.7"),
        port: 1,
        method: Str::from_static("GET"),
        url: Str::from_static("/socket.io/"),
        headers: Vec::new(),
        claims: Str::EMPTY,
    }
}

pub fn app_hello() -> AppHello {
    AppHello { server: "app".into(), sdk: "test/1".into(), settings: "{}".into() }
}

pub fn response() -> Response {
    Response { status: 403, headers: Vec::new(), body: Bytes::new() }
}

pub fn accept(session: SessionNumber) -> Frame {
    Frame::Accept { session, sid: Str::EMPTY, headers: Vec::new(), lasting: Vec::new() }
}

pub fn close(session: SessionNumber, reason: CloseReason) -> Frame {
    Frame::Close { session, reason: reason.into(), description: Str::EMPTY }
}

pub fn message(session: SessionNumber, payload: Bytes) -> Frame {
    Frame::Message { session, binary: false, payload }
}

pub fn send(session: SessionNumber, payload: Bytes) -> Frame {
    Frame::Send { session, flags: SendFlags::default(), payload }
}

pub fn persist(session: SessionNumber, socket: &str) -> Frame {
    Frame::Persist(Box::new(Persist {
        session,
        nsp: NamespaceNumber(0),
        pid: Str::from_static("pid"),
        socket: socket.into(),
        rooms: Vec::new(),
        data: Bytes::from_static(b"{}"),
    }))
}

pub fn restore(n: u32) -> Frame {
    Frame::Restore {
        request_id: RequestId(n),
        nsp: NamespaceNumber(0),
        pid: Str::from_static("pid"),
        offset: Str::from_static("offset"),
    }
}

pub fn not_restored(request_id: RequestId) -> Frame {
    Frame::Restored(Box::new(Restored {
        request_id,
        found: false,
        socket: Str::EMPTY,
        rooms: Vec::new(),
        data: Bytes::new(),
        missed: Vec::new(),
    }))
}

pub fn broadcast(payload: Bytes) -> Broadcast {
    Broadcast {
        nsp: NamespaceNumber(0),
        flags: BroadcastFlags::default(),
        rooms: Vec::new(),
        except: Vec::new(),
        parts: vec![Part { binary: false, data: payload }],
    }
}

pub fn recorded(payload: Bytes) -> Frame {
    Frame::Recorded { offset: Str::from_static("offset"), broadcast: broadcast(payload) }
}

pub struct Pair {
    pub now: Timestamp,
    pub node: Node,
    pub app: AppEnd,
    pub to_app: VecDeque<Bytes>,
    pub to_node: VecDeque<Bytes>,
    pub node_events: VecDeque<EndEvent>,
    pub app_events: VecDeque<EndEvent>,
}

impl Pair {
    /// Both ends just after the WebSocket opened.
    pub fn new(node: LinkConfig, app: LinkConfig) -> Self {
        Self::sharded(node, app, 1)
    }

    /// Like [`Self::new`], with this many shards at the node.
    pub fn sharded(node: LinkConfig, app: LinkConfig, shards: u16) -> Self {
        let now = Timestamp::ORIGIN;
        Self {
            now,
            node: Node::new(now, node, shards),
            app: AppEnd::new(now, app, app_hello()),
            to_app: VecDeque::new(),
            to_node: VecDeque::new(),
            node_events: VecDeque::new(),
            app_events: VecDeque::new(),
        }
    }

    /// A trunk that is up, without events.
    pub fn up(node: LinkConfig, app: LinkConfig) -> Self {
        let mut pair = Self::new(node, app);
        pair.come_up();
        pair
    }

    /// Exchanges `Hello` and `Welcome`.
    pub fn come_up(&mut self) {
        self.drain();
        self.deliver_to_node().unwrap();
        self.node.welcome(self.now).unwrap();
        self.run().unwrap();
        assert!(self.node.trunk.is_up() && self.app.link().is_up());
        self.node_events.clear();
        self.app_events.clear();
    }

    /// A trunk that is up with one accepted session.
    pub fn with_session(node: LinkConfig, app: LinkConfig) -> (Self, SessionNumber) {
        let mut pair = Self::up(node, app);
        let session = pair.open("first");
        pair.run().unwrap();
        pair.app.send(accept(session)).unwrap();
        pair.run().unwrap();
        pair.node_events.clear();
        pair.app_events.clear();
        (pair, session)
    }

    pub fn open(&mut self, sid: &str) -> SessionNumber {
        self.try_open(sid).unwrap()
    }

    pub fn try_open(&mut self, sid: &str) -> Result<SessionNumber, CannotNow> {
        self.node.open(EioVersion::V4, sid.into(), client_request())
    }

    /// Makes one batch of what each end has to send, and keeps the events.
    pub fn drain(&mut self) {
        let batch = batch_of(core::iter::from_fn(|| self.node.poll_transmit()));
        self.to_app.extend(batch);
        let batch = batch_of(core::iter::from_fn(|| self.app.poll_transmit()));
        self.to_node.extend(batch);
        self.node_events.extend(core::iter::from_fn(|| self.node.poll_event()));
        self.app_events.extend(core::iter::from_fn(|| self.app.poll_event()));
    }

    pub fn deliver_to_app(&mut self) -> Result<(), Misbehaved> {
        let Some(batch) = self.to_app.pop_front() else { return Ok(()) };
        let result = self.app.handle_batch(self.now, batch);
        self.drain();
        result
    }

    pub fn deliver_to_node(&mut self) -> Result<(), Misbehaved> {
        let Some(batch) = self.to_node.pop_front() else { return Ok(()) };
        let result = self.node.handle_batch(self.now, batch);
        self.drain();
        result
    }

    /// Delivers until nothing is under way.
    pub fn run(&mut self) -> Result<(), Misbehaved> {
        self.drain();
        while !self.to_app.is_empty() || !self.to_node.is_empty() {
            self.deliver_to_app()?;
            self.deliver_to_node()?;
        }
        Ok(())
    }

    pub fn advance(&mut self, span: Duration) {
        self.now = self.now + span;
        for end in [self.node.poll_deadline(), self.app.poll_deadline()] {
            assert!(end.is_none_or(|at| at >= Timestamp::ORIGIN));
        }
        self.node.handle_timeout(self.now);
        self.app.handle_timeout(self.now);
        self.drain();
    }
}

fn batch_of(frames: impl Iterator<Item = Frame>) -> Option<Bytes> {
    let mut batch = BytesMut::new();
    frames.for_each(|frame| frame.encode(&mut batch));
    (!batch.is_empty()).then(|| batch.freeze())
}
