//! One Socket.IO client over WebSocket, pure: bytes in, bytes and messages out.
//!
//! Contract for callers:
//!
//! 1. [`Client::start`] appends the HTTP upgrade to `out`; send it when the stream is connected.
//! 2. [`Client::handle_bytes`] takes what was read, appends answers (pong, namespace connect) to `out` and
//!    shows each message to the sink, in order. The sink may append to `out` too.
//! 3. An error ends the client: close the stream, count the [`Loss`], make a new `Client` to come back.
//!
//! An idle client owns no heap memory.

use crate::frame::{self, Frame, Opcode};
use crate::packet::{self, Packet};

/// Longest HTTP answer that is read while waiting for the upgrade.
const HTTP_BYTES_MAX: usize = 16 << 10;
/// Longest message gathered from fragments.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

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

/// What a sink is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Message<'a> {
    /// Acknowledgement `id` with its JSON array of arguments.
    Ack { id: u64, args: &'a [u8] },
    /// JSON array: the event's name and its arguments.
    Event(&'a [u8]),
    /// The namespace accepted the client.
    Joined,
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

#[derive(Debug)]
pub(crate) struct Client {
    phase: Phase,
    /// Longest silence that is allowed: ping interval and timeout together; 0 until the open packet came.
    silence_ms_max: u32,
    /// A frame that has not arrived as a whole yet.
    partial: Vec<u8>,
    /// The message that fragments are gathered into; rare, so a thin pointer.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every idle client")]
    fragments: Option<Box<Vec<u8>>>,
}

#[derive(serde::Deserialize)]
struct Handshake {
    #[serde(rename = "pingInterval")]
    ping_interval_ms: u32,
    #[serde(rename = "pingTimeout")]
    ping_timeout_ms: u32,
}

impl Client {
    /// A new client; `request` is the HTTP upgrade as [`upgrade_request`] makes it.
    pub(crate) fn start(request: &[u8], out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(request);
        Self { phase: Phase::Upgrading, silence_ms_max: 0, partial: Vec::new(), fragments: None }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Milliseconds without a ping after which Socket.IO's client gives the server up; 0 before the handshake.
    pub(crate) fn silence_ms_max(&self) -> u32 {
        self.silence_ms_max
    }

    /// Takes bytes from the stream. See the contract above.
    pub(crate) fn handle_bytes(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl FnMut(Message<'_>, &mut Vec<u8>),
    ) -> Result<(), Loss> {
        if self.partial.is_empty() {
            let used = self.consume(input, out, sink)?;
            self.partial.extend_from_slice(&input[used..]);
            return Ok(());
        }
        let mut whole = core::mem::take(&mut self.partial);
        whole.extend_from_slice(input);
        let used = self.consume(&whole, out, sink)?;
        if used < whole.len() {
            whole.drain(..used);
            self.partial = whole;
        }
        Ok(())
    }

    /// Handles everything whole in `input`; says how much that was.
    fn consume(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl FnMut(Message<'_>, &mut Vec<u8>),
    ) -> Result<usize, Loss> {
        let mut used = 0;
        if self.phase == Phase::Upgrading {
            let Some(head) = http_head(input)? else { return Ok(0) };
            self.phase = Phase::Opening;
            used = head;
        }
        while let Some((frame, length)) =
            frame::decode(&input[used..]).map_err(|_broken| Loss::Protocol)?
        {
            used += length;
            self.handle_frame(frame, out, sink)?;
        }
        Ok(used)
    }

    fn handle_frame(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        sink: &mut impl FnMut(Message<'_>, &mut Vec<u8>),
    ) -> Result<(), Loss> {
        match frame.opcode {
            Opcode::Text if frame.fin => self.handle_text(frame.payload, out, sink),
            Opcode::Text => self.gather(frame.payload),
            Opcode::Continuation => {
                if self.fragments.is_none() {
                    return Err(Loss::Protocol);
                }
                self.gather(frame.payload)?;
                match self.fragments.take_if(|_| frame.fin) {
                    Some(text) => self.handle_text(&text, out, sink),
                    None => Ok(()),
                }
            }
            Opcode::Ping => {
                frame::encode(out, Opcode::Pong, &[frame.payload]);
                Ok(())
            }
            Opcode::Close => Err(Loss::WebSocketClose(close_code(frame.payload))),
            // Attachments of binary events: counted by no scenario yet.
            Opcode::Binary | Opcode::Pong => Ok(()),
        }
    }

    fn gather(&mut self, payload: &[u8]) -> Result<(), Loss> {
        let text = self.fragments.get_or_insert_default();
        if text.len() + payload.len() > MESSAGE_BYTES_MAX {
            return Err(Loss::Protocol);
        }
        text.extend_from_slice(payload);
        Ok(())
    }

    fn handle_text(
        &mut self,
        text: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl FnMut(Message<'_>, &mut Vec<u8>),
    ) -> Result<(), Loss> {
        match (packet::decode(text).ok_or(Loss::Protocol)?, self.phase) {
            (Packet::Open(json), Phase::Opening) => self.handle_open(json, out)?,
            (Packet::Connected(_), Phase::Joining) => {
                self.phase = Phase::Joined;
                sink(Message::Joined, out);
            }
            (Packet::Ping, _) => {
                frame::encode(out, Opcode::Text, &[b"3"]);
                sink(Message::Ping, out);
            }
            (Packet::Event(array), Phase::Joined) => sink(Message::Event(array), out),
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

    fn handle_open(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Loss> {
        let handshake: Handshake = serde_json::from_slice(json).map_err(|_bad| Loss::Protocol)?;
        self.silence_ms_max =
            handshake.ping_interval_ms.saturating_add(handshake.ping_timeout_ms).max(1);
        self.phase = Phase::Joining;
        frame::encode(out, Opcode::Text, &[b"40"]);
        Ok(())
    }
}

/// The HTTP upgrade that opens an Engine.IO 4 session over WebSocket at once.
pub(crate) fn upgrade_request(host: &str, path: &str) -> Vec<u8> {
    // The key is constant: only browsers and caches need it to differ.
    format!(
        "GET {path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dHJ1bmtsaW5lLWJlbmNoMQ==\r\n\r\n"
    )
    .into_bytes()
}

/// Appends an event with JSON `args` after its name, for example `"echo","text"`, asking for ack `id` if given.
pub(crate) fn emit(out: &mut Vec<u8>, ack: Option<u64>, array_items: &[&[u8]]) {
    let head = match ack {
        Some(id) => format!("42{id}["),
        None => "42[".to_owned(),
    };
    let mut parts: [&[u8]; 8] = [b""; 8];
    debug_assert!(array_items.len() <= 6, "an emit has at most six parts");
    parts[0] = head.as_bytes();
    for (slot, item) in parts[1..].iter_mut().zip(array_items) {
        *slot = item;
    }
    parts[7] = b"]";
    frame::encode(out, Opcode::Text, &parts);
}

/// The length of the HTTP head when it is whole and says 101.
fn http_head(input: &[u8]) -> Result<Option<usize>, Loss> {
    let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if input.len() > HTTP_BYTES_MAX { Err(Loss::Protocol) } else { Ok(None) };
    };
    let status = input.strip_prefix(b"HTTP/1.1 ").and_then(|rest| packet::leading_number(rest).0);
    match status {
        Some(101) => Ok(Some(end + 4)),
        Some(status) => Err(Loss::Http(u16::try_from(status).unwrap_or(0))),
        None => Err(Loss::Protocol),
    }
}

/// RFC 6455 section 7.4.1: 1005 stands for a close frame without a code.
fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code))
}

#[cfg(test)]
mod tests;
