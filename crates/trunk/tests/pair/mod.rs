//! Both ends of a trunk and a lossless channel between them, in virtual time. The fuzz targets use it too.
#![allow(unreachable_pub, dead_code, reason = "each test and fuzz target uses its part")]
#![allow(clippy::unwrap_used, reason = "a broken expectation fails the test")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;
use trunkline_trunk::{
    AppEnd, AppHello, Broadcast, BroadcastFlags, CannotNow, ClientRequest, CloseReason, EioVersion,
    EndEvent, Frame, Link, LinkConfig, LinkEvent, Misbehaved, NamespaceNumber, NodeEnd, Part,
    Persist, RequestCode, RequestId, Response, Restored, SendFlags, SessionNumber, Str, Transport,
};

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
    pub node: NodeEnd,
    pub app: AppEnd,
    pub to_app: VecDeque<Bytes>,
    pub to_node: VecDeque<Bytes>,
    pub node_events: VecDeque<EndEvent>,
    pub app_events: VecDeque<EndEvent>,
}

impl Pair {
    /// Both ends just after the WebSocket opened.
    pub fn new(node: LinkConfig, app: LinkConfig) -> Self {
        let now = Timestamp::ORIGIN;
        Self {
            now,
            node: NodeEnd::new(now, node, NAMESPACES_MAX),
            app: AppEnd::new(now, app, AppHello::default()),
            to_app: VecDeque::new(),
            to_node: VecDeque::new(),
            node_events: VecDeque::new(),
            app_events: VecDeque::new(),
        }
    }

    /// A trunk that is up, without events.
    pub fn up(node: LinkConfig, app: LinkConfig) -> Self {
        let mut pair = Self::new(node, app);
        pair.drain();
        pair.deliver_to_node().unwrap();
        pair.node.link().welcome(pair.now, Str::from_static("{}"));
        pair.run().unwrap();
        assert!(pair.node.link().is_up() && pair.app.link().is_up());
        pair.node_events.clear();
        pair.app_events.clear();
        pair
    }

    /// A trunk that is up with one session that is accepted.
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

    /// What each end has to send becomes one batch under way; what happened is kept.
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

/// Operations at random on both ends, each payload marked with the id of the session it is meant for.
pub struct World {
    pair: Pair,
    opened: u32,
    /// The node's and the app's idea of which session has a number now.
    node_sids: BTreeMap<SessionNumber, Str>,
    app_sids: BTreeMap<SessionNumber, Str>,
    requests: Vec<RequestId>,
    restores: Vec<RequestId>,
    restores_asked: u32,
    restores_answered: u32,
    node_unprocessed: u64,
    app_unprocessed: u64,
    ended: bool,
}

impl World {
    pub fn new(window_bytes: u32) -> Self {
        let config = LinkConfig { credit_window_bytes: window_bytes, ..LinkConfig::default() };
        let mut pair = Pair::up(config, config);
        let name = Str::from_static("/");
        pair.app.send(Frame::Namespace { nsp: NamespaceNumber(0), name }).unwrap();
        Self {
            pair,
            opened: 0,
            node_sids: BTreeMap::new(),
            app_sids: BTreeMap::new(),
            requests: Vec::new(),
            restores: Vec::new(),
            restores_asked: 0,
            restores_answered: 0,
            node_unprocessed: 0,
            app_unprocessed: 0,
            ended: false,
        }
    }

    /// Every pair of bytes is one operation. Panics when an invariant breaks.
    pub fn run(&mut self, operations: &[u8]) {
        for operation in operations.chunks_exact(2) {
            self.step(operation[0], operation[1]);
            self.pair.drain();
            self.look_at_events();
            if self.ended {
                return;
            }
        }
        self.settle();
    }

    fn step(&mut self, operation: u8, argument: u8) {
        match operation % 20 {
            0 => self.open(),
            1 => self.node_sends(argument, |session, sid, n| message(session, marked(sid, n))),
            2 => self.node_sends(argument, |session, _, n| close(session, reason(n))),
            3 => self.node_sends(argument, |session, _, _| Frame::Upgraded {
                session,
                transport: Transport::WebSocket,
            }),
            4 => drop(self.pair.node.request(RequestCode::Preflight, Str::EMPTY, client_request())),
            5 => self.app_sends(argument, |session, _, _| accept(session)),
            6 => self.app_sends(argument, |session, _, _| Frame::Reject {
                session,
                response: response(),
            }),
            7 => self.app_sends(argument, |session, sid, n| send(session, marked(sid, n))),
            8 => self.app_sends(argument, |session, _, n| close(session, reason(n))),
            9 => self.app_sends(argument, rooms),
            10 => self.broadcast(argument),
            11 => self.respond(),
            12 => self.deliver_to_app(),
            13 => self.deliver_to_node(),
            14 => self.pair.advance(Duration::from_millis(u64::from(argument) * 50)),
            15 => self.process(),
            16 => self.app_sends(argument, |session, sid, _| persist(session, sid)),
            17 => self.relay(argument),
            18 => self.restore(argument),
            _ => self.node_tells(argument),
        }
    }

