//! Every bound of serverless mode's machine.

use core::time::Duration;

/// The bounds of one hub.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Time for a client to become a socket: Socket.IO's `connectTimeout`.
    pub(crate) connect_timeout: Duration,
    /// Namespaces that one client may be in. Beyond it, entering is refused.
    pub(crate) namespaces_max: usize,
    /// Events of one socket that wait for the one before. Beyond it, its connection is closed.
    pub(crate) socket_events_max: usize,
    /// Bytes of events that wait for their turn or for their answer, of all sockets together. Beyond it, the connection
    /// that sent the last is closed, and who wants to enter a namespace is refused.
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
