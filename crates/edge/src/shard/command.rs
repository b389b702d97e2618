//! What other threads, and the HTTP tasks of any thread, ask of a shard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::error::HandshakeError;
use trunkline_engineio::{ContentType, Protocol};
use trunkline_trunk::settings::EngineSettings;
use trunkline_trunk::{Frame, Header, Response};

use super::flight::Flight;
use super::recovery::{GiveBack, RestoreRequest};
use crate::hub::{BatchCredit, Hub, Trunk, TrunkNumber};
use crate::permits::StreamPermit;
use crate::pulse::Pulse;
use crate::reply::{Awaited, Reply};
use crate::sid::Sid;
use crate::socket::Socket;
use crate::unavailable::Unavailable;

/// A slot and the session that was in it when the number was given out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SlotKey {
    pub(crate) shard: u8,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A stream whose HTTP part is over: WebSocket frames from here on.
#[derive(Debug)]
pub(crate) struct AdoptedStream {
    pub(crate) socket: Socket,
    /// Bytes that follow the handshake and that the kernel did not take with it.
    pub(crate) unsent: Bytes,
    /// Bytes that came right behind the handshake.
    pub(crate) leftover: Bytes,
    pub(crate) permit: StreamPermit,
    /// Messages may be compressed; what the compressor may look back at, in bits.
    pub(crate) deflate_window: Option<u8>,
}

/// A stream that the shard itself has nothing to do with yet: a task of its thread serves it.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A client connected; it speaks HTTP.
    Client { socket: Socket, address: SocketAddr, permit: StreamPermit },
    /// A client that rested says something: its connection goes on.
    Again { socket: Socket, address: SocketAddr, permit: StreamPermit },
    /// A trunk inside of this process.
    Trunk { hub: Arc<Hub>, socket: Socket },
}

#[derive(Debug)]
pub(crate) enum Command {
    /// Somebody came who is to be served on this shard's thread.
    Arrived(Arrival),
    /// A connection waits for another request, so long.
    Rest {
        socket: Socket,
        address: SocketAddr,
        permit: StreamPermit,
        span: Duration,
    },
    /// An app server is there; the word goes back when the shard knows.
    TrunkUp(Arc<Trunk>, Reply<()>),
    TrunkDown(TrunkNumber),
    /// Its app has other options from now on.
    Settings(TrunkNumber, Arc<EngineSettings>),
    /// Frames of one trunk message that concern this shard.
    Batch {
        trunk: TrunkNumber,
        frames: Vec<Frame>,
        credit: Arc<BatchCredit>,
    },
    /// The trunk may send again: those who wait go on. The answer says whether anybody did.
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
    /// A POST began: says whether its body is wanted, and how much of it.
    PostBegin {
        asked: Asked,
        reply: Reply<PostBegun>,
    },
    PostBody {
        key: SlotKey,
        binary: bool,
        body: Bytes,
        reply: Reply<Answer>,
    },
    /// Nothing more comes of a POST. When that ends the session, `fault` says why.
    PostGone {
        key: SlotKey,
        fault: Option<&'static str>,
    },
    /// Does this sid exist? For the handshake of a WebSocket that wants to probe.
    Inspect {
        asked: Asked,
        reply: Reply<Result<(SlotKey, TrunkNumber), Refusal>>,
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
    /// The client of a handshake went away before the answer or before its WebSocket was adopted.
    HandshakeGone {
        key: SlotKey,
        poll: u32,
    },
    /// An app server asks for what this shard keeps under a private id.
    Restore(Box<RestoreRequest>),
    /// An app server gives back what it was given so.
    GiveBack(Box<GiveBack>),
    Drain(Duration),
    /// All that was asked before is done.
    Past(Reply<()>),
    /// Is it still there?
    Pulse(Arc<Pulse>),
    Stop,
}

/// A request that names a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) sid: Sid,
    pub(crate) protocol: Protocol,
    /// The hub whose path it came to.
    pub(crate) hub: u16,
}

/// What a client's HTTP request gets.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An Engine.IO payload: the answer to a poll.
    Payload(Box<Payload>),
    /// `ok`: the answer to a POST.
    Ok { lasting: Option<Arc<[Header]>> },
    /// A bare status.
    Status(u16),
    /// The app server's own words.
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

#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) content_type: ContentType,
    pub(crate) body: Bytes,
    pub(crate) compress: bool,
    /// The answer is a script that calls back with this number.
    pub(crate) jsonp: Option<Box<str>>,
    pub(crate) lasting: Option<Arc<[Header]>>,
    /// Only on the answer to the handshake.
    pub(crate) first: Vec<Header>,
    /// Counts the answer for its session until it has left.
    pub(crate) flight: Option<Flight>,
}

/// An Engine.IO error and what there is to say about it.
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

/// Engine.IO's words for the end of a session whose POST broke off.
pub(crate) const POST_BROKEN: &str = "data request connection closed prematurely";

/// What the body of a POST may be, as the app's options say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostBounds {
    pub(crate) bytes_max: usize,
    pub(crate) chunks_max: usize,
    pub(crate) timeout: Duration,
}

#[derive(Debug)]
pub(crate) enum PostBegun {
    /// Send the body, within these bounds.
    Wanted {
        key: SlotKey,
        bounds: PostBounds,
        /// The body is a form.
        jsonp: bool,
        /// Ends when the request is to be cut off.
        cut: Awaited<()>,
    },
    Refused(Refusal),
    Status(u16),
}
