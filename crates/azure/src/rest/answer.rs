//! What a REST caller gets.

use bytes::Bytes;

/// An answer, or the next part of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// More parts follow.
    pub(crate) more: bool,
}

impl Answer {
    /// An answer without a body.
    pub(crate) const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), more: false }
    }
}
