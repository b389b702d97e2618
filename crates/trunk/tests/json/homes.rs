//! The frames for resuming and for sessions that go to another app server.

use serde_json::{Value, json};
use trunkline_trunk::{
    Adopt, Adopted, EioVersion, Frame, NamespaceNumber, Operate, Operation, Origin, SessionNumber,
    StandingFlags, State, Transport,
};

use super::{from_request, from_strs, hex, to_bytes, to_request, to_str, to_strs};

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are not of this module")]
pub(super) fn fields_of(frame: &Frame) -> Value {
    match frame {
        Frame::Adopt(adopt) => json!({
            "eio": adopt.eio.to_wire(),
            "sid": *adopt.sid,
            "transport": adopt.transport.to_wire(),
            "origin": adopt.origin.to_wire(),
            "request": from_request(&adopt.request),
            "sockets": adopt.sockets.iter().map(from_adopted).collect::<Vec<_>>(),
        }),
        Frame::State(state) => json!({
            "nsp": state.nsp.0,
            "socket": *state.socket,
            "pid": *state.pid,
            "state": hex(&state.state),
        }),
        Frame::Handled { begun, done } => json!({ "begun": begun, "done": done }),
        Frame::Standing { session: _, flags } => json!({ "flags": flags.to_wire() }),
        Frame::Got { batches } => json!({ "batches": batches }),
        Frame::Operate(operate) => json!({
            "nsp": *operate.nsp,
            "op": operate.op.to_wire(),
            "rooms": from_strs(&operate.rooms),
            "except": from_strs(&operate.except),
            "args": from_strs(&operate.args),
        }),
        Frame::Unhomed { waiting } => json!({ "waiting": u8::from(*waiting) }),
        other => super::nodes::fields_of(other),
    }
}

pub(super) fn to_frame(session: SessionNumber, value: &Value) -> Frame {
    let number = |field: &str| value[field].as_u64().unwrap() as u32;
    let text = |field: &str| to_str(&value[field]);
    match value["type"].as_str().unwrap() {
        "Adopt" => Frame::Adopt(Box::new(Adopt {
            session,
            eio: EioVersion::from_wire(number("eio") as u8).unwrap(),
            sid: text("sid"),
            transport: Transport::from_wire(number("transport") as u8).unwrap(),
            origin: Origin::from_wire(number("origin") as u8).unwrap(),
            request: to_request(&value["request"]),
            sockets: value["sockets"].as_array().unwrap().iter().map(to_adopted).collect(),
        })),
        "State" => Frame::State(Box::new(State {
            session,
            nsp: NamespaceNumber(number("nsp")),
            socket: text("socket"),
            pid: text("pid"),
            state: to_bytes(&value["state"]),
        })),
        "Handled" => Frame::Handled { begun: number("begun"), done: number("done") },
        "Standing" => {
            let flags = StandingFlags::from_wire(number("flags") as u8).unwrap();
            Frame::Standing { session, flags }
        }
        "Got" => Frame::Got { batches: number("batches") },
        "Operate" => Frame::Operate(Box::new(Operate {
            nsp: text("nsp"),
            op: Operation::from_wire(number("op") as u8).unwrap(),
            rooms: to_strs(&value["rooms"]),
            except: to_strs(&value["except"]),
            args: to_strs(&value["args"]),
        })),
        "Unhomed" => Frame::Unhomed { waiting: number("waiting") != 0 },
        _ => super::nodes::to_frame(value),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others hold nothing of another form")]
pub(super) fn for_each_slice(frame: &Frame, visit: &mut dyn FnMut(&[u8])) {
    match frame {
        Frame::Adopt(adopt) => {
            visit(adopt.sid.as_bytes());
            for socket in &adopt.sockets {
                for text in [&socket.nsp, &socket.socket, &socket.pid] {
                    visit(text.as_bytes());
                }
                socket.rooms.iter().for_each(|room| visit(room.as_bytes()));
                visit(&socket.state);
            }
        }
        Frame::State(state) => {
            visit(state.pid.as_bytes());
            visit(&state.state);
        }
        Frame::Operate(operate) => {
            visit(operate.nsp.as_bytes());
            let rooms = operate.rooms.iter().chain(&operate.except).chain(&operate.args);
            rooms.for_each(|room| visit(room.as_bytes()));
        }
        other => super::nodes::for_each_slice(other, visit),
    }
}

fn from_adopted(adopted: &Adopted) -> Value {
    json!({
        "nsp": *adopted.nsp,
        "socket": *adopted.socket,
        "pid": *adopted.pid,
        "rooms": from_strs(&adopted.rooms),
        "state": hex(&adopted.state),
    })
}

fn to_adopted(value: &Value) -> Adopted {
    Adopted {
        nsp: to_str(&value["nsp"]),
        socket: to_str(&value["socket"]),
        pid: to_str(&value["pid"]),
        rooms: to_strs(&value["rooms"]),
        state: to_bytes(&value["state"]),
    }
}
