//! Sessions and requests of clients (section 4).

use alloc::vec::Vec;

use bytes::Bytes;

use super::{RequestId, SessionNumber};
use crate::text::Str;
use crate::values::{EioVersion, RequestCode, Transport};

/// The body of `Open` (section 4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open {
    /// The session.
    pub session: SessionNumber,
    /// The client's version of Engine.IO.
    pub eio: EioVersion,
    /// The session id that the node made.
    pub sid: Str,
    /// The handshake.
    pub request: ClientRequest,
}

/// The body of `Request` (section 4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// A number, in use until the `Response`.
    pub request_id: RequestId,
    /// What the node would answer.
    pub code: RequestCode,
    /// The error's context as JSON, or empty.
    pub context: Str,
    /// The client's request.
    pub request: ClientRequest,
}

/// A client's HTTP request: `request` in section 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientRequest {
    /// The transport that the client asked for.
    pub transport: Transport,
    /// Whether the client's connection is encrypted.
    pub secure: bool,
    /// The client's IP address as text.
    pub address: Str,
    /// The client's port.
    pub port: u16,
    /// The HTTP method.
    pub method: Str,
    /// Path and query exactly as the client sent them.
    pub url: Str,
    /// Names in lower case, in the client's order.
    pub headers: Vec<Header>,
    /// JSON object of verified token claims, or empty.
    pub claims: Str,
}

/// An HTTP answer: `response` in section 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// 200 to 999.
    pub status: u16,
    /// The headers in order; a name may come twice.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Bytes,
}

/// One HTTP header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// The name, in lower case by the spec; a receiver that relies on it checks it.
    pub name: Str,
    /// The value.
    pub value: Str,
}
