//! A session in virtual time whose output is recorded as text, one line per event.

#![allow(dead_code, reason = "each test file uses another part")]

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::{
    Body, CloseReason, Config, Delivery, Event, Outgoing, PeerMisbehaved, PollKey, Protocol, Sent,
    Session, Timestamp, Transmit, TransportKind,
};

/// A session, its clock, and its recorded output.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) session: Session,
    pub(crate) now: Timestamp,
    /// When false the stream is full: nothing is transmitted until it is true again.
    pub(crate) stream_writable: bool,
    log: Vec<String>,
}

impl World {
    pub(crate) fn new(config: Config, protocol: Protocol, transport: TransportKind) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let session = Session::new(now, Rc::new(config), protocol, transport, "SID");
        let mut world = Self { session, now, stream_writable: true, log: Vec::new() };
        world.drain();
        world
    }

    /// A polling session whose handshake was answered.
    pub(crate) fn polling() -> Self {
        Self::polling_with(Protocol::V4, Config::default())
    }

    pub(crate) fn polling_with(protocol: Protocol, config: Config) -> Self {
        let mut world = Self::new(config, protocol, TransportKind::Polling);
        world.poll(0).expect("a first poll");
        assert!(world.take().concat().contains("\"sid\":\"SID\""));
        world
    }

    /// A session that began with WebSocket and whose open packet was sent.
    pub(crate) fn websocket() -> Self {
        Self::websocket_with(Protocol::V4, Config::default())
    }

    pub(crate) fn websocket_with(protocol: Protocol, config: Config) -> Self {
        let mut world = Self::new(config, protocol, TransportKind::WebSocket);
        assert!(world.take().concat().contains("\"sid\":\"SID\""));
        world
    }

    /// A session that was upgraded from polling to WebSocket.
    pub(crate) fn upgraded() -> Self {
        let mut world = Self::polling();
        world.session.handle_probe_opened(world.now).expect("a first probe");
        world.probe("2probe");
        world.probe("5");
        assert_eq!(world.take(), ["probe <- 3probe", "promote", "upgraded"]);
        world
    }

    /// The lines that were recorded since the last call.
    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(crate) fn drain(&mut self) {
        let polling = self.session.transport() == TransportKind::Polling;
        while self.stream_writable || polling {
            assert!(!self.session.has_output() || self.stream_writable || polling);
            let had_output = self.session.has_output();
            let transmit = self.session.poll_transmit();
            assert_eq!(had_output, transmit.is_some(), "has_output tells the truth");
            let Some(transmit) = transmit else { break };
            self.log.push(describe(&transmit));
        }
        while let Some(event) = self.session.poll_event() {
            self.log.push(match event {
                Event::Upgraded => "upgraded".to_owned(),
                Event::Closed { reason, description: "" } => format!("closed: {}", reason.as_str()),
                Event::Closed { reason, description } => {
                    format!("closed: {} ({description})", reason.as_str())
                }
            });
        }
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn advance(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while let Some(at) = self.session.poll_deadline().filter(|at| *at <= end) {
            self.now = at;
            self.session.handle_timeout(at);
            self.drain();
            assert!(self.session.poll_deadline().is_none_or(|next| next > at), "no busy loop");
        }
        self.now = end;
    }

    pub(crate) fn poll(&mut self, key: u32) -> Result<(), PeerMisbehaved> {
        let result = self.session.handle_poll(self.now, PollKey(key));
        self.drain();
        result
    }

    pub(crate) fn poll_gone(&mut self, key: u32) {
        self.session.handle_poll_gone(self.now, PollKey(key));
        self.drain();
    }

    pub(crate) fn post(&mut self, body: &[u8]) -> Result<(), PeerMisbehaved> {
        self.post_as(false, body)
    }

    pub(crate) fn post_as(&mut self, binary: bool, body: &[u8]) -> Result<(), PeerMisbehaved> {
        let mut heard = Vec::new();
        let result = self.session.handle_post(self.now, binary, body, &mut |message| {
            heard.push(hear(message));
        });
        self.log.append(&mut heard);
        self.drain();
        result
    }

    pub(crate) fn message(&mut self, text: &str) -> Result<(), PeerMisbehaved> {
        self.message_body(Body::Text(text))
    }

    pub(crate) fn message_body(&mut self, body: Body<'_>) -> Result<(), PeerMisbehaved> {
        let heard = self.session.handle_message(self.now, body).map(|heard| heard.map(hear));
        let result = heard.map(|heard| self.log.extend(heard));
        self.drain();
        result
    }

    pub(crate) fn probe(&mut self, text: &str) {
        self.session.handle_probe_message(self.now, Body::Text(text));
        self.drain();
    }

    /// Queues a reliable text message and flushes.
    pub(crate) fn send(&mut self, text: &str) {
        self.queue(text, Delivery::Reliable);
        self.drain();
    }

    /// Queues a text message without flushing, as one of several in one turn.
    pub(crate) fn queue(&mut self, text: &str, delivery: Delivery) -> bool {
        let message = Outgoing::new(false, Bytes::copy_from_slice(text.as_bytes()));
        self.session.send(self.now, &message, delivery) == Sent::Queued
    }

    pub(crate) fn queue_bytes(&mut self, bytes: &[u8]) {
        let message = Outgoing::new(true, Bytes::copy_from_slice(bytes));
        let _ = self.session.send(self.now, &message, Delivery::Reliable);
    }

    pub(crate) fn close(&mut self) {
        self.session.close(self.now, CloseReason::Forced);
        self.drain();
    }

    pub(crate) fn abort(&mut self, reason: CloseReason) {
        self.session.abort(self.now, reason);
        self.drain();
    }
}

fn hear(body: Body<'_>) -> String {
    match body {
        Body::Text(text) => format!("app hears {text:?}"),
        Body::Binary(bytes) => format!("app hears {bytes:?}"),
    }
}

fn describe(transmit: &Transmit) -> String {
    match transmit {
        Transmit::CloseProbe => "probe closed".to_owned(),
        Transmit::CloseStream { code } => format!("ws close {code}"),
        Transmit::Frame(frame) => format!("ws <- {}", frame_content(frame)),
        Transmit::Later => "later".to_owned(),
        Transmit::ProbeFrame(frame) => format!("probe <- {}", frame_content(frame)),
        Transmit::PromoteProbe => "promote".to_owned(),
        Transmit::Respond { poll, content_type, body, .. } => match content_type.as_str() {
            "text/plain; charset=UTF-8" => {
                let text = std::str::from_utf8(body).expect("a text payload is text");
                format!("poll {} <- {}", poll.0, text.replace('\u{1e}', "|"))
            }
            _ => format!("poll {} <- {:?}", poll.0, &body[..]),
        },
    }
}

/// The content of a server's frame, read only by the rules of RFC 6455.
fn frame_content(frame: &[u8]) -> String {
    let payload = match frame[1] {
        126 => &frame[4..],
        127 => &frame[10..],
        len => {
            assert_eq!(usize::from(len), frame.len() - 2);
            &frame[2..]
        }
    };
    match frame[0] {
        0x81 => String::from_utf8(payload.to_vec()).expect("a text frame is text"),
        0x82 => format!("{payload:?}"),
        other => panic!("first byte {other:02x}"),
    }
}
