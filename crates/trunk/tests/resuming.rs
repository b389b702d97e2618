//! A trunk goes on over another stream: each batch arrives once and in order, wherever the stream
//! breaks.
#![expect(clippy::unwrap_used, reason = "a broken expectation fails the test")]

mod owner;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use owner::{INFO, NOW, batch, config, join, told, up, words};
use trunkline_clock::Timestamp;
use trunkline_trunk::{
    CannotResume, ErrorCode, Frame, Keeps, NodeTrunk, RETAINED_BYTES_MAX, Received, Retained, Step,
    Str, decode_batch,
};

fn relay(number: u64) -> Frame {
    Frame::Relay { to: Vec::new(), payload: number.to_string().into() }
}

fn relayed(number: u64) -> Frame {
    Frame::Relayed { from: Str::from_static("other"), payload: number.to_string().into() }
}

fn number_in(payload: &[u8]) -> u64 {
    core::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()).expect("a number")
}

/// A trunk that keeps batches. The one that named namespace 0 came before.
fn keeping(keeps: Keeps) -> NodeTrunk {
    let mut trunk = up(config(1));
    trunk.keep(keeps);
    trunk
}

#[test]
fn a_new_stream_begins_with_welcome_and_goes_on_with_what_was_not_received() {
    let mut trunk = keeping(Keeps::UntilReceived);
    let batches: Vec<Bytes> = (1..=3).map(|number| batch(&[relayed(number)])).collect();
    batches.iter().for_each(|batch| trunk.sent(batch));
    trunk.handle_batch(NOW, batch(&[relay(1)]));
    let (welcome, again) = trunk.resume(NOW, 1, INFO).unwrap();
    assert_eq!(again, batches[1..]);
    let Frame::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
    let info: serde_json::Value = serde_json::from_str(&welcome.info).unwrap();
    assert_eq!(info["resumed"]["received"], 2, "the namespace and the relay; Hello does not count");
    assert_eq!(trunk.poll_transmit(), None, "Welcome is the owner's to send");
}

#[test]
fn a_new_stream_is_a_sign_of_life() {
    let mut trunk = keeping(Keeps::UntilReceived);
    let late = NOW + Duration::from_secs(9);
    trunk.resume(late, 0, INFO).unwrap();
    assert_eq!(trunk.poll_deadline(), Some(late + Duration::from_secs(10)));
}

#[test]
fn a_trunk_that_has_ended_does_not_go_on() {
    let mut trunk = keeping(Keeps::UntilReceived);
    trunk.give_up(ErrorCode::Limit, "enough".into());
    assert_eq!(trunk.resume(NOW, 0, INFO).err(), Some(CannotResume::Over));
}

#[test]
fn counts_that_cannot_be_end_the_trunk() {
    for frame in [Frame::Got { batches: 2 }, Frame::Handled { begun: 2, done: 0 }] {
        let mut trunk = keeping(Keeps::UntilReceived);
        trunk.sent(&batch(&[relayed(1)]));
        let words = words(&told(&mut trunk, &[frame, join(0)]));
        assert!(words.len() == 1 && words[0].starts_with("ended: "), "{words:?}");
    }
}

#[test]
fn an_app_server_that_keeps_nothing_costs_nothing() {
    let mut trunk = keeping(Keeps::Nothing);
    for number in 0..1000 {
        trunk.sent(&batch(&[relayed(number)]));
        trunk.handle_batch(NOW, batch(&[relay(number)]));
    }
    assert_eq!(trunk.retained_bytes(), 0);
    assert_eq!(trunk.confirmation(), None);
    assert_eq!(trunk.poll_deadline(), Some(NOW + Duration::from_secs(10)), "only the ping");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut trunk = keeping(Keeps::UntilReceived);
    let large = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..40 {
        trunk.sent(&large);
        assert!(trunk.retained_bytes() <= RETAINED_BYTES_MAX);
    }
}

#[test]
fn a_confirmation_leaves_after_a_second_at_the_latest() {
    let mut trunk = keeping(Keeps::UntilReceived);
    trunk.handle_batch(NOW, batch(&[relay(1)]));
    let due = NOW + Duration::from_secs(1);
    assert_eq!(trunk.poll_deadline(), Some(due));
    trunk.handle_timeout(due);
    assert_eq!(trunk.poll_transmit(), Some(Frame::Got { batches: 1 }));
    assert_eq!(trunk.poll_deadline(), Some(NOW + Duration::from_secs(10)));
}

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

/// One direction of a stream: batches, each behind its length.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    part: BytesMut,
}

impl Pipe {
    fn write(&mut self, batch: &Bytes) {
        let length = u32::try_from(batch.len()).unwrap().to_be_bytes();
        self.bytes.extend(length.iter().chain(batch));
    }

    /// The batches that are whole once this many more bytes have come.
    fn read(&mut self, count: usize) -> Vec<Bytes> {
        let count = count.min(self.bytes.len());
        self.part.extend(self.bytes.drain(..count));
        let mut batches = Vec::new();
        while let Some(head) = self.part.get(..4) {
            let length = u32::from_be_bytes(head.try_into().unwrap()) as usize;
            if self.part.len() < 4 + length {
                break;
            }
            self.part.advance(4);
            batches.push(self.part.split_to(length).freeze());
        }
        batches
    }
}

