//! The frames about the nodes of a cluster.

use serde_json::{Value, json};
use trunkline_trunk::{Frame, ListedNode, NodeState};

use super::to_str;

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are of other modules")]
pub(super) fn fields_of(frame: &Frame) -> Value {
    match frame {
        Frame::Nodes { nodes } => {
            json!({ "nodes": nodes.iter().map(from_node).collect::<Vec<_>>() })
        }
        Frame::Load { sessions, lag_ms } => json!({ "sessions": sessions, "lag_ms": lag_ms }),
        other => panic!("{other:?}"),
    }
}

pub(super) fn to_frame(value: &Value) -> Frame {
    let number = |field: &str| value[field].as_u64().unwrap() as u32;
    match value["type"].as_str().unwrap() {
        "Nodes" => {
            Frame::Nodes { nodes: value["nodes"].as_array().unwrap().iter().map(to_node).collect() }
        }
        "Load" => Frame::Load { sessions: number("sessions"), lag_ms: number("lag_ms") },
        other => panic!("no frame is called {other}"),
    }
}

pub(super) fn for_each_slice(frame: &Frame, visit: &mut dyn FnMut(&[u8])) {
    let Frame::Nodes { nodes } = frame else { return };
    for node in nodes {
        visit(node.id.as_bytes());
        visit(node.url.as_bytes());
    }
}

fn from_node(node: &ListedNode) -> Value {
    json!({
        "id": *node.id,
        "number": node.number,
        "url": *node.url,
        "state": node.state.to_wire(),
    })
}

fn to_node(value: &Value) -> ListedNode {
    ListedNode {
        id: to_str(&value["id"]),
        number: value["number"].as_u64().unwrap() as u32,
        url: to_str(&value["url"]),
        state: NodeState::from_wire(value["state"].as_u64().unwrap() as u8).unwrap(),
    }
}
