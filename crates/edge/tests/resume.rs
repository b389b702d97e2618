//! A trunk whose stream breaks goes on over another one: in both directions each batch takes effect
//! once and in order. Whoever may not continue it gets a new trunk.

#![expect(clippy::unwrap_used, reason = "a broken expectation fails the test")]

mod app;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use app::edge_with;
use bytes::{Bytes, BytesMut};
use prometheus_client::registry::Registry;
use trunkline_edge::{Inside, Limits};
use trunkline_trunk::{
    Frame, Hello, Keeps, RETAINED_BYTES_MAX, Received, Retained, Welcome, decode_batch,
};
use trunkline_websocket::{Decoder, Incoming, Opcode, Role, encode};

const LONGEST: Duration = Duration::from_secs(20);

/// An app server's end that is resumed by hand. It numbers its pings, and expects each pong once.
struct End {
    server: &'static str,
    token: String,
    kept: Retained,
    received: Received,
    asked: u64,
    answered: u64,
}

/// A stream of an end, after `Welcome`.
struct Line {
    stream: UnixStream,
    decoder: Decoder,
    /// Set when a close frame has come.
    closed: bool,
}

fn clock() -> trunkline_clock::Timestamp {
    trunkline_clock::Timestamp::ORIGIN
}

fn message(frames: &[Frame]) -> Bytes {
    let mut batch = BytesMut::new();
    frames.iter().for_each(|frame| frame.encode(&mut batch));
    batch.freeze()
}

impl Line {
    fn write(&mut self, batch: &Bytes) {
        // A node that has given the stream up does not read any more.
        let _ = self.stream.write_all(&encode(Opcode::Binary, batch, Some([1, 2, 3, 4])));
    }

    /// The next batches; `None` at the end of the stream.
    fn read(&mut self, bytes_max: usize) -> Option<Vec<Bytes>> {
        if self.closed {
            return None;
        }
        let mut buffer = vec![0; bytes_max];
        let count = match self.stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error}"),
        };
        let mut batches = Vec::new();
        let closed = &mut self.closed;
        let decoded =
            self.decoder.decode(Role::Client, 16 << 20, &mut buffer[..count], &mut |incoming| {
                match incoming {
                    Incoming::Binary(batch) => batches.push(Bytes::copy_from_slice(batch)),
                    Incoming::Close { .. } => *closed = true,
                    Incoming::Text(_) | Incoming::Ping(_) | Incoming::Pong(_) => (),
                }
                ControlFlow::Continue(())
            });
        decoded.unwrap();
        Some(batches)
    }
}

/// Sends `Hello` on a new stream, and reads `Welcome`.
fn greet(
    inside: &Inside,
    server: &str,
    settings: &serde_json::Value,
) -> (Line, Welcome, Vec<Bytes>) {
    let stream = inside.open("chat").unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let mut line = Line { stream, decoder: Decoder::new(), closed: false };
    line.write(&message(&[Frame::Hello(Box::new(Hello {
        version_min: 1,
        version_max: 1,
        credit: 1 << 20,
        server: server.into(),
        sdk: "test/1".into(),
        settings: settings.to_string().into(),
    }))]));
    let mut batches = Vec::new();
    while batches.is_empty() {
        batches = line.read(64 * 1024).expect("the node ended the stream");
    }
    let first = decode_batch(batches.remove(0)).next();
    let Some(Ok(Frame::Welcome(welcome))) = first else { panic!("{first:?}") };
    (line, welcome, batches)
}

fn info_of(welcome: &Welcome) -> serde_json::Value {
    serde_json::from_str(&welcome.info).unwrap()
}

impl End {
    fn connect(inside: &Inside, server: &'static str) -> (Self, Line) {
        let settings = serde_json::json!({ "resumable": true });
        let (line, welcome, rest) = greet(inside, server, &settings);
        let info = info_of(&welcome);
        assert_eq!(info["resume"]["ms"], 2000);
        assert!(info.get("resumed").is_none());
        let mut end = Self {
            server,
            token: info["resume"]["trunk"].as_str().unwrap().to_owned(),
            kept: Retained::new(Keeps::UntilReceived, RETAINED_BYTES_MAX),
            received: Received::default(),
            asked: 0,
            answered: 0,
        };
        end.take(rest);
        (end, line)
    }

    fn resume_settings(&self) -> serde_json::Value {
        let resume = serde_json::json!({ "trunk": self.token, "received": self.received.count() });
        serde_json::json!({ "resumable": true, "resume": resume })
    }

