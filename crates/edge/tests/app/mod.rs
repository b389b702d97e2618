//! A node with one hub, and an app server within the test's process that sends one thing after
//! another.
#![allow(unreachable_pub, dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a broken expectation fails the test")]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;
use trunkline_edge::{AddressRules, Config, Edge, HubConfig, Inside, Limits, Secret};
use trunkline_trunk::{AppEnd, AppHello, EndEvent, Frame, LinkConfig, LinkEvent, NamespaceNumber};
use trunkline_websocket::{Decoder, Incoming, Opcode, Role, encode};

/// The number with which this node's sids begin.
pub const NODE: u16 = 7;
/// The longest time that the test waits for anything.
const LONGEST: Duration = Duration::from_secs(20);

pub fn edge() -> Edge {
    edge_with(Limits::default())
}

pub fn edge_with(limits: Limits) -> Edge {
    let hub = HubConfig {
        name: "chat".into(),
        keys: vec![Secret::new("0123456789abcdef")],
        ..HubConfig::default()
    };
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        trunk_listen: None,
        tls: None,
        trunk_tls: None,
        threads: 1,
        node_id: "n-test".into(),
        node_number: NODE,
        version: "9.9.9",
        hubs: vec![hub],
        spare_hubs: 0,
        default_hub: "chat".into(),
        names: None,
        addresses: AddressRules::default(),
        limits,
        io_uring: false,
        heap_bytes: || 0,
    };
    Edge::bind(config).unwrap()
}

/// The node's answer to one request, up to the end of the stream.
pub fn ask(address: SocketAddr, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// An app server's end of a trunk. Its clock stands still.
pub struct App {
    stream: UnixStream,
    end: AppEnd,
    decoder: Decoder,
    events: VecDeque<EndEvent>,
}

impl App {
    /// Opens a trunk of the hub; no frame has been sent on it.
    pub fn open(inside: &Inside, settings: &str) -> Self {
        Self::open_as(inside, "app", settings)
    }

    fn open_as(inside: &Inside, server: &str, settings: &str) -> Self {
        let stream = inside.open("chat").unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let hello =
            AppHello { server: server.into(), sdk: "test/1".into(), settings: settings.into() };
        Self {
            stream,
            end: AppEnd::new(Timestamp::ORIGIN, LinkConfig::default(), hello),
            decoder: Decoder::new(),
            events: VecDeque::new(),
        }
    }

    /// Opens a trunk of an app server that is accepted and has named its first namespace.
    pub fn up(inside: &Inside, settings: &str) -> Self {
        Self::up_as(inside, "app", settings)
    }

    /// The same, of an app server with this id.
    pub fn up_as(inside: &Inside, server: &str, settings: &str) -> Self {
        let mut app = Self::open_as(inside, server, settings);
        app.say_hello();
        app.send(Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() });
        app
    }

    pub fn say_hello(&mut self) {
        self.flush();
        self.hears(|event| matches!(event, EndEvent::Link(LinkEvent::Welcome(_))).then_some(()));
    }

    pub fn send(&mut self, frame: Frame) {
        self.end.send(frame).unwrap();
        self.flush();
    }

    /// Reads until an event matches.
    pub fn hears<T>(&mut self, what: impl Fn(EndEvent) -> Option<T>) -> T {
        let mut buffer = [0; 64 * 1024];
        let until = Instant::now() + LONGEST;
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(heard) = what(event) {
                    return heard;
                }
            }
            // The node's pings go on in the meantime.
            assert!(Instant::now() < until, "it did not come");
            let count = self.stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the node has ended the trunk");
            self.take(&mut buffer[..count]);
            self.flush();
        }
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut batches = Vec::new();
        let decoded = self.decoder.decode(Role::Client, 16 << 20, bytes, &mut |incoming| {
            if let Incoming::Binary(batch) = incoming {
                batches.push(Bytes::copy_from_slice(batch));
            }
            ControlFlow::Continue(())
        });
        decoded.unwrap();
        for batch in batches {
            self.end.handle_batch(Timestamp::ORIGIN, batch).unwrap();
        }
        self.events.extend(std::iter::from_fn(|| self.end.poll_event()));
    }

    fn flush(&mut self) {
        let mut batch = BytesMut::new();
        while let Some(frame) = self.end.poll_transmit() {
            frame.encode(&mut batch);
        }
        if !batch.is_empty() {
            let message = encode(Opcode::Binary, &batch, Some([1, 2, 3, 4]));
            self.stream.write_all(&message).unwrap();
        }
    }
}
