//! Listeners, HTTP, long-polling, WebSocket and trunks: the I/O around the pure crates.

mod acceptor;
mod compressor;
mod door;
mod environment;
mod http;
mod hub;
mod inside;
mod limits;
mod memory;
mod metrics;
mod neighbours;
mod permits;
mod pulse;
mod reply;
mod reserve;
mod running;
mod shard;
mod sid;
mod signal;
mod socket;
mod trunks;
mod unavailable;
mod voucher;
mod watched;

use std::io;
use std::net::SocketAddr;

pub use inside::{Inside, OpenInsideError};
pub use limits::Limits;
pub use metrics::Metrics;
pub use neighbours::{KeptSocket, Neighbours, Relay, Restoring};
pub use running::{Edge, Running};
use serde::Serialize;
pub use trunkline_token::{Endpoint, Names, Secret};
pub use voucher::{Vouched, Voucher};

/// What the public port serves, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the public port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Shards, each a thread of its own. At least 1, at most 256.
    pub threads: usize,
    /// Name of this node in logs and in `Welcome`.
    pub node_id: String,
    /// Hint of this node inside each `Sid`.
    pub node_number: u16,
    /// The product's version.
    pub version: &'static str,
    /// The hubs that this node serves.
    pub hubs: Vec<HubConfig>,
    /// How many more hubs come to be when somebody who has the default hub's key asks for them: for development only.
    pub spare_hubs: usize,
    /// The hub behind `/socket.io/`.
    pub default_hub: String,
    /// What tokens may call this node: audiences of clients' tokens have one of these names. `None`: the names of the
    /// address that it listens on.
    pub names: Option<Names>,
    /// Every bound of the public port.
    pub limits: Limits,
    /// Whether to use `io_uring` where the system has it.
    pub io_uring: bool,
    /// Bytes of heap that this process has in use: read often, so it must be cheap.
    pub heap_bytes: fn() -> usize,
}

/// One isolated application.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Unique without regard to case.
    pub name: String,
    /// Any of these authorises a trunk and signs clients' tokens; two during a rotation.
    pub keys: Vec<Secret>,
    /// Whether clients without a good token are refused.
    pub tokens_required: bool,
    /// Paths that are this hub's, whichever app servers are connected.
    pub paths: Vec<String>,
}

/// What is connected, for people and scripts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Whether a drain has begun.
    pub draining: bool,
    /// Sessions of all hubs together.
    pub sessions: usize,
    /// Sessions held by each shard.
    pub sessions_per_shard: Vec<usize>,
    /// Every configured hub, by name.
    pub hubs: Vec<HubStatus>,
}

/// Which limits of the whole node leave no room for another session now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Full {
    /// As much memory is in use as may be.
    pub memory: bool,
    /// There are as many sessions as there may be.
    pub sessions: bool,
    /// There are as many streams as there may be.
    pub streams: bool,
}

/// One hub's part of [`Status`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct HubStatus {
    /// The hub's name.
    pub name: String,
    /// Where its clients connect: path prefixes.
    pub paths: Vec<String>,
    /// Its connected app servers.
    pub app_servers: Vec<AppServerStatus>,
}

/// One app server's part of [`Status`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct AppServerStatus {
    /// The id it chose.
    pub id: String,
    /// Its SDK and version.
    pub sdk: String,
    /// Where its trunk comes from.
    pub address: String,
    /// Sessions it owns on this node.
    pub sessions: usize,
    /// It hangs: newcomers go to others until it answers again.
    pub hangs: bool,
    /// Whether it asked for no new sessions.
    pub draining: bool,
}

/// The public port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// What was asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// The threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {what}")]
pub struct StartError {
    /// The part that failed.
    pub what: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// What the fuzz targets play.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// Random operations of clients and app servers against a shard's core, in virtual time.
    ///
    /// # Panics
    ///
    /// Something that must always hold does not.
    pub fn shard_operations(input: &[u8]) {
        crate::shard::tests::random::play(input);
    }
}
