//! A broadcast through its sessions: sending, then everything that each session transmits.

use std::hint::black_box;
use std::rc::Rc;

use bytes::Bytes;
use trunkline_engineio::{
    Config, Delivery, Outgoing, Protocol, Session, Timestamp, Transmit, TransportKind,
};

use crate::Case;

const SESSIONS: u32 = 1_000;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "engineio: delivery of a broadcast, sent and flushed",
        each: SESSIONS,
        run: |times| broadcast(times, 1),
    },
    Case {
        name: "engineio: the same in bursts of 16",
        each: SESSIONS * 16,
        run: |times| broadcast(times, 16),
    },
];

fn sessions(now: Timestamp) -> Vec<Session> {
    let config = Rc::new(Config::default());
    let new = |_| {
        let config = Rc::clone(&config);
        let mut session = Session::new(now, config, Protocol::V4, TransportKind::WebSocket, "sid");
        flush(&mut session);
        session
    };
    (0..SESSIONS).map(new).collect()
}

fn broadcast(times: u32, burst: usize) -> u64 {
    let now = Timestamp::from_micros(1_000_000);
    let mut sessions = sessions(now);
    let payload = Bytes::from(vec![b'x'; 128]);
    let mut seen = 0;
    for _ in 0..times {
        let messages: Vec<_> = (0..burst).map(|_| Outgoing::new(false, payload.clone())).collect();
        for session in &mut sessions {
            for message in &messages {
                let sent = session.send(now, message, Delivery::Reliable);
                let _ = black_box(sent);
            }
            seen += flush(session);
        }
    }
    seen
}

fn flush(session: &mut Session) -> u64 {
    let mut bytes = 0;
    while let Some(transmit) = session.poll_transmit() {
        if let Transmit::Frame(frame) = black_box(transmit) {
            bytes += frame.len() as u64;
        }
    }
    bytes
}
