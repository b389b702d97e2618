//! The commands that other threads, and the HTTP tasks of any thread, send to a shard.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::error::HandshakeError;
use trunkline_engineio::{ContentType, Protocol};
use trunkline_trunk::settings::EngineSettings;
use trunkline_trunk::{Frame, Header, Response};

use super::flight::Flight;
use super::foreign::ForeignStream;
use super::recovery::{GiveBack, RestoreRequest};
use super::tokens::TokenCommand;
use crate::cluster::{MoveKey, MoveStep};
use crate::entrance::StreamPermit;
use crate::hub::{BatchCredit, Changes, Hub, Remains, Trunk, TrunkNumber};
use crate::peer::Peer;
use crate::pulse::Pulse;
use crate::reply::{Awaited, Reply};
use crate::sid::Sid;
use crate::socket::Socket;
use crate::unavailable::Unavailable;

/// A slot, together with the session that was in it when the key was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SlotKey {
    /// Set when the session is another node's: then the other fields are a number that the cluster
    /// gave to the request.
    pub(crate) elsewhere: bool,
    pub(crate) shard: u8,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A stream that has changed from HTTP to WebSocket frames.
#[derive(Debug)]
pub(crate) struct AdoptedStream {
    pub(crate) socket: Socket,
    /// Bytes to send after the handshake that the kernel did not accept together with it.
    pub(crate) unsent: Bytes,
    /// Bytes that arrived right after the handshake.
    pub(crate) leftover: Bytes,
    pub(crate) permit: StreamPermit,
    /// Set when messages may be compressed: the compressor's window, in bits.
    pub(crate) deflate_window: Option<u8>,
}

/// A stream that a task of the shard's thread is to serve, not the shard itself.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A client connected and speaks HTTP.
    Client { socket: Socket, from: Peer, permit: StreamPermit },
    /// A client whose connection rested sends again or has gone: its connection continues.
    Again { socket: Socket, from: Peer, permit: StreamPermit },
    /// A trunk inside of this process.
    Trunk { hub: Arc<Hub>, socket: Socket },
}

/// A command to a shard.
#[derive(Debug)]
pub(crate) enum Command {
    /// A stream arrived that is to be served on this shard's thread.
    Arrived(Arrival),
    /// A connection is to rest for this time, until it gets another request.
    Rest {
        socket: Socket,
        from: Peer,
        permit: StreamPermit,
        span: Duration,
    },
    /// An app server has connected; the reply is sent when the shard knows it.
    TrunkUp(Arc<Trunk>, Reply<()>),
    /// The trunk has ended. What its app server has not handled is in `remains`, and what was never
    /// sent in the trunk's outbox.
    TrunkDown {
        trunk: TrunkNumber,
        remains: Arc<Remains>,
    },
    /// The trunk's app has other options from now on.
    Settings(TrunkNumber, Arc<EngineSettings>),
    /// Frames of one trunk message that concern this shard.
    Batch {
        trunk: TrunkNumber,
        frames: Vec<Frame>,
        credit: Arc<BatchCredit>,
    },
    /// The trunk may send again: sessions that wait for credit continue. The reply says whether any
    /// did.
    CreditReturned {
        trunk: TrunkNumber,
        reply: Reply<bool>,
    },
    /// A GET of a polling session; `poll` is the requester's number for it.
    Poll {
        asked: Asked,
        poll: u32,
        reply: Reply<Answer>,
    },
    /// The connection of a held poll ended.
    PollGone {
        sid: Sid,
        poll: u32,
    },
    /// The node where a held poll arrived stops: the poll is to be answered now.
    PollBack {
        sid: Sid,
        poll: u32,
    },
    /// A POST began: the reply says whether its body is wanted, and how much of it.
    PostBegin {
        asked: Asked,
        reply: Reply<PostBegun>,
    },
    /// A POST whose body arrived together with its head.
    Post(Box<WholePost>),
    PostBody {
        key: SlotKey,
        binary: bool,
        body: Bytes,
        reply: Reply<Answer>,
    },
    /// No more of a POST will arrive. `fault` is the reason if that ends the session.
    PostGone {
        key: SlotKey,
        fault: Option<&'static str>,
    },
    /// Asks whether this sid exists, for the handshake of a WebSocket that wants to probe.
    Inspect {
        asked: Asked,
        reply: Reply<Result<Inspected, Answer>>,
    },
    /// The direct WebSocket of an accepted handshake.
    Adopt {
        key: SlotKey,
        stream: AdoptedStream,
    },
    /// A second WebSocket for a session that polls.
    Probe {
        key: SlotKey,
        base64_only: bool,
        stream: AdoptedStream,
    },
    /// A WebSocket for a session of another node.
    ForeignProbe(Box<ForeignStream>),
    /// The client of a handshake went away before the answer or before its WebSocket was adopted.
    HandshakeGone {
        key: SlotKey,
        poll: u32,
    },
    /// A step of a session's move between two nodes.
    Move {
        key: MoveKey,
        step: MoveStep,
    },
    /// An app server asks for the socket that this shard keeps under a private id.
    Restore(Box<RestoreRequest>),
    /// An app server returns a socket that it was given and did not use.
    GiveBack(Box<GiveBack>),
    /// Something about clients' tokens.
    Token(Box<TokenCommand>),
    Drain(Duration),
    /// The operator has changed limits, or taken hubs or keys away.
    Reloaded(Arc<Changes>),
    /// Replies after everything sent before it is done.
    Past(Reply<()>),
    /// Replies to show that the shard still runs.
    Pulse(Arc<Pulse>),
    Stop,
}

