//! Targets of the crate `engineio`.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::{
    Body, CloseReason, Config, ContentType, Delivery, Event, Outgoing, PollKey, Protocol, Sent,
    Session, Snapshot, Timestamp, Transmit, TransportKind,
};

/// The first byte chooses revision, content type and transport; the client's bytes follow.
pub const INPUT_SEEDS: &[&[u8]] = &[
    b"\x004hello\x1ebAQID\x1e6",
    b"\x004\xc3\xa9\x1e1",
    b"\x016:4hello6:b4AQID1:6",
    b"\x013:4\xf0\x9f\x98\x802:4a",
    b"\x03\x00\x02\xff4a\x01\x04\xff\x04\x01\x02\x03",
    b"\x044hello",
    b"\x04bAQID",
    b"\x054hello",
    b"\x07\x04\x01\x02",
];

/// Two bytes are one operation.
pub const OPERATIONS_SEEDS: &[&[u8]] = &[
    b"\x00\x05\x00\x0b\x00\x05\x00\x03\x00\x02\x00\x05\x00",
    b"\x00\x05\x00\x0a\x00\x08\x00\x01\x05\x03\x00\x08\x01\x0b\x00\x03\x00",
    b"\x01\x0b\x00\x03\x00\x01\x7f\x04\x02\x01\x7f\x02\x00",
    b"\x02\x0d\x00\x04\x00\x01\xff\x01\xff\x01\xff",
];

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// Whatever a client sends is received or ends the session; received messages that are sent back
/// are received again.
pub fn input(data: &[u8]) {
    let Some((flags, sent)) = data.split_first() else { return };
    let protocol = if flags & 1 == 0 { Protocol::V4 } else { Protocol::V3 };
    let binary = flags & 2 != 0;
    let heard = if flags & 4 == 0 {
        hear_post(protocol, binary, sent)
    } else {
        hear_message(protocol, binary, sent)
    };
    for base64_only in [false, true] {
        // Revision 4 cannot carry its separator, and a client cannot have sent it over polling.
        if heard.iter().any(|(binary, bytes)| !binary && bytes.contains(&0x1e)) {
            return;
        }
        let (content_type, body) = answer(protocol, base64_only, &heard);
        let again = hear_post(protocol, content_type == ContentType::Binary, &body);
        assert_eq!(again, heard, "sent back with base64_only {base64_only}");
    }
}

type Heard = Vec<(bool, Vec<u8>)>;

fn own(body: Body<'_>) -> (bool, Vec<u8>) {
    match body {
        Body::Binary(bytes) => (true, bytes.to_vec()),
        Body::Text(text) => (false, text.as_bytes().to_vec()),
    }
}

/// A session whose open packet has left.
fn opened(protocol: Protocol, transport: TransportKind) -> Session {
    let mut session = Session::new(NOW, Rc::new(Config::default()), protocol, transport, "SID");
    if transport == TransportKind::Polling {
        session.handle_poll(NOW, PollKey(0)).expect("a first poll");
    }
    session.poll_transmit().expect("the open packet");
    session
}

fn hear_post(protocol: Protocol, binary: bool, body: &[u8]) -> Heard {
    let mut session = opened(protocol, TransportKind::Polling);
    let mut heard = Heard::new();
    let result = session.handle_post(NOW, binary, body, &mut |body| heard.push(own(body)));
    assert!(result.is_ok() || session.is_closed());
    heard
}

fn hear_message(protocol: Protocol, binary: bool, message: &[u8]) -> Heard {
    let mut session = opened(protocol, TransportKind::WebSocket);
    let text = String::from_utf8_lossy(message);
    let body = if binary { Body::Binary(message) } else { Body::Text(&text) };
    let result = session.handle_message(NOW, body).map(|heard| heard.map(own));
    assert!(result.is_ok() || session.is_closed());
    result.ok().flatten().into_iter().collect()
}

/// A poll's answer with these messages.
fn answer(protocol: Protocol, base64_only: bool, messages: &Heard) -> (ContentType, Bytes) {
    let mut session = opened(protocol, TransportKind::Polling);
    session.set_base64_only(base64_only);
    for (binary, bytes) in messages {
        let message = Outgoing::new(*binary, Bytes::copy_from_slice(bytes));
        assert_eq!(session.send(NOW, &message, Delivery::Reliable), Sent::Queued);
    }
    session.handle_poll(NOW, PollKey(1)).expect("no poll is held");
    match session.poll_transmit() {
        Some(Transmit::Respond { content_type, body, .. }) => (content_type, body),
        // Nothing was heard: an empty payload is no payload, so a noop stands in.
        None if protocol == Protocol::V3 => (ContentType::Text, Bytes::from_static(b"1:6")),
        None => (ContentType::Text, Bytes::from_static(b"6")),
        Some(other) => panic!("{other:?}"),
    }
}

