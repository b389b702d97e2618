//! Machine tests: clients, app servers and callers as the hub sees them, in virtual time.

mod calls;
mod groups;
mod invocations;
mod nodes;
mod order;
mod serverless;
mod tunnels;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_clock::Timestamp;
use trunkline_mesh::PeerKey;
use trunkline_trunk::{
    ClientRequest, CloseReason, EioVersion, Frame, Header, Open, SessionNumber, Str, Transport,
};

use super::*;
use crate::group::Group;
use crate::rest::{self, Answer};
use crate::tunnel::{Message, Request, Response, decode};

const GRACE: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
const CROWDING: Duration = Duration::from_secs(10);
const STATUS: Duration = Duration::from_secs(30);
const INVOKE: Duration = Duration::from_secs(60);

/// A hub, and its outputs so far.
struct World {
    hub: Hub,
    now: Now,
    frames: Vec<Frame>,
    messages: Vec<(TunnelId, Message)>,
    answers: Vec<(CallId, Answer)>,
    processed: u64,
    calls: u64,
    ended: Vec<TunnelId>,
    /// For other nodes.
    words: Vec<(PeerKey, u32, Bytes)>,
    /// The number of the node in its clients' sids, if it is one of a cluster.
    number: Option<u16>,
}

impl World {
    fn new() -> Self {
        let settings = Settings {
            name: "Chat".into(),
            keys: vec![Secret::new("key")],
            origin: "127.0.0.1:8080".into(),
            reconnect_grace: GRACE,
            answer_timeout: ANSWER,
            crowding_timeout: CROWDING,
            crowding_bytes: 1000,
            status_interval: STATUS,
            orphan_close_per_second: 40,
            message_bytes_max: 1 << 20,
            undelivered_bytes_max: 1 << 20,
            invoke_timeout: INVOKE,
            namespaces_max: 3,
            serverless: None,
        };
        let mut world = Self {
            hub: Hub::new(settings, Metrics::default(), [7; 16]),
            now: Now { at: Timestamp::ORIGIN, unix_ms: 1_800_000_000_000 },
            frames: Vec::new(),
            messages: Vec::new(),
            answers: Vec::new(),
            processed: 0,
            calls: 0,
            ended: Vec::new(),
            words: Vec::new(),
            number: None,
        };
        world.hub.handle_trunk_up(world.now);
        world
    }

