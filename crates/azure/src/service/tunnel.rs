//! One tunnel's stream: WebSocket frames in and out.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;
use trunkline_http::Lease;
use trunkline_websocket::{
    Decoder, FRAME_HEADER_BYTES_MAX, Incoming, Opcode, Role, encode_close, encode_header,
};

use super::hubs::{Inbox, Input};
use crate::hub::TunnelId;
use crate::metrics::{Cause, Metrics};
use crate::tunnel::{Message, decode};

/// The longest message of an app server: a call of the data plane with its body.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// What may wait for an app server that does not read.
const UNREAD_BYTES_MAX: usize = 64 << 20;
const READ_BYTES: usize = 64 * 1024;
/// Frames in one write.
const WRITES_MAX: usize = 256;
/// How often the WebSocket is pinged, and so how long it takes until a silent one is noticed: three times that.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const SILENT_INTERVALS_MAX: u32 = 3;
/// How long the last words may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a hub's task puts what is for a tunnel.
#[derive(Clone, Debug)]
pub(super) struct Out {
    sender: UnboundedSender<Outgoing>,
    unread_bytes: Arc<AtomicUsize>,
    abort: Arc<Abort>,
}

/// Ends a tunnel that may never take another byte.
#[derive(Debug, Default)]
struct Abort {
    cause: OnceLock<&'static str>,
    called: Notify,
}

#[derive(Debug)]
enum Outgoing {
    Frame(Bytes),
    Ping,
    Pong(Bytes),
    Close(u16, &'static str),
}

impl Out {
    fn new(sender: UnboundedSender<Outgoing>) -> Self {
        Self { sender, unread_bytes: Arc::default(), abort: Arc::default() }
    }

    /// Sends a frame. An app server that has too much unread loses the tunnel.
    pub(super) fn send(&self, frame: Bytes) {
        self.append(frame.len(), Outgoing::Frame(frame));
    }

    fn pong(&self, payload: &[u8]) {
        self.append(payload.len().max(1), Outgoing::Pong(Bytes::copy_from_slice(payload)));
    }

    fn append(&self, length: usize, outgoing: Outgoing) {
        if self.abort.cause.get().is_some() {
            return;
        }
        if self.unread_bytes.fetch_add(length, Ordering::Relaxed) + length > UNREAD_BYTES_MAX {
            return self.abort("app_server_does_not_read");
        }
        // A tunnel that has ended says so itself.
        let _ = self.sender.send(outgoing);
    }

    /// Ends the tunnel at once, without last words: they would wait behind what is unread.
    pub(super) fn abort(&self, cause: &'static str) {
        if self.abort.cause.set(cause).is_ok() {
            self.abort.called.notify_one();
        }
    }

    async fn aborted(&self) -> End {
        self.abort.called.notified().await;
        end(self.abort.cause.get().copied().unwrap_or("aborted"), false)
    }

    pub(super) fn close(&self, code: u16, reason: &'static str) {
        let _ = self.sender.send(Outgoing::Close(code, reason));
    }
}

/// What a tunnel's task is made with.
pub(super) struct Tunnel {
    pub(super) id: TunnelId,
    pub(super) server: String,
    pub(super) inbox: Inbox,
    pub(super) metrics: Metrics,
    /// The stream's place among those that the node may hold.
    #[expect(dead_code, reason = "what counts is that it is held")]
    pub(super) lease: Option<Lease>,
}

/// How a tunnel ended.
struct End {
    cause: &'static str,
    /// Nothing that the app server sent is lost.
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
        let up = Input::TunnelUp { id: self.id, server: self.server.clone(), out: out.clone() };
        if !self.inbox.send(up).await {
            return; // The node stops.
        }
        let mut writing = pin!(write(writer, outgoing, Arc::clone(&out.unread_bytes)));
        let ended = tokio::select! {
            ended = self.read(&mut reader, &out) => {
                out.close(1000, "");
                // Whoever does not take the last words in time goes without.
                let _ = timeout(GOODBYE_TIMEOUT, &mut writing).await;
                ended
            }
            ended = &mut writing => ended,
            ended = out.aborted() => ended,
        };
        let cause = Cause { cause: ended.cause };
        self.metrics.tunnels_ended.get_or_create(&cause).inc();
        let down = Input::TunnelDown { id: self.id, clean: ended.clean };
        // The task of the hub may have ended, with the node.
        let _ = self.inbox.send(down).await;
        if ended.cause != "app_server_gone" && ended.cause != "stream_broken" {
            // To close on what was not read would reset the stream, and the close frame with it.
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
                    let _ = out.sender.send(Outgoing::Ping);
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
                // Whoever sends faster than the hub works waits here, and reads no more.
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

/// What one read brought.
#[derive(Default)]
struct Heard {
    /// Each with its bytes on the wire.
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
    unread_bytes: Arc<AtomicUsize>,
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
        unread_bytes.fetch_sub(written_bytes, Ordering::Relaxed);
        if written.is_err() {
            return end("stream_broken", false);
        }
        if let Some(code) = closing {
            // Best effort: the stream may be gone.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_app_server_that_does_not_read_loses_its_tunnel_and_nothing_more_is_kept() {
        let (sender, mut kept) = mpsc::unbounded_channel();
        let out = Out::new(sender);
        let frame = Bytes::from(vec![0; UNREAD_BYTES_MAX / 4]);
        for _ in 0..10 {
            out.send(frame.clone());
            out.pong(b"");
        }
        let ended = out.aborted().await;
        assert_eq!((ended.cause, ended.clean), ("app_server_does_not_read", false));
        drop(out);
        let mut frames = 0;
        while let Some(outgoing) = kept.recv().await {
            frames += usize::from(matches!(outgoing, Outgoing::Frame(_)));
        }
        assert_eq!(frames, 3, "the fourth finds a pong before it");
    }
}
