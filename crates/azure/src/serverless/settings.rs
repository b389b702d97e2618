//! The bounds of serverless mode's machine.

use core::time::Duration;

/// The bounds of one hub.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The time in which a client must join a namespace: Socket.IO's `connectTimeout`.
    pub(crate) connect_timeout: Duration,
    /// Namespaces that one client may be in. Beyond it, joining is refused.
    pub(crate) namespaces_max: usize,
    /// Events of one socket that may wait for the event before them. Beyond it, its connection is
    /// closed.
    pub(crate) socket_events_max: usize,
    /// Bytes of events of all sockets that may wait for the events before them or for their answer.
    /// Beyond it, the connection that sent the last one is closed, and clients that want to join a
    /// namespace are refused.
    pub(crate) waiting_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(45),
            namespaces_max: 64,
            socket_events_max: 1_000,
            waiting_bytes_max: 64 << 20,
        }
    }
}
