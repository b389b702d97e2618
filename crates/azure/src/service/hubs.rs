//! The way from the threads of the public port to a hub's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trunkline_token::Secret;

use super::HubConfig;
use crate::hub::{CallId, TunnelId};
use crate::identity::Identity;
use crate::rest::{Answer, Operation};
use crate::tunnel::Message;

/// Inputs that may wait for a hub's task; when it is full, tunnels and callers wait.
const INBOX_MAX: usize = 1024;
/// Bytes of the messages, calls and bodies that are on their way to a hub's task. More than the
/// longest message or call.
const INBOX_BYTES_MAX: u32 = 64 << 20;

/// The part of the inbox that a message or a call occupies until it is processed.
pub(super) type Room = OwnedSemaphorePermit;

/// The bytes that everything on its way to a hub's task may hold.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(INBOX_BYTES_MAX as usize)))
    }

    /// Waits for room; a request for more than the total gets the total.
    pub(super) async fn room(&self, bytes: usize) -> Room {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(INBOX_BYTES_MAX);
        let room = Arc::clone(&self.0).acquire_many_owned(bytes).await;
        room.expect("the semaphore is never closed")
    }
}

/// An input for a hub's task.
#[derive(Debug)]
pub(super) enum Input {
    TunnelUp { id: TunnelId, server: String, out: super::outgoing::Out },
    TunnelMessage { id: TunnelId, message: Message, room: Room },
    TunnelDown { id: TunnelId, clean: bool },
    Call { id: CallId, operation: Operation, reply: Sender<Answer>, room: Room },
    CallerGone { id: CallId },
}

/// The way to a hub's task.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    sender: Sender<Input>,
    budget: Budget,
}

impl Inbox {
    pub(super) fn new() -> (Self, Receiver<Input>) {
        let (sender, receiver) = channel(INBOX_MAX);
        (Self { sender, budget: Budget::new() }, receiver)
    }

    /// Waits for room. `None`: the node stops.
    pub(super) async fn room(&self, bytes: usize) -> Option<Room> {
        tokio::select! {
            room = self.budget.room(bytes) => Some(room),
            () = self.sender.closed() => None,
        }
    }

    /// Sends an input, waiting while the inbox is full. False: the node stops.
    pub(super) async fn send(&self, input: Input) -> bool {
        self.sender.send(input).await.is_ok()
    }

    /// Sends an input without waiting. False: the inbox is full, or the node stops.
    pub(super) fn try_send(&self, input: Input) -> bool {
        self.sender.try_send(input).is_ok()
    }
}

/// A hub, as seen from outside its task.
#[derive(Debug)]
pub(super) struct HubHandle {
    pub(super) name: String,
    pub(super) keys: Vec<Secret>,
    pub(super) identity: Identity,
    pub(super) inbox: Inbox,
    /// The bytes that the bodies of calls may hold while they are read.
    pub(super) bodies: Budget,
}

impl HubHandle {
    pub(super) fn new(config: &HubConfig, identity: Identity, inbox: Inbox) -> Self {
        let (name, keys) = (config.name.clone(), config.keys.clone());
        Self { name, keys, identity, inbox, bodies: Budget::new() }
    }
}

/// A number that no other tunnel or call of the process has.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_inbox_is_bounded_in_bytes() {
        let (inbox, received) = Inbox::new();
        let whole = inbox.room(usize::MAX).await.expect("room for one, however long");
        let none = tokio::time::timeout(Duration::from_millis(1), inbox.room(1)).await;
        assert!(none.is_err(), "another waits");
        drop(whole);
        assert!(inbox.room(1).await.is_some());
        let whole = inbox.room(usize::MAX).await.expect("room");
        drop(received);
        assert!(inbox.room(1).await.is_none(), "the node stops");
        drop(whole);
    }
}
