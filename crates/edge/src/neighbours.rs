//! The other nodes, as far as this node asks them: for sessions, kept sockets and app servers that
//! it does not have itself.
//!
//! The composition root names them. By default there are none, and nothing is asked.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use trunkline_http::{SideAnswer, Visit};
use trunkline_trunk::{RestoredAt, Str};

/// The other nodes that serve the same hubs.
///
/// Each method runs on a thread that serves clients, so it must not block.
pub trait Neighbours: Debug + Send + Sync {
    /// The ids of a hub's app servers that [`Self::relay`] reaches. They may include app servers
    /// that also have a trunk to this node.
    fn peers(&self, hub: &str) -> Vec<String>;

    /// Sends a payload to app servers that have no trunk to this node. Returns the number of app
    /// servers.
    fn relay(&self, hub: &str, relay: &Relay<'_>) -> u64;

    /// Looks for a socket that no shard of this node keeps. The answer must come within bounded
    /// time. Its `request_id` is ignored.
    fn restore(&self, hub: &str, wanted: KeptSocket) -> Restoring;

    /// Gives a restored socket back: its app server did not use it, so it may be restored again.
    fn give_back(&self, hub: &str, socket: KeptSocket);

    /// Whether another node has this session.
    fn owns(&self, hub: &str, sid: &str) -> bool;

    /// Answers a request for a session of another node. An upgraded request keeps its lease for as
    /// long as it uses the stream.
    fn serve(&self, hub: &str, sid: &str, visit: Visit) -> SideAnswer;
}

/// A payload that one app server sends to others.
#[derive(Clone, Copy, Debug)]
pub struct Relay<'a> {
    /// The id of the sender.
    pub from: &'a str,
    /// The ids of the receivers. Empty: all app servers of the hub.
    pub to: &'a [&'a str],
    /// The bytes, which no node looks into.
    pub payload: &'a [u8],
}

/// A socket that some node may keep for its return.
#[derive(Clone, Debug)]
pub struct KeptSocket {
    /// The namespace's name.
    pub nsp: Str,
    /// The private id that the client names.
    pub pid: Str,
    /// The offset of the last packet that the client got. Empty when the socket is given back.
    pub offset: Str,
}

/// A search for a kept socket. `None`: no node keeps it.
pub type Restoring = Pin<Box<dyn Future<Output = Option<RestoredAt>> + Send>>;
