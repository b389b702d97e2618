//! The small values inside frames: codes, reasons, flags (section 2, tables).

/// The transport that carries a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// HTTP long-polling: 1 on the wire.
    Polling,
    /// WebSocket: 2 on the wire.
    WebSocket,
}

impl Transport {
    /// The number on the wire.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Polling => 1,
            Self::WebSocket => 2,
        }
    }

    /// The transport of a number; `None` for a number that no version uses.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        match wire {
            1 => Some(Self::Polling),
            2 => Some(Self::WebSocket),
            _ => None,
        }
    }
}

/// Whether a requested socket can return.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Found {
    /// Nothing is kept, or the node cannot tell what the client has received: 0 on the wire.
    No,
    /// The socket now belongs to the app server that asked: 1 on the wire.
    Yes,
    /// The socket was given out before: 2 on the wire.
    Taken,
}

impl Found {
    /// The number on the wire.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::No => 0,
            Self::Yes => 1,
            Self::Taken => 2,
        }
    }

    /// The value of a number; `None` for a number that no version uses.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        match wire {
            0 => Some(Self::No),
            1 => Some(Self::Yes),
            2 => Some(Self::Taken),
            _ => None,
        }
    }
}

/// The version of Engine.IO that a client speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EioVersion {
    /// `EIO=3`.
    V3,
    /// `EIO=4`.
    V4,
}

impl EioVersion {
    /// The number on the wire.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// The version of a number; `None` for a number that no version uses.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        match wire {
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            _ => None,
        }
    }
}

/// What an `Operate` does to sockets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Operation {
    /// They join rooms: 1 on the wire.
    Join,
    /// They leave rooms: 2 on the wire.
    Leave,
    /// They are disconnected from their namespace: 3 on the wire.
    Disconnect,
    /// They are disconnected, together with the connection below them: 4 on the wire.
    Close,
}

impl Operation {
    /// The number on the wire.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Join => 1,
            Self::Leave => 2,
            Self::Disconnect => 3,
            Self::Close => 4,
        }
    }

    /// The operation of a number; `None` for a number that no version uses.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        match wire {
            1 => Some(Self::Join),
            2 => Some(Self::Leave),
            3 => Some(Self::Disconnect),
            4 => Some(Self::Close),
            _ => None,
        }
    }
}

/// Flags of a `Send`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct SendFlags {
    /// The payload is binary, not text.
    pub binary: bool,
    /// The message may be dropped, see section 4.
    pub volatile: bool,
    /// The message is dropped or sent together with the volatile `Send` of that session before it.
    pub attached: bool,
    /// The transport may compress the message.
    pub compressible: bool,
}

impl SendFlags {
    /// The bits on the wire.
    pub const fn to_wire(self) -> u8 {
        self.binary as u8
            | (self.volatile as u8) << 1
            | (self.attached as u8) << 2
            | (self.compressible as u8) << 3
    }

    /// The flags of these bits; `None` when a bit without a meaning is set.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        if wire & !0b1111 != 0 {
            return None;
        }
        Some(Self {
            binary: wire & 1 != 0,
            volatile: wire & 2 != 0,
            attached: wire & 4 != 0,
            compressible: wire & 8 != 0,
        })
    }
}

/// Flags of a `Standing`: why the session cannot go to another app server unnoticed, and whether it
/// is to go.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct StandingFlags {
    /// The app server owes the client an acknowledgement.
    pub owes: bool,
    /// A packet of the client has arrived in part.
    pub inside_packet: bool,
    /// The app server asks to hand the session over.
    pub leaves: bool,
}

impl StandingFlags {
    /// The bits on the wire.
    pub const fn to_wire(self) -> u8 {
        self.owes as u8 | (self.inside_packet as u8) << 1 | (self.leaves as u8) << 2
    }

