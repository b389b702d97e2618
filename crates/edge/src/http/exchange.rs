//! Requests that open no session: a connected app server decides the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response};
use trunkline_clock::Timestamp;
use trunkline_engineio::{HandshakeError, TransportKind};
use trunkline_switchboard::affinity::{Advice, Promptness};
use trunkline_trunk::{ClientRequest, Header, RequestCode, Str, Transport};

use super::connection::Connection;
use super::held::Added;
use super::{Reply, answer, upgrade, visitor};
use crate::environment::Environment;
use crate::hub::{Hub, Trunk};
use crate::reply::Awaited;
use crate::shard::Refusal;
use crate::unavailable::Unavailable;

/// The longest time in which an app server may answer a request that opens no session.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A header that no client sees: with it an app server says that the node itself must answer the
/// request.
const PROCEED: &str = ":proceed";
/// The most app servers that are asked about one request, one after another.
const SERVERS_MAX: usize = 3;

/// The most headers of one request that an app sees: as many as Node.js shows it.
const HEADERS_MAX: usize = 1000;

/// A client's request in the form that the app server sees.
pub(super) fn client_request<B>(
    connection: &Connection,
    request: &Request<B>,
    transport: TransportKind,
) -> ClientRequest {
    let url = request.uri().path_and_query().map_or("/", |url| url.as_str());
    let headers = || request.headers().iter().take(HEADERS_MAX);
    let bytes: usize = headers().map(|(name, value)| name.as_str().len() + value.len()).sum();
    // One allocation for all of them: every client brings a dozen headers.
    let mut text = String::with_capacity(url.len() + bytes);
    text.push_str(url);
    let mut ends = Vec::with_capacity(headers().size_hint().0);
    for (name, value) in headers() {
        text.push_str(name.as_str());
        let name_end = text.len();
        push_latin1(&mut text, value.as_bytes());
        ends.push((name_end, text.len()));
    }
    let text = Str::from(text);
    let mut start = url.len();
    let headers = ends.into_iter().map(|(name_end, end)| {
        let header = Header { name: text.slice(start..name_end), value: text.slice(name_end..end) };
        start = end;
        header
    });
    let from = connection.client();
    ClientRequest {
        transport: match transport {
            TransportKind::Polling => Transport::Polling,
            TransportKind::WebSocket => Transport::WebSocket,
        },
        secure: connection.is_secure(),
        address: Str::from(from.ip.to_string()),
        port: from.port,
        method: match *request.method() {
            Method::GET => Str::from_static("GET"),
            ref other => Str::from(other.as_str()),
        },
        url: text.slice(0..url.len()),
        headers: headers.collect(),
        claims: Str::EMPTY,
    }
}

/// Appends header bytes as Node.js reads them: as Latin-1.
fn push_latin1(text: &mut String, bytes: &[u8]) {
    match str::from_utf8(bytes) {
        Ok(ascii) if ascii.is_ascii() => text.push_str(ascii),
        Ok(_) | Err(_) => text.extend(bytes.iter().map(|&byte| char::from(byte))),
    }
}

/// Answers a preflight: the app's `cors` and other engine middlewares decide.
pub(super) async fn preflight<B>(
    connection: &Connection,
    hub: &Arc<Hub>,
    owner: Option<Arc<Trunk>>,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    let client = client_request(connection, request, TransportKind::Polling);
    match ask(connection, (hub, owner), RequestCode::Preflight, "", client).await {
        Ok(response) => response,
        Err(why) => {
            connection.count_refused(why.slug());
            answer::unavailable(why)
        }
    }
}

/// Asks the app server of a session that wants to be asked about each request, so that its
/// middlewares run. `Err` contains the client's answer: the app server's own, or a 503 if it gave
/// none.
pub(super) async fn ask_owner<B>(
    connection: &Connection,
    owner: &Arc<Trunk>,
    request: &Request<B>,
    transport: TransportKind,
) -> Result<Added, Box<Response<Full<Bytes>>>> {
    let client = client_request(connection, request, transport);
    let waiting_max = connection.door.env().limits.handshakes_pending_max;
    let refuse = |why: Unavailable| {
        connection.count_refused(why.slug());
        Err(Box::new(answer::unavailable(why)))
    };
    let Some((_pending, answer)) = owner.request(waiting_max, RequestCode::Preflight, "", client)
    else {
        return refuse(Unavailable::HandshakesFull);
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(response)) => proceeds(response).map_err(|response| {
            let mut response = answer::relayed(response);
            if transport == TransportKind::WebSocket {
                answer::close_after(&mut response);
            }
            Box::new(response)
        }),
        // The app server's trunk has ended and with it the session, so the shard will refuse the
        // request.
        Ok(Err(_)) => Ok(None),
        Err(_) => refuse(Unavailable::AppServerSilent),
    }
}

