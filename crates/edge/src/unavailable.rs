//! Why a client that wants a session does not get one now.

/// Why a handshake got a 503. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("the app server did not answer the handshake in time")]
    AppServerSilent,
    #[error("this node is draining; connect to another one")]
    Draining,
    #[error("every app server of this hub has as many unanswered handshakes as allowed; try again")]
    HandshakesFull,
    #[error("this node uses as much memory as it may; try again or use another node")]
    MemoryFull,
    #[error("no app server of this hub is connected to this node; try again when one is")]
    NoAppServer,
    #[error("this node holds as many sessions as it may; try again or use another node")]
    SessionsFull,
    #[error("this node holds as many connections as it may; try again or use another node")]
    StreamsFull,
}

impl Unavailable {
    /// For `Retry-After`. What frees itself with the next answer is worth a try soon.
    pub(crate) fn retry_after_s(self) -> u16 {
        match self {
            Self::MemoryFull | Self::StreamsFull => 5,
            Self::AppServerSilent
            | Self::Draining
            | Self::HandshakesFull
            | Self::NoAppServer
            | Self::SessionsFull => 1,
        }
    }

    /// Whether the stream is worth more to others: its client has to come over a new one.
    pub(crate) fn ends_stream(self) -> bool {
        matches!(self, Self::MemoryFull | Self::StreamsFull)
    }

    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::AppServerSilent => "app_server_silent",
            Self::Draining => "draining",
            Self::HandshakesFull => "handshakes_full",
            Self::MemoryFull => "memory_full",
            Self::NoAppServer => "no_app_server",
            Self::SessionsFull => "sessions_full",
            Self::StreamsFull => "streams_full",
        }
    }
}
