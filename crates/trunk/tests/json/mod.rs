//! Frames as the JSON of `spec/vectors`: field names of the spec, flags as numbers, bytes in hex.
#![expect(unreachable_pub, reason = "a module that tests share")]
#![expect(clippy::unwrap_used, reason = "a vector that is not as told fails its test")]

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_trunk::{
    Broadcast, BroadcastFlags, ClientRequest, CloseCode, EioVersion, ErrorCode, Frame, Header,
    Hello, NamespaceNumber, Open, Part, Request, RequestCode, RequestId, Response, SendFlags,
    SessionNumber, Str, Transport, Welcome,
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
        Frame::Attach { session: _, nsp, socket, rooms } => {
            json!({ "nsp": nsp.0, "socket": **socket, "rooms": from_strs(rooms) })
        }
        Frame::Detach { session: _, nsp } => json!({ "nsp": nsp.0 }),
        Frame::Join { session: _, nsp, rooms } | Frame::Leave { session: _, nsp, rooms } => {
            json!({ "nsp": nsp.0, "rooms": from_strs(rooms) })
        }
        Frame::Broadcast(broadcast) => json!({
            "nsp": broadcast.nsp.0,
            "flags": broadcast.flags.to_wire(),
            "rooms": from_strs(&broadcast.rooms),
            "except": from_strs(&broadcast.except),
            "parts": broadcast.parts.iter().map(from_part).collect::<Vec<_>>(),
        }),
    }
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

fn from_part(part: &Part) -> Value {
    json!({ "kind": u8::from(part.binary), "data": hex(&part.data) })
}

pub fn to_frame(value: &Value) -> Frame {
    let number = |field: &str| value[field].as_u64().unwrap() as u32;
    let text = |field: &str| to_str(&value[field]);
    let nsp = || NamespaceNumber(number("nsp"));
    let strs = |field: &str| value[field].as_array().unwrap().iter().map(to_str).collect();
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
        "Request" => Frame::Request(Box::new(Request {
            request_id: RequestId(number("request_id")),
            code: RequestCode::from_wire(number("code") as u8).unwrap(),
            context: text("context"),
            request: to_request(&value["request"]),
        })),
        "Response" => Frame::Response {
            request_id: RequestId(number("request_id")),
            response: to_response(&value["response"]),
        },
        "Namespace" => Frame::Namespace { nsp: nsp(), name: text("name") },
        "Attach" => {
            Frame::Attach { session, nsp: nsp(), socket: text("socket"), rooms: strs("rooms") }
        }
        "Detach" => Frame::Detach { session, nsp: nsp() },
        "Join" => Frame::Join { session, nsp: nsp(), rooms: strs("rooms") },
        "Leave" => Frame::Leave { session, nsp: nsp(), rooms: strs("rooms") },
        "Broadcast" => Frame::Broadcast(Broadcast {
            nsp: nsp(),
            flags: BroadcastFlags::from_wire(number("flags") as u8).unwrap(),
            rooms: strs("rooms"),
            except: strs("except"),
            parts: value["parts"].as_array().unwrap().iter().map(to_part).collect(),
        }),
        other => panic!("no frame is called {other}"),
    }
}

fn to_str(value: &Value) -> Str {
    value.as_str().unwrap().into()
}

fn to_bytes(value: &Value) -> Bytes {
    unhex(value.as_str().unwrap())
}

fn to_part(part: &Value) -> Part {
    Part { binary: part["kind"] == 1, data: to_bytes(&part["data"]) }
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

/// Every payload and list item that is a slice of the batch.
pub fn for_each_slice(frame: &Frame, visit: &mut dyn FnMut(&[u8])) {
    let mut strs = |list: &[Str]| list.iter().for_each(|each| visit(each.as_bytes()));
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others hold nothing of another form")]
    match frame {
        Frame::Open(open) => {
            strs(&[open.sid.clone(), open.request.url.clone(), open.request.claims.clone()]);
        }
        Frame::Attach { rooms, .. } | Frame::Join { rooms, .. } | Frame::Leave { rooms, .. } => {
            strs(rooms);
        }
        Frame::Message { payload, .. } | Frame::Send { payload, .. } => visit(payload),
        Frame::Close { description, .. } => visit(description.as_bytes()),
        Frame::Reject { response, .. } | Frame::Response { response, .. } => visit(&response.body),
        Frame::Broadcast(broadcast) => {
            strs(&broadcast.rooms);
            strs(&broadcast.except);
            broadcast.parts.iter().for_each(|part| visit(&part.data));
        }
        _ => (),
    }
}
