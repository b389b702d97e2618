//! The rules that a client can break, and the answers that npm gives.

use alloc::string::String;

use crate::close::CloseReason;

/// The rules of Engine.IO that a client can break, in alphabetical order. On each of them the
/// session has closed itself with [`close_reason`](Self::close_reason), except on
/// [`SessionClosed`](Self::SessionClosed) and [`WrongTransport`](Self::WrongTransport).
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
    /// Only one poll may be held at a time.
    #[error("a poll came while another was held")]
    PollsOverlap,
    /// In revision 3 only the server answers pings.
    #[error("a pong came from a client of protocol 3")]
    PongFromClient,
    /// Only one POST may be under way at a time.
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
    /// The reason with which the session ended; `None` when the session goes on.
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

    /// The description that npm gives next to the reason.
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

    /// npm's answer to the request that broke the rule. `Ok`: status 200 with the body `ok`,
    /// although the session ends.
    ///
    /// # Errors
    ///
    /// The HTTP status of the refusal. Its body is empty, or the JSON of the error where
    /// [`Self::close_reason`] is `None`.
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

/// The reason why a second stream for this session cannot become its transport. That stream is
/// closed; the session lives on.
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

/// The reason why a request opens no session or finds none. The codes and messages are Engine.IO's.
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
    /// Engine.IO's number for the error, 0 to 5.
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

    /// Engine.IO's message for the error. A refused WebSocket upgrade has only this as its body, as
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

    /// [`json_body`](Self::json_body) with the app's own message, as `allowRequest` may give one;
    /// an empty message means the usual one.
    #[must_use]
    pub fn json_body_with(self, message: &str) -> String {
        let message = if message.is_empty() { self.message() } else { message };
        let mut json = alloc::format!(r#"{{"code":{},"message":"#, self.code());
        crate::json::push_json_string(&mut json, message);
        json.push('}');
        json
    }
}
