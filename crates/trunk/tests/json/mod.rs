//! Frames as the JSON of `spec/vectors`: field names of the spec, flags as numbers, bytes in hex.
#![expect(unreachable_pub, reason = "a module that tests share")]
#![expect(clippy::unwrap_used, reason = "a vector that is not as told fails its test")]

mod homes;
mod nodes;

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_trunk::{
    Broadcast, BroadcastFlags, ClientRequest, CloseCode, EioVersion, ErrorCode, Found, Frame,
    Header, Hello, NamespaceNumber, Open, Part, Persist, Position, Reattach, Request, RequestCode,
    RequestId, Response, Restored, RestoredAt, SendFlags, SessionNumber, Str, Transport, Welcome,
};

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub fn from_frame(frame: &Frame) -> Value {
    let mut value = fields_of(frame);
    value["type"] = frame.kind().name().into();
    if let Some(session) = frame.session() {
        value["session"] = session.0.into();
    }
    value
}

#[expect(
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "an arm for each frame; the last ones have a module of their own"
)]
fn fields_of(frame: &Frame) -> Value {
    match frame {
        Frame::Hello(hello) => json!({
            "version_min": hello.version_min,
            "version_max": hello.version_max,
            "credit": hello.credit,
            "server": *hello.server,
            "sdk": *hello.sdk,
            "settings": *hello.settings,
        }),
        Frame::Welcome(welcome) => json!({
            "version": welcome.version,
            "credit": welcome.credit,
            "ping_interval_ms": welcome.ping_interval_ms,
            "batch_bytes_max": welcome.batch_bytes_max,
            "info": *welcome.info,
        }),
        Frame::Error { code, message } => json!({ "code": code.to_wire(), "message": **message }),
        Frame::Ping { token } | Frame::Pong { token } => json!({ "token": hex(token) }),
        Frame::Credit { bytes } => json!({ "bytes": bytes }),
        Frame::Drain { deadline_ms } => json!({ "deadline_ms": deadline_ms }),
        Frame::Settings { settings } => json!({ "settings": **settings }),
        Frame::Open(open) => json!({
            "eio": open.eio.to_wire(),
            "sid": *open.sid,
            "request": from_request(&open.request),
        }),
        Frame::Accept { session: _, sid, headers, lasting } => json!({
            "sid": **sid,
            "headers": from_headers(headers),
            "lasting": from_headers(lasting),
        }),
        Frame::Reject { session: _, response } => json!({ "response": from_response(response) }),
        Frame::Message { session: _, binary, payload } => {
            json!({ "flags": u8::from(*binary), "payload": hex(payload) })
        }
        Frame::Send { session: _, flags, payload } => {
            json!({ "flags": flags.to_wire(), "payload": hex(payload) })
        }
        Frame::Close { session: _, reason, description } => {
            json!({ "reason": reason.0, "description": **description })
        }
        Frame::Upgraded { session: _, transport } => json!({ "transport": transport.to_wire() }),
        Frame::Mark { session: _, mark, now } => json!({ "mark": mark, "flags": u8::from(*now) }),
        Frame::Marked { session: _, mark, waiting_bytes } => {
            json!({ "mark": mark, "waiting_bytes": waiting_bytes })
        }
        Frame::Request(request) => json!({
            "request_id": request.request_id.0,
            "code": request.code.to_wire(),
            "context": *request.context,
            "request": from_request(&request.request),
        }),
        Frame::Response { request_id, response } => {
            json!({ "request_id": request_id.0, "response": from_response(response) })
        }
        Frame::Namespace { nsp, name } => json!({ "nsp": nsp.0, "name": **name }),
        Frame::Release { nsp } => json!({ "nsp": nsp.0 }),
        Frame::Attach { session: _, nsp, socket, rooms }
        | Frame::Beside { session: _, nsp, socket, rooms } => {
            json!({ "nsp": nsp.0, "socket": **socket, "rooms": from_strs(rooms) })
        }
        Frame::Choose { session: _, nsp, socket } => json!({ "nsp": nsp.0, "socket": **socket }),
        Frame::Detach { session: _, nsp } => json!({ "nsp": nsp.0 }),
        Frame::Join { session: _, nsp, rooms } | Frame::Leave { session: _, nsp, rooms } => {
            json!({ "nsp": nsp.0, "rooms": from_strs(rooms) })
        }
        Frame::Broadcast(broadcast) => from_broadcast(broadcast),
        Frame::Recorded { offset, broadcast } => {
            let mut value = from_broadcast(broadcast);
            value["offset"] = (**offset).into();
            value
        }
        Frame::Peers { servers } => json!({ "servers": from_strs(servers) }),
        Frame::Relay { to, payload } => json!({ "to": from_strs(to), "payload": hex(payload) }),
        Frame::Relayed { from, payload } => json!({ "from": **from, "payload": hex(payload) }),
        Frame::Persist(persist) => json!({
            "nsp": persist.nsp.0,
            "pid": *persist.pid,
            "socket": *persist.socket,
            "rooms": from_strs(&persist.rooms),
            "data": hex(&persist.data),
        }),
        Frame::Restore { request_id, nsp, pid, offset } => json!({
            "request_id": request_id.0,
            "nsp": nsp.0,
            "pid": **pid,
            "offset": **offset,
        }),
        Frame::Restored(restored) => json!({
            "request_id": restored.request_id.0,
            "found": u8::from(restored.found),
            "socket": *restored.socket,
            "rooms": from_strs(&restored.rooms),
            "data": hex(&restored.data),
            "missed": restored.missed.iter().map(|parts| json!({ "parts": from_parts(parts) }))
                .collect::<Vec<_>>(),
        }),
        Frame::Reattach(reattach) => json!({
            "nsp": reattach.nsp.0,
            "socket": *reattach.socket,
            "rooms": from_strs(&reattach.rooms),
            "pid": *reattach.pid,
            "log": *reattach.log,
            "last": *reattach.last,
            "cut": from_cut(&reattach.cut),
        }),
        Frame::Number { next } => json!({ "high": next >> 32, "low": next & 0xffff_ffff }),
        Frame::RestoredAt(restored) => json!({
            "request_id": restored.request_id.0,
            "found": restored.found.to_wire(),
            "socket": *restored.socket,
            "rooms": from_strs(&restored.rooms),
            "data": hex(&restored.data),
            "missed": restored.missed.iter().map(|parts| json!({ "parts": from_parts(parts) }))
                .collect::<Vec<_>>(),
            "log": *restored.log,
            "last": *restored.last,
            "cut": from_cut(&restored.cut),
        }),
        Frame::Prove { session: _, request_id, cut } => {
            json!({ "request_id": request_id.0, "cut": from_cut(cut) })
        }
        Frame::Proved { request_id, holds } => {
            json!({ "request_id": request_id.0, "holds": u8::from(*holds) })
        }
        Frame::GiveBack { nsp, pid } => json!({ "nsp": nsp.0, "pid": **pid }),
        frame => homes::fields_of(frame),
    }
}