    fn open(&mut self) {
        self.opened += 1;
        let sid = format!("session-{}", self.opened);
        let session = self.pair.open(&sid);
        let before = self.node_sids.insert(session, sid.as_str().into());
        assert_eq!(before, None, "number {session:?} was given out while in use");
    }

    fn node_sends(&mut self, argument: u8, frame: impl Fn(SessionNumber, &str, u8) -> Frame) {
        let Some((&session, sid)) = nth(&self.node_sids, argument) else { return };
        let frame = frame(session, sid, argument);
        let may = self.pair.node.link().may_send_data();
        let result = self.pair.node.send(frame.clone());
        if frame.data_cost().is_some() && !may {
            assert_eq!(result, Err(CannotNow::NoCredit));
        }
    }

    fn app_sends(&mut self, argument: u8, frame: impl Fn(SessionNumber, &str, u8) -> Frame) {
        let Some((&session, sid)) = nth(&self.app_sids, argument) else { return };
        // A state that does not allow the frame refuses it and stays as it is.
        let before = self.pair.app.state(session);
        if self.pair.app.send(frame(session, sid, argument)).is_err() {
            assert_eq!(self.pair.app.state(session), before);
        }
    }

    fn broadcast(&mut self, argument: u8) {
        let payload = Bytes::from(vec![b'b'; argument.into()]);
        let frame = match argument % 2 {
            0 => Frame::Broadcast(broadcast(payload)),
            _ => recorded(payload),
        };
        self.pair.app.send(frame).unwrap();
    }

    fn relay(&mut self, argument: u8) {
        let payload = Bytes::from(vec![b'r'; argument.into()]);
        self.pair.app.send(Frame::Relay { to: Vec::new(), payload }).unwrap();
    }

    /// Asks with one of a few numbers; one that is in use is refused.
    fn restore(&mut self, argument: u8) {
        if self.pair.app.send(restore(u32::from(argument % 4))).is_ok() {
            self.restores_asked += 1;
        }
    }

    fn node_tells(&mut self, argument: u8) {
        let payload = Bytes::from(vec![b'r'; argument.into()]);
        let frame = match argument % 3 {
            0 => Frame::Peers { servers: vec!["other".into(); usize::from(argument % 5)] },
            1 => Frame::Relayed { from: "other".into(), payload },
            _ => match self.restores.pop() {
                Some(request_id) => not_restored(request_id),
                None => return,
            },
        };
        self.pair.node.send(frame).unwrap();
    }

    fn respond(&mut self) {
        if let Some(request_id) = self.requests.pop() {
            self.pair.app.send(Frame::Response { request_id, response: response() }).unwrap();
        }
    }

    fn deliver_to_app(&mut self) {
        let result = self.pair.deliver_to_app();
        assert_eq!(result, Ok(()), "our own node misbehaved");
    }

    fn deliver_to_node(&mut self) {
        let result = self.pair.deliver_to_node();
        assert_eq!(result, Ok(()), "our own app server misbehaved");
    }

    fn process(&mut self) {
        self.pair.node.link().processed(core::mem::take(&mut self.node_unprocessed));
        self.pair.app.link().processed(core::mem::take(&mut self.app_unprocessed));
    }

    fn look_at_events(&mut self) {
        while let Some(event) = self.pair.app_events.pop_front() {
            match event {
                EndEvent::Frame(frame) => self.look_at_app_frame(&frame),
                EndEvent::Link(event) => self.look_at_link(&event),
            }
        }
        while let Some(event) = self.pair.node_events.pop_front() {
            match event {
                EndEvent::Frame(frame) => self.look_at_node_frame(&frame),
                EndEvent::Link(event) => self.look_at_link(&event),
            }
        }
        // A number lives in the maps as long as the machine says that it is in use.
        let node = &self.pair.node;
        self.node_sids.retain(|session, _| !node.state(*session).is_free());
    }

