//! Handshakes, and requests that open no session. The hub answers the latter itself, because no app
//! server can be asked about them.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use trunkline_trunk::settings::NUMBER_MAX;
use trunkline_trunk::{
    ClientRequest, Frame, Header, Open, Request, RequestCode, Response, SessionNumber, Str,
};

use super::Hub;
use super::client::{Client, ClientKey, Phase};
use super::event::{self, TunnelEvent};
use crate::group::Group;
use crate::metrics::Outcome;
use crate::tunnel;

impl Hub {
    /// Handles a client that asks for a session.
    pub(super) fn open(&mut self, open: &Open) {
        let claims = claims_of(&open.request);
        let origin = header(&open.request, "origin");
        let Some(server) = self.servers.pick(self.now.at) else {
            if self.serverless.is_some() {
                self.count_connect("serverless");
                self.open_serverless(open, &claims, origin.as_deref());
                return;
            }
            self.count_connect("no_app_server");
            self.reject(open.session, origin.as_deref(), unavailable());
            return;
        };
        let user = user_of(&claims);
        let groups = first_groups(&claims);
        let key = ClientKey(self.next_client);
        self.next_client += 1;
        let phase = Phase::Opening { origin, groups };
        let mut client = Client::new(open.session, &open.sid, user, server, phase);
        let body = event::connect_body(&open.request, &claims);
        let Some(tunnel) = self.servers.get(server).and_then(|s| s.tunnels.first().copied()) else {
            return; // It was picked because it has one.
        };
        let Some(server) = self.servers.get_mut(server) else { return };
        let ack_id = server.begin(self.now.at, key, TunnelEvent::Connect, 0, tunnel);
        let request = event::request(
            &self.settings,
            self.now,
            &mut client,
            TunnelEvent::Connect,
            body,
            ack_id,
        );
        self.by_session.insert(open.session, key);
        self.clients.insert(key, client);
        self.metrics.connections.inc();
        self.tell_event(tunnel, request, true);
    }

    /// Handles the app server's answer to a connect event.
    pub(super) fn connect_answered(&mut self, key: ClientKey, response: &tunnel::Response) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let session = client.session;
        let Phase::Opening { origin, groups } = std::mem::replace(&mut client.phase, Phase::Open)
        else {
            // The client left before the answer; an app server that accepted it is notified.
            client.phase = Phase::Ended;
            if response.status_code < 300 {
                self.say_disconnected(key, "");
            } else {
                self.forget(key);
            }
            return;
        };
        if !matches!(response.status_code, 200 | 204) {
            client.phase = Phase::Ended;
            self.count_connect("refused");
            self.reject(session, origin.as_deref(), refusal(response));
            self.by_session.remove(&session);
            self.forget(key);
            return;
        }
        let (id, user, server) = (client.id.clone(), client.user.clone(), client.server);
        self.count_connect("accepted");
        self.learn_settings(&response.content);
        self.registry.insert(session, &id, user.as_deref(), server);
        for group in &groups {
            self.registry.join(session, group);
        }
        self.outbox.frame(Frame::Accept {
            session,
            sid: Str::EMPTY,
            headers: Vec::new(),
            lasting: cors(origin.as_deref()),
        });
    }

    /// Reads the app's options, which come with each answer, and sends changed ones to the node.
    fn learn_settings(&mut self, answer: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<ConnectAnswer>(answer) else { return };
        let Some(engine) =
            answer.socketio.filter(|engine| Some(engine) != self.trunk.engine.as_ref())
        else {
            return;
        };
        // Options that the node cannot honour would end the inner trunk.
        let settings = json!({
            "pingInterval": engine.ping_interval.clamp(1, NUMBER_MAX),
            "pingTimeout": engine.ping_timeout.clamp(1, NUMBER_MAX),
            "maxHttpBufferSize": engine.max_payload.clamp(1, self.settings.message_bytes_max),
        });
        self.trunk.engine = Some(engine);
        self.outbox.frame(Frame::Settings { settings: Str::from(settings.to_string()) });
    }

    /// Refuses a client because its app server can no longer answer.
    pub(super) fn reject_unavailable(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let session = client.session;
        let phase = std::mem::replace(&mut client.phase, Phase::Ended);
        if let Phase::Opening { origin, .. } = phase {
            self.count_connect("app_server_lost");
            self.reject(session, origin.as_deref(), unavailable());
            self.by_session.remove(&session);
        }
        self.forget(key);
    }

    /// Answers a preflight, or a request that the node refuses.
    pub(super) fn answer_request(&mut self, request: &Request) {
        let origin = header(&request.request, "origin");
        let mut headers = cors(origin.as_deref());
        let response = match request.code {
            RequestCode::Preflight => {
                let methods = "GET,HEAD,PUT,PATCH,POST,DELETE";
                headers.push(named("access-control-allow-methods", methods));
                if let Some(asked) = header(&request.request, "access-control-request-headers") {
                    headers.push(named("access-control-allow-headers", &asked));
                }
                Response { status: 204, headers, body: Bytes::new() }
            }
            RequestCode::Error(code) => {
                headers.push(named("content-type", "application/json"));
                let (status, message) = engine_error(code);
                let body = json!({ "code": code, "message": message }).to_string();
                Response { status, headers, body: Bytes::from(body) }
            }
        };
        self.outbox.frame(Frame::Response { request_id: request.request_id, response });
    }

    fn reject(&mut self, session: SessionNumber, origin: Option<&str>, mut response: Response) {
        response.headers.extend(cors(origin));
        self.outbox.frame(Frame::Reject { session, response });
    }

    fn count_connect(&self, outcome: &'static str) {
        self.metrics.connects.get_or_create(&Outcome { outcome }).inc();
    }
}