fn from_cut(cut: &[Position]) -> Value {
    cut.iter()
        .map(|Position { server, number }| {
            json!({ "server": **server, "high": number >> 32, "low": number & 0xffff_ffff })
        })
        .collect()
}

fn to_long(value: &Value) -> u64 {
    value["high"].as_u64().unwrap() << 32 | value["low"].as_u64().unwrap()
}

fn to_cut(value: &Value) -> Vec<Position> {
    let position = |at: &Value| Position { server: to_str(&at["server"]), number: to_long(at) };
    value["cut"].as_array().unwrap().iter().map(position).collect()
}

fn from_broadcast(broadcast: &Broadcast) -> Value {
    json!({
        "nsp": broadcast.nsp.0,
        "flags": broadcast.flags.to_wire(),
        "rooms": from_strs(&broadcast.rooms),
        "except": from_strs(&broadcast.except),
        "parts": from_parts(&broadcast.parts),
    })
}

fn from_request(request: &ClientRequest) -> Value {
    json!({
        "transport": request.transport.to_wire(),
        "flags": u8::from(request.secure),
        "address": *request.address,
        "port": request.port,
        "method": *request.method,
        "url": *request.url,
        "headers": from_headers(&request.headers),
        "claims": *request.claims,
    })
}

fn from_response(response: &Response) -> Value {
    json!({
        "status": response.status,
        "headers": from_headers(&response.headers),
        "body": hex(&response.body),
    })
}

