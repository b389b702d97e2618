//! The bus over NATS against a server by hand: what it sends, and what it makes of each answer.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use trunkline_backplane::nats::{self, Servers, Settings};
use trunkline_backplane::{BusFigures, Opened};
use trunkline_mesh::{BusEvent, Destination, Lane};

const OWN: u64 = 0xab;
const PEER: u64 = 0xcd;
const INFO: &str = r#"INFO {"server_id":"S","server_name":"by hand","version":"2.9.10","max_payload":4096,"headers":true,"proto":1}"#;

/// A server that this test plays.
struct Server(BufStream<TcpStream>);

impl Server {
    /// Takes a connection up to the answer to its CONNECT.
    async fn accept(listener: &TcpListener) -> (Self, String) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut server = Self(BufStream::new(stream));
        server.say(INFO).await;
        let connect = server.line().await;
        assert_eq!(server.line().await, "PING");
        (server, connect)
    }

    async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    /// The next line that is no ping, and the payload of a PUB.
    async fn command(&mut self) -> (String, Vec<u8>) {
        loop {
            let line = self.line().await;
            match line.split(' ').next().unwrap_or_default() {
                "PING" => self.say("PONG").await,
                "PUB" => {
                    let length: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
                    let mut payload = vec![0; length + 2];
                    self.0.read_exact(&mut payload).await.unwrap();
                    payload.truncate(length);
                    return (line, payload);
                }
                _ => return (line, Vec::new()),
            }
        }
    }
}

async fn listen() -> (TcpListener, Servers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let servers = Servers::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    (listener, servers)
}

fn open(servers: Servers, figures: &BusFigures) -> Opened {
    nats::open(Settings {
        cluster: "eu".into(),
        incarnation: OWN,
        node_id: "n-1".into(),
        servers,
        credentials_file: None,
        ca_file: None,
        figures: figures.clone(),
    })
}

async fn next(bus: &mut Opened) -> BusEvent {
    tokio::time::timeout(Duration::from_secs(20), bus.events.next()).await.expect("an event")
}

fn to_peer() -> Destination {
    Destination::Node { number: 7, incarnation: PEER, lane: Lane::Control }
}

#[tokio::test]
async fn a_node_has_three_subscriptions_and_gets_no_echo() {
    let (listener, servers) = listen().await;
    let figures = BusFigures::default();
    let mut bus = open(servers, &figures);
    let (mut server, connect) = Server::accept(&listener).await;
    for wanted in [r#""echo":false"#, r#""no_responders":true"#, r#""name":"trunkline n-1""#] {
        assert!(connect.contains(wanted), "{connect}");
    }
    server.say("PONG").await;
    assert_eq!(next(&mut bus).await, BusEvent::Connected { payload_max: 4096 });
    bus.bus.subscribe(5);
    bus.bus.publish(&Destination::Everybody, Bytes::from_static(b"beat"));
    bus.bus.publish(&to_peer(), Bytes::from_static(b"hello"));
    let mut subscribed = Vec::new();
    for _ in 0..3 {
        let (line, _) = server.command().await;
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("SUB"));
        subscribed.push((words.next().unwrap().to_owned(), words.next_back().unwrap().to_owned()));
    }
    let id = |subject: &str| {
        let found = subscribed.iter().find(|(known, _)| known == subject);
        found.unwrap_or_else(|| panic!("{subject} is not in {subscribed:?}")).1.clone()
    };
    let beats = id("tl.eu.beat");
    let inbox = id("tl.eu.n.5.00000000000000ab.*");
    let answers = id("tl.eu.gone.00000000000000ab.*.*");
    assert_eq!(server.command().await, ("PUB tl.eu.beat 4".into(), b"beat".to_vec()));
    let reply = "tl.eu.gone.00000000000000ab.7.00000000000000cd";
    let publish = format!("PUB tl.eu.n.7.00000000000000cd.c {reply} 5");
    assert_eq!(server.command().await, (publish, b"hello".to_vec()));

    // What comes is told apart by its subject; an answer counts only if NATS gave it.
    server.say(&format!("MSG tl.eu.beat {beats} 1\r\nx")).await;
    server.say(&format!("MSG tl.eu.n.5.00000000000000ab.b {inbox} 1\r\ny")).await;
    server.say(&format!("MSG tl.eu.n.5.00000000000000ab.z {inbox} 1\r\nz")).await;
    server.say(&format!("MSG {reply} {answers} 0\r\n")).await;
    server.say(&format!("HMSG {reply} {answers} 16 16\r\nNATS/1.0 503\r\n\r\n")).await;
    let mut events = [next(&mut bus).await, next(&mut bus).await, next(&mut bus).await];
    events.sort_by_key(|event| format!("{event:?}"));
    let datagram = |lane, payload: &'static [u8]| BusEvent::Datagram {
        lane,
        payload: Bytes::from_static(payload),
    };
    let unreachable = BusEvent::Unreachable { number: 7, incarnation: PEER };
    assert_eq!(events, [datagram(None, b"x"), datagram(Some(Lane::Bulk), b"y"), unreachable]);
    assert_eq!((figures.sent(), figures.received()), ((2, 9), (2, 2)));

    // A number that is known already needs no other subscription.
    bus.bus.subscribe(5);
    bus.bus.publish(&Destination::Everybody, Bytes::from_static(b"again"));
    assert_eq!(server.command().await, ("PUB tl.eu.beat 5".into(), b"again".to_vec()));
}