/// Any sequence of inputs and commands: no panic, no end that is reported twice, and no poll waits
/// for an ended session.
pub fn operations(data: &[u8]) {
    let Some((flags, operations)) = data.split_first() else { return };
    let protocol = if flags & 1 == 0 { Protocol::V4 } else { Protocol::V3 };
    let transport = if flags & 2 == 0 { TransportKind::Polling } else { TransportKind::WebSocket };
    let mut run = Run {
        session: Session::new(NOW, Rc::new(Config::default()), protocol, transport, "SID"),
        now: NOW,
        polls: 0,
        held: Vec::new(),
        ends: 0,
    };
    for operation in operations.chunks_exact(2) {
        run.operate(operation[0], operation[1]);
    }
    run.drain();
    assert!(!run.session.has_output());
    assert_eq!(run.ends, u32::from(run.session.is_closed()));
    assert_eq!(run.session.poll_deadline().is_none(), run.session.is_closed());
    if run.session.is_closed() {
        assert!(run.held.is_empty());
        assert_eq!(run.session.outbox_bytes(), 0);
    }
}

struct Run {
    session: Session,
    now: Timestamp,
    polls: u32,
    held: Vec<PollKey>,
    ends: u32,
}

/// What a client may say.
const PACKETS: [&str; 8] = ["2probe", "5", "3", "4a", "2", "1", "6", "bAQ"];

impl Run {
    fn operate(&mut self, operation: u8, argument: u8) {
        let now = self.now;
        let session = &mut self.session;
        let packet = Body::Text(PACKETS[usize::from(argument % 8)]);
        match operation % 16 {
            0 => session.abort(now, CloseReason::NodeShutdown),
            1 => {
                self.now = now + Duration::from_millis(100) * u32::from(argument);
                session.handle_timeout(self.now);
            }
            2 => session.close(now, CloseReason::Forced),
            3 => self.drain(),
            4 => drop(session.handle_message(now, packet)),
            5 => {
                self.polls += 1;
                if session.handle_poll(now, PollKey(self.polls)).is_ok() {
                    self.held.push(PollKey(self.polls));
                }
            }
            6 => {
                if let Some(poll) = self.held.pop() {
                    session.handle_poll_gone(now, poll);
                }
            }
            7 => {
                let body = PACKETS[usize::from(argument % 8)].as_bytes();
                let _ = session.handle_post(now, argument >= 128, body, &mut |_| ());
            }
            8 => drop(session.handle_probe_message(now, packet)),
            9 => session.handle_probe_closed(now),
            10 => drop(session.handle_probe_opened(now)),
            11 => self.send(Delivery::Reliable),
            12 => self.send(Delivery::Volatile { stream_idle: argument & 1 == 0 }),
            13 => self.send(Delivery::Attached),
            14 => session.handle_stream_closed(now),
            _ => session.handle_overlapping_post(now),
        }
    }

    fn send(&mut self, delivery: Delivery) {
        let message = Outgoing::new(false, Bytes::from_static(b"message"));
        // Dropped or queued: the rest of the operations show which.
        let _ = self.session.send(self.now, &message, delivery);
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            if let Transmit::Respond { poll, body, .. } = transmit {
                assert!(!body.is_empty());
                let at = self.held.iter().position(|held| *held == poll);
                self.held.remove(at.expect("an answer to a poll that waits"));
            }
        }
        while let Some(event) = self.session.poll_event() {
            if matches!(event, Event::Closed { .. }) {
                self.ends += 1;
            }
            assert_eq!(self.ends > 0, matches!(event, Event::Closed { .. }));
        }
    }
}

/// Open sessions with nothing, and with packets of each kind.
pub const SNAPSHOT_SEEDS: &[&[u8]] = &[
    b"\x01\x02\x00\x01\x01\x00",
    b"\x01\x01\x01\x02\x81\x01\x00\x05\x02\x02\x03\x08\x01a\x19\x01{\x0a\x02\xc3\xa9\x00",
];

/// Bytes are a snapshot or are refused; a session that is made of one is exported as the same.
pub fn snapshot(data: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(Bytes::copy_from_slice(data)) else { return };
    assert_eq!(snapshot.encode(), data);
    let session = Session::import(NOW, Rc::new(Config::default()), snapshot);
    if let Some(again) = session.export(NOW) {
        assert_eq!(again.encode(), data);
    }
}