    /// The flags of these bits; `None` when a bit without a meaning is set.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        if wire & !0b111 != 0 {
            return None;
        }
        Some(Self { owes: wire & 1 != 0, inside_packet: wire & 2 != 0, leaves: wire & 4 != 0 })
    }
}

/// Why a session comes to an app server that has not opened it on this trunk.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// Its app server was lost: 1 on the wire.
    Orphan,
    /// Its app server handed it over: 2 on the wire.
    HandedOver,
    /// It comes from another node; the app server has it already, on the trunk to that node: 3 on
    /// the wire.
    Moved,
}

impl Origin {
    /// The number on the wire.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Orphan => 1,
            Self::HandedOver => 2,
            Self::Moved => 3,
        }
    }

    /// The origin of a number; `None` for a number that no version uses.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        match wire {
            1 => Some(Self::Orphan),
            2 => Some(Self::HandedOver),
            3 => Some(Self::Moved),
            _ => None,
        }
    }
}

/// Whether a node of the cluster stays.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NodeState {
    /// It serves clients: 1 on the wire.
    Up,
    /// It accepts no new clients and is about to leave: 2 on the wire.
    Draining,
    /// It has left, in an orderly way: 3 on the wire.
    Left,
}

impl NodeState {
    /// The number on the wire.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Up => 1,
            Self::Draining => 2,
            Self::Left => 3,
        }
    }

    /// The state of a number; `None` for a number that no version uses.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        match wire {
            1 => Some(Self::Up),
            2 => Some(Self::Draining),
            3 => Some(Self::Left),
            _ => None,
        }
    }
}

/// Flags of a `Broadcast`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct BroadcastFlags {
    /// The packet may be dropped, see section 4.
    pub volatile: bool,
    /// Only sockets of the app server that sent it receive the packet.
    pub local: bool,
    /// The transport may compress the packet.
    pub compressible: bool,
}

impl BroadcastFlags {
    /// The bits on the wire.
    pub const fn to_wire(self) -> u8 {
        self.volatile as u8 | (self.local as u8) << 1 | (self.compressible as u8) << 3
    }

    /// The flags of these bits; `None` when a bit without a meaning is set.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        if wire & !0b1011 != 0 {
            return None;
        }
        Some(Self { volatile: wire & 1 != 0, local: wire & 2 != 0, compressible: wire & 8 != 0 })
    }
}

/// The node's own answer to a request that opens no session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RequestCode {
    /// An Engine.IO error, 0 to 5.
    Error(u8),
    /// No error: an `OPTIONS` preflight.
    Preflight,
}

impl RequestCode {
    /// The number on the wire; an error beyond 5 has none and becomes 5.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Error(code) if code <= 5 => code,
            Self::Error(_) => 5,
            Self::Preflight => 255,
        }
    }

    /// The code of a number; `None` for a number that no version uses.
    pub const fn from_wire(wire: u8) -> Option<Self> {
        match wire {
            0..=5 => Some(Self::Error(wire)),
            255 => Some(Self::Preflight),
            _ => None,
        }
    }
}

/// The side that caused the end of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Blame {
    /// The app server.
    AppServer,
    /// The client.
    Client,
    /// The node.
    Node,
}

/// Why a session ended. Order and numbers are the wire's.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum CloseReason {
    /// The client closed, or its stream ended.
    ClientClosed = 1,
    /// The stream broke, or the client broke a rule of the transport.
    TransportError = 2,
    /// No pong in time.
    PingTimeout = 3,
    /// A packet could not be decoded.
    ParseError = 4,
    /// The app closed the session.
    AppClosed = 5,
    /// The app server is shutting down.
    AppShutdown = 6,
    /// The session's outbox was full.
    OutboxFull = 7,
    /// A message was larger than `maxHttpBufferSize`.
    MessageTooLarge = 8,
    /// The node is shutting down.
    NodeShutdown = 9,
    /// The app server that held the session was lost.
    AppLost = 10,
    /// The client went away before its handshake was answered.
    GoneBeforeAnswer = 11,
    /// Like `ClientClosed`, in one polling payload with messages before it.
    ClosedWithMessages = 12,
    /// Like `ParseError`, in one polling payload with messages before it.
    ParseErrorWithMessages = 13,
    /// The session goes to another node; its app server keeps it.
    Moved = 14,
    /// The session goes to another app server.
    HandedOver = 15,
}