    fn resume(&mut self, inside: &Inside) -> Line {
        let (mut line, welcome, rest) = greet(inside, self.server, &self.resume_settings());
        let received = info_of(&welcome)["resumed"]["received"].as_u64().expect("it goes on");
        let again: Vec<Bytes> = self.kept.resume(received).unwrap().collect();
        again.iter().for_each(|batch| line.write(batch));
        self.take(rest);
        line
    }

    /// One batch with this many pings.
    fn ask(&mut self, pings: u64) -> Bytes {
        let numbers = self.asked + 1..=self.asked + pings;
        self.asked += pings;
        let token = |number: u64| Bytes::copy_from_slice(&number.to_be_bytes());
        let mut frames: Vec<_> =
            numbers.map(|number| Frame::Ping { token: token(number) }).collect();
        frames.extend(self.received.take().map(|batches| Frame::Got { batches }));
        let batch = message(&frames);
        self.kept.note(&batch);
        batch
    }

    fn take(&mut self, batches: Vec<Bytes>) {
        for batch in batches {
            self.received.note(clock(), batch.len(), true);
            for frame in decode_batch(batch).map(Result::unwrap) {
                #[expect(clippy::wildcard_enum_match_arm, reason = "the others prove nothing")]
                match frame {
                    Frame::Pong { token } => {
                        let number = u64::from_be_bytes(token[..].try_into().unwrap());
                        assert_eq!(number, self.answered + 1, "once and in order");
                        self.answered = number;
                    }
                    Frame::Got { batches } => self.kept.handle_got(batches).unwrap(),
                    Frame::Error { message, .. } => panic!("{}", message.as_str()),
                    _ => (),
                }
            }
        }
    }

    fn hear_all(&mut self, line: &mut Line) {
        let until = Instant::now() + LONGEST;
        while self.answered < self.asked {
            assert!(Instant::now() < until, "{} of {}", self.answered, self.asked);
            let batches = line.read(64 * 1024).expect("the node ended the stream");
            self.take(batches);
        }
    }
}

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }
}

