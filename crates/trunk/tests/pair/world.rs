//! Random operations on both ends, with each payload marked by the id of the session that it is
//! meant for.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use trunkline_trunk::AppNumberState::Leaving;
use trunkline_trunk::{
    CannotNow, CloseReason, EndEvent, Frame, LinkConfig, LinkEvent, NamespaceNumber, RequestCode,
    RequestId, SessionNumber, Str, Transport,
};

use super::{
    Pair, accept, broadcast, client_request, close, message, not_restored, persist, recorded,
    response, restore, send,
};

/// Both ends, and the state that each assumes the other to have.
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
    app_unprocessed: u64,
    ended: bool,
}

impl World {
    pub fn new(window_bytes: u32) -> Self {
        let config = LinkConfig { credit_window_bytes: window_bytes, ..LinkConfig::default() };
        let mut pair = Pair::sharded(config, config, 3);
        pair.come_up();
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
            app_unprocessed: 0,
            ended: false,
        }
    }

    /// Runs one operation per pair of bytes. Panics when an invariant breaks.
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
        let may = self.pair.node.may_send_data();
        let result = self.pair.node.send(frame.clone());
        if frame.data_cost().is_some() && !may {
            assert_eq!(result, Err(CannotNow::NoCredit));
        }
    }

    fn app_sends(&mut self, argument: u8, frame: impl Fn(SessionNumber, &str, u8) -> Frame) {
        let Some((&session, sid)) = nth(&self.app_sids, argument) else { return };
        // A state that does not allow the frame refuses it and does not change.
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

    /// Sends a `Restore` with one of a few numbers; a number in use is refused.
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
        self.pair.node.process();
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
        // A number is in the maps as long as the machine says that it is in use.
        let node = &self.pair.node;
        self.node_sids.retain(|session, _| !node.state(*session).is_free());
    }

    /// Checks that only silence ends a trunk between two correct ends.
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
            // The app server still has a session that it hands over.
            Frame::Close { session, .. } if self.pair.app.state(*session) == Leaving => (),
            Frame::Close { session, .. } => drop(self.app_sids.remove(session)),
            Frame::Request(request) => self.requests.push(request.request_id),
            Frame::Restored(_) => self.restores_answered += 1,
            _ => (),
        }
    }

    fn look_at_node_frame(&mut self, frame: &Frame) {
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

    /// Checks that nothing is left at either end when everything has arrived and all sessions are
    /// closed.
    fn settle(&mut self) {
        let sessions: Vec<_> = self.node_sids.keys().copied().collect();
        for session in sessions {
            // A session that the app or we have closed already needs no other `Close`.
            let _already_closed = self.pair.node.send(close(session, CloseReason::ClientClosed));
        }
        loop {
            let leaving = |session: &SessionNumber| self.pair.app.state(*session) == Leaving;
            let left: Vec<_> = self.app_sids.keys().copied().filter(leaving).collect();
            for session in left {
                self.pair.app.send(close(session, CloseReason::HandedOver)).unwrap();
            }
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
        let receiving = (*node.trunk.receiving(), *app.link().receiving());
        let unprocessed = (receiving.0.unprocessed_bytes(), receiving.1.unprocessed_bytes());
        assert_eq!(unprocessed, (0, 0), "an ignored frame kept its credit");
        let sending = (node.credit_bytes(), app.link().sending().available_bytes());
        let receiving = (receiving.0.available_bytes(), receiving.1.available_bytes());
        assert_eq!(sending, (receiving.1, receiving.0));
    }
}

fn nth(sids: &BTreeMap<SessionNumber, Str>, n: u8) -> Option<(&SessionNumber, &Str)> {
    sids.iter().nth(usize::from(n) % sids.len().max(1))
}

/// A payload that names its session.
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