impl CloseReason {
    /// Every reason, in the order of the wire.
    pub const ALL: [Self; 15] = [
        Self::ClientClosed,
        Self::TransportError,
        Self::PingTimeout,
        Self::ParseError,
        Self::AppClosed,
        Self::AppShutdown,
        Self::OutboxFull,
        Self::MessageTooLarge,
        Self::NodeShutdown,
        Self::AppLost,
        Self::GoneBeforeAnswer,
        Self::ClosedWithMessages,
        Self::ParseErrorWithMessages,
        Self::Moved,
        Self::HandedOver,
    ];

    /// The side that caused the end.
    pub const fn blame(self) -> Blame {
        match self {
            Self::ClientClosed
            | Self::TransportError
            | Self::PingTimeout
            | Self::ParseError
            | Self::OutboxFull
            | Self::MessageTooLarge
            | Self::GoneBeforeAnswer
            | Self::ClosedWithMessages
            | Self::ParseErrorWithMessages => Blame::Client,
            Self::AppClosed | Self::AppShutdown | Self::AppLost | Self::HandedOver => {
                Blame::AppServer
            }
            Self::NodeShutdown | Self::Moved => Blame::Node,
        }
    }
}

/// The reason of a `Close` as the number on the wire, so that a code of a later version is not
/// lost.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CloseCode(pub u8);

impl CloseCode {
    /// The reason; an unknown code counts as [`CloseReason::TransportError`] (section 2).
    pub fn reason(self) -> CloseReason {
        let known = CloseReason::ALL.into_iter().find(|reason| *reason as u8 == self.0);
        known.unwrap_or(CloseReason::TransportError)
    }
}

impl From<CloseReason> for CloseCode {
    fn from(reason: CloseReason) -> Self {
        Self(reason as u8)
    }
}

/// Why a trunk was given up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCode {
    /// 1: a frame could not be decoded, or came when it must not.
    Protocol,
    /// 2: no common version.
    NoCommonVersion,
    /// 3: the settings in `Hello` cannot be honoured.
    Settings,
    /// 4: more data than credit.
    Credit,
    /// 5: another trunk of the same app server to this node replaced this one.
    Replaced,
    /// 6: a limit of the receiver was passed.
    Limit,
    /// 7: the peer did not answer pings.
    Silence,
    /// 9: the app server has another trunk to this node, which stays.
    Another,
    /// 10: the key with which the app server opened the trunk is valid no longer.
    KeyRemoved,
    /// 11: the node does not serve the hub any longer.
    HubRemoved,
    /// A code of a later version.
    Other(u32),
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::NoCommonVersion => 2,
            Self::Settings => 3,
            Self::Credit => 4,
            Self::Replaced => 5,
            Self::Limit => 6,
            Self::Silence => 7,
            Self::Another => 9,
            Self::KeyRemoved => 10,
            Self::HubRemoved => 11,
            Self::Other(code) => code,
        }
    }

    /// The code of a number. Never fails: an unknown number is kept.
    pub const fn from_wire(wire: u32) -> Self {
        match wire {
            1 => Self::Protocol,
            2 => Self::NoCommonVersion,
            3 => Self::Settings,
            4 => Self::Credit,
            5 => Self::Replaced,
            6 => Self::Limit,
            7 => Self::Silence,
            9 => Self::Another,
            10 => Self::KeyRemoved,
            11 => Self::HubRemoved,
            other => Self::Other(other),
        }
    }

    /// Whether an app server must not try again after this error.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::NoCommonVersion | Self::Settings)
    }
}
