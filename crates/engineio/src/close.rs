//! Why sessions end.

/// A change of the session that the app server wants to know. Variants are in the order in which
/// [`poll_event`](crate::Session::poll_event) gives them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The session ended. This is the last event.
    Closed {
        /// Why.
        reason: CloseReason,
        /// The reason in more detail, in npm's words where npm has words; often empty.
        description: &'static str,
    },
    /// The session's transport is now WebSocket.
    Upgraded,
}

/// Why a session ended. The trunk protocol gives each a number.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseReason {
    /// The operator has denied the client's address.
    AddressDenied,
    /// The app server that held the session was lost.
    AppServerLost,
    /// The app server that held the session was lost, and nobody can tell what it had done of the
    /// client's last messages.
    AppServerLostInDoubt,
    /// The client sent more than it may, for longer than it may.
    Flooded,
    /// The app closed the session.
    Forced,
    /// The operator has removed the session's hub.
    HubRemoved,
    /// The operator has removed the key that signed the token of the session's client.
    KeyRemoved,
    /// The session held much memory, and the node had reached its memory ceiling.
    MemoryFull,
    /// The session was about to move to another node, and could not.
    MoveFailed,
    /// The session was in as many namespaces as one session may be, and joined another one.
    NamespacesFull,
    /// The node is shutting down.
    NodeShutdown,
    /// More bytes were unsent than the session's outbox may hold, and the client read too little of
    /// them.
    OutboxFull,
    /// A packet could not be decoded.
    ParseError,
    /// No heartbeat came in time.
    PingTimeout,
    /// A socket was to be restored in this session, but some packets that it missed are no longer
    /// kept.
    RecoveryUnproved,
    /// The app server that was to take the session over refused it.
    RehomeRefused,
    /// The session was in as many rooms as one session may be, and joined another one.
    RoomsFull,
    /// The app server is shutting down: `io.close()`.
    ServerShuttingDown,
    /// The token of the session's client has ended.
    TokenExpired,
    /// An app server has revoked the token of the session's client.
    TokenRevoked,
    /// A message was larger than `maxHttpBufferSize`.
    TooLarge,
    /// The client closed, or its stream ended.
    TransportClose,
    /// The stream broke, or the client broke a rule of the transport.
    TransportError,
    /// The user of the session's client has opened more sessions than it may have.
    UserSessionsFull,
}

/// The side that is responsible for an end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Blame {
    /// The app server.
    AppServer,
    /// The client or its network.
    Client,
    /// This node.
    Node,
}

impl CloseReason {
    /// The reason as a Socket.IO app sees it in `disconnect`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forced => "forced close",
            Self::ParseError => "parse error",
            Self::PingTimeout => "ping timeout",
            Self::ServerShuttingDown => "server shutting down",
            Self::Flooded | Self::TooLarge | Self::TransportError => "transport error",
            Self::AddressDenied
            | Self::AppServerLost
            | Self::AppServerLostInDoubt
            | Self::HubRemoved
            | Self::KeyRemoved
            | Self::MemoryFull
            | Self::MoveFailed
            | Self::NamespacesFull
            | Self::NodeShutdown
            | Self::OutboxFull
            | Self::RecoveryUnproved
            | Self::RehomeRefused
            | Self::RoomsFull
            | Self::TokenExpired
            | Self::TokenRevoked
            | Self::TransportClose
            | Self::UserSessionsFull => "transport close",
        }
    }

    /// Whether what the session needs is gone: its hub, its key, its token. No app server takes it
    /// over.
    #[must_use]
    pub const fn is_revoked(self) -> bool {
        matches!(
            self,
            Self::AddressDenied
                | Self::HubRemoved
                | Self::KeyRemoved
                | Self::TokenExpired
                | Self::TokenRevoked
                | Self::UserSessionsFull
        )
    }

    /// The side that is responsible.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::AppServerLost
            | Self::AppServerLostInDoubt
            | Self::Forced
            | Self::RehomeRefused
            | Self::RoomsFull
            | Self::ServerShuttingDown
            | Self::TokenRevoked => Blame::AppServer,
            Self::AddressDenied
            | Self::HubRemoved
            | Self::KeyRemoved
            | Self::MemoryFull
            | Self::MoveFailed
            | Self::NodeShutdown
            | Self::RecoveryUnproved => Blame::Node,
            Self::Flooded
            | Self::NamespacesFull
            | Self::OutboxFull
            | Self::ParseError
            | Self::PingTimeout
            | Self::TokenExpired
            | Self::TooLarge
            | Self::TransportClose
            | Self::TransportError
            | Self::UserSessionsFull => Blame::Client,
        }
    }

    /// A metric label: one of a fixed set of `snake_case` words.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::AddressDenied => "address_denied",
            Self::AppServerLost => "app_server_lost",
            Self::AppServerLostInDoubt => "app_server_lost_in_doubt",
            Self::Flooded => "flooded",
            Self::Forced => "forced",
            Self::HubRemoved => "hub_removed",
            Self::KeyRemoved => "key_removed",
            Self::MemoryFull => "memory_full",
            Self::MoveFailed => "move_failed",
            Self::NamespacesFull => "namespaces_full",
            Self::NodeShutdown => "node_shutdown",
            Self::OutboxFull => "outbox_full",
            Self::ParseError => "parse_error",
            Self::PingTimeout => "ping_timeout",
            Self::RecoveryUnproved => "recovery_unproved",
            Self::RehomeRefused => "rehome_refused",
            Self::RoomsFull => "rooms_full",
            Self::ServerShuttingDown => "server_shutting_down",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::TooLarge => "too_large",
            Self::TransportClose => "transport_close",
            Self::TransportError => "transport_error",
            Self::UserSessionsFull => "user_sessions_full",
        }
    }
}
