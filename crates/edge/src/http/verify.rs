//! The checks of npm engine.io in its order, before any app code runs.

use hyper::{Method, Request};
use trunkline_engineio::error::HandshakeError;
use trunkline_engineio::{Protocol, TransportKind};

use super::query::Query;
use super::upgrade;
use crate::hub::Hub;
use crate::shard::Refusal;
use crate::sid::Sid;

/// What a request under a hub's path asks for.
pub(super) enum Wanted {
    Handshake(TransportKind, Protocol),
    Poll(Sid, Protocol),
    Post(Sid, Protocol),
    Upgrade(Sid, Protocol),
    /// A WebSocket for the transport polling: npm accepts it and closes it.
    Useless,
    /// A method that sessions do not use: npm answers 500.
    Other,
}

impl Wanted {
    /// The transport on which a request continues an existing session.
    pub(super) fn of_session(&self) -> Option<TransportKind> {
        match self {
            Self::Poll(..) | Self::Post(..) => Some(TransportKind::Polling),
            Self::Upgrade(..) => Some(TransportKind::WebSocket),
            Self::Handshake(..) | Self::Useless | Self::Other => None,
        }
    }

    /// Whether the request needs a stream for a long time; the requests of existing sessions are
    /// short.
    pub(super) fn takes_stream(&self) -> bool {
        matches!(self, Self::Handshake(..) | Self::Upgrade(..) | Self::Useless)
    }
}

/// Checks what npm's `verify` and `handshake` check before any app code runs. `sid` is the session
/// that the query names.
pub(super) fn verify<B>(
    hub: &Hub,
    (query, sid): (&Query, Option<Sid>),
    request: &Request<B>,
) -> Result<Wanted, Refusal> {
    let settings = hub.settings();
    // Without this transport, npm does not listen for upgrades: the request is an ordinary one.
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
        let Some(sid) = sid else {
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

/// A refusal. Its context is a JSON object with the keys in npm's order.
pub(super) fn refusal(error: HandshakeError, context: &[(&str, &str)]) -> Refusal {
    let fields: Vec<String> = context
        .iter()
        .map(|(name, value)| format!("\"{name}\":{}", serde_json::Value::from(*value)))
        .collect();
    Refusal { error, context: format!("{{{}}}", fields.join(",")) }
}
