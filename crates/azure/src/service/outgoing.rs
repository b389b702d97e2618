//! Data on its way to a tunnel: the hub's task puts it here, the tunnel's task writes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// Bytes that may wait for an app server that does not read.
const UNREAD_BYTES_MAX: usize = 64 << 20;

/// The queue into which a hub's task puts data for a tunnel.
#[derive(Clone, Debug)]
pub(super) struct Out {
    sender: UnboundedSender<Outgoing>,
    unread_bytes: Arc<AtomicUsize>,
    abort: Arc<Abort>,
}

/// Bytes that wait for an app server.
#[derive(Debug)]
pub(super) struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// Notes that this many bytes were given to the kernel.
    pub(super) fn written(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Ends a tunnel whose app server may never read another byte.
#[derive(Debug, Default)]
struct Abort {
    cause: OnceLock<&'static str>,
    called: Notify,
}

/// An item for a tunnel's task to write.
#[derive(Debug)]
pub(super) enum Outgoing {
    Frame(Bytes),
    Ping,
    Pong(Bytes),
    Close(u16, &'static str),
}

impl Out {
    pub(super) fn new(sender: UnboundedSender<Outgoing>) -> Self {
        Self { sender, unread_bytes: Arc::default(), abort: Arc::default() }
    }

    /// Sends a frame. An app server with too many unread bytes loses the tunnel.
    pub(super) fn send(&self, frame: Bytes) {
        self.append(frame.len(), Outgoing::Frame(frame));
    }

    pub(super) fn pong(&self, payload: &[u8]) {
        self.append(payload.len().max(1), Outgoing::Pong(Bytes::copy_from_slice(payload)));
    }

    fn append(&self, length: usize, outgoing: Outgoing) {
        if self.abort.cause.get().is_some() {
            return;
        }
        if self.unread_bytes.fetch_add(length, Ordering::Relaxed) + length > UNREAD_BYTES_MAX {
            return self.abort("app_server_does_not_read");
        }
        // A tunnel that has ended reports that itself.
        let _ = self.sender.send(outgoing);
    }

    /// The counter for the task that writes: it must not hold the sender of its own queue.
    pub(super) fn unread(&self) -> Unread {
        Unread(Arc::clone(&self.unread_bytes))
    }

    /// Ends the tunnel at once, without a close frame: it would wait after the unread bytes.
    pub(super) fn abort(&self, cause: &'static str) {
        if self.abort.cause.set(cause).is_ok() {
            self.abort.called.notify_one();
        }
    }

    /// Waits until the tunnel must end at once. Returns a slug for the reason.
    pub(super) async fn aborted(&self) -> &'static str {
        self.abort.called.notified().await;
        self.abort.cause.get().copied().unwrap_or("aborted")
    }

    /// Asks the app server for a sign of life.
    pub(super) fn ping(&self) {
        let _ = self.sender.send(Outgoing::Ping);
    }

    pub(super) fn close(&self, code: u16, reason: &'static str) {
        let _ = self.sender.send(Outgoing::Close(code, reason));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

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
        assert_eq!(out.aborted().await, "app_server_does_not_read");
        drop(out);
        let mut frames = 0;
        while let Some(outgoing) = kept.recv().await {
            frames += usize::from(matches!(outgoing, Outgoing::Frame(_)));
        }
        assert_eq!(frames, 3, "the fourth finds a pong before it");
    }
}
