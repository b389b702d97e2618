//! A [`NodeTrunk`] whose steps a test looks at one by one.
#![allow(unreachable_pub, dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a broken expectation fails the test")]

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;
use trunkline_trunk::{
    EndCause, Frame, Greeting, Hello, LinkConfig, NamespaceNumber, NodeInfo, NodeTrunk,
    NodeTrunkConfig, SendFlags, SessionNumber, Step,
};

pub const NOW: Timestamp = Timestamp::ORIGIN;
pub const INFO: NodeInfo<'static> = NodeInfo::new("node", "1.2.3", &[]);

pub fn config(shards: u16) -> NodeTrunkConfig {
    NodeTrunkConfig { link: LinkConfig::default(), namespaces_max: 8, shards, abandoned_max: 2 }
}

pub fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        credit: 1000,
        server: "app".into(),
        sdk: "test/1".into(),
        settings: "{}".into(),
    }
}

pub fn batch(frames: &[Frame]) -> Bytes {
    let mut batch = BytesMut::new();
    frames.iter().for_each(|frame| frame.encode(&mut batch));
    batch.freeze()
}

/// A trunk whose owner has the `Hello` and has not answered.
pub fn greeted(config: NodeTrunkConfig, hello: Hello) -> (NodeTrunk, Greeting) {
    let mut trunk = NodeTrunk::new(NOW, config);
    trunk.handle_batch(NOW, batch(&[Frame::Hello(Box::new(hello))]));
    let Some(Step::Hello(greeting)) = trunk.poll_step() else { panic!("no Hello") };
    (trunk, *greeting)
}

/// A trunk that is up, with namespace 0; `Welcome` is sent.
pub fn up(config: NodeTrunkConfig) -> NodeTrunk {
    let (mut trunk, _) = greeted(config, hello());
    trunk.welcome(NOW, INFO);
    assert!(matches!(trunk.poll_transmit(), Some(Frame::Welcome(_))));
    let name = Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() };
    trunk.handle_batch(NOW, batch(&[name]));
    assert!(matches!(trunk.poll_step(), Some(Step::Shares(_))));
    assert!(trunk.poll_step().is_none());
    trunk
}

/// All steps for a batch of these frames.
pub fn told(trunk: &mut NodeTrunk, frames: &[Frame]) -> Vec<Step> {
    trunk.handle_batch(NOW, batch(frames));
    steps(trunk)
}

pub fn steps(trunk: &mut NodeTrunk) -> Vec<Step> {
    std::iter::from_fn(|| trunk.poll_step()).collect()
}

/// Each step as one word; a step with shares as the types of the frames for each shard.
pub fn words(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::BroadcastAhead => "broadcast ahead".into(),
        Step::Call { name, .. } => format!("call {name}"),
        Step::CreditReturned => "credit".into(),
        Step::Draining { .. } => "draining".into(),
        Step::Ended(EndCause::GivenUp(_)) => "given up".into(),
        Step::Ended(EndCause::Misbehaved(rule)) => format!("ended: {rule}"),
        Step::Ended(EndCause::PeerError { .. }) => "peer gave up".into(),
        Step::GiveBack { pid, .. } => format!("give back {pid}"),
        Step::Load { sessions, .. } => format!("load {sessions}"),
        Step::Hello(greeting) => format!("hello {}", greeting.server),
        Step::Refused(_) => "refused".into(),
        Step::Relay { payload, .. } => format!("relay of {}", payload.len()),
        Step::Response { key, .. } => format!("response to {key}"),
        Step::Restore(asked) => format!("restore {} in {}", asked.pid, asked.nsp),
        Step::Settings(_) => "settings".into(),
        Step::Shares(shares) => {
            let kinds = |frames: &Vec<Frame>| {
                frames.iter().map(|frame| frame.kind().to_string()).collect::<Vec<_>>().join(" ")
            };
            shares.by_shard.iter().map(kinds).collect::<Vec<_>>().join(" | ")
        }
    };
    steps.iter().map(word).collect()
}

pub fn join(session: u32) -> Frame {
    let (session, nsp) = (SessionNumber(session), NamespaceNumber(0));
    Frame::Join { session, nsp, rooms: vec!["room".into()] }
}

pub fn send(session: u32, payload: Bytes) -> Frame {
    Frame::Send { session: SessionNumber(session), flags: SendFlags::default(), payload }
}
