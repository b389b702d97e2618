//! Every frame of the registry (section 2), with its fields.

mod link;
mod recovery;
mod rooms;
mod session;

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

pub use self::link::{Hello, Welcome};
pub use self::recovery::{Persist, Position, Reattach, Restored, RestoredAt};
pub use self::rooms::{Broadcast, Part};
pub use self::session::{ClientRequest, Header, Open, Request, Response};
use crate::kind::FrameKind;
use crate::text::Str;
use crate::values::{CloseCode, ErrorCode, SendFlags, Transport};

/// The number of a session on one trunk; unique while in use (section 4).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionNumber(pub u32);

/// The number of a namespace on one trunk, in use from `Namespace` to `Release` (section 7).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NamespaceNumber(pub u32);

/// The number of a `Request` on one trunk, in use until its `Response` (section 4), or that of a
/// `Restore` or a `Prove`, in use until its answer (section 9). Each kind has a space of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u32);

/// One frame. Fields bear the names of the spec; strings and payloads are slices of the batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// App server to node: the first frame.
    Hello(Box<Hello>),
    /// Node to app server: the answer to `Hello`.
    Welcome(Welcome),
    /// The sender gives the trunk up.
    Error {
        /// Which rule was broken.
        code: ErrorCode,
        /// The same in words, for a log.
        message: Str,
    },
    /// Asks for a sign of life.
    Ping {
        /// At most 16 bytes; comes back in the `Pong`.
        token: Bytes,
    },
    /// The answer to a `Ping`.
    Pong {
        /// The ping's.
        token: Bytes,
    },
    /// Lets the receiver send more data frames.
    Credit {
        /// Bytes on top of what is left.
        bytes: u32,
    },
    /// The sender wants no new sessions.
    Drain {
        /// Milliseconds until the sender closes the trunk.
        deadline_ms: u32,
    },
    /// App server to node: its options are others from now on.
    Settings {
        /// As in `Hello`.
        settings: Str,
    },
    /// Node to app server: a client wants a session.
    Open(Box<Open>),
    /// App server to node: the session is wanted.
    Accept {
        /// The session.
        session: SessionNumber,
        /// The app's own id, or empty.
        sid: Str,
        /// Go on the answer to the handshake.
        headers: Vec<Header>,
        /// Go on every HTTP answer of the session.
        lasting: Vec<Header>,
    },
    /// App server to node: the session is not wanted.
    Reject {
        /// The session.
        session: SessionNumber,
        /// The client gets it as it is.
        response: Response,
    },
    /// Node to app server: one Engine.IO message of a client.
    Message {
        /// The session.
        session: SessionNumber,
        /// The payload is binary, not text.
        binary: bool,
        /// Text or bytes, without a packet type. Text is not checked to be UTF-8.
        payload: Bytes,
    },
    /// App server to node: one Engine.IO message for a client.
    Send {
        /// The session.
        session: SessionNumber,
        /// How it may be treated.
        flags: SendFlags,
        /// Text or bytes, without a packet type. Text is not checked to be UTF-8.
        payload: Bytes,
    },
    /// The sender is done with a session.
    Close {
        /// The session.
        session: SessionNumber,
        /// Why.
        reason: CloseCode,
        /// The same in words, or empty; at most 1024 bytes.
        description: Str,
    },
    /// Node to app server: the session moved to another transport.
    Upgraded {
        /// The session.
        session: SessionNumber,
        /// What carries it now.
        transport: Transport,
    },
    /// Node to app server: what to answer to a request that opens no session.
    Request(Box<Request>),
    /// App server to node: the answer to a `Request`.
    Response {
        /// The request's.
        request_id: RequestId,
        /// The client gets it.
        response: Response,
    },
    /// App server to node: what waits for this session's client?
    Mark {
        /// The session.
        session: SessionNumber,
        /// Comes back in the `Marked`.
        mark: u32,
        /// Asks for the answer at once, and not when all that was sent before has left the outbox.
        now: bool,
    },
    /// Node to app server: the answer to a `Mark` and to all before it.
    Marked {
        /// The session.
        session: SessionNumber,
        /// The `Mark`'s.
        mark: u32,
        /// Bytes in the session's outbox.
        waiting_bytes: u32,
    },
    /// App server to node: gives a number to a namespace.
    Namespace {
        /// The number, not in use on this trunk.
        nsp: NamespaceNumber,
        /// The name, such as `/` or `/chat`.
        name: Str,
    },
    /// App server to node: takes a namespace's number back.
    Release {
        /// The number, which may be given anew.
        nsp: NamespaceNumber,
    },
    /// App server to node: the session is a socket in that namespace.
    Attach {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The Socket.IO id.
        socket: Str,
        /// Its rooms, without the one that has its id as its name.
        rooms: Vec<Str>,
    },
    /// App server to node: as `Attach`, but beside what sockets the session has there.
    Beside {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The Socket.IO id.
        socket: Str,
        /// Its rooms, without the one that has its id as its name.
        rooms: Vec<Str>,
    },
    /// App server to node: which of the session's sockets in a namespace is meant from now on.
    Choose {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The Socket.IO id.
        socket: Str,
    },
    /// App server to node: the socket ended.
    Detach {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
    },
    /// App server to node: the socket is in these rooms, too.
    Join {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The rooms.
        rooms: Vec<Str>,
    },
    /// App server to node: the socket is in these rooms no longer.
    Leave {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The rooms.
        rooms: Vec<Str>,
    },
    /// App server to node: one packet for many sockets.
    Broadcast(Broadcast),
    /// App server to node: the same, and the node keeps it for those that come back.
    Recorded {
        /// The offset that the app put into the packet.
        offset: Str,
        /// The packet and who gets it.
        broadcast: Broadcast,
    },
    /// Node to app server: who else of the hub is on this node.
    Peers {
        /// The ids of the other app servers.
        servers: Vec<Str>,
    },
    /// App server to node: a payload for other app servers.
    Relay {
        /// The ids of those that get it; all others of the hub when empty.
        to: Vec<Str>,
        /// The node does not look into it.
        payload: Bytes,
    },
    /// Node to app server: a payload of another app server.
    Relayed {
        /// The id of the one that sent it.
        from: Str,
        /// As it was sent.
        payload: Bytes,
    },
    /// App server to node: keep this of a socket whose session ends.
    Persist(Box<Persist>),
    /// App server to node: what was kept, and what was missed?
    Restore {
        /// In use until the `Restored`.
        request_id: RequestId,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The private id that the client names.
        pid: Str,
        /// The offset of the last packet that the client got.
        offset: Str,
    },
    /// Node to app server: the answer to a `Restore`.
    Restored(Box<Restored>),
    /// App server to node: a socket that was restored is back, in this session.
    Reattach(Box<Reattach>),
    /// App server to node: the number of its next `Broadcast` or `Recorded`; each later one is one more.
    Number {
        /// At least 1.
        next: u64,
    },
    /// Node to app server: the answer to a `Restore` of an app server that numbers.
    RestoredAt(Box<RestoredAt>),
    /// App server to node: could a socket with this cut come back in this session?
    Prove {
        /// The session.
        session: SessionNumber,
        /// In use until the `Proved`.
        request_id: RequestId,
        /// What the socket would have.
        cut: Vec<Position>,
    },
    /// Node to app server: the answer to a `Prove`.
    Proved {
        /// The `Prove`'s.
        request_id: RequestId,
        /// All that is beyond the cut is here.
        holds: bool,
    },
    /// App server to node: what a `RestoredAt` gave out was not used.
    GiveBack {
        /// The namespace.
        nsp: NamespaceNumber,
        /// The private id.
        pid: Str,
    },
}