fn from_headers(headers: &[Header]) -> Value {
    headers.iter().map(|h| json!({ "name": *h.name, "value": *h.value })).collect()
}

fn from_strs(strs: &[Str]) -> Value {
    strs.iter().map(|each| json!(**each)).collect()
}

fn from_parts(parts: &[Part]) -> Value {
    parts.iter().map(|p| json!({ "kind": u8::from(p.binary), "data": hex(&p.data) })).collect()
}

fn to_socket_frame(session: SessionNumber, value: &Value) -> Frame {
    let nsp = NamespaceNumber(value["nsp"].as_u64().unwrap() as u32);
    let socket = || to_str(&value["socket"]);
    let rooms = || to_strs(&value["rooms"]);
    match value["type"].as_str().unwrap() {
        "Attach" => Frame::Attach { session, nsp, socket: socket(), rooms: rooms() },
        "Beside" => Frame::Beside { session, nsp, socket: socket(), rooms: rooms() },
        "Choose" => Frame::Choose { session, nsp, socket: socket() },
        "Join" => Frame::Join { session, nsp, rooms: rooms() },
        "Leave" => Frame::Leave { session, nsp, rooms: rooms() },
        _ => Frame::Detach { session, nsp },
    }
}

#[expect(clippy::too_many_lines, reason = "an arm for each frame")]
pub fn to_frame(value: &Value) -> Frame {
    let number = |field: &str| value[field].as_u64().unwrap() as u32;
    let text = |field: &str| to_str(&value[field]);
    let nsp = || NamespaceNumber(number("nsp"));
    let strs = |field: &str| to_strs(&value[field]);
    let request_id = || RequestId(number("request_id"));
    let session = SessionNumber(value["session"].as_u64().unwrap_or_default() as u32);
    match value["type"].as_str().unwrap() {
        "Hello" => Frame::Hello(Box::new(Hello {
            version_min: number("version_min"),
            version_max: number("version_max"),
            credit: number("credit"),
            server: text("server"),
            sdk: text("sdk"),
            settings: text("settings"),
        })),
        "Welcome" => Frame::Welcome(Welcome {
            version: number("version"),
            credit: number("credit"),
            ping_interval_ms: number("ping_interval_ms"),
            batch_bytes_max: number("batch_bytes_max"),
            info: text("info"),
        }),
        "Error" => {
            Frame::Error { code: ErrorCode::from_wire(number("code")), message: text("message") }
        }
        "Ping" => Frame::Ping { token: to_bytes(&value["token"]) },
        "Pong" => Frame::Pong { token: to_bytes(&value["token"]) },
        "Credit" => Frame::Credit { bytes: number("bytes") },
        "Drain" => Frame::Drain { deadline_ms: number("deadline_ms") },
        "Settings" => Frame::Settings { settings: text("settings") },
        "Open" => Frame::Open(Box::new(Open {
            session,
            eio: EioVersion::from_wire(number("eio") as u8).unwrap(),
            sid: text("sid"),
            request: to_request(&value["request"]),
        })),
        "Accept" => Frame::Accept {
            session,
            sid: text("sid"),
            headers: to_headers(&value["headers"]),
            lasting: to_headers(&value["lasting"]),
        },
        "Reject" => Frame::Reject { session, response: to_response(&value["response"]) },
        "Message" => {
            let payload = to_bytes(&value["payload"]);
            Frame::Message { session, binary: number("flags") == 1, payload }
        }
        "Send" => {
            let flags = SendFlags::from_wire(number("flags") as u8).unwrap();
            Frame::Send { session, flags, payload: to_bytes(&value["payload"]) }
        }
        "Close" => {
            let reason = CloseCode(number("reason") as u8);
            Frame::Close { session, reason, description: text("description") }
        }
        "Upgraded" => {
            let transport = Transport::from_wire(number("transport") as u8).unwrap();
            Frame::Upgraded { session, transport }
        }
        "Mark" => Frame::Mark { session, mark: number("mark"), now: number("flags") == 1 },
        "Marked" => {
            Frame::Marked { session, mark: number("mark"), waiting_bytes: number("waiting_bytes") }
        }
        "Request" => Frame::Request(Box::new(Request {
            request_id: request_id(),
            code: RequestCode::from_wire(number("code") as u8).unwrap(),
            context: text("context"),
            request: to_request(&value["request"]),
        })),
        "Response" => {
            Frame::Response { request_id: request_id(), response: to_response(&value["response"]) }
        }
        "Namespace" => Frame::Namespace { nsp: nsp(), name: text("name") },
        "Release" => Frame::Release { nsp: nsp() },
        "Attach" | "Beside" | "Choose" | "Detach" | "Join" | "Leave" => {
            to_socket_frame(session, value)
        }
        "Broadcast" => Frame::Broadcast(to_broadcast(value)),
        "Recorded" => Frame::Recorded { offset: text("offset"), broadcast: to_broadcast(value) },
        "Peers" => Frame::Peers { servers: strs("servers") },
        "Relay" => Frame::Relay { to: strs("to"), payload: to_bytes(&value["payload"]) },
        "Relayed" => Frame::Relayed { from: text("from"), payload: to_bytes(&value["payload"]) },
        "Persist" => Frame::Persist(Box::new(Persist {
            session,
            nsp: nsp(),
            pid: text("pid"),
            socket: text("socket"),
            rooms: strs("rooms"),
            data: to_bytes(&value["data"]),
        })),
        "Restore" => Frame::Restore {
            request_id: request_id(),
            nsp: nsp(),
            pid: text("pid"),
            offset: text("offset"),
        },
        "Restored" => Frame::Restored(Box::new(to_restored(value))),
        "Reattach" => Frame::Reattach(Box::new(Reattach {
            session,
            nsp: nsp(),
            socket: text("socket"),
            rooms: strs("rooms"),
            pid: text("pid"),
            log: text("log"),
            last: text("last"),
            cut: to_cut(value),
        })),
        "Number" => Frame::Number { next: to_long(value) },
        "RestoredAt" => {
            let Restored { request_id, socket, rooms, data, missed, .. } = to_restored(value);
            let found = Found::from_wire(value["found"].as_u64().unwrap() as u8).unwrap();
            let (log, last, cut) = (text("log"), text("last"), to_cut(value));
            Frame::RestoredAt(Box::new(RestoredAt {
                request_id,
                found,
                socket,
                rooms,
                data,
                missed,
                log,
                last,
                cut,
            }))
        }
        "Prove" => Frame::Prove { session, request_id: request_id(), cut: to_cut(value) },
        "Proved" => Frame::Proved { request_id: request_id(), holds: value["holds"] == 1 },
        "GiveBack" => Frame::GiveBack { nsp: nsp(), pid: text("pid") },
        _ => homes::to_frame(session, value),
    }
}

