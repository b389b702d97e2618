//! The promises of the session hold for any order of inputs.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_engineio::{
    Body, CloseReason, Config, Delivery, Event, Outgoing, PollKey, Protocol, Sent, Session,
    Timestamp, Transmit, TransportKind,
};

#[derive(Clone, Debug)]
enum Step {
    Abort,
    Advance(u64),
    Close,
    Drain,
    Message(String),
    Poll,
    PollGone,
    Post(String),
    Probe(String),
    ProbeClosed,
    ProbeOpened,
    Send,
    StreamClosed,
    Volatile,
}

fn step() -> impl Strategy<Value = Step> {
    let packet = || {
        prop_oneof![
            Just("2probe"),
            Just("5"),
            Just("3"),
            Just("4a"),
            Just("1"),
            Just("6"),
            Just("2"),
            Just("x")
        ]
    };
    prop_oneof![
        1 => Just(Step::Abort),
        4 => (0..40_000_u64).prop_map(Step::Advance),
        1 => Just(Step::Close),
        6 => Just(Step::Drain),
        4 => packet().prop_map(|packet| Step::Message(packet.to_owned())),
        6 => Just(Step::Poll),
        1 => Just(Step::PollGone),
        4 => packet().prop_map(|packet| Step::Post(packet.to_owned())),
        4 => packet().prop_map(|packet| Step::Probe(packet.to_owned())),
        1 => Just(Step::ProbeClosed),
        3 => Just(Step::ProbeOpened),
        8 => Just(Step::Send),
        1 => Just(Step::StreamClosed),
        2 => Just(Step::Volatile),
    ]
}

/// A simple record of the input and the output.
struct Model {
    session: Session,
    now: Timestamp,
    next_poll: u32,
    held: Vec<PollKey>,
    next_message: u32,
    queued: Vec<u32>,
    delivered: Vec<u32>,
    closed_events: usize,
    upgraded_events: usize,
}

impl Model {
    fn new(protocol: Protocol, transport: TransportKind) -> Self {
        let now = Timestamp::ORIGIN;
        let config = Rc::new(Config::default());
        Self {
            session: Session::new(now, config, protocol, transport, "SID"),
            now,
            next_poll: 0,
            held: Vec::new(),
            next_message: 1000,
            queued: Vec::new(),
            delivered: Vec::new(),
            closed_events: 0,
            upgraded_events: 0,
        }
    }

    fn run(&mut self, step: &Step) {
        let now = self.now;
        let session = &mut self.session;
        match step {
            Step::Abort => session.abort(now, CloseReason::NodeShutdown),
            Step::Advance(milliseconds) => {
                self.now = now + Duration::from_millis(*milliseconds);
                session.handle_timeout(self.now);
            }
            Step::Close => session.close(now, CloseReason::Forced),
            Step::Drain => self.drain(),
            Step::Message(text) => drop(session.handle_message(now, Body::Text(text))),
            Step::Poll => {
                self.next_poll += 1;
                let poll = PollKey(self.next_poll);
                if session.handle_poll(now, poll).is_ok() {
                    self.held.push(poll);
                }
            }
            Step::PollGone => {
                if let Some(poll) = self.held.pop() {
                    session.handle_poll_gone(now, poll);
                }
            }
            Step::Post(text) => drop(session.handle_post(now, false, text.as_bytes(), &mut |_| ())),
            Step::Probe(text) => drop(session.handle_probe_message(now, Body::Text(text))),
            Step::ProbeClosed => session.handle_probe_closed(now),
            Step::ProbeOpened => drop(session.handle_probe_opened(now)),
            Step::Send => self.send(Delivery::Reliable),
            Step::StreamClosed => session.handle_stream_closed(now),
            Step::Volatile => self.send(Delivery::Volatile { stream_idle: true }),
        }
    }

    /// Sends a message that is a number of four digits, so that it can be found on any transport.
    fn send(&mut self, delivery: Delivery) {
        let message = Outgoing::new(false, Bytes::from(format!("#{}#", self.next_message)));
        if self.session.send(self.now, &message, delivery) == Sent::Queued {
            self.queued.push(self.next_message);
        }
        self.next_message += 1;
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            match transmit {
                Transmit::Frame(bytes) => self.deliver(&bytes),
                Transmit::Respond { poll, body, .. } => {
                    let at = self.held.iter().position(|held| *held == poll);
                    self.held.remove(at.expect("an answer to a poll that waits"));
                    self.deliver(&body);
                }
                Transmit::CloseProbe
                | Transmit::CloseStream { .. }
                | Transmit::Later
                | Transmit::ProbeFrame(_)
                | Transmit::PromoteProbe => (),
            }
        }
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Closed { .. } => self.closed_events += 1,
                Event::Upgraded => {
                    assert_eq!(self.closed_events, 0, "the end is the last event");
                    self.upgraded_events += 1;
                }
            }
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let numbers = text.split('#').filter_map(|piece| piece.parse::<u32>().ok());
        self.delivered.extend(numbers.filter(|number| *number >= 1000 && *number < 10_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_order_of_inputs_keeps_the_promises(
        steps in vec(step(), 0..60),
        websocket in any::<bool>(),
        v3 in any::<bool>(),
    ) {
        let protocol = if v3 { Protocol::V3 } else { Protocol::V4 };
        let transport =
            if websocket { TransportKind::WebSocket } else { TransportKind::Polling };
        let mut model = Model::new(protocol, transport);
        for step in &steps {
            model.run(step);
            prop_assert!(model.held.len() <= 1 || model.session.has_output());
        }
        model.drain();
        prop_assert_eq!(model.session.poll_transmit(), None);
        prop_assert!(!model.session.has_output());
        // Messages arrive in order, once each, and only those that were queued.
        prop_assert!(model.queued.starts_with(&model.delivered) || model.session.is_closed());
        prop_assert!(model.delivered.is_sorted());
        prop_assert!(model.delivered.iter().all(|number| model.queued.contains(number)));
        prop_assert!(model.upgraded_events <= 1);
        prop_assert_eq!(model.closed_events, usize::from(model.session.is_closed()));
        if model.session.is_closed() {
            prop_assert_eq!(model.session.poll_deadline(), None);
            prop_assert_eq!(model.session.outbox_bytes(), 0);
            prop_assert!(model.held.is_empty(), "nobody waits for an answer");
        } else {
            prop_assert!(model.session.poll_deadline().is_some(), "a silent client is noticed");
        }
    }
}
