//! The Engine.IO options that a session needs.

use core::time::Duration;

/// The options of the sessions of one app, shared by all of them. Names and defaults are
/// Socket.IO's, units are in the names or types.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// `pingInterval`: from one heartbeat to the next.
    pub ping_interval: Duration,
    /// `pingTimeout`: how long the client may take to answer a ping.
    pub ping_timeout: Duration,
    /// `upgradeTimeout`: how long an upgrade may take.
    pub upgrade_timeout: Duration,
    /// `maxHttpBufferSize`: sent to the client as `maxPayload`; the caller enforces it.
    pub payload_bytes_max: usize,
    /// `maxBufferedChunks`: pieces in which the body of a POST may arrive; the caller enforces it.
    pub payload_chunks_max: usize,
    /// Packets that one polling payload may have. `None`: as many as Socket.IO could send within
    /// `payload_bytes_max`.
    pub payload_packets_max: Option<usize>,
    /// `httpRequestBodyTimeout`: how long the body of a POST may take; the caller enforces it.
    pub payload_timeout: Duration,
    /// Whether `transports` has `polling`.
    pub polling: bool,
    /// Whether `transports` has `websocket`.
    pub websocket: bool,
    /// `allowUpgrades`. As in npm this only empties the list of upgrades: a client that probes
    /// anyway is served.
    pub allow_upgrades: bool,
    /// Unsent bytes at which the session stops queueing what the client causes by itself, such as
    /// pongs. For what the app sends, the caller compares this with
    /// [`outbox_bytes`](crate::Session::outbox_bytes).
    pub outbox_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            upgrade_timeout: Duration::from_millis(10_000),
            payload_bytes_max: 1_000_000,
            payload_chunks_max: 10_000,
            payload_packets_max: None,
            payload_timeout: Duration::from_millis(30_000),
            polling: true,
            websocket: true,
            allow_upgrades: true,
            outbox_bytes_max: 1024 * 1024,
        }
    }
}
