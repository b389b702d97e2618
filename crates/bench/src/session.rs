//! One Socket.IO session of a client, whatever its transport: packets in, packets and messages out.

use std::rc::Rc;

use serde::Deserialize;

use crate::out::Out;
use crate::packet::{self, Packet};

/// Where a client stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The upgrade request is under way.
    Upgrading,
    /// Waiting for the Engine.IO open packet.
    Opening,
    /// Waiting for the namespace's answer.
    Joining,
    /// A socket of the main namespace.
    Joined,
}

/// A message as sinks see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Message<'a> {
    /// Acknowledgement `id` with its JSON array of arguments.
    Ack { id: u64, args: &'a [u8] },
    /// An event before [`Message::Joined`], which belongs behind it: a socket that is being recovered gets what it missed
    /// before it is told that it is.
    Early(&'a [u8]),
    /// JSON array: the event's name and its arguments.
    Event(&'a [u8]),
    /// The namespace accepted the client; a JSON object with the socket's id.
    Joined(&'a [u8]),
    /// A heartbeat arrived and its pong is in `out`.
    Ping,
}

/// Why a client is no longer connected.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub(crate) enum Loss {
    #[error("server sent an Engine.IO close packet")]
    EngineClose,
    #[error("stream ended")]
    Eof,
    #[error("no answer to the handshake in time")]
    HandshakeTimeout,
    #[error("http status {0} instead of 101")]
    Http(u16),
    #[error("namespace refused the client")]
    NamespaceRefused,
    #[error("no ping from the server in time")]
    PingTimeout,
    #[error("server broke the protocol")]
    Protocol,
    #[error("stream could not be connected or was reset")]
    Reset,
    #[error("server disconnected the socket")]
    SocketDisconnect,
    #[error("websocket close {0}")]
    WebSocketClose(u16),
}

/// One Socket.IO session of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) phase: Phase,
    /// Longest silence that is allowed: ping interval and timeout together; 0 until the open packet came.
    pub(crate) silence_ms_max: u32,
}

/// The open packet's content.
#[derive(Deserialize)]
pub(crate) struct Handshake {
    pub(crate) sid: String,
    #[serde(default)]
    pub(crate) upgrades: Vec<String>,
    #[serde(rename = "pingInterval")]
    ping_interval_ms: u32,
    #[serde(rename = "pingTimeout")]
    ping_timeout_ms: u32,
}

impl Session {
    pub(crate) fn new(phase: Phase) -> Self {
        Self { phase, silence_ms_max: 0 }
    }

    /// The text of one packet arrived; `auth` is what the connect packet carries.
    pub(crate) fn handle_packet(
        &mut self,
        text: &[u8],
        auth: &[u8],
        out: &mut Out,
        sink: &mut impl FnMut(Message<'_>, &mut Out),
    ) -> Result<(), Loss> {
        match (packet::decode(text, &out.prefix).ok_or(Loss::Protocol)?, self.phase) {
            (Packet::Open(json), Phase::Opening) => {
                self.open(json, auth, out)?;
            }
            (Packet::Connected(answer), Phase::Joining) => {
                self.phase = Phase::Joined;
                sink(Message::Joined(answer), out);
            }
            (Packet::Ping, _) => {
                out.packet(&[b"3"]);
                sink(Message::Ping, out);
            }
            (Packet::Event(array), Phase::Joined) => sink(Message::Event(array), out),
            (Packet::Event(array), Phase::Joining) => sink(Message::Early(array), out),
            (Packet::Ack { id, args }, Phase::Joined) => sink(Message::Ack { id, args }, out),
            (Packet::Close, _) => return Err(Loss::EngineClose),
            (Packet::Disconnected, _) => return Err(Loss::SocketDisconnect),
            (Packet::ConnectRefused(_), _) => return Err(Loss::NamespaceRefused),
            (Packet::Other, _) => (),
            (
                Packet::Open(_) | Packet::Connected(_) | Packet::Event(_) | Packet::Ack { .. },
                Phase::Upgrading | Phase::Opening | Phase::Joining | Phase::Joined,
            ) => return Err(Loss::Protocol),
        }
        Ok(())
    }

    /// The session is open: joins the namespace.
    pub(crate) fn open(
        &mut self,
        json: &[u8],
        auth: &[u8],
        out: &mut Out,
    ) -> Result<Handshake, Loss> {
        let handshake: Handshake = serde_json::from_slice(json).map_err(|_bad| Loss::Protocol)?;
        self.silence_ms_max =
            handshake.ping_interval_ms.saturating_add(handshake.ping_timeout_ms).max(1);
        self.phase = Phase::Joining;
        let prefix = Rc::clone(&out.prefix);
        out.packet(&[b"40", prefix.as_bytes(), auth]);
        Ok(handshake)
    }
}
