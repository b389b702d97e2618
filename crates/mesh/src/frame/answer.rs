//! What an owner answers to the requests of a landing node.

use alloc::vec::Vec;

use bytes::Bytes;
use trunkline_trunk::{Header, Str};

/// The answer to a client's poll or post.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// An Engine.IO payload.
    Payload(AnswerPayload),
    /// `ok`: the answer to a POST.
    Ok {
        /// The headers of every answer of the session.
        lasting: Option<Vec<Header>>,
    },
    /// A bare HTTP status.
    Status(u16),
    /// An Engine.IO error.
    Refused(Refused),
    /// 503 with a JSON error of this name.
    Unavailable(Str),
    /// The connection is to be broken off.
    Abort,
}

/// An Engine.IO payload, with what its HTTP answer needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnswerPayload {
    /// What the body is.
    pub content_type: PayloadType,
    /// Whether the body may be compressed.
    pub compress: bool,
    /// Set when the answer is a script that calls back with this number.
    pub jsonp: Option<Str>,
    /// The headers of every answer of the session.
    pub lasting: Option<Vec<Header>>,
    /// Headers of this answer only.
    pub first: Vec<Header>,
    /// The payload.
    pub body: Bytes,
}

/// What the body of a payload is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PayloadType {
    /// Text.
    Text,
    /// Revision 3 with bytes in the payload.
    Binary,
}

/// An Engine.IO error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Engine.IO's number for the error, 0 to 5.
    pub code: u8,
    /// JSON, as `connection_error`'s `context`.
    pub context: Str,
}

/// The owner's decision about a POST that has begun.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PostBegun {
    /// Read the body, within these limits.
    Wanted {
        /// The longest body.
        bytes_max: u64,
        /// The most pieces of a chunked body.
        chunks_max: u64,
        /// The time for the whole body, in milliseconds.
        timeout_ms: u64,
        /// Whether the body is a form.
        jsonp: bool,
    },
    /// An Engine.IO error.
    Refused(Refused),
    /// A bare HTTP status.
    Status(u16),
}

/// What the owner says of a session that a WebSocket asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Inspected {
    /// The session exists.
    Found(Found),
    /// An Engine.IO error.
    Refused(Refused),
}

/// A session that may move.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The app server that has the session.
    pub server: Str,
    /// 0: the session may move; anything else says why not.
    pub movable: u8,
    /// The time for the probe, in milliseconds.
    pub upgrade_timeout_ms: u64,
    /// Whether the client takes no binary packets.
    pub base64_only: bool,
    /// What else the landing node has to know; both ends of this protocol's version agree on it.
    pub settings: Bytes,
}