#[tokio::test]
async fn a_lost_connection_is_reported_and_made_again_with_all_subscriptions() {
    let (listener, servers) = listen().await;
    let figures = BusFigures::default();
    let mut bus = open(servers, &figures);
    bus.bus.subscribe(5);
    let (mut server, _) = Server::accept(&listener).await;
    server.say("PONG").await;
    assert_eq!(next(&mut bus).await, BusEvent::Connected { payload_max: 4096 });
    for _ in 0..3 {
        assert!(server.command().await.0.starts_with("SUB "));
    }
    drop(server);
    let mut server = loop {
        let (mut server, _) = Server::accept(&listener).await;
        server.say("PONG").await;
        if server.command().await.0.starts_with("SUB ") {
            break server;
        }
    };
    for _ in 0..2 {
        assert!(server.command().await.0.starts_with("SUB "));
    }
    assert!(matches!(next(&mut bus).await, BusEvent::Disconnected { .. }));
    assert_eq!(next(&mut bus).await, BusEvent::Connected { payload_max: 4096 });
    assert_eq!(figures.connected(), 2);
}

#[tokio::test]
async fn a_refusal_names_what_to_look_at() {
    let (listener, servers) = listen().await;
    let mut bus = open(servers, &BusFigures::default());
    let (mut server, _) = Server::accept(&listener).await;
    server.say("-ERR 'Authorization Violation'").await;
    let BusEvent::Disconnected { cause } = next(&mut bus).await else { panic!("it is refused") };
    assert!(cause.contains("authorization violation"), "{cause}");
    assert!(cause.contains("nats_credentials_file"), "{cause}");
    // It tries again.
    let (mut server, _) = Server::accept(&listener).await;
    server.say("PONG").await;
    assert_eq!(next(&mut bus).await, BusEvent::Connected { payload_max: 4096 });
}

#[tokio::test]
async fn a_node_that_may_not_have_its_subjects_has_no_bus() {
    let (listener, servers) = listen().await;
    let mut bus = open(servers, &BusFigures::default());
    for _ in 0..2 {
        let (mut server, _) = Server::accept(&listener).await;
        server.say("PONG").await;
        for _ in 0..2 {
            assert!(server.command().await.0.starts_with("SUB "));
        }
        let refusal = r#"-ERR 'Permissions Violation for Subscription to "tl.eu.beat"'"#;
        server.say(refusal).await;
        assert_eq!(next(&mut bus).await, BusEvent::Connected { payload_max: 4096 });
        loop {
            let BusEvent::Disconnected { cause } = next(&mut bus).await else { continue };
            assert!(cause.contains("tl.eu.beat"), "{cause}");
            assert!(cause.contains("permissions"), "{cause}");
            break;
        }
        // The connection is closed, because it is of no use.
        while !server.line().await.is_empty() {}
        while bus.events.try_next().is_some() {}
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_once() {
    let (listener, servers) = listen().await;
    drop(listener);
    let mut bus = open(servers, &BusFigures::default());
    let BusEvent::Disconnected { cause } = next(&mut bus).await else { panic!("nobody listens") };
    assert!(cause.contains("refused"), "{cause}");
    // Several tries later nothing more was said.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bus.events.try_next(), None);
}

#[tokio::test]
async fn what_is_published_while_nats_is_away_is_dropped() {
    let (listener, servers) = listen().await;
    let figures = BusFigures::default();
    let mut bus = open(servers, &figures);
    bus.bus.publish(&Destination::Everybody, Bytes::from_static(b"old"));
    let (mut server, _) = Server::accept(&listener).await;
    server.say("PONG").await;
    assert_eq!(next(&mut bus).await, BusEvent::Connected { payload_max: 4096 });
    bus.bus.publish(&Destination::Everybody, Bytes::from_static(b"new"));
    for _ in 0..2 {
        assert!(server.command().await.0.starts_with("SUB "));
    }
    assert_eq!(server.command().await.1, b"new");
    assert_eq!(figures.dropped_sending(), 1);
}