impl Frame {
    /// The type.
    pub const fn kind(&self) -> FrameKind {
        match self {
            Self::Hello(_) => FrameKind::Hello,
            Self::Welcome(_) => FrameKind::Welcome,
            Self::Error { .. } => FrameKind::Error,
            Self::Ping { .. } => FrameKind::Ping,
            Self::Pong { .. } => FrameKind::Pong,
            Self::Credit { .. } => FrameKind::Credit,
            Self::Drain { .. } => FrameKind::Drain,
            Self::Settings { .. } => FrameKind::Settings,
            Self::Open(_) => FrameKind::Open,
            Self::Accept { .. } => FrameKind::Accept,
            Self::Reject { .. } => FrameKind::Reject,
            Self::Message { .. } => FrameKind::Message,
            Self::Send { .. } => FrameKind::Send,
            Self::Close { .. } => FrameKind::Close,
            Self::Upgraded { .. } => FrameKind::Upgraded,
            Self::Request(_) => FrameKind::Request,
            Self::Response { .. } => FrameKind::Response,
            Self::Mark { .. } => FrameKind::Mark,
            Self::Marked { .. } => FrameKind::Marked,
            Self::Namespace { .. } => FrameKind::Namespace,
            Self::Release { .. } => FrameKind::Release,
            Self::Attach { .. } => FrameKind::Attach,
            Self::Beside { .. } => FrameKind::Beside,
            Self::Choose { .. } => FrameKind::Choose,
            Self::Detach { .. } => FrameKind::Detach,
            Self::Join { .. } => FrameKind::Join,
            Self::Leave { .. } => FrameKind::Leave,
            Self::Broadcast(_) => FrameKind::Broadcast,
            Self::Recorded { .. } => FrameKind::Recorded,
            Self::Peers { .. } => FrameKind::Peers,
            Self::Relay { .. } => FrameKind::Relay,
            Self::Relayed { .. } => FrameKind::Relayed,
            Self::Persist(_) => FrameKind::Persist,
            Self::Restore { .. } => FrameKind::Restore,
            Self::Restored(_) => FrameKind::Restored,
            Self::Reattach(_) => FrameKind::Reattach,
            Self::Number { .. } => FrameKind::Number,
            Self::RestoredAt(_) => FrameKind::RestoredAt,
            Self::Prove { .. } => FrameKind::Prove,
            Self::Proved { .. } => FrameKind::Proved,
            Self::GiveBack { .. } => FrameKind::GiveBack,
        }
    }