fn to_str(value: &Value) -> Str {
    value.as_str().unwrap().into()
}

fn to_bytes(value: &Value) -> Bytes {
    unhex(value.as_str().unwrap())
}

fn to_strs(value: &Value) -> Vec<Str> {
    value.as_array().unwrap().iter().map(to_str).collect()
}

fn to_broadcast(value: &Value) -> Broadcast {
    Broadcast {
        nsp: NamespaceNumber(value["nsp"].as_u64().unwrap() as u32),
        flags: BroadcastFlags::from_wire(value["flags"].as_u64().unwrap() as u8).unwrap(),
        rooms: to_strs(&value["rooms"]),
        except: to_strs(&value["except"]),
        parts: to_parts(value),
    }
}

fn to_restored(value: &Value) -> Restored {
    Restored {
        request_id: RequestId(value["request_id"].as_u64().unwrap() as u32),
        found: value["found"] == 1,
        socket: to_str(&value["socket"]),
        rooms: to_strs(&value["rooms"]),
        data: to_bytes(&value["data"]),
        missed: value["missed"].as_array().unwrap().iter().map(to_parts).collect(),
    }
}

/// The `parts` of any object that has them.
fn to_parts(value: &Value) -> Vec<Part> {
    let part = |p: &Value| Part { binary: p["kind"] == 1, data: to_bytes(&p["data"]) };
    value["parts"].as_array().unwrap().iter().map(part).collect()
}

