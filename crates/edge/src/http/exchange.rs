//! Requests that open no session: what to answer is the app server's to say, where one is connected.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use trunkline_engineio::{HandshakeError, TransportKind};
use trunkline_trunk::{ClientRequest, Header, RequestCode, Str, Transport};

use super::{Connection, answer, upgrade};
use crate::hub::Hub;
use crate::shard::{Refusal, Unavailable};
use crate::trunks::Trunk;

/// How long an app server may think about a request that opens no session.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A client's request as the app server gets to see it.
pub(super) fn client_request<B>(
    connection: &Connection,
    request: &Request<B>,
    transport: TransportKind,
) -> ClientRequest {
    let url = request.uri().path_and_query().map_or("/", |url| url.as_str());
    ClientRequest {
        transport: match transport {
            TransportKind::Polling => Transport::Polling,
            TransportKind::WebSocket => Transport::WebSocket,
        },
        secure: false,
        address: Str::from(connection.address.ip().to_canonical().to_string()),
        port: connection.address.port(),
        method: Str::from(request.method().as_str().to_owned()),
        url: Str::from(url.to_owned()),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| Header {
                name: Str::from(name.as_str().to_owned()),
                value: Str::from(latin1_text(value.as_bytes())),
            })
            .collect(),
        claims: Str::EMPTY,
    }
}

/// Node.js reads header bytes as Latin-1.
fn latin1_text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// A preflight: the app's `cors` and other engine middlewares answer.
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
            connection.door.count_refused(why.slug());
            answer::unavailable(why)
        }
    }
}

/// An Engine.IO error: middlewares run and `connection_error` fires at the app server.
pub(super) async fn refuse<B>(
    connection: &Connection,
    hub: &Arc<Hub>,
    request: &Request<B>,
    refusal: &Refusal,
) -> Response<Full<Bytes>> {
    connection.door.count_refused(slug(refusal.error));
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

async fn ask(
    connection: &Connection,
    (hub, owner): (&Arc<Hub>, Option<Arc<Trunk>>),
    code: RequestCode,
    context: &str,
    client: ClientRequest,
) -> Result<Response<Full<Bytes>>, Unavailable> {
    let limits = &connection.door.env().limits;
    let trunk = match owner {
        Some(owner) => owner,
        None => hub.any_trunk(limits)?,
    };
    let (_pending, receiver) = trunk
        .request(limits.handshakes_pending_max, code, context, client)
        .ok_or(Unavailable::HandshakesFull)?;
    match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
        Ok(Ok(response)) => Ok(answer::relayed(response)),
        Ok(Err(_)) => Err(Unavailable::NoAppServer),
        Err(_) => Err(Unavailable::AppServerSilent),
    }
}

/// A metric label.
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
