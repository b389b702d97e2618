//! The frames about the nodes of a cluster, and calls.

use serde_json::{Value, json};
use trunkline_trunk::{Frame, ListedNode, NodeState, RequestId};

use super::to_str;

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are of other modules")]
pub(super) fn fields_of(frame: &Frame) -> Value {
    match frame {
        Frame::Nodes { nodes } => {
            json!({ "nodes": nodes.iter().map(from_node).collect::<Vec<_>>() })
        }
        Frame::Load { sessions, lag_ms } => json!({ "sessions": sessions, "lag_ms": lag_ms }),
        Frame::Call { request_id, name, arguments } => {
            json!({ "request_id": request_id.0, "name": **name, "arguments": **arguments })
        }
        Frame::Called { request_id, done, answer } => {
            json!({ "request_id": request_id.0, "done": u8::from(*done), "answer": **answer })
        }
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
        "Call" => Frame::Call {
            request_id: RequestId(number("request_id")),
            name: to_str(&value["name"]),
            arguments: to_str(&value["arguments"]),
        },
        "Called" => Frame::Called {
            request_id: RequestId(number("request_id")),
            done: value["done"] == 1,
            answer: to_str(&value["answer"]),
        },
        other => panic!("no frame is called {other}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others have none")]
pub(super) fn for_each_slice(frame: &Frame, visit: &mut dyn FnMut(&[u8])) {
    match frame {
        Frame::Nodes { nodes } => {
            for node in nodes {
                visit(node.id.as_bytes());
                visit(node.url.as_bytes());
            }
        }
        Frame::Call { name, arguments, .. } => {
            visit(name.as_bytes());
            visit(arguments.as_bytes());
        }
        Frame::Called { answer, .. } => visit(answer.as_bytes()),
        _ => (),
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
