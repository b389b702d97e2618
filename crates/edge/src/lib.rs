//! Listeners, HTTP, long-polling, WebSocket and trunks: the I/O around the pure crates.

mod limits;
mod metrics;
mod secret;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use limits::Limits;
pub use metrics::Metrics;
pub use secret::Secret;
use serde::Serialize;

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
    /// The hub behind `/socket.io/`.
    pub default_hub: String,
    /// Every bound of the public port.
    pub limits: Limits,
}

/// One isolated application.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Unique without regard to case.
    pub name: String,
    /// Any of these authorises a trunk; two during a rotation.
    pub keys: Vec<Secret>,
}

/// The public port, bound but not yet accepting.
#[derive(Debug)]
pub struct Edge {
    config: Config,
    address: SocketAddr,
    metrics: Metrics,
}

impl Edge {
    /// Binds the public port.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        Ok(Self { address: config.listen, config, metrics: Metrics::default() })
    }

    /// The address that was really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Counters and gauges of this edge.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Spawns the acceptor and the shards.
    pub fn start(self) -> Result<Running, StartError> {
        let _ = self.config;
        Ok(Running {})
    }
}

/// A serving edge.
#[derive(Debug)]
pub struct Running {}

impl Running {
    /// What is connected now.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// Sessions of all hubs together.
    pub fn sessions(&self) -> usize {
        0
    }

    /// Takes no new sessions, tells the app servers, and closes sessions at an even pace until the deadline.
    pub fn begin_drain(&self, _deadline: Duration) {}

    /// Ends all sessions and trunks at once and waits for the threads.
    pub fn stop(self) {}
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