/// A request that names a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) sid: Sid,
    pub(crate) protocol: Protocol,
    /// The number of the hub whose path the request used.
    pub(crate) hub: u16,
}

/// A POST with its body.
#[derive(Debug)]
pub(crate) struct WholePost {
    pub(crate) asked: Asked,
    pub(crate) binary: bool,
    pub(crate) body: Bytes,
    pub(crate) reply: Reply<Answer>,
}

/// What a request that names a session has to know of it.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) key: SlotKey,
    /// This node's trunk of the session's app server.
    pub(crate) owner: Option<Arc<Trunk>>,
    /// Whether the session has an app server, with a trunk to this node or not.
    pub(crate) has_owner: bool,
    /// Whether the session may move to the node that asks.
    pub(crate) movable: bool,
}

/// A shard's answer to a client's HTTP request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An Engine.IO payload: the answer to a poll.
    Payload(Box<Payload>),
    /// `ok`: the answer to a POST.
    Ok { lasting: Option<Arc<[Header]>> },
    /// A bare status.
    Status(u16),
    /// The app server's own answer.
    Relayed(Response),
    /// A WebSocket handshake was accepted: switch protocols, then adopt.
    /// `first` are the first bytes after the `101`.
    Switch { key: SlotKey, headers: Vec<Header>, first: Bytes },
    /// An Engine.IO error.
    Refused(Refusal),
    /// 503 with a JSON error.
    Unavailable(Unavailable),
    /// Break the connection off, as npm engine.io does.
    Abort,
}

/// An Engine.IO payload, with what its HTTP answer needs.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) content_type: ContentType,
    pub(crate) body: Bytes,
    pub(crate) compress: bool,
    /// Set when the answer is a script that calls back with this number.
    pub(crate) jsonp: Option<Box<str>>,
    pub(crate) lasting: Option<Arc<[Header]>>,
    /// Headers for the answer to the handshake only.
    pub(crate) first: Vec<Header>,
    /// Counts the answer for its session until the kernel has accepted all of it.
    pub(crate) flight: Option<Flight>,
}

/// An Engine.IO error and its context.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: HandshakeError,
    /// JSON, as `connection_error`'s `context`.
    pub(crate) context: String,
}

impl From<Arc<Pulse>> for Command {
    fn from(question: Arc<Pulse>) -> Self {
        Self::Pulse(question)
    }
}

/// Engine.IO's description of the end of a session whose POST was broken off.
pub(crate) const POST_BROKEN: &str = "data request connection closed prematurely";
pub(crate) const POST_SLOW: &str = "http request timeout";
pub(crate) const POST_TOO_LARGE: &str = "payload too large";
pub(crate) const POST_TOO_MANY_CHUNKS: &str = "too many chunks";

/// The descriptions of broken POSTs.
pub(crate) const POST_FAULTS: [&str; 4] =
    [POST_BROKEN, POST_SLOW, POST_TOO_MANY_CHUNKS, POST_TOO_LARGE];

/// The limits for the body of a POST, from the app's options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostBounds {
    pub(crate) bytes_max: usize,
    pub(crate) chunks_max: usize,
    pub(crate) timeout: Duration,
}

/// The shard's decision about a POST that has begun.
#[derive(Debug)]
pub(crate) enum PostBegun {
    /// Read the body, within these limits, and send it to the shard.
    Wanted {
        key: SlotKey,
        bounds: PostBounds,
        /// Set when the body is a form.
        jsonp: bool,
        /// Resolves when the request is to be cut off.
        cut: Awaited<()>,
    },
    Refused(Refusal),
    Status(u16),
    /// 503 with a JSON error.
    Unavailable(Unavailable),
}
