//! The answers of the REST API.

use bytes::Bytes;
use serde_json::Value;

/// An answer, or the next part of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Headers, with names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// Whether more parts follow.
    pub(crate) more: bool,
}

impl Answer {
    /// An answer without a body.
    pub(crate) const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), more: false }
    }

    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: Bytes::from(body.to_string()),
            more: false,
        }
    }

    /// One part of an answer in several parts.
    pub(crate) const fn part(body: Bytes, more: bool) -> Self {
        Self { status: 200, headers: Vec::new(), body, more }
    }
}