fn to_headers(value: &Value) -> Vec<Header> {
    let header = |h: &Value| Header { name: to_str(&h["name"]), value: to_str(&h["value"]) };
    value.as_array().unwrap().iter().map(header).collect()
}

fn to_request(value: &Value) -> ClientRequest {
    ClientRequest {
        transport: Transport::from_wire(value["transport"].as_u64().unwrap() as u8).unwrap(),
        secure: value["flags"] == 1,
        address: to_str(&value["address"]),
        port: value["port"].as_u64().unwrap() as u16,
        method: to_str(&value["method"]),
        url: to_str(&value["url"]),
        headers: to_headers(&value["headers"]),
        claims: to_str(&value["claims"]),
    }
}

fn to_response(value: &Value) -> Response {
    Response {
        status: value["status"].as_u64().unwrap() as u16,
        headers: to_headers(&value["headers"]),
        body: to_bytes(&value["body"]),
    }
}

/// Visits every payload and list item that is a slice of the batch.
pub fn for_each_slice(frame: &Frame, visit: &mut dyn FnMut(&[u8])) {
    let mut strs = |list: &[Str]| list.iter().for_each(|each| visit(each.as_bytes()));
    #[expect(clippy::wildcard_enum_match_arm, reason = "the last ones have a module of their own")]
    match frame {
        Frame::Open(open) => {
            strs(&[open.sid.clone(), open.request.url.clone(), open.request.claims.clone()]);
        }
        Frame::Attach { rooms, .. }
        | Frame::Beside { rooms, .. }
        | Frame::Join { rooms, .. }
        | Frame::Leave { rooms, .. } => strs(rooms),
        Frame::Choose { socket, .. } => strs(core::slice::from_ref(socket)),
        Frame::Message { payload, .. } | Frame::Send { payload, .. } => visit(payload),
        Frame::Peers { servers } => strs(servers),
        Frame::Relay { to, payload } => {
            strs(to);
            visit(payload);
        }
        Frame::Relayed { from, payload } => {
            strs(core::slice::from_ref(from));
            visit(payload);
        }
        Frame::Persist(persist) => {
            strs(&[persist.pid.clone(), persist.socket.clone()]);
            strs(&persist.rooms);
            visit(&persist.data);
        }
        Frame::Restore { pid, offset, .. } => strs(&[pid.clone(), offset.clone()]),
        Frame::Restored(restored) => {
            strs(core::slice::from_ref(&restored.socket));
            strs(&restored.rooms);
            visit(&restored.data);
            restored.missed.iter().flatten().for_each(|part| visit(&part.data));
        }
        Frame::RestoredAt(restored) => {
            strs(&[restored.socket.clone(), restored.log.clone(), restored.last.clone()]);
            strs(&restored.rooms);
            visit(&restored.data);
            restored.missed.iter().flatten().for_each(|part| visit(&part.data));
            restored.cut.iter().for_each(|at| visit(at.server.as_bytes()));
        }
        Frame::Reattach(reattach) => {
            strs(&[reattach.socket.clone(), reattach.pid.clone(), reattach.log.clone()]);
            strs(&reattach.rooms);
            reattach.cut.iter().for_each(|at| visit(at.server.as_bytes()));
        }
        Frame::Prove { cut, .. } => cut.iter().for_each(|at| visit(at.server.as_bytes())),
        Frame::GiveBack { pid, .. } => strs(core::slice::from_ref(pid)),
        Frame::Close { description, .. } => visit(description.as_bytes()),
        Frame::Reject { response, .. } | Frame::Response { response, .. } => visit(&response.body),
        Frame::Broadcast(broadcast) | Frame::Recorded { broadcast, .. } => {
            strs(&broadcast.rooms);
            strs(&broadcast.except);
            broadcast.parts.iter().for_each(|part| visit(&part.data));
        }
        frame => homes::for_each_slice(frame, visit),
    }
}
