//! The reasons why a client gets no session now.

/// The reason for a 503 to a handshake, in alphabetical order.
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
    /// The seconds for `Retry-After`: short if the next answer may already free what is missing.
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

    /// Whether the stream must end, so that others can use its place: the client then has to open a
    /// new one.
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