/// An app server's answer to a connect event.
#[derive(Deserialize)]
struct ConnectAnswer {
    socketio: Option<Engine>,
}

/// The part of the open packet that the app chooses. Milliseconds and bytes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Engine {
    ping_interval: u32,
    ping_timeout: u32,
    max_payload: u32,
}

fn claims_of(request: &ClientRequest) -> Map<String, Value> {
    match serde_json::from_str(&request.claims) {
        Ok(Value::Object(claims)) => claims,
        // The node writes an object or nothing.
        Ok(_) | Err(_) => Map::new(),
    }
}

/// The user that a token names.
pub(super) fn user_of(claims: &Map<String, Value>) -> Option<&str> {
    let user = ["userId", "sub"].iter().find_map(|name| claims.get(*name));
    user.and_then(Value::as_str).filter(|user| !user.is_empty())
}

/// The groups that the client's token puts it into.
pub(super) fn first_groups(claims: &Map<String, Value>) -> Vec<Group> {
    let names: Vec<&str> = match claims.get("webpubsub.group") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Vec::new()
        }
    };
    names.into_iter().filter_map(|name| Group::parse(name).ok()).collect()
}

fn header(request: &ClientRequest, name: &str) -> Option<String> {
    let found = request.headers.iter().find(|header| header.name == name);
    found.map(|header| header.value.to_string())
}

fn named(name: &'static str, value: &str) -> Header {
    Header { name: Str::from_static(name), value: Str::from(value) }
}

/// The headers that allow every web page to use the hub: the app servers behind a tunnel cannot
/// answer such requests.
pub(super) fn cors(origin: Option<&str>) -> Vec<Header> {
    let Some(origin) = origin else { return Vec::new() };
    vec![
        named("access-control-allow-origin", origin),
        named("access-control-allow-credentials", "true"),
        named("vary", "Origin"),
    ]
}

/// The app server's refusal of a client, as a response.
fn refusal(response: &tunnel::Response) -> Response {
    let status = match response.status_code {
        status @ 400..=599 => status,
        _ => 500,
    };
    let headers = vec![named("content-type", "text/plain; charset=utf-8")];
    Response { status, headers, body: response.content.clone() }
}

fn unavailable() -> Response {
    let message = "no app server of this hub is connected; try again";
    let body = json!({ "error": "no_app_server", "message": message }).to_string();
    let headers = vec![named("content-type", "application/json"), named("retry-after", "1")];
    Response { status: 503, headers, body: Bytes::from(body) }
}

/// Engine.IO's status and message for an error.
fn engine_error(code: u8) -> (u16, &'static str) {
    match code {
        0 => (400, "Transport unknown"),
        1 => (400, "Session ID unknown"),
        2 => (400, "Bad handshake method"),
        4 => (403, "Forbidden"),
        5 => (400, "Unsupported protocol version"),
        _ => (400, "Bad request"),
    }
}
