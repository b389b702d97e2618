//! Listeners, HTTP, long-polling, WebSocket and trunks: the I/O around the pure crates.

mod calls;
mod changing;
mod cluster;
mod compressor;
mod door;
mod entrance;
mod environment;
mod gate;
mod http;
mod hub;
mod inside;
mod limits;
mod memory;
mod metrics;
mod numbers;
mod peer;
mod pulse;
mod reloading;
mod reply;
mod running;
mod shard;
mod sid;
mod signal;
mod socket;
mod talking;
mod trunks;
mod unavailable;
mod voucher;
mod watched;

use std::io;
use std::net::SocketAddr;

pub use cluster::{BusEvents, ClusterConfig, OpenBus, Peers, Relayed, Witness};
pub use gate::{AddressRules, ForwardedHeader, TalkersBy};
pub use hub::{ClusterNode, HubLimits, NodeListing, TooManyHubs, UserSessions};
pub use inside::{Inside, OpenInsideError};
pub use limits::Limits;
pub use metrics::Metrics;
pub use reloading::{MemoryCeiling, Reload, ReloadError};
pub use running::{Edge, Running};
use serde::Serialize;
pub use talking::{TalkersQuestion, TalkersRefused, TopTalkers};
pub use trunkline_admission::Origins;
pub use trunkline_tls::Certificates;
pub use trunkline_token::{Endpoint, Names, Secret};
pub use trunkline_trunk::NodeState;
pub use voucher::{Vouched, Voucher};

/// The configuration of the public port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the public port; port 0 means a free one.
    pub listen: SocketAddr,
    /// Address of a port for app servers: trunks, and what side doors serve. `None`: the public
    /// port serves these, too.
    pub trunk_listen: Option<SocketAddr>,
    /// What TLS clients of the public port are offered; `None` when the port is plain.
    pub tls: Option<Certificates>,
    /// The same for the port for app servers.
    pub trunk_tls: Option<Certificates>,
    /// Shards, each a thread of its own. At least 1, at most 256.
    pub threads: usize,
    /// Name of this node in logs and in `Welcome`.
    pub node_id: String,
    /// This node's number, which is part of each `Sid` it makes. In a cluster, the mesh finds one.
    pub node_number: u16,
    /// The product's version.
    pub version: &'static str,
    /// The hubs that this node serves.
    pub hubs: Vec<HubConfig>,
    /// The most hubs that are created when app servers with the default hub's key ask for them: for
    /// development only.
    pub spare_hubs: usize,
    /// The hub of the path `/socket.io/`.
    pub default_hub: String,
    /// The names by which tokens may address this node: the audience of a client's token must have
    /// one of them. `None`: the names of the address that it listens on.
    pub names: Option<Names>,
    /// Every bound of the public port.
    pub limits: Limits,
    /// The rules for addresses; the lists of them that an operator gives.
    pub addresses: AddressRules,
    /// Whether to use `io_uring` if the system has it.
    pub io_uring: bool,
    /// Returns the bytes of heap that this process uses. Called often, so it must be cheap.
    pub heap_bytes: fn() -> usize,
}

/// One isolated application.
#[derive(Clone, Debug, Default)]
pub struct HubConfig {
    /// The hub's name, unique without regard to case.
    pub name: String,
    /// The keys: each of them authorises trunks and signs clients' tokens; two during a rotation.
    pub keys: Vec<Secret>,
    /// Whether clients without a good token are refused.
    pub tokens_required: bool,
    /// Whether sessions end with the tokens of their clients.
    pub tokens_end: bool,
    /// How many sessions a user may have, as far as tokens name one (`sub`).
    pub user_sessions: UserSessions,
    /// Whether the [`Voucher`] is asked about the tokens of its clients.
    pub vouched: bool,
    /// The origins of web pages that may connect; `None`: all.
    pub allowed_origins: Option<Origins>,
    /// Paths of this hub that do not depend on the connected app servers.
    pub paths: Vec<String>,
    /// How much it may have on this node.
    pub limits: HubLimits,
}

/// The connections of the node, for people and scripts.
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

/// The limits of the whole node that leave no room for another session at present.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Full {
    /// Whether memory use has reached its limit.
    pub memory: bool,
    /// Whether the number of sessions has reached its limit.
    pub sessions: bool,
    /// Whether the number of streams has reached its limit.
    pub streams: bool,
}

/// One hub's part of [`Status`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct HubStatus {
    /// The hub's name.
    pub name: String,
    /// The path prefixes at which its clients connect.
    pub paths: Vec<String>,
    /// Its sessions on this node, including those that are being opened.
    pub sessions: usize,
    /// Its connected app servers.
    pub app_servers: Vec<AppServerStatus>,
    /// Its sessions that wait for an app server, because their own is gone.
    pub sessions_waiting: usize,
}

/// One app server's part of [`Status`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct AppServerStatus {
    /// The id that the app server has chosen.
    pub id: String,
    /// Its SDK and version.
    pub sdk: String,
    /// The address from which its trunk comes.
    pub address: String,
    /// Its sessions on this node.
    pub sessions: usize,
    /// Whether the app server hangs: new sessions go to others until it answers again.
    pub hangs: bool,
    /// Whether the app server has asked for no new sessions.
    pub draining: bool,
    /// Whether the app server takes over sessions of others, and others take over its own.
    pub rehome: bool,
}

/// The error when a port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address to bind.
    pub address: SocketAddr,
    /// Whether it is the port for app servers.
    pub trunks: bool,
    /// The system's error.
    pub source: io::Error,
}

/// The error when the threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {what}")]
pub struct StartError {
    /// The part that failed.
    pub what: &'static str,
    /// The system's error.
    pub source: io::Error,
}

/// The entrance for fuzz targets.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// Plays random operations of clients and app servers against a shard's core, in virtual time.
    ///
    /// # Panics
    ///
    /// When an invariant does not hold.
    pub fn shard_operations(input: &[u8]) {
        crate::shard::tests::random::play(input);
        crate::shard::tests::journeys::play(input);
    }

    /// Reads bytes as a session that comes from another node.
    ///
    /// # Panics
    ///
    /// When something can be read that would be written in another way.
    pub fn export(input: &[u8]) {
        crate::shard::export::tests::decode(input);
    }
}
