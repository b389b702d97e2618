//! The admin port over real sockets: limits, timeouts and the stop.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use core::fmt;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use trunkline_api::{Admin, AdminPort, Asked, Config, Liveness, Readiness, Source};

struct Fake;

impl Source for Fake {
    fn liveness(&self) -> Liveness {
        Box::pin(core::future::ready(Vec::new()))
    }

    fn readiness(&self) -> Readiness {
        Readiness::default()
    }

    fn status_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        Ok(b"{}".to_vec())
    }

    fn cluster_json(&self) -> Option<Result<Vec<u8>, serde_json::Error>> {
        None
    }

    fn talkers(&self, _: &str) -> Asked {
        Box::pin(core::future::ready(Ok(b"{}".to_vec())))
    }

    fn write_metrics(&self, out: &mut String) -> fmt::Result {
        out.push_str("# EOF\n");
        Ok(())
    }
}

fn start(change: impl FnOnce(&mut Config)) -> (SocketAddr, AdminPort) {
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    change(&mut config);
    let admin = Admin::bind(config).unwrap();
    (admin.local_addr(), admin.start(Arc::new(Fake)).unwrap())
}

/// Sends raw bytes and returns everything that arrives until the server closes the stream.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    read_to_end(&mut stream)
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // The server may refuse the rest with a reset after the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn raw_requests_and_their_first_lines() {
    let (address, running) = start(|_| ());
    let big_head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(20_000));
    let cases = [
        ("GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "HTTP/1.1 200 OK"),
        ("GET /livez?now=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "HTTP/1.1 200 OK"),
        ("GET /nope HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (
            "DELETE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 405 Method Not Allowed",
        ),
        ("GET /livez HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK"),
        ("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (
            "GET /livez HTTP/1.1\r\nhost: a\r\nhost: a\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
        ),
        ("rubbish\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (big_head.as_str(), "HTTP/1.1 431 Request Header Fields Too Large"),
    ];
    for (request, first_line) in cases {
        let answer = exchange(address, request);
        assert!(answer.starts_with(first_line), "{first_line} expected, got {answer}");
    }
    running.stop();
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let (address, running) = start(|_| ());
    let answer = exchange(address, "HEAD /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(answer.contains("content-length: 3\r\n"), "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    running.stop();
}

#[test]
fn a_head_that_never_ends_and_an_idle_stream_are_closed() {
    let (address, running) = start(|config| config.header_timeout = Duration::from_millis(50));
    // Both return only because the server closes the stream.
    for sent in ["GET /livez HTTP/1.1\r\nx: ", ""] {
        assert!(!exchange(address, sent).contains("200 OK"));
    }
    running.stop();
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let (address, running) = start(|config| config.connections_max = 1);
    let get = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = TcpStream::connect(address).unwrap();
    first.write_all(get.as_bytes()).unwrap();
    let mut head = [0; 15];
    first.read_exact(&mut head).unwrap();

    let mut second = TcpStream::connect(address).unwrap();
    second.write_all(get.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "the second was served beside the first");

    drop(first);
    second.set_read_timeout(None).unwrap();
    assert!(read_to_end(&mut second).starts_with("HTTP/1.1 200 OK"));
    running.stop();
}

/// Otherwise anybody who can reach the port keeps every probe and scraper away with a few streams.
#[test]
fn streams_that_ask_for_nothing_make_room_for_those_that_do() {
    let (address, running) = start(|config| config.connections_max = 4);
    let get = "GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    // One that has asked once stays, however many others come.
    let mut regular = TcpStream::connect(address).unwrap();
    let kept = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    regular.write_all(kept.as_bytes()).unwrap();
    let mut answer = [0; 512];
    assert!(regular.read(&mut answer).unwrap() > 0);
    let mut silent: Vec<_> = (0..12).map(|_| TcpStream::connect(address).unwrap()).collect();
    for half in &mut silent[6..] {
        half.write_all(b"GET /livez HTTP/1.1\r\nho").unwrap();
    }
    for _ in 0..3 {
        assert!(exchange(address, get).starts_with("HTTP/1.1 200"));
    }
    assert_eq!(read_to_end(&mut silent[0]), "", "the oldest was closed");
    regular.write_all(get.as_bytes()).unwrap();
    assert!(read_to_end(&mut regular).starts_with("HTTP/1.1 200"));
    drop(silent);
    running.stop();
}

#[test]
fn a_connection_ends_with_its_life_or_with_the_server() {
    let (address, running) = start(|config| {
        config.connection_life_max = Duration::from_millis(50);
    });
    let get = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    assert!(exchange(address, get).starts_with("HTTP/1.1 200 OK"), "kept alive, then closed");
    running.stop();

    let (address, running) = start(|_| ());
    let mut kept = TcpStream::connect(address).unwrap();
    kept.write_all(get.as_bytes()).unwrap();
    kept.read_exact(&mut [0; 15]).unwrap();
    running.stop();
    read_to_end(&mut kept);
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
}

#[test]
fn a_taken_port_is_an_error_with_the_address() {
    let (address, running) = start(|_| ());
    let error = Admin::bind(Config::new(address)).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    running.stop();
}
