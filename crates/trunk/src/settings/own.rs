//! The keys of `Hello.settings` that an SDK sets for itself, about this trunk.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde_json::Value;

use super::parse;

/// The SDK's own keys. One that is missing or makes no sense has its default, under which the trunk
/// works as with an older SDK.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OwnSettings {
    /// `rehome`: the app server takes over sessions of others, and counts what it has handled.
    pub rehome: bool,
    /// `moves`, together with `numbers`: the app server keeps sessions that go to another node, and
    /// numbers its broadcasts with or without connection state recovery.
    pub moves: bool,
    /// `moveEnds`, together with `moves`: the app server takes a second `Close` for a session that
    /// was to go to another node and has ended.
    pub move_ends: bool,
    /// `operates`: the app server takes `Unhomed` and `Operate`.
    pub operates: bool,
    /// `resumable`: the app server can continue the trunk on another stream.
    pub resumable: bool,
    /// `nodes`: the app server opens a trunk to each node that `Nodes` lists.
    pub nodes: bool,
    /// `opening`: the app server's number for this opening of a trunk. 0: it has none.
    pub opening: u64,
    /// `beside`: the numbers of its other trunks that are up or about to be.
    pub beside: Vec<u64>,
    /// `from`: the app server's address, as its end of the stream has it.
    pub from: Option<SocketAddr>,
    /// `resume`: the trunk that this stream is to continue.
    pub resume: Option<Resume>,
}

/// A trunk whose stream broke, as the app server knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resume {
    /// The trunk's secret name, from `Welcome`.
    pub trunk: String,
    /// The number of batches that the app server has received on it.
    pub received: u64,
}

impl OwnSettings {
    /// Reads `Hello.settings`.
    pub fn from_json(json: &str) -> Self {
        let Ok(root) = parse(json) else { return Self::default() };
        let is_set = |key| root.get(key).and_then(Value::as_bool).unwrap_or_default();
        let moves = is_set("moves") && is_set("numbers");
        Self {
            rehome: is_set("rehome"),
            moves,
            move_ends: moves && is_set("moveEnds"),
            operates: is_set("operates"),
            resumable: is_set("resumable"),
            nodes: is_set("nodes"),
            opening: root.get("opening").and_then(Value::as_u64).unwrap_or_default(),
            beside: numbers(root.get("beside")),
            from: root.get("from").and_then(Value::as_str).and_then(|text| text.parse().ok()),
            resume: root.get("resume").and_then(Resume::from_json),
        }
    }
}

fn numbers(list: Option<&Value>) -> Vec<u64> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect()
}

impl Resume {
    fn from_json(value: &Value) -> Option<Self> {
        let trunk = value.get("trunk")?.as_str()?.to_owned();
        Some(Self { trunk, received: value.get("received")?.as_u64()? })
    }
}