#[test]
fn each_batch_takes_effect_once_wherever_the_stream_breaks_and_whoever_notices_first() {
    let seeds = std::env::var("RESUME_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let running = edge_with(Limits::default()).start().unwrap();
    for seed in 0..seeds {
        let mut random = Random(seed);
        let (mut end, mut line) = End::connect(&running.inside(), "app");
        for _ in 0..60 {
            for _ in 0..random.below(4) {
                let batch = end.ask(1 + random.below(40) as u64);
                line.write(&batch);
            }
            // A part of what comes is read, up to any byte.
            if end.answered < end.asked && random.below(3) > 0 {
                let batches = line.read(1 + random.below(500)).expect("the node ended the stream");
                end.take(batches);
            }
            match random.below(6) {
                // The node reads a message in part.
                0 => {
                    let whole = encode(Opcode::Binary, &end.ask(3), Some([1, 2, 3, 4]));
                    line.stream.write_all(&whole[..random.below(whole.len())]).unwrap();
                    drop(line);
                    line = end.resume(&running.inside());
                }
                // The node believes in the old stream when the new one comes.
                1 => {
                    let new = end.resume(&running.inside());
                    assert_eq!(read_to_end(line), None);
                    line = new;
                }
                _ => (),
            }
        }
        end.hear_all(&mut line);
        drop(line);
    }
    running.stop();
}

/// Reads until the stream ends without a close frame.
fn read_to_end(mut line: Line) -> Option<Vec<Bytes>> {
    while line.read(64 * 1024).is_some() {}
    None
}

#[test]
fn whoever_names_another_trunk_or_impossible_counts_gets_a_new_one() {
    let running = edge_with(Limits::default()).start().unwrap();
    let inside = running.inside();
    for (server, guess, more) in
        [("other", None, 0), ("app", Some("AAAAAAAAAAAAAAAAAAAAAA"), 0), ("app", None, 1000)]
    {
        let (mut end, mut line) = End::connect(&inside, "app");
        let batch = end.ask(5);
        line.write(&batch);
        end.hear_all(&mut line);
        let token = guess.unwrap_or(&end.token);
        let resume = serde_json::json!({ "trunk": token, "received": end.received.count() + more });
        let settings = serde_json::json!({ "resumable": true, "resume": resume });
        let (_new, welcome, _) = greet(&inside, server, &settings);
        let info = info_of(&welcome);
        assert!(info.get("resumed").is_none(), "{server} {guess:?} {more}");
        assert_ne!(info["resume"]["trunk"], *token);
        if server == "app" {
            assert_eq!(read_to_end(line), None, "the new trunk replaces the old one");
        } else {
            let batch = end.ask(5);
            line.write(&batch);
            end.hear_all(&mut line);
        }
    }
    running.stop();
}

#[test]
fn of_streams_that_come_one_after_another_the_last_continues() {
    let running = edge_with(Limits::default()).start().unwrap();
    let inside = running.inside();
    let (mut end, first) = End::connect(&inside, "app");
    let second = end.resume(&inside);
    let mut third = end.resume(&inside);
    assert_eq!((read_to_end(first), read_to_end(second)), (None, None));
    let batch = end.ask(9);
    third.write(&batch);
    end.hear_all(&mut third);
    drop(third);
    running.stop();
}

#[test]
fn a_trunk_is_not_continued_when_its_time_is_over_or_resuming_is_off() {
    for window in [Duration::from_millis(1), Duration::ZERO] {
        let limits = Limits { trunk_resume_window: window, ..Limits::default() };
        let running = edge_with(limits).start().unwrap();
        let inside = running.inside();
        let settings = serde_json::json!({ "resumable": true });
        let (line, welcome, _) = greet(&inside, "app", &settings);
        let info = info_of(&welcome);
        assert_eq!(info.get("resume").is_none(), window.is_zero());
        drop(line);
        wait_for("the end of the trunk", || running.status().hubs[0].app_servers.is_empty());
        let resume = serde_json::json!({ "trunk": info["resume"]["trunk"], "received": 0 });
        let settings = serde_json::json!({ "resumable": true, "resume": resume });
        let (line, welcome, _) = greet(&inside, "app", &settings);
        assert!(info_of(&welcome).get("resumed").is_none());
        drop(line);
        running.stop();
    }
}

#[test]
fn an_app_server_that_cannot_resume_is_gone_with_its_stream() {
    let limits = Limits { trunk_resume_window: Duration::from_secs(60), ..Limits::default() };
    let running = edge_with(limits).start().unwrap();
    let (line, welcome, _) = greet(&running.inside(), "old", &serde_json::json!({}));
    assert!(info_of(&welcome).get("resume").is_none());
    drop(line);
    wait_for("the end of the trunk", || running.status().hubs[0].app_servers.is_empty());
    running.stop();
}

#[test]
fn an_app_server_that_said_that_it_leaves_has_left_even_if_it_could_not_be_answered() {
    let edge = edge_with(Limits::default());
    let mut registry = Registry::default();
    edge.metrics().register(&mut registry);
    let running = edge.start().unwrap();
    let (mut end, mut line) = End::connect(&running.inside(), "app");
    line.stream.shutdown(Shutdown::Read).unwrap();
    let mask = Some([1, 2, 3, 4]);
    let mut last = encode(Opcode::Binary, &end.ask(1), mask).to_vec();
    last.extend_from_slice(&encode(Opcode::Close, &1000_u16.to_be_bytes(), mask));
    line.stream.write_all(&last).unwrap();
    let ended = || counted(&registry, "trunkline_trunks_ended_total{");
    wait_for("the end of the trunk", || ended().is_some());
    assert_eq!(ended().unwrap(), r#"trunkline_trunks_ended_total{cause="app_server_closed"} 1"#);
    running.stop();
}

#[test]
fn an_app_server_that_confirms_nothing_is_noticed_when_it_is_too_much() {
    let edge = edge_with(Limits::default());
    let mut registry = Registry::default();
    edge.metrics().register(&mut registry);
    let running = edge.start().unwrap();
    let (mut end, mut line) = End::connect(&running.inside(), "app");
    let forgotten = || counted(&registry, "trunkline_trunks_forgotten_total");
    let token = Bytes::from(vec![b'x'; 16]);
    let pings = vec![Frame::Ping { token }; 1 << 16];
    for sent in 0..17 {
        assert!(sent > 10 || forgotten().is_none(), "after {sent} MiB");
        line.write(&message(&pings));
        let mut missing: usize = 1 << 20;
        while missing > 0 {
            let batches = line.read(1 << 20).expect("the node ended the stream");
            missing = missing.saturating_sub(batches.iter().map(Bytes::len).sum());
            batches.iter().for_each(|batch| end.received.note(clock(), batch.len(), true));
        }
    }
    assert_eq!(forgotten().as_deref(), Some("trunkline_trunks_forgotten_total 1"));
    running.stop();
}

/// The first line with this beginning whose value is not 0.
fn counted(registry: &Registry, beginning: &str) -> Option<String> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let is_it = |line: &&str| line.starts_with(beginning) && !line.ends_with(" 0");
    text.lines().find(is_it).map(str::to_owned)
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let until = Instant::now() + LONGEST;
    while !is_there() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
