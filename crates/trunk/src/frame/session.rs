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
    /// The node's id for the session.
    pub sid: Str,
    /// The handshake.
    pub request: ClientRequest,
}

/// The body of `Request` (section 4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// In use until the `Response`.
    pub request_id: RequestId,
    /// What the node is about to answer.
    pub code: RequestCode,
    /// The error's context as JSON, or empty.
    pub context: Str,
    /// What the client asked.
    pub request: ClientRequest,
}

/// A client's HTTP request: `request` in section 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientRequest {
    /// What the client wants to speak over.
    pub transport: Transport,
    /// The client's connection is encrypted.
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
    /// In order; a name may come twice.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Bytes,
}

/// One HTTP header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// Lower case by the spec; a receiver that needs it checks it.
    pub name: Str,
    /// The value.
    pub value: Str,
}
