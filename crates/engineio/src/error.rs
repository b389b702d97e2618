//! What can go wrong, and what the client is told.

use alloc::string::String;

use crate::close::CloseReason;

/// The rules of Engine.IO that a client can break. Alphabetical. Except for
/// [`SessionClosed`](Self::SessionClosed) and [`WrongTransport`](Self::WrongTransport), the session
/// has closed itself with [`close_reason`](Self::close_reason).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum PeerMisbehaved {
    /// Revision 4 has no binary payloads.
    #[error("a binary payload came from a client of protocol 4")]
    BinaryPayload,
    /// A packet is empty or its type is not one of the seven.
    #[error("a packet's type is unknown")]
    PacketTypeUnknown,
    /// A payload has more packets than any client of Socket.IO could send in as many bytes.
    #[error("a payload has too many packets")]
    PacketsTooMany,
    /// A payload of revision 3 breaks the form `length:packet`.
    #[error("a payload's lengths do not add up")]
    PayloadMalformed,
    /// In revision 4 only the server pings.
    #[error("a ping came from a client of protocol 4")]
    PingFromClient,
    /// One poll may be held.
    #[error("a poll came while another was held")]
    PollsOverlap,
    /// In revision 3 only the server answers pings.
    #[error("a pong came from a client of protocol 3")]
    PongFromClient,
    /// One POST may be under way.
    #[error("a post came while another was under way")]
    PostsOverlap,
    /// The request is for a session that has ended: npm answers [`HandshakeError::UnknownSid`].
    #[error("the session has ended")]
    SessionClosed,
    /// The request is for a transport that is not the session's: npm answers
    /// [`HandshakeError::BadRequest`].
    #[error("the session's transport is another")]
    WrongTransport,
}

impl PeerMisbehaved {
    /// How the session ended; none when it did not end because of this.
    #[must_use]
    pub const fn close_reason(self) -> Option<CloseReason> {
        match self {
            Self::PacketTypeUnknown | Self::PacketsTooMany | Self::PayloadMalformed => {
                Some(CloseReason::ParseError)
            }
            Self::BinaryPayload
            | Self::PingFromClient
            | Self::PollsOverlap
            | Self::PongFromClient
            | Self::PostsOverlap => Some(CloseReason::TransportError),
            Self::SessionClosed | Self::WrongTransport => None,
        }
    }

    /// The description that npm gives beside the reason.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::BinaryPayload => "invalid content",
            Self::PingFromClient | Self::PongFromClient => "invalid heartbeat direction",
            Self::PollsOverlap => "overlap from client",
            Self::PostsOverlap => "data request overlap from client",
            Self::PacketTypeUnknown
            | Self::PacketsTooMany
            | Self::PayloadMalformed
            | Self::SessionClosed
            | Self::WrongTransport => "",
        }
    }

    /// How npm answers the request that did this: `Ok` is status 200 with the body `ok`, though the
    /// session ends; `Err` is this status with an empty body, or with the JSON of the error where
    /// [`Self::close_reason`] is none.
    ///
    /// # Errors
    ///
    /// The HTTP status of the refusal.
    pub const fn answer(self) -> Result<(), u16> {
        match self {
            Self::BinaryPayload
            | Self::PollsOverlap
            | Self::PostsOverlap
            | Self::SessionClosed
            | Self::WrongTransport => Err(400),
            Self::PacketsTooMany => Err(413),
            Self::PacketTypeUnknown
            | Self::PayloadMalformed
            | Self::PingFromClient
            | Self::PongFromClient => Ok(()),
        }
    }

    /// A metric label: one of a fixed set of `snake_case` words.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::BinaryPayload => "binary_payload",
            Self::PacketTypeUnknown => "packet_type_unknown",
            Self::PacketsTooMany => "packets_too_many",
            Self::PayloadMalformed => "payload_malformed",
            Self::PingFromClient => "ping_from_client",
            Self::PollsOverlap => "polls_overlap",
            Self::PongFromClient => "pong_from_client",
            Self::PostsOverlap => "posts_overlap",
            Self::SessionClosed => "session_closed",
            Self::WrongTransport => "wrong_transport",
        }
    }
}

/// A second stream for this session cannot become its transport. That stream is closed; the session
/// lives on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum ProbeRefused {
    /// The session has been upgraded before.
    #[error("the session has been upgraded already")]
    AlreadyUpgraded,
    /// Another stream is being probed.
    #[error("another upgrade of the session is under way")]
    AlreadyUpgrading,
    /// The session has ended.
    #[error("the session has ended")]
    SessionClosed,
}

/// Why a request opens no session or finds none. The codes and messages are Engine.IO's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum HandshakeError {
    /// A handshake is a GET.
    #[error("Bad handshake method")]
    BadHandshakeMethod,
    /// The request does not fit the session, or a middleware failed.
    #[error("Bad request")]
    BadRequest,
    /// `allowRequest` said no.
    #[error("Forbidden")]
    Forbidden,
    /// No session has this id.
    #[error("Session ID unknown")]
    UnknownSid,
    /// `transport` is not one of the app's `transports`.
    #[error("Transport unknown")]
    UnknownTransport,
    /// Revision 3 is off.
    #[error("Unsupported protocol version")]
    UnsupportedProtocolVersion,
}

impl HandshakeError {
    /// Engine.IO's number for it, 0 to 5.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSid => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocolVersion => 5,
        }
    }

    /// Engine.IO's words for it. A refused WebSocket upgrade has these alone as its body, as
    /// `text/html`, with status 400.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// The status of the answer to a plain HTTP request. A refused WebSocket upgrade is always
    /// answered with 400.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            Self::BadHandshakeMethod
            | Self::BadRequest
            | Self::UnknownSid
            | Self::UnknownTransport
            | Self::UnsupportedProtocolVersion => 400,
        }
    }

    /// The body of the answer to a plain HTTP request: `application/json`, byte for byte as npm
    /// writes it.
    #[must_use]
    pub const fn json_body(self) -> &'static str {
        match self {
            Self::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::UnknownSid => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadHandshakeMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            Self::Forbidden => r#"{"code":4,"message":"Forbidden"}"#,
            Self::UnsupportedProtocolVersion => {
                r#"{"code":5,"message":"Unsupported protocol version"}"#
            }
        }
    }

    /// The same with the app's own message, as `allowRequest` may give one; an empty message means
    /// the usual one.
    #[must_use]
    pub fn json_body_with(self, message: &str) -> String {
        let message = if message.is_empty() { self.message() } else { message };
        let mut json = alloc::format!(r#"{{"code":{},"message":"#, self.code());
        crate::json::push_json_string(&mut json, message);
        json.push('}');
        json
    }
}