    /// Nothing but silence ends a trunk between two ends of our own.
    fn look_at_link(&mut self, event: &LinkEvent) {
        if let LinkEvent::Ended(cause) = event {
            let text = format!("{cause:?}");
            assert!(text.contains("Silence") || self.ended, "{text}");
            self.ended = true;
        }
    }

    fn look_at_app_frame(&mut self, frame: &Frame) {
        self.app_unprocessed += u64::from(frame.data_cost().unwrap_or_default());
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others prove nothing")]
        match frame {
            Frame::Open(open) => {
                self.app_sids.insert(open.session, open.sid.clone());
            }
            Frame::Message { session, payload, .. } => {
                assert_meant_for(&self.app_sids[session], payload);
            }
            Frame::Close { session, .. } => drop(self.app_sids.remove(session)),
            Frame::Request(request) => self.requests.push(request.request_id),
            Frame::Restored(_) => self.restores_answered += 1,
            _ => (),
        }
    }

    fn look_at_node_frame(&mut self, frame: &Frame) {
        self.node_unprocessed += u64::from(frame.data_cost().unwrap_or_default());
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others prove nothing")]
        match frame {
            Frame::Send { session, payload, .. } => {
                assert_meant_for(&self.node_sids[session], payload);
            }
            Frame::Persist(persist) => {
                assert_meant_for(&self.node_sids[&persist.session], persist.socket.as_bytes());
            }
            Frame::Restore { request_id, .. } => self.restores.push(*request_id),
            _ => (),
        }
    }

    /// When all has arrived and all sessions are closed, nothing is left over at either end.
    fn settle(&mut self) {
        let sessions: Vec<_> = self.node_sids.keys().copied().collect();
        for session in sessions {
            // What the app or we ourselves have closed already needs no other Close.
            let _already_closed = self.pair.node.send(close(session, CloseReason::ClientClosed));
        }
        loop {
            self.deliver_to_app();
            self.deliver_to_node();
            self.look_at_events();
            self.process();
            for request_id in core::mem::take(&mut self.restores) {
                self.pair.node.send(not_restored(request_id)).unwrap();
            }
            self.pair.drain();
            if self.pair.to_app.is_empty() && self.pair.to_node.is_empty() {
                break;
            }
        }
        let (node, app) = (&mut self.pair.node, &mut self.pair.app);
        assert_eq!((node.session_count(), app.session_count()), (0, 0));
        assert_eq!(app.held_bytes(), 0, "credit is stuck");
        assert_eq!(self.restores_answered, self.restores_asked);
        for link in [node.link(), app.link()] {
            assert_eq!(link.receiving().unprocessed_bytes(), 0, "an ignored frame kept its credit");
        }
        assert_eq!(balance(app.link()), balance(node.link()).map_reversed());
    }
}

/// What one end may send and what it lets the other send.
#[derive(Debug, Eq, PartialEq)]
struct Balance {
    sending: i64,
    receiving: i64,
}

impl Balance {
    fn map_reversed(self) -> Self {
        Self { sending: self.receiving, receiving: self.sending }
    }
}

fn balance(link: &Link) -> Balance {
    Balance {
        sending: link.sending().available_bytes(),
        receiving: link.receiving().available_bytes(),
    }
}

fn nth(sids: &BTreeMap<SessionNumber, Str>, n: u8) -> Option<(&SessionNumber, &Str)> {
    sids.iter().nth(usize::from(n) % sids.len().max(1))
}

/// A payload that tells whose it is.
fn marked(sid: &str, padding: u8) -> Bytes {
    format!("{sid}:{}", "x".repeat(padding.into())).into()
}

fn assert_meant_for(sid: &Str, payload: &[u8]) {
    let text = core::str::from_utf8(payload).unwrap();
    assert_eq!(text.split(':').next(), Some(sid.as_str()), "a frame met another session");
}

fn reason(n: u8) -> CloseReason {
    CloseReason::ALL[usize::from(n) % CloseReason::ALL.len()]
}

fn rooms(session: SessionNumber, sid: &str, n: u8) -> Frame {
    let nsp = NamespaceNumber(0);
    let rooms = vec![sid.into()];
    match n % 4 {
        0 => Frame::Attach { session, nsp, socket: sid.into(), rooms },
        1 => Frame::Join { session, nsp, rooms },
        2 => Frame::Leave { session, nsp, rooms },
        _ => Frame::Detach { session, nsp },
    }
}
