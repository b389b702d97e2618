//! One tunnel's stream: WebSocket frames in and out.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;
use trunkline_http::Lease;
use trunkline_token::KeyMark;
use trunkline_websocket::{
    Decoder, FRAME_HEADER_BYTES_MAX, Incoming, Opcode, Role, encode_close, encode_header,
};

use super::hubs::{Inbox, Input};
use super::outgoing::{Out, Outgoing, Unread};
use crate::hub::TunnelId;
use crate::metrics::{Cause, Metrics};
use crate::tunnel::{Message, decode};

/// The longest message of an app server: a call of the data plane with its body.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
const READ_BYTES: usize = 64 * 1024;
/// Frames in one write.
const WRITES_MAX: usize = 256;
/// The interval of pings to the WebSocket. A silent one is noticed after three intervals.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const SILENT_INTERVALS_MAX: u32 = 3;
/// How long writing the final frames may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// The parts that a tunnel's task needs.
pub(super) struct Tunnel {
    pub(super) id: TunnelId,
    pub(super) server: String,
    /// The hub's key that signed its token; `None` when an identity provider did.
    pub(super) key: Option<KeyMark>,
    pub(super) inbox: Inbox,
    pub(super) metrics: Metrics,
    /// The stream's place among those that the node may hold.
    #[expect(dead_code, reason = "what counts is that it is held")]
    pub(super) lease: Option<Lease>,
}

/// The end of a tunnel.
struct End {
    cause: &'static str,
    /// Whether everything that the app server sent was received.
    clean: bool,
}

const fn end(cause: &'static str, clean: bool) -> End {
    End { cause, clean }
}

impl Tunnel {
    /// Serves the tunnel until it ends.
    pub(super) async fn run(self, upgraded: Upgraded) {
        let (mut reader, writer) = tokio::io::split(TokioIo::new(upgraded));
        let (sender, outgoing) = mpsc::unbounded_channel();
        let out = Out::new(sender);
        let (id, server, key) = (self.id, self.server.clone(), self.key);
        let up = Input::TunnelUp { id, server, key, out: out.clone() };
        if !self.inbox.send(up).await {
            return; // The node stops.
        }
        let mut writing = pin!(write(writer, outgoing, out.unread()));
        let ended = tokio::select! {
            ended = self.read(&mut reader, &out) => {
                out.close(1000, "");
                // An app server that does not read the final frames in time does not get them.
                let _ = timeout(GOODBYE_TIMEOUT, &mut writing).await;
                ended
            }
            ended = &mut writing => ended,
            cause = out.aborted() => end(cause, false),
        };
        let cause = Cause { cause: ended.cause };
        self.metrics.tunnels_ended.get_or_create(&cause).inc();
        let down = Input::TunnelDown { id: self.id, clean: ended.clean };
        // The hub's task may have ended, together with the node.
        let _ = self.inbox.send(down).await;
        if ended.cause != "app_server_gone" && ended.cause != "stream_broken" {
            // Closing with unread bytes would reset the stream and lose the close frame.
            let _ = timeout(GOODBYE_TIMEOUT, discard(&mut reader)).await;
        }
    }

    async fn read(&self, reader: &mut ReadHalf<TokioIo<Upgraded>>, out: &Out) -> End {
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut silent = 0;
        loop {
            let count = match timeout(PING_INTERVAL, reader.read(&mut buffer)).await {
                Ok(Ok(0)) => return end("app_server_gone", false),
                Ok(Ok(count)) => count,
                Ok(Err(_)) => return end("stream_broken", false),
                Err(_) => {
                    silent += 1;
                    if silent == SILENT_INTERVALS_MAX {
                        return end("silent", false);
                    }
                    out.ping();
                    continue;
                }
            };
            silent = 0;
            let mut heard = Heard::default();
            let decoded = decoder.decode(
                Role::Server,
                MESSAGE_BYTES_MAX,
                &mut buffer[..count],
                &mut |incoming| heard.take(incoming, out),
            );
            for (message, bytes) in heard.messages {
                // An app server that sends faster than the hub works is not read until there is
                // room.
                let Some(room) = self.inbox.room(bytes).await else {
                    return end("node_stops", true);
                };
                let input = Input::TunnelMessage { id: self.id, message, room };
                if !self.inbox.send(input).await {
                    return end("node_stops", true);
                }
            }
            if let Some(rule) = heard.malformed {
                let cause = Cause { cause: rule };
                self.metrics.frames_malformed.get_or_create(&cause).inc();
                tracing::warn!(%rule, "an app server's tunnel frame cannot be read");
                out.close(1008, "a frame that cannot be read");
                return end("malformed_frame", false);
            }
            if let Err(rule) = decoded {
                tracing::warn!(%rule, "an app server's tunnel broke RFC 6455");
                out.close(rule.close_code(), "");
                return end("websocket_violation", false);
            }
            if heard.closed {
                out.close(1000, "");
                return end("app_server_closed", true);
            }
        }
    }
}

/// The result of one read.
#[derive(Default)]
struct Heard {
    /// The messages, each with its bytes on the wire.
    messages: Vec<(Message, usize)>,
    malformed: Option<&'static str>,
    closed: bool,
}

impl Heard {
    fn take(&mut self, incoming: Incoming<'_>, out: &Out) -> ControlFlow<()> {
        match incoming {
            Incoming::Binary(frame) => match decode(frame) {
                Ok(message) => self.messages.push((message, frame.len())),
                Err(error) => self.malformed = Some(error.slug()),
            },
            Incoming::Text(_) => self.malformed = Some("text"),
            Incoming::Ping(payload) => out.pong(payload),
            Incoming::Pong(_) => (),
            Incoming::Close { .. } => self.closed = true,
        }
        if self.closed || self.malformed.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

async fn discard(reader: &mut ReadHalf<TokioIo<Upgraded>>) {
    let mut rest = [0; 4096];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
}

async fn write(
    mut writer: WriteHalf<TokioIo<Upgraded>>,
    mut outgoing: UnboundedReceiver<Outgoing>,
    unread: Unread,
) -> End {
    let mut batch = Vec::with_capacity(WRITES_MAX);
    while outgoing.recv_many(&mut batch, WRITES_MAX).await > 0 {
        let mut bytes = BytesMut::new();
        let mut written_bytes = 0;
        let mut closing = None;
        for next in batch.drain(..) {
            match next {
                Outgoing::Frame(frame) => {
                    written_bytes += frame.len();
                    append(&mut bytes, Opcode::Binary, &frame);
                }
                Outgoing::Ping => append(&mut bytes, Opcode::Ping, b""),
                Outgoing::Pong(payload) => {
                    written_bytes += payload.len().max(1);
                    append(&mut bytes, Opcode::Pong, &payload);
                }
                Outgoing::Close(code, reason) => {
                    bytes.extend_from_slice(&encode_close(code, reason, None));
                    closing = Some(code);
                    break;
                }
            }
        }
        let written = writer.write_all(&bytes).await;
        unread.written(written_bytes);
        if written.is_err() {
            return end("stream_broken", false);
        }
        if let Some(code) = closing {
            // The stream may be gone already.
            let _ = writer.shutdown().await;
            return end("closed_by_node", code == 1000 || code == 1001);
        }
    }
    end("node_stops", true)
}

fn append(bytes: &mut BytesMut, opcode: Opcode, payload: &[u8]) {
    let mut header = [0; FRAME_HEADER_BYTES_MAX];
    let length = encode_header(opcode, payload.len(), &mut header, None);
    bytes.extend_from_slice(&header[..length]);
    bytes.extend_from_slice(payload);
}
