//! The basic types of this crate: protocol revision, transport, message body.

/// The revision of the Engine.IO protocol that a client speaks: its `EIO` query parameter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// Socket.IO 1 and 2.
    V3,
    /// Socket.IO 3 and later.
    V4,
}

/// The transport that carries a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TransportKind {
    /// HTTP long-polling.
    Polling,
    /// WebSocket.
    WebSocket,
}

impl TransportKind {
    /// The transport's name in URLs, in options and in `upgrades`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// The content of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Body<'a> {
    /// Bytes.
    Binary(&'a [u8]),
    /// Text. An empty text message reaches a Socket.IO app as `undefined`.
    Text(&'a str),
}