    /// The session that it is about, if it is about one.
    pub fn session(&self) -> Option<SessionNumber> {
        match self {
            Self::Open(open) => Some(open.session),
            Self::Persist(persist) => Some(persist.session),
            Self::Reattach(reattach) => Some(reattach.session),
            Self::Accept { session, .. }
            | Self::Reject { session, .. }
            | Self::Message { session, .. }
            | Self::Send { session, .. }
            | Self::Close { session, .. }
            | Self::Upgraded { session, .. }
            | Self::Mark { session, .. }
            | Self::Marked { session, .. }
            | Self::Attach { session, .. }
            | Self::Beside { session, .. }
            | Self::Choose { session, .. }
            | Self::Detach { session, .. }
            | Self::Join { session, .. }
            | Self::Leave { session, .. }
            | Self::Prove { session, .. } => Some(*session),
            Self::Hello(_)
            | Self::Welcome(_)
            | Self::Error { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Credit { .. }
            | Self::Drain { .. }
            | Self::Settings { .. }
            | Self::Request(_)
            | Self::Response { .. }
            | Self::Namespace { .. }
            | Self::Release { .. }
            | Self::Broadcast(_)
            | Self::Recorded { .. }
            | Self::Peers { .. }
            | Self::Relay { .. }
            | Self::Relayed { .. }
            | Self::Restore { .. }
            | Self::Restored(_)
            | Self::Number { .. }
            | Self::RestoredAt(_)
            | Self::Proved { .. }
            | Self::GiveBack { .. } => None,
        }
    }
}
