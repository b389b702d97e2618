//! The reasons why a client gets no session, or no answer of its session, now.

use std::sync::atomic::{AtomicU16, Ordering};

/// The reason for a 503, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("the app server did not answer the handshake in time")]
    AppServerSilent,
    #[error("the app servers of this hub get newcomers as fast as they take them; try again")]
    AppServersBusy,
    #[error("every app server of this hub has as many sessions as it may; try again")]
    AppServersFull,
    #[error(
        "another node has this session, and its app server, which wants to see each request, is not connected to this one; try again"
    )]
    CannotAsk,
    #[error("another node has this session, and it cannot move here now; go on with polling")]
    CannotMove,
    #[error("this node is draining; connect to another one")]
    Draining,
    #[error("every app server of this hub has as many unanswered handshakes as allowed; try again")]
    HandshakesFull,
    #[error("this hub has as many sessions on this node as it may; try again or use another node")]
    HubSessionsFull,
    #[error("this node has not joined its cluster yet; try again or use another node")]
    Joining,
    #[error("this node uses as much memory as it may; try again or use another node")]
    MemoryFull,
    #[error("the node that has this session cannot be reached now; try again")]
    MeshDown,
    #[error("no app server of this hub is connected to this node; try again when one is")]
    NoAppServer,
    #[error("the connection to the node that has this session ended before it answered")]
    OwnerLost,
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
            Self::AppServersBusy => spread(),
            Self::AppServerSilent
            | Self::AppServersFull
            | Self::CannotAsk
            | Self::CannotMove
            | Self::Draining
            | Self::HandshakesFull
            | Self::HubSessionsFull
            | Self::Joining
            | Self::MeshDown
            | Self::NoAppServer
            | Self::OwnerLost
            | Self::SessionsFull => 1,
        }
    }

    /// Whether the stream must end, so that others can use its place: the client then has to open a
    /// new one.
    pub(crate) fn ends_stream(self) -> bool {
        matches!(self, Self::MemoryFull | Self::StreamsFull)
    }

    pub(crate) const ALL: [Self; 15] = [
        Self::AppServerSilent,
        Self::AppServersBusy,
        Self::AppServersFull,
        Self::CannotAsk,
        Self::CannotMove,
        Self::Draining,
        Self::HandshakesFull,
        Self::HubSessionsFull,
        Self::Joining,
        Self::MemoryFull,
        Self::MeshDown,
        Self::NoAppServer,
        Self::OwnerLost,
        Self::SessionsFull,
        Self::StreamsFull,
    ];

    /// The reason with this slug; `None` for one that only a newer node knows.
    pub(crate) fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.slug() == slug)
    }

    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::AppServerSilent => "app_server_silent",
            Self::AppServersBusy => "app_servers_busy",
            Self::AppServersFull => "app_servers_full",
            Self::CannotAsk => "cannot_ask",
            Self::CannotMove => "cannot_move",
            Self::Draining => "draining",
            Self::HandshakesFull => "handshakes_full",
            Self::HubSessionsFull => "hub_sessions_full",
            Self::Joining => "joining",
            Self::MemoryFull => "memory_full",
            Self::MeshDown => "mesh_down",
            Self::NoAppServer => "no_app_server",
            Self::OwnerLost => "owner_lost",
            Self::SessionsFull => "sessions_full",
            Self::StreamsFull => "streams_full",
        }
    }
}

/// One to eight seconds, each as often as the others: those who are refused together are not to
/// return together.
fn spread() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) % 8 + 1
}
