//! What the machine asks of its owner, one step at a time.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::credit::SharedCredit;
use crate::frame::{Frame, RequestId, Response};
use crate::machine::EndCause;
use crate::settings::{EngineSettings, SettingsError};
use crate::text::Str;

/// One thing that the owner of a [`NodeTrunk`](super::NodeTrunk) is to do, before it asks for the next.
#[derive(Debug)]
pub enum Step {
    /// The first broadcast since [`NodeTrunk::look_before_broadcast`](super::NodeTrunk::look_before_broadcast) is next.
    /// The machine waits for [`NodeTrunk::go_on`](super::NodeTrunk::go_on).
    BroadcastAhead,
    /// There is credit for messages again.
    CreditReturned,
    /// The app server wants no new sessions.
    Draining {
        /// Milliseconds until it closes the trunk.
        deadline_ms: u32,
    },
    /// Send what [`NodeTrunk::poll_transmit`](super::NodeTrunk::poll_transmit) still has, then close the WebSocket with
    /// 1008. The last step.
    Ended(EndCause),
    /// A socket that was restored is not used: it comes behind the shares that it may be about.
    GiveBack {
        /// The namespace's name.
        nsp: Str,
        /// The private id.
        pid: Str,
    },
    /// The app server says who it is. The machine waits for [`NodeTrunk::welcome`](super::NodeTrunk::welcome) or
    /// [`NodeTrunk::give_up`](super::NodeTrunk::give_up).
    Hello(Box<Greeting>),
    /// What the app server asks for is refused, which ends the trunk. For a log: the app server is told, too.
    Refused(Refused),
    /// For other app servers: it comes behind the shares that it may be about.
    Relay {
        /// The ids of those that get it; all others of the hub when empty.
        to: Vec<Str>,
        /// The node does not look into it.
        payload: Bytes,
    },
    /// The app server answers a request that somebody waits for.
    Response {
        /// As [`NodeTrunk::request`](super::NodeTrunk::request) was given it.
        key: u64,
        /// The client gets it.
        response: Response,
    },
    /// What is kept of a socket? It comes behind the shares that it may be about, and is to be answered with
    /// [`NodeTrunk::restored`](super::NodeTrunk::restored) at the latest when the app server can read the answer, or with
    /// [`NodeTrunk::not_restored`](super::NodeTrunk::not_restored).
    Restore(Restore),
    /// The app's options are others from here on.
    Settings(Box<EngineSettings>),
    /// Frames for the shards, in order.
    Shares(Shares),
}

/// An app server that says who it is, checked.
#[derive(Debug)]
pub struct Greeting {
    /// The id of the process.
    pub server: Str,
    /// The SDK's name and version.
    pub sdk: Str,
    /// The app's options as far as this node can carry them out.
    pub settings: EngineSettings,
    /// What this node cannot carry out, for the app's log.
    pub warnings: Vec<String>,
    /// The credit for messages of clients, which all shards spend.
    pub credit: Arc<SharedCredit>,
}

/// The frames of a part of a batch, dealt out.
#[derive(Debug)]
pub struct Shares {
    /// The frames that each shard gets, in the order they came; at least one shard gets some.
    pub by_shard: Vec<Vec<Frame>>,
    /// What is to be given back with [`NodeTrunk::processed`](super::NodeTrunk::processed) once all shares are dealt with.
    pub cost_bytes: u64,
    /// How many of the frames are packets for many sockets; each is in every share.
    pub broadcasts: u64,
    /// Private ids of sockets, each with the shard that is to keep it. To be known before the shards have their shares.
    pub persisted: Vec<(Str, usize)>,
}

/// A question for what is kept of a socket.
#[derive(Debug, Eq, PartialEq)]
pub struct Restore {
    /// In use until it is answered.
    pub request_id: RequestId,
    /// The namespace's name.
    pub nsp: Str,
    /// The private id that the client names.
    pub pid: Str,
    /// The offset of the last packet that the client got.
    pub offset: Str,
}

/// Why an app server is not taken, or not kept. Alphabetical.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A text of `Hello` is empty, or longer than it may be.
    #[error("the {what} in Hello has {bytes} bytes; 1 to {bytes_max} are allowed")]
    Length {
        /// Which text.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest.
        bytes_max: usize,
    },
    /// An option that no node can carry out.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}
