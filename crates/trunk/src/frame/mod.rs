//! Every frame of the registry (section 2), with its fields.

mod homes;
mod link;
mod nodes;
mod recovery;
mod rooms;
mod session;

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

pub use self::homes::{Adopt, Adopted, Operate, State};
pub use self::link::{Hello, Welcome};
pub use self::nodes::ListedNode;
pub use self::recovery::{Persist, Position, Reattach, Restored, RestoredAt};
pub use self::rooms::{Broadcast, Part};
pub use self::session::{ClientRequest, Header, Open, Request, Response};
use crate::kind::FrameKind;
use crate::text::Str;
use crate::values::{CloseCode, ErrorCode, SendFlags, StandingFlags, Transport};

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

/// One frame. Fields have the names of the spec; strings and payloads are slices of the batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// App server to node: the first frame.
    Hello(Box<Hello>),
    /// Node to app server: the answer to `Hello`.
    Welcome(Welcome),
    /// The sender gives up the trunk.
    Error {
        /// The rule that was broken.
        code: ErrorCode,
        /// The rule as a sentence, for a log.
        message: Str,
    },
    /// Asks for a sign of life.
    Ping {
        /// At most 16 bytes; the `Pong` returns it.
        token: Bytes,
    },
    /// The answer to a `Ping`.
    Pong {
        /// The token of the ping.
        token: Bytes,
    },
    /// Lets the receiver send more data frames.
    Credit {
        /// Bytes to add to the credit that is left.
        bytes: u32,
    },
    /// The sender wants no new sessions.
    Drain {
        /// Milliseconds until the sender closes the trunk.
        deadline_ms: u32,
    },
    /// App server to node: its options have changed.
    Settings {
        /// The new options, as in `Hello`.
        settings: Str,
    },
    /// Node to app server: a client asks for a session.
    Open(Box<Open>),
    /// App server to node: accepts the session.
    Accept {
        /// The session.
        session: SessionNumber,
        /// The app's own session id, or empty.
        sid: Str,
        /// Headers for the answer to the handshake.
        headers: Vec<Header>,
        /// Headers for every HTTP answer of the session.
        lasting: Vec<Header>,
    },
    /// App server to node: refuses the session.
    Reject {
        /// The session.
        session: SessionNumber,
        /// The answer, which the client receives unchanged.
        response: Response,
    },
    /// Node to app server: one Engine.IO message of a client.
    Message {
        /// The session.
        session: SessionNumber,
        /// Whether the payload is binary; else it is text.
        binary: bool,
        /// Text or bytes, without a packet type. Text is not checked to be UTF-8.
        payload: Bytes,
    },
    /// App server to node: one Engine.IO message for a client.
    Send {
        /// The session.
        session: SessionNumber,
        /// How the message may be treated.
        flags: SendFlags,
        /// Text or bytes, without a packet type. Text is not checked to be UTF-8.
        payload: Bytes,
    },
    /// The sender has closed the session.
    Close {
        /// The session.
        session: SessionNumber,
        /// Why.
        reason: CloseCode,
        /// The reason as a sentence, or empty; at most 1024 bytes.
        description: Str,
    },
    /// Node to app server: the session moved to another transport.
    Upgraded {
        /// The session.
        session: SessionNumber,
        /// The new transport.
        transport: Transport,
    },
    /// Node to app server: asks for the answer to a request that opens no session.
    Request(Box<Request>),
    /// App server to node: the answer to a `Request`.
    Response {
        /// The number of the request.
        request_id: RequestId,
        /// The answer for the client.
        response: Response,
    },
    /// App server to node: asks when all data before it has left the session's outbox.
    Mark {
        /// The session.
        session: SessionNumber,
        /// A number that the `Marked` returns.
        mark: u32,
        /// Asks for an answer at once, not when all data before it has left the outbox.
        now: bool,
    },
    /// Node to app server: answers a `Mark`, and all earlier marks of the session.
    Marked {
        /// The session.
        session: SessionNumber,
        /// The number of the `Mark`.
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
    /// App server to node: frees a namespace's number.
    Release {
        /// The number, which may be used again.
        nsp: NamespaceNumber,
    },
    /// App server to node: makes the session a socket of that namespace.
    Attach {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The Socket.IO id.
        socket: Str,
        /// The socket's rooms, without the one that has its id as its name.
        rooms: Vec<Str>,
    },
    /// App server to node: like `Attach`, but keeps the sockets that the session already has in the
    /// namespace.
    Beside {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The Socket.IO id.
        socket: Str,
        /// The socket's rooms, without the one that has its id as its name.
        rooms: Vec<Str>,
    },
    /// App server to node: chooses which of the session's sockets in a namespace later frames mean.
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
    /// App server to node: adds the socket to these rooms.
    Join {
        /// The session.
        session: SessionNumber,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The rooms.
        rooms: Vec<Str>,
    },
    /// App server to node: removes the socket from these rooms.
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
    /// App server to node: a broadcast that the node also keeps for returning clients.
    Recorded {
        /// The offset that the app put into the packet.
        offset: Str,
        /// The packet and its receivers.
        broadcast: Broadcast,
    },
    /// Node to app server: the other app servers of the hub on this node.
    Peers {
        /// The ids of the other app servers.
        servers: Vec<Str>,
    },
    /// App server to node: a payload for other app servers.
    Relay {
        /// The ids of the receivers; empty means all others of the hub.
        to: Vec<Str>,
        /// The payload; the node does not look into it.
        payload: Bytes,
    },
    /// Node to app server: a payload of another app server.
    Relayed {
        /// The id of the app server that sent it.
        from: Str,
        /// The payload as it was sent.
        payload: Bytes,
    },
    /// App server to node: keeps a socket whose session ends.
    Persist(Box<Persist>),
    /// App server to node: asks for a kept socket and its missed packets.
    Restore {
        /// A number, in use until the `Restored`.
        request_id: RequestId,
        /// The namespace.
        nsp: NamespaceNumber,
        /// The private id that the client names.
        pid: Str,
        /// The offset of the last packet that the client received.
        offset: Str,
    },
    /// Node to app server: the answer to a `Restore`.
    Restored(Box<Restored>),
    /// App server to node: a restored socket is back, in this session.
    Reattach(Box<Reattach>),
    /// App server to node: the number of its next `Broadcast` or `Recorded`; each later one has the
    /// next number.
    Number {
        /// At least 1.
        next: u64,
    },
    /// Node to app server: the answer to a `Restore` of an app server that numbers its broadcasts.
    RestoredAt(Box<RestoredAt>),
    /// App server to node: asks whether a socket with this cut could return in this session.
    Prove {
        /// The session.
        session: SessionNumber,
        /// A number, in use until the `Proved`.
        request_id: RequestId,
        /// The positions that the socket has received.
        cut: Vec<Position>,
    },
    /// Node to app server: the answer to a `Prove`.
    Proved {
        /// The number of the `Prove`.
        request_id: RequestId,
        /// Whether the shard has everything after the cut.
        holds: bool,
    },
    /// App server to node: returns a socket that a `RestoredAt` gave out and that was not used.
    GiveBack {
        /// The namespace.
        nsp: NamespaceNumber,
        /// The private id.
        pid: Str,
    },
    /// App server to node: asks the node to do something that happens seldom (section 15).
    Call {
        /// A number of the app server's choice, which the `Called` returns.
        request_id: RequestId,
        /// What to do.
        name: Str,
        /// With what: a JSON object.
        arguments: Str,
    },
    /// Node to app server: the answer to a `Call`.
    Called {
        /// The number of the `Call`.
        request_id: RequestId,
        /// Whether it was done.
        done: bool,
        /// What came of it, or why it was not done: a JSON object.
        answer: Str,
    },
    /// Node to app server: asks it to take over a session of another app server.
    Adopt(Box<Adopt>),
    /// App server to node: the state of a socket, in case its app server is lost.
    State(Box<State>),
    /// App server to node: how far it is with the node's batches.
    Handled {
        /// How many more batches it has begun to handle.
        begun: u32,
        /// How many more batches it has finished.
        done: u32,
    },
    /// App server to node: whether the session could go to another app server now.
    Standing {
        /// The session.
        session: SessionNumber,
        /// What replaces the former flags.
        flags: StandingFlags,
    },
    /// Batches of the other end have been received.
    Got {
        /// How many more.
        batches: u32,
    },
    /// Node to app server, optional: the nodes of the cluster, in place of the former list.
    Nodes {
        /// The nodes, with the sender.
        nodes: Vec<ListedNode>,
    },
    /// App server to node, optional: how much the app server has to do.
    Load {
        /// Its sessions over all nodes.
        sessions: u32,
        /// How late its event loop is, in milliseconds.
        lag_ms: u32,
    },
    /// An operation on sockets: from an app server, on those that belong to no app server; from a
    /// node, on those of the receiver that belonged to none at the time.
    Operate(Box<Operate>),
    /// Node to app server: whether sockets of the hub may belong to no app server.
    Unhomed {
        /// Whether there may be such sockets.
        waiting: bool,
    },
}

