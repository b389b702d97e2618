//! The machine's steps for its owner, one at a time.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::credit::SharedCredit;
use crate::frame::{Frame, RequestId, Response};
use crate::machine::EndCause;
use crate::settings::{EngineSettings, OwnSettings, SettingsError};
use crate::text::Str;

/// A step that the owner of a [`NodeTrunk`](super::NodeTrunk) has to take before it asks for the
/// next.
#[derive(Debug)]
pub enum Step {
    /// The first broadcast since [`look_before_broadcast`](super::NodeTrunk::look_before_broadcast)
    /// is next. The machine waits for [`go_on`](super::NodeTrunk::go_on).
    BroadcastAhead,
    /// The app server asks the node to do something. Comes after the shares that may concern it.
    Call {
        /// The number for the answer.
        request_id: RequestId,
        /// What to do.
        name: Str,
        /// With what: a JSON object, not checked.
        arguments: Str,
    },
    /// There is credit for messages again.
    CreditReturned,
    /// The app server wants no new sessions.
    Draining {
        /// Milliseconds until it closes the trunk.
        deadline_ms: u32,
    },
    /// The trunk has ended: send the remaining frames of
    /// [`NodeTrunk::poll_transmit`](super::NodeTrunk::poll_transmit), then close the WebSocket with
    /// 1008. The last step.
    Ended(EndCause),
    /// A restored socket is not used. Comes after the shares that may concern it.
    GiveBack {
        /// The namespace's name.
        nsp: Str,
        /// The private id.
        pid: Str,
    },
    /// The app server has introduced itself. The machine waits for
    /// [`NodeTrunk::welcome`](super::NodeTrunk::welcome) or
    /// [`NodeTrunk::give_up`](super::NodeTrunk::give_up).
    Hello(Box<Greeting>),
    /// The app server tells how much it has to do.
    Load {
        /// Its sessions over all nodes.
        sessions: u32,
        /// How late its event loop is, in milliseconds.
        lag_ms: u32,
    },
    /// A request of the app server is refused, which ends the trunk. For a log: the app server is
    /// notified, too.
    Refused(Refused),
    /// A message for other app servers. Comes after the shares that may concern it.
    Relay {
        /// The ids of the receivers; all others of the hub when empty.
        to: Vec<Str>,
        /// The message, which the node does not read.
        payload: Bytes,
    },
    /// The app server has answered a request whose client waits.
    Response {
        /// The key that was given to [`NodeTrunk::request`](super::NodeTrunk::request).
        key: u64,
        /// The answer for the client.
        response: Response,
    },
    /// The app server asks for a kept socket. Comes after the shares that may concern it. Answer
    /// with [`NodeTrunk::restored`](super::NodeTrunk::restored), at the latest when the app server
    /// can read the answer, or with [`NodeTrunk::not_restored`](super::NodeTrunk::not_restored).
    Restore(Restore),
    /// The app's options have changed, for all later frames.
    Settings(Box<EngineSettings>),
    /// Frames for the shards, in order.
    Shares(Shares),
}

/// An app server's introduction of itself, checked.
#[derive(Debug)]
pub struct Greeting {
    /// The id of the process.
    pub server: Str,
    /// The SDK's name and version.
    pub sdk: Str,
    /// What the SDK itself says about this trunk.
    pub own: OwnSettings,
    /// The app's options as far as this node supports them.
    pub settings: EngineSettings,
    /// Options that this node does not support, for the app's log.
    pub warnings: Vec<String>,
    /// The credit for messages of clients, which all shards spend.
    pub credit: Arc<SharedCredit>,
}

/// The frames of a part of a batch, dealt out.
#[derive(Debug)]
pub struct Shares {
    /// The frames for each shard, in the order in which they arrived; at least one shard gets some.
    pub by_shard: Vec<Vec<Frame>>,
    /// The cost to report to [`NodeTrunk::processed`](super::NodeTrunk::processed) once all shares
    /// are processed.
    pub cost_bytes: u64,
    /// The number of frames that are packets for many sockets; each is in every share.
    pub broadcasts: u64,
    /// Private ids of sockets, each with the shard that is to keep it. Note them before the shards
    /// get their shares.
    pub persisted: Vec<(Str, usize)>,
}

/// An app server's request for a kept socket.
#[derive(Debug, Eq, PartialEq)]
pub struct Restore {
    /// The request's number, in use until it is answered.
    pub request_id: RequestId,
    /// The namespace's name.
    pub nsp: Str,
    /// The private id that the client names.
    pub pid: Str,
    /// The offset of the last packet that the client got.
    pub offset: Str,
}

/// The reason why an app server is not accepted, or not kept. Alphabetical.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A text of `Hello` is empty, or longer than it may be.
    #[error("the {what} in Hello has {bytes} bytes; 1 to {bytes_max} are allowed")]
    Length {
        /// The name of the text.
        what: &'static str,
        /// The length of the text.
        bytes: usize,
        /// The longest allowed length.
        bytes_max: usize,
    },
    /// An option has a value that no node supports.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}