/// Both ends of a trunk, and a stream that breaks.
struct World {
    now: Timestamp,
    random: Random,
    keeps: Keeps,
    node: NodeTrunk,
    kept: Retained,
    received: Received,
    to_node: Pipe,
    to_app: Pipe,
    said: u64,
    told: u64,
    begun: u32,
    heard_by_node: Vec<u64>,
    heard_by_app: Vec<u64>,
}

impl World {
    fn new(seed: u64, keeps: Keeps) -> Self {
        let mut kept = Retained::new(Keeps::UntilReceived, RETAINED_BYTES_MAX);
        // The batch that named the namespace.
        kept.note(&Bytes::new());
        Self {
            now: NOW,
            random: Random(seed),
            keeps,
            node: keeping(keeps),
            kept,
            received: Received::default(),
            to_node: Pipe::default(),
            to_app: Pipe::default(),
            said: 0,
            told: 0,
            begun: 0,
            heard_by_node: Vec::new(),
            heard_by_app: Vec::new(),
        }
    }

    fn app_sends(&mut self, mut frames: Vec<Frame>) {
        if self.keeps == Keeps::UntilReceived {
            frames.extend(self.received.take().map(|batches| Frame::Got { batches }));
        }
        let batch = batch(&frames);
        self.kept.note(&batch);
        self.to_node.write(&batch);
    }

    fn node_sends(&mut self, frames: Vec<Frame>) {
        let own = core::iter::from_fn(|| self.node.poll_transmit()).collect();
        for mut frames in [own, frames] {
            if frames.is_empty() {
                continue;
            }
            frames.extend(self.node.confirmation());
            let batch = batch(&frames);
            self.node.sent(&batch);
            self.to_app.write(&batch);
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0 | 1 => {
                self.said += 1;
                let said = self.said;
                self.app_sends(vec![relay(said)]);
            }
            2 | 3 => {
                self.told += 1;
                let told = self.told;
                self.node_sends(vec![relayed(told)]);
            }
            4 | 5 => self.deliver_to_node(),
            6 | 7 => self.deliver_to_app(),
            8 => {
                self.now = self.now + Duration::from_millis(self.random.below(1500));
                self.node.handle_timeout(self.now);
                self.node_sends(Vec::new());
                if self.keeps == Keeps::UntilHandled && self.begun > 0 {
                    let done = core::mem::take(&mut self.begun);
                    self.app_sends(vec![Frame::Handled { begun: 0, done }]);
                }
            }
            _ => self.breaks(),
        }
    }

    fn deliver_to_node(&mut self) {
        let count = self.random.below(200);
        for batch in self.to_node.read(usize::try_from(count).unwrap()) {
            self.node.handle_batch(self.now, batch);
        }
        while let Some(step) = self.node.poll_step() {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the others prove nothing")]
            match step {
                Step::Relay { payload, .. } => self.heard_by_node.push(number_in(&payload)),
                Step::Ended(cause) => panic!("{cause:?}"),
                _ => (),
            }
        }
    }

    fn deliver_to_app(&mut self) {
        let count = self.random.below(200);
        for batch in self.to_app.read(usize::try_from(count).unwrap()) {
            self.received.note(self.now, batch.len(), true);
            for frame in decode_batch(batch).map(Result::unwrap) {
                #[expect(clippy::wildcard_enum_match_arm, reason = "the node sends no other")]
                match frame {
                    Frame::Relayed { payload, .. } => self.heard_by_app.push(number_in(&payload)),
                    Frame::Got { batches } => self.kept.handle_got(batches).unwrap(),
                    Frame::Credit { .. } | Frame::Ping { .. } => (),
                    other => panic!("{other:?}"),
                }
            }
            if self.keeps == Keeps::UntilHandled {
                self.begun += 1;
                self.app_sends(vec![Frame::Handled { begun: 1, done: 0 }]);
            }
        }
    }

    /// Loses whatever is in the stream and continues on another.
    fn breaks(&mut self) {
        (self.to_node, self.to_app) = (Pipe::default(), Pipe::default());
        let (welcome, again) = self.node.resume(self.now, self.received.count(), INFO).unwrap();
        let Frame::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
        let info: serde_json::Value = serde_json::from_str(&welcome.info).unwrap();
        again.iter().for_each(|batch| self.to_app.write(batch));
        let received = info["resumed"]["received"].as_u64().unwrap();
        let again: Vec<Bytes> = self.kept.resume(received).unwrap().collect();
        again.iter().for_each(|batch| self.to_node.write(batch));
    }

    fn settle(&mut self) {
        self.breaks();
        for _ in 0..4 {
            while !self.to_node.bytes.is_empty() || !self.to_app.bytes.is_empty() {
                self.deliver_to_node();
                self.deliver_to_app();
            }
            self.node_sends(Vec::new());
        }
        assert_eq!(self.heard_by_node, (1..=self.said).collect::<Vec<_>>());
        assert_eq!(self.heard_by_app, (1..=self.told).collect::<Vec<_>>());
    }
}

#[test]
fn each_batch_arrives_once_and_in_order_wherever_the_stream_breaks() {
    let seeds =
        std::env::var("RESUME_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        for keeps in [Keeps::UntilReceived, Keeps::UntilHandled] {
            let mut world = World::new(seed, keeps);
            (0..300).for_each(|_| world.step());
            world.settle();
        }
    }
}
