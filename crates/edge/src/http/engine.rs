//! Engine.IO over HTTP: the checks of npm engine.io in its order, then handshake, poll, post or upgrade.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use trunkline_engineio::error::HandshakeError;
use trunkline_engineio::{Protocol, TransportKind};
use trunkline_http::body::{self, BodyError, Bounds};
use trunkline_trunk::{ClientRequest, Str};

use super::exchange::Added;
use super::guard::{Guard, HandshakeGuard};
use super::query::Query;
use super::{Abort, Connection, Reply, answer, clients, exchange, poll, rest, upgrade};
use crate::hub::{Hub, Trunk};
use crate::memory::HELD_BYTES_BEYOND_CEILING;
use crate::shard::{
    Answer, Asked, Command, OpenRequest, POST_BROKEN, PostBegun, PostBounds, Refusal, SlotKey,
};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// One request under a hub's path.
pub(super) async fn handle(
    connection: Rc<Connection>,
    hub: Arc<Hub>,
    request: Request<Incoming>,
) -> Reply {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    if request.method() == Method::OPTIONS {
        connection.door.env().metrics.count_idle("preflight", 1);
        let owner = owner_of(&connection, &hub, &query).await;
        return Ok(exchange::preflight(&connection, &hub, owner, &request).await);
    }
    let shards = connection.door.peers().len();
    let asked = match verify(&hub, shards, &query, &request) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(exchange::refuse(&connection, &hub, &request, &refusal).await),
    };
    if connection.beyond_max.is_some() && asked.takes_stream() {
        connection.door.count_handshake(Unavailable::StreamsFull);
        hub.note_refused(Unavailable::StreamsFull);
        return Ok(unavailable(&connection, Unavailable::StreamsFull));
    }
    let added = match asked.of_session() {
        Some(transport) if hub.settings().every_request => {
            match about(&connection, &hub, &query, &request, transport).await {
                Ok(added) => added,
                Err(answer) => return Ok(*answer),
            }
        }
        Some(_) | None => None,
    };
    match asked {
        Wanted::Handshake(transport, protocol) => {
            let claims = match clients::admit(&connection, &hub, &query, &request).await {
                Ok(claims) => claims,
                Err(refused) => return clients::refuse(&connection, &request, refused),
            };
            let client = Handshake { protocol, query: &query, claims };
            match transport {
                TransportKind::Polling => open_polling(&connection, &hub, client, request).await,
                TransportKind::WebSocket => {
                    open_websocket(&connection, &hub, client, request).await
                }
            }
        }
        Wanted::Upgrade(sid, protocol) => {
            let client = (protocol, query.base64_only);
            probe(&connection, &hub, sid, client, request, added).await
        }
        Wanted::Poll(sid, protocol) => {
            poll::poll(&connection, hub, sid, protocol, request, added).await
        }
        Wanted::Post(sid, protocol) => {
            let reply = post(&connection, &hub, sid, protocol, request).await;
            exchange::with(&added, reply)
        }
        Wanted::Useless => dismiss(&connection, request),
        Wanted::Other => Ok(answer::status(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// What a client says of itself when it wants a session.
struct Handshake<'a> {
    protocol: Protocol,
    query: &'a Query,
    /// Of its token, verified.
    claims: Str,
}

/// The app server that has the session that the query names.
async fn owner_of(connection: &Connection, hub: &Hub, query: &Query) -> Option<Arc<Trunk>> {
    let sid = hub.resolve_sid(&query.sid, connection.door.peers().len())?;
    let asked = Asked { sid, protocol: query.protocol(), hub: hub.number };
    let (reply, found) = oneshot::channel();
    connection.door.tell(sid.shard, Command::Inspect { asked, reply }).await;
    let (_, number) = found.await.ok()?.ok()?;
    hub.trunk_of_number(number)
}

/// Asks the app server that has the session, if it wants to be asked. An unknown session is refused later, in
/// Engine.IO's words.
async fn about(
    connection: &Connection,
    hub: &Hub,
    query: &Query,
    request: &Request<Incoming>,
    transport: TransportKind,
) -> Result<Added, Box<Response<Full<Bytes>>>> {
    match owner_of(connection, hub, query).await {
        Some(owner) if owner.settings.every_request => {
            exchange::ask_owner(connection, &owner, request, transport).await
        }
        Some(_) | None => Ok(None),
    }
}

enum Wanted {
    Handshake(TransportKind, Protocol),
    Poll(Sid, Protocol),
    Post(Sid, Protocol),
    Upgrade(Sid, Protocol),
    /// A WebSocket for polling: npm takes it and closes it.
    Useless,
    /// A method that a session has no use for: npm answers 500.
    Other,
}

impl Wanted {
    /// The transport by which a session that is there goes on.
    fn of_session(&self) -> Option<TransportKind> {
        match self {
            Self::Poll(..) | Self::Post(..) => Some(TransportKind::Polling),
            Self::Upgrade(..) => Some(TransportKind::WebSocket),
            Self::Handshake(..) | Self::Useless | Self::Other => None,
        }
    }

    /// Whether it is for a stream that stays; the requests of sessions that are there come and go.
    fn takes_stream(&self) -> bool {
        matches!(self, Self::Handshake(..) | Self::Upgrade(..) | Self::Useless)
    }
}

/// What npm's `verify` and `handshake` check before any app code runs.
fn verify<B>(
    hub: &Hub,
    shards: usize,
    query: &Query,
    request: &Request<B>,
) -> Result<Wanted, Refusal> {
    let settings = hub.settings();
    // Without the transport nobody listens for upgrades: the request is an ordinary one.
    let upgrading = settings.transports.websocket && upgrade::is_asked(request);
    let transport = match query.transport.as_deref() {
        Some("polling") if settings.transports.polling => TransportKind::Polling,
        Some("websocket") if settings.transports.websocket => TransportKind::WebSocket,
        Some(other) => {
            return Err(refusal(HandshakeError::UnknownTransport, &[("transport", other)]));
        }
        None => return Err(refusal(HandshakeError::UnknownTransport, &[])),
    };
    let protocol = query.protocol();
    if !query.sid.is_empty() {
        let Some(sid) = hub.resolve_sid(&query.sid, shards) else {
            return Err(refusal(HandshakeError::UnknownSid, &[("sid", &query.sid)]));
        };
        return Ok(match (transport, request.method()) {
            (TransportKind::WebSocket, _) if upgrading => Wanted::Upgrade(sid, protocol),
            (TransportKind::Polling, _) if upgrading => Wanted::Useless,
            (TransportKind::WebSocket, _) => {
                let context = [
                    ("name", "TRANSPORT_MISMATCH"),
                    ("transport", "websocket"),
                    ("previousTransport", "polling"),
                ];
                return Err(refusal(HandshakeError::BadRequest, &context));
            }
            (TransportKind::Polling, &Method::GET) => Wanted::Poll(sid, protocol),
            (TransportKind::Polling, &Method::POST) => Wanted::Post(sid, protocol),
            (TransportKind::Polling, _) => Wanted::Other,
        });
    }
    if request.method() != Method::GET {
        let context = [("method", request.method().as_str())];
        return Err(refusal(HandshakeError::BadHandshakeMethod, &context));
    }
    if transport == TransportKind::WebSocket && !upgrading {
        let context = [("name", "TRANSPORT_HANDSHAKE_ERROR")];
        return Err(refusal(HandshakeError::BadRequest, &context));
    }
    if transport == TransportKind::Polling && upgrading {
        return Ok(Wanted::Useless);
    }
    if protocol == Protocol::V3 && !settings.allow_eio3 {
        let error = HandshakeError::UnsupportedProtocolVersion;
        return Err(Refusal { error, context: r#"{"protocol":3}"#.into() });
    }
    Ok(Wanted::Handshake(transport, protocol))
}

/// The context is a JSON object with its keys in the order that npm writes them.
fn refusal(error: HandshakeError, context: &[(&str, &str)]) -> Refusal {
    let fields: Vec<String> = context
        .iter()
        .map(|(name, value)| format!("\"{name}\":{}", serde_json::Value::from(*value)))
        .collect();
    Refusal { error, context: format!("{{{}}}", fields.join(",")) }
}

async fn open(
    connection: &Connection,
    hub: &Arc<Hub>,
    transport: TransportKind,
    client: Handshake<'_>,
    request: &Request<Incoming>,
) -> Answer {
    let Handshake { protocol, query, claims } = client;
    let (reply, answer) = oneshot::channel();
    let poll = connection.door.poll_number();
    let key = connection.door.0.shard.open(OpenRequest {
        hub: Arc::clone(hub),
        protocol,
        transport,
        base64_only: query.base64_only,
        jsonp: query.jsonp.as_deref().map(Box::from),
        request: ClientRequest {
            claims,
            ..exchange::client_request(connection, request, transport)
        },
        poll,
        reply,
    });
    let guard = key.map(|key| HandshakeGuard::new(&connection.door, key, poll));
    let answer = answer.await.unwrap_or(Answer::Abort);
    if let Some(guard) = guard {
        guard.disarm();
    }
    answer
}

async fn open_polling(
    connection: &Connection,
    hub: &Arc<Hub>,
    client: Handshake<'_>,
    request: Request<Incoming>,
) -> Reply {
    let answer = open(connection, hub, TransportKind::Polling, client, &request).await;
    finish(connection, hub, &request, answer).await
}

async fn open_websocket(
    connection: &Rc<Connection>,
    hub: &Arc<Hub>,
    client: Handshake<'_>,
    mut request: Request<Incoming>,
) -> Reply {
    let (websocket_key, agreement) = match agree(hub, &request) {
        Ok(agreed) => agreed,
        Err(why) => {
            connection.door.count_refused("bad_websocket_handshake");
            return Ok(upgrade::refused(why));
        }
    };
    let answer = open(connection, hub, TransportKind::WebSocket, client, &request).await;
    match answer {
        Answer::Switch { key, headers, first } => {
            if let Some(io) = connection.io.take() {
                io.set_tail(first);
            }
            adopt(connection, &mut request, key, (Adoption::Session, agreement.deflate_window()));
            Ok(upgrade::switching(&websocket_key, agreement, headers))
        }
        Answer::Payload(_)
        | Answer::Ok { .. }
        | Answer::Status(_)
        | Answer::Relayed(_)
        | Answer::Refused(_)
        | Answer::Unavailable(_)
        | Answer::Abort => finish(connection, hub, &request, answer).await,
    }
}

fn agree(
    hub: &Hub,
    request: &Request<Incoming>,
) -> Result<(String, upgrade::Agreement), upgrade::BadHandshake> {
    let key = upgrade::websocket_key(request)?;
    let settings = hub.settings();
    let agreement = upgrade::Agreement::reach(request, settings.per_message_deflate.as_ref())?;
    Ok((key, agreement))
}

/// A WebSocket for a session that polls.
async fn probe(
    connection: &Rc<Connection>,
    hub: &Arc<Hub>,
    sid: Sid,
    (protocol, base64_only): (Protocol, bool),
    mut request: Request<Incoming>,
    added: Added,
) -> Reply {
    let asked = Asked { sid, protocol, hub: hub.number };
    let (reply, found) = oneshot::channel();
    connection.door.tell(sid.shard, Command::Inspect { asked, reply }).await;
    let key = match found.await.unwrap_or_else(|_| Err(unknown_shard(&sid))) {
        Ok((key, _)) => key,
        Err(refusal) => return Ok(exchange::refuse(connection, hub, &request, &refusal).await),
    };
    let (websocket_key, agreement) = match agree(hub, &request) {
        Ok(agreed) => agreed,
        Err(why) => {
            connection.door.count_refused("bad_websocket_handshake");
            return Ok(upgrade::refused(why));
        }
    };
    let adoption = (Adoption::Probe { base64_only }, agreement.deflate_window());
    adopt(connection, &mut request, key, adoption);
    Ok(upgrade::switching(&websocket_key, agreement, added.into_iter().flatten()))
}

fn dismiss(connection: &Rc<Connection>, mut request: Request<Incoming>) -> Reply {
    connection.door.count_refused("websocket_for_polling");
    match upgrade::websocket_key(&request) {
        Ok(key) => {
            let shard = connection.door.0.own;
            let nobody = SlotKey { shard, slot: u32::MAX, generation: 0 };
            let adoption = (Adoption::Probe { base64_only: false }, None);
            adopt(connection, &mut request, nobody, adoption);
            Ok(upgrade::switching(&key, upgrade::Agreement::default(), Vec::new()))
        }
        Err(why) => Ok(upgrade::refused(why)),
    }
}

/// The shard that the sid names gave no answer: it has stopped.
pub(super) fn unknown_shard(sid: &Sid) -> Refusal {
    refusal(HandshakeError::UnknownSid, &[("sid", &sid.encode())])
}

#[derive(Clone, Copy)]
enum Adoption {
    Session,
    Probe { base64_only: bool },
}

/// Once the `101` is out, the stream goes to its shard and this connection's task ends.
fn adopt(
    connection: &Rc<Connection>,
    request: &mut Request<Incoming>,
    key: SlotKey,
    (adoption, deflate_window): (Adoption, Option<u8>),
) {
    let upgraded = hyper::upgrade::on(request);
    let connection = Rc::clone(connection);
    spawn_local(async move {
        let taken = upgrade::take_stream(upgraded, &connection, deflate_window).await;
        let command = match (taken, adoption) {
            (Some(stream), Adoption::Session) => Command::Adopt { key, stream },
            (Some(stream), Adoption::Probe { base64_only }) => {
                Command::Probe { key, base64_only, stream }
            }
            (None, Adoption::Session) => Command::HandshakeGone { key, poll: 0 },
            (None, Adoption::Probe { .. }) => return,
        };
        connection.door.tell(key.shard, command).await;
    });
}

async fn post(
    connection: &Connection,
    hub: &Arc<Hub>,
    sid: Sid,
    protocol: Protocol,
    request: Request<Incoming>,
) -> Reply {
    let asked = Asked { sid, protocol, hub: hub.number };
    let (reply, begun) = oneshot::channel();
    connection.door.tell(sid.shard, Command::PostBegin { asked, reply }).await;
    let begun = begun.await.unwrap_or_else(|_| PostBegun::Refused(unknown_shard(&sid)));
    let (key, bounds, jsonp, cut) = match begun {
        PostBegun::Wanted { key, bounds, jsonp, cut } => {
            connection.prove_by_session();
            (key, bounds, jsonp, cut)
        }
        PostBegun::Refused(refusal) => {
            return Ok(exchange::refuse(connection, hub, &request, &refusal).await);
        }
        PostBegun::Status(code) => {
            return finish(connection, hub, &request, Answer::Status(code)).await;
        }
    };
    let gone = Command::PostGone { key, fault: Some(POST_BROKEN) };
    let guard = Guard::new(&connection.door, key.shard, gone);
    let rests = rest::may_come_after(connection, &request);
    let (parts, body) = request.into_parts();
    let binary = parts.headers.get(CONTENT_TYPE).is_some_and(|v| v == "application/octet-stream");
    let body = tokio::select! {
        body = read_body(connection, body, bounds) => body,
        // The session has ended or this request was in the way of another: it is cut off.
        _ = cut => Err(BodyError::Broken),
    };
    let body = match body {
        Ok(body) => body,
        Err(BodyError::Broken) => return Err(Abort),
        Err(BodyError::MemoryFull) => return Ok(unavailable(connection, Unavailable::MemoryFull)),
        Err(error @ (BodyError::Slow | BodyError::TooLarge | BodyError::TooManyChunks)) => {
            guard.disarm();
            let (status, cause, fault) = refused_body(error);
            connection.door.count_refused(cause);
            let gone = Command::PostGone { key, fault: Some(fault) };
            connection.door.tell(key.shard, gone).await;
            return Ok(answer::status(status));
        }
    };
    guard.disarm();
    let body = if jsonp {
        // A form without the field carries no packets; the post is acknowledged all the same.
        super::jsonp::payload_of_form(&body)
    } else {
        Some(body)
    };
    let Some(body) = body else {
        let gone = Command::PostGone { key, fault: None };
        connection.door.tell(key.shard, gone).await;
        return Ok(answer::ok(None, &parts.headers));
    };
    let (reply, answer) = oneshot::channel();
    connection.door.tell(key.shard, Command::PostBody { key, binary, body, reply }).await;
    let answer = answer.await.unwrap_or(Answer::Abort);
    let reply = finish(connection, hub, &Request::from_parts(parts, ()), answer).await;
    // The body was read to its end: what comes next on the stream is another request.
    connection.answered.set(rests);
    reply
}

/// The answer, the cause that is counted, and Engine.IO's words for what ends the session.
fn refused_body(error: BodyError) -> (StatusCode, &'static str, &'static str) {
    match error {
        BodyError::Slow => (StatusCode::REQUEST_TIMEOUT, "body_timeout", "http request timeout"),
        BodyError::TooManyChunks => {
            (StatusCode::PAYLOAD_TOO_LARGE, "payload_in_pieces", "too many chunks")
        }
        BodyError::Broken | BodyError::MemoryFull | BodyError::TooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "payload too large")
        }
    }
}

async fn read_body(
    connection: &Connection,
    body: Incoming,
    bounds: PostBounds,
) -> Result<Bytes, BodyError> {
    let env = connection.door.env();
    let PostBounds { bytes_max, chunks_max, timeout } = bounds;
    let bounds = Bounds {
        bytes_max,
        chunks_max,
        timeout,
        full_bytes_max: HELD_BYTES_BEYOND_CEILING,
        is_full: &|| env.memory.is_full(&env.metrics),
    };
    body::read(body, &bounds).await
}

pub(super) async fn finish<B>(
    connection: &Connection,
    hub: &Arc<Hub>,
    request: &Request<B>,
    answer: Answer,
) -> Reply {
    let asked: &HeaderMap = request.headers();
    Ok(match answer {
        Answer::Payload(payload) => {
            answer::payload(connection, *payload, hub.settings().http_compression, asked).await
        }
        Answer::Ok { lasting } => answer::ok(lasting.as_deref(), asked),
        Answer::Status(code) => {
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
            answer::status(code)
        }
        Answer::Relayed(response) => {
            let mut response = answer::relayed(response);
            if upgrade::is_asked(request) {
                answer::close_after(&mut response);
            }
            response
        }
        Answer::Refused(refusal) => exchange::refuse(connection, hub, request, &refusal).await,
        Answer::Unavailable(why) => unavailable(connection, why),
        Answer::Abort | Answer::Switch { .. } => return Err(Abort),
    })
}

fn unavailable(connection: &Connection, why: Unavailable) -> Response<Full<Bytes>> {
    connection.door.count_refused(why.slug());
    connection.door.note_full(why);
    answer::unavailable(why)
}