impl Frame {
    /// The type of the frame.
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
            Self::Call { .. } => FrameKind::Call,
            Self::Called { .. } => FrameKind::Called,
            Self::Adopt(_) => FrameKind::Adopt,
            Self::State(_) => FrameKind::State,
            Self::Handled { .. } => FrameKind::Handled,
            Self::Standing { .. } => FrameKind::Standing,
            Self::Got { .. } => FrameKind::Got,
            Self::Nodes { .. } => FrameKind::Nodes,
            Self::Load { .. } => FrameKind::Load,
            Self::Operate(_) => FrameKind::Operate,
            Self::Unhomed { .. } => FrameKind::Unhomed,
        }
    }

    /// The session that the frame is about, if any.
    pub fn session(&self) -> Option<SessionNumber> {
        match self {
            Self::Open(open) => Some(open.session),
            Self::Persist(persist) => Some(persist.session),
            Self::Reattach(reattach) => Some(reattach.session),
            Self::Adopt(adopt) => Some(adopt.session),
            Self::State(state) => Some(state.session),
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
            | Self::Prove { session, .. }
            | Self::Standing { session, .. } => Some(*session),
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
            | Self::GiveBack { .. }
            | Self::Call { .. }
            | Self::Called { .. }
            | Self::Handled { .. }
            | Self::Got { .. }
            | Self::Nodes { .. }
            | Self::Load { .. }
            | Self::Operate(_)
            | Self::Unhomed { .. } => None,
        }
    }
}
