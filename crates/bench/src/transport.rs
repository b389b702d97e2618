//! The transports of sessions.

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Polling,
    /// Polling first, then WebSocket, as socket.io-client does by default.
    Upgrade,
    #[default]
    WebSocket,
}