    /// A hub with an app server `a` at tunnel 1.
    fn with_server() -> Self {
        let mut world = Self::new();
        world.tunnel_up(1, "a");
        assert!(matches!(world.take_messages()[..], [Message::Connected { .. }]));
        world
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Frame(frame) => self.frames.push(frame),
                Output::Message(tunnel, frame) => {
                    self.messages.push((tunnel, decode(&frame).expect("our own encoding")));
                }
                Output::EndTunnel(tunnel, _) => self.ended.push(tunnel),
                Output::Answer(call, answer) => self.answers.push((call, answer)),
                Output::Processed(bytes) => self.processed += bytes,
                Output::Word(peer, number, word) => self.words.push((peer, number, word)),
                Output::Webhook(..) => panic!("this hub has no handlers"),
            }
        }
    }

    fn tunnel_up(&mut self, tunnel: u64, server: &str) {
        self.hub.handle_tunnel_up(self.now, TunnelId(tunnel), server);
        self.drain();
    }

    fn tunnel_down(&mut self, tunnel: u64, clean: bool) {
        self.hub.handle_tunnel_down(self.now, TunnelId(tunnel), clean);
        self.drain();
    }

    fn frame(&mut self, frame: Frame) {
        self.hub.handle_frame(self.now, frame);
        self.hub.handle_batch_end(self.now);
        self.drain();
    }

    /// Lets time pass, stopping at every deadline.
    fn pass(&mut self, time: Duration) {
        let until = self.now.at + time;
        while let Some(at) = self.hub.poll_deadline().filter(|at| *at <= until) {
            self.now.at = at.max(self.now.at);
            self.hub.handle_timeout(self.now);
            self.drain();
        }
        self.now.at = until;
    }

    fn open(&mut self, session: u32, claims: &Value) {
        let header = Header { name: "origin".into(), value: "http://page".into() };
        let request = ClientRequest {
            transport: Transport::Polling,
            secure: false,
            address: "127.0.0.9".into(),
            port: 5,
            method: "GET".into(),
            url: "/clients/socketio/hubs/Chat/?EIO=4&transport=polling&access_token=x".into(),
            headers: vec![header],
            claims: Str::from(claims.to_string()),
        };
        self.frame(Frame::Open(Box::new(Open {
            session: SessionNumber(session),
            eio: EioVersion::V4,
            sid: Str::from(self.sid(session)),
            request,
        })));
    }

    fn sid(&self, session: u32) -> String {
        let Some(number) = self.number else { return format!("c{session}") };
        let mut bytes = [0; 21];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        bytes[2..6].copy_from_slice(&session.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Connects a client and lets it join the namespace `/`, with the Socket.IO id `s<session>`.
    fn client(&mut self, session: u32) {
        self.open(session, &json!({ "sub": format!("user{session}") }));
        let connect = self.take_requests().pop().expect("a connect event");
        self.reply(&connect, 200, &accepted(&format!("c{session}")));
        self.enter(session, "/");
        self.take_frames();
        self.take_messages();
    }

    /// Joins a namespace as the SDK does it.
    fn enter(&mut self, session: u32, namespace: &str) {
        let own = Group::room_name(namespace, &format!("s{session}"));
        let filter = format!("connectionId eq 'c{session}'");
        let body = json!({ "groups": [own], "filter": filter }).to_string();
        assert_eq!(self.call("POST", ":addToGroups", &body).status_code, 200);
        let nsp = if namespace == "/" { String::new() } else { format!("{namespace},") };
        let packet = format!("40{nsp}{{\"sid\":\"s{session}\"}}");
        assert_eq!(self.send_to(session, &packet), 202);
    }

    fn hear(&mut self, session: u32, text: &str) {
        self.frame(Frame::Message {
            session: SessionNumber(session),
            binary: false,
            payload: Bytes::copy_from_slice(text.as_bytes()),
        });
    }

    fn hear_bytes(&mut self, session: u32, bytes: &[u8]) {
        let payload = Bytes::copy_from_slice(bytes);
        self.frame(Frame::Message { session: SessionNumber(session), binary: true, payload });
    }

    fn close(&mut self, session: u32, reason: CloseReason) {
        let reason = reason.into();
        let session = SessionNumber(session);
        self.frame(Frame::Close { session, reason, description: Str::EMPTY });
    }

    /// Answers an event as the app server `a`.
    fn reply(&mut self, event: &Request, status_code: u16, body: &str) {
        let content = Bytes::copy_from_slice(body.as_bytes());
        let response =
            Response { ack_id: event.ack_id, status_code, content, ..Response::default() };
        let servers = self.hub.servers.any_tunnel();
        let tunnel = servers.expect("a tunnel");
        self.hub.handle_tunnel_message(self.now, tunnel, Message::Response(response));
        self.drain();
    }

    /// Makes a call as an app server over tunnel 1, without looking for the answer.
    fn begin_call(&mut self, method: &str, path: &str, body: &str) -> u64 {
        self.calls += 1;
        let request = Request {
            ack_id: self.calls,
            http_method: method.into(),
            url: format!("https://host/api/hubs/CHAT/{path}"),
            content: Bytes::copy_from_slice(body.as_bytes()),
            ..Request::default()
        };
        self.hub.handle_tunnel_message(self.now, TunnelId(1), Message::Request(request));
        self.drain();
        self.calls
    }

    /// Makes a call as an app server and returns its answer.
    fn call(&mut self, method: &str, path: &str, body: &str) -> Response {
        let ack_id = self.begin_call(method, path, body);
        let at = self.messages.iter().position(|(_, message)| {
            matches!(message, Message::Response(response) if response.ack_id == ack_id)
        });
        match self.messages.remove(at.expect("an answer")) {
            (_, Message::Response(response)) => response,
            (_, other) => panic!("{other:?}"),
        }
    }

    fn send_to(&mut self, session: u32, payload: &str) -> u16 {
        self.call("POST", &format!("connections/c{session}/:send"), payload).status_code
    }

    /// Makes a call over HTTP.
    fn http(&mut self, method: &str, url: &str, body: &str) -> Answer {
        self.begin_http(1, method, url, body);
        self.answers.remove(0).1
    }

    /// Makes a call over HTTP, without looking for the answer.
    fn begin_http(&mut self, id: u64, method: &str, url: &str, body: &str) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = format!("/api/hubs/Chat/{path}");
        let body = Bytes::copy_from_slice(body.as_bytes());
        let call = rest::parse(method, &path, query, body.clone()).expect("a call");
        let raw = RawCall::new(method, &path, query, body);
        self.hub.handle_call(self.now, CallId(id), call.operation, raw);
        self.drain();
    }

    fn take_frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages).into_iter().map(|(_, message)| message).collect()
    }

    /// The events for app servers.
    fn take_requests(&mut self) -> Vec<Request> {
        let requests = self.take_messages().into_iter().filter_map(|message| match message {
            Message::Request(request) => Some(request),
            Message::Response(_)
            | Message::Status { .. }
            | Message::Reconnect { .. }
            | Message::Close { .. }
            | Message::Rebalance { .. }
            | Message::Connected { .. } => None,
        });
        requests.collect()
    }

    /// The parts of the answer to a call over a tunnel.
    fn take_parts(&mut self, ack_id: u64) -> Vec<Response> {
        let parts = self.take_messages().into_iter().filter_map(|message| match message {
            Message::Response(part) => (part.ack_id == ack_id).then_some(part),
            Message::Request(_)
            | Message::Status { .. }
            | Message::Reconnect { .. }
            | Message::Close { .. }
            | Message::Rebalance { .. }
            | Message::Connected { .. } => None,
        });
        parts.collect()
    }

    /// The output for clients, as `session:text`, and closes as `session:close`.
    fn take_sent(&mut self) -> Vec<String> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        #[expect(clippy::wildcard_enum_match_arm, reason = "only what clients see is looked at")]
        let sent = self.take_frames().into_iter().filter_map(|frame| match frame {
            Frame::Send { session, payload, .. } => {
                Some(format!("{}:{}", session.0, text(&payload)))
            }
            Frame::Close { session, .. } => Some(format!("{}:close", session.0)),
            _ => None,
        });
        sent.collect()
    }
}

fn accepted(sid: &str) -> String {
    let engine = json!({
        "sid": sid, "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1_000_000
    });
    json!({ "socketio": engine }).to_string()
}

/// One header of an event.
fn header<'a>(event: &'a Request, name: &str) -> &'a str {
    let headers = event.headers.as_ref().expect("events have headers");
    headers.get(name).map_or("", |values| &values[0])
}

fn names(events: &[Request]) -> Vec<&str> {
    events.iter().map(|event| header(event, "ce-eventName")).collect()
}

fn content(event: &Request) -> &str {
    std::str::from_utf8(&event.content).expect("text")
}