/// The headers from an app server that lets the node answer. The error is the complete response of
/// an app server that answers itself.
fn proceeds(mut response: trunkline_trunk::Response) -> Result<Added, trunkline_trunk::Response> {
    let before = response.headers.len();
    response.headers.retain(|header| &*header.name != PROCEED);
    if response.headers.len() == before {
        return Err(response);
    }
    Ok((before > 1).then(|| response.headers.into_boxed_slice()))
}

/// Adds the app server's headers to the answer.
pub(super) fn with(added: &Added, mut reply: Reply) -> Reply {
    if let (Some(added), Ok(response)) = (added, &mut reply) {
        answer::add_headers(response.headers_mut(), added);
    }
    reply
}

/// Refuses a request with an Engine.IO error: at the app server, middlewares run and
/// `connection_error` fires.
pub(super) async fn refuse<B>(
    connection: &Connection,
    hub: &Arc<Hub>,
    request: &Request<B>,
    refusal: &Refusal,
) -> Response<Full<Bytes>> {
    connection.count_refused(slug(refusal.error));
    if let Some(answer) = visitor::failed(connection) {
        return answer;
    }
    let websocket = hub.settings().transports.websocket && upgrade::is_asked(request);
    let transport = if websocket { TransportKind::WebSocket } else { TransportKind::Polling };
    let client = client_request(connection, request, transport);
    let code = RequestCode::Error(refusal.error.code());
    let mut response = match ask(connection, (hub, None), code, &refusal.context, client).await {
        Ok(response) => response,
        Err(_) => answer::engine_error(refusal.error),
    };
    if transport == TransportKind::WebSocket {
        answer::close_after(&mut response);
    }
    response
}

/// Asks an app server, and then others while the earlier ones hang.
async fn ask(
    connection: &Connection,
    (hub, owner): (&Arc<Hub>, Option<Arc<Trunk>>),
    code: RequestCode,
    context: &str,
    client: ClientRequest,
) -> Result<Response<Full<Bytes>>, Unavailable> {
    let env = connection.door.env();
    let until = env.now() + ANSWER_TIMEOUT;
    let mut tried = Vec::new();
    let mut trunk = match owner {
        Some(owner) => owner,
        None => hub.pick_for_request(&env.limits, env.now(), &tried)?,
    };
    loop {
        tried.push(trunk.number);
        let waiting_max = env.limits.handshakes_pending_max;
        let other = || {
            let other = hub.pick_for_request(&env.limits, env.now(), &tried).ok();
            other.filter(|_| tried.len() < SERVERS_MAX)
        };
        let asked = trunk.request(waiting_max, code, context, client.clone());
        trunk = match asked {
            Some((_pending, answer)) => match wait(env, &trunk, answer, until, &other).await {
                Waited::Answer(response) => return Ok(answer::relayed(response)),
                Waited::Elsewhere(other) => other,
                Waited::Gone => other().ok_or(Unavailable::NoAppServer)?,
                Waited::TimedOut => return Err(Unavailable::AppServerSilent),
            },
            None => other().ok_or(Unavailable::HandshakesFull)?,
        };
        env.metrics.requests_retried.inc();
    }
}

/// The result of waiting for one app server.
enum Waited {
    Answer(trunkline_trunk::Response),
    /// The app server hangs; this other one does not.
    Elsewhere(Arc<Trunk>),
    /// The app server's trunk has ended.
    Gone,
    TimedOut,
}

async fn wait(
    env: &Environment,
    trunk: &Arc<Trunk>,
    mut answer: Awaited<trunkline_trunk::Response>,
    until: Timestamp,
    other: &impl Fn() -> Option<Arc<Trunk>>,
) -> Waited {
    let patience = env.limits.patience();
    let asked_at = env.now();
    let mut look_at = Promptness::first_look(asked_at, patience);
    loop {
        let span = look_at.min(until).since(env.now());
        match tokio::time::timeout(span, &mut answer).await {
            Ok(Ok(response)) => return Waited::Answer(response),
            Ok(Err(_)) => return Waited::Gone,
            Err(_) => (),
        }
        let now = env.now();
        if until <= now {
            return Waited::TimedOut;
        }
        look_at = match trunk.advise(now, asked_at, patience) {
            Advice::Call { until } | Advice::Wait { until } => until,
            Advice::Leave { ejected } => {
                if let Some(hang) = ejected {
                    env.metrics.count_ejection(hang);
                }
                let other = other().filter(|other| !other.is_ejected());
                if let Some(other) = other {
                    return Waited::Elsewhere(other);
                }
                Promptness::first_look(now, patience)
            }
        };
    }
}

/// The metric label of an error.
fn slug(error: HandshakeError) -> &'static str {
    match error {
        HandshakeError::BadHandshakeMethod => "bad_handshake_method",
        HandshakeError::BadRequest => "bad_request",
        HandshakeError::Forbidden => "forbidden",
        HandshakeError::UnknownSid => "unknown_sid",
        HandshakeError::UnknownTransport => "unknown_transport",
        HandshakeError::UnsupportedProtocolVersion => "unsupported_protocol_version",
    }
}
