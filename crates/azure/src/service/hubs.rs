//! The way from the threads of the public port to a hub's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trunkline_http::PeerNotice;
use trunkline_token::{KeyMark, MarkedKey};

use super::HubConfig;
use super::reloading::Changed;
use crate::hub::{CallId, RawCall, TunnelId};
use crate::identity::Identity;
use crate::rest::{Answer, Operation};
use crate::tunnel::Message;

/// Inputs that may wait for a hub's task; when it is full, tunnels and callers wait.
const INBOX_MAX: usize = 1024;
/// Bytes of the messages, calls and bodies that are on their way to a hub's task. More than the
/// longest message or call.
const INBOX_BYTES_MAX: u32 = 64 << 20;

/// Bytes of other nodes' words that are on their way to a hub's task.
const NOTICED_BYTES_MAX: usize = 64 << 20;

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
    TunnelUp {
        id: TunnelId,
        server: String,
        key: Option<KeyMark>,
        out: super::outgoing::Out,
    },
    TunnelMessage {
        id: TunnelId,
        message: Message,
        room: Room,
    },
    TunnelDown {
        id: TunnelId,
        clean: bool,
    },
    Call {
        id: CallId,
        operation: Operation,
        raw: RawCall,
        reply: Sender<Answer>,
        room: Room,
    },
    CallerGone {
        id: CallId,
    },
    /// The operator has changed what is valid in the hub.
    Changed(Box<Changed>),
    /// The operator has removed the hub.
    Removed,
}

/// The way to a hub's task.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    sender: Sender<Input>,
    budget: Budget,
    notices: UnboundedSender<PeerNotice>,
    /// The bytes of the words among them.
    noticed_bytes: Arc<AtomicUsize>,
}

/// The task's end of an [`Inbox`].
#[derive(Debug)]
pub(super) struct Received {
    pub(super) inputs: Receiver<Input>,
    pub(super) notices: Notices,
}

/// Notices of the other nodes, on their way to the task.
#[derive(Debug)]
pub(super) struct Notices {
    receiver: UnboundedReceiver<PeerNotice>,
    bytes: Arc<AtomicUsize>,
}

impl Notices {
    /// The next one; `None`: the node stops.
    pub(super) async fn recv(&mut self) -> Option<PeerNotice> {
        let notice = self.receiver.recv().await?;
        self.bytes.fetch_sub(bytes_of(&notice), Ordering::Relaxed);
        Some(notice)
    }
}

/// What a word of another node occupies; one without bytes takes memory too. The other notices are few.
fn bytes_of(notice: &PeerNotice) -> usize {
    if let PeerNotice::Word { word, .. } = notice {
        word.len() + size_of::<PeerNotice>()
    } else {
        0
    }
}

impl Inbox {
    pub(super) fn new() -> (Self, Received) {
        let (sender, inputs) = channel(INBOX_MAX);
        let (notices, receiver) = unbounded_channel();
        let noticed_bytes = Arc::<AtomicUsize>::default();
        let noticed = Notices { receiver, bytes: Arc::clone(&noticed_bytes) };
        let received = Received { inputs, notices: noticed };
        (Self { sender, budget: Budget::new(), notices, noticed_bytes }, received)
    }

    /// Sends a notice of the other nodes, without waiting. Their words keep to the hub's credit; a node
    /// that does not loses words here, and what it shares with this one begins again.
    pub(super) fn notify(&self, notice: PeerNotice) {
        let bytes = bytes_of(&notice);
        let before = self.noticed_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= NOTICED_BYTES_MAX || before == 0 || bytes == 0;
        if !fits || self.notices.send(notice).is_err() {
            self.noticed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
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

    /// Sends an input from a thread without a runtime, waiting while the inbox is full.
    pub(super) fn send_blocking(&self, input: Input) {
        // The task has ended: the node stops.
        let _ = self.sender.blocking_send(input);
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
    pub(super) keys: Vec<MarkedKey>,
    pub(super) identity: Identity,
    pub(super) inbox: Inbox,
    /// The bytes that the bodies of calls may hold while they are read.
    pub(super) bodies: Budget,
}

impl HubHandle {
    pub(super) fn new(config: &HubConfig, identity: Identity, inbox: Inbox) -> Self {
        let keys = config.keys.iter().cloned().map(MarkedKey::new).collect();
        Self { name: config.name.clone(), keys, identity, inbox, bodies: Budget::new() }
    }

    /// The same hub with other keys and identity providers.
    pub(super) fn with(&self, config: &HubConfig, identity: Identity) -> Self {
        let (inbox, bodies) = (self.inbox.clone(), self.bodies.clone());
        let name = self.name.clone();
        Self { name, inbox, bodies, ..Self::new(config, identity, self.inbox.clone()) }
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

    #[test]
    fn words_beyond_all_bounds_are_dropped_and_other_notices_are_not() {
        let (inbox, mut received) = Inbox::new();
        let peer = trunkline_mesh::PeerKey { number: 1, incarnation: 1 };
        let word = bytes::Bytes::from(vec![0; 1 << 20]);
        for number in 0..100 {
            let (hub, word) = (trunkline_trunk::Str::EMPTY, word.clone());
            inbox.notify(PeerNotice::Word { peer, door: 1, hub, number, word });
        }
        inbox.notify(PeerNotice::Linked(peer));
        let noticed = || received.notices.receiver.try_recv().ok();
        let all: Vec<PeerNotice> = std::iter::from_fn(noticed).collect();
        let numbers = all.iter().map_while(|notice| {
            if let PeerNotice::Word { number, .. } = notice { Some(*number) } else { None }
        });
        assert!(numbers.eq(0..63), "the first ones, in order");
        assert_eq!(all[63..], [PeerNotice::Linked(peer)]);
    }

    #[test]
    fn words_without_bytes_are_bounded_too() {
        let (inbox, mut received) = Inbox::new();
        let peer = trunkline_mesh::PeerKey { number: 1, incarnation: 1 };
        let fit = NOTICED_BYTES_MAX / size_of::<PeerNotice>();
        for number in 0..fit as u32 + 10 {
            let (hub, word) = (trunkline_trunk::Str::EMPTY, bytes::Bytes::new());
            inbox.notify(PeerNotice::Word { peer, door: 1, hub, number, word });
        }
        let noticed = || received.notices.receiver.try_recv().ok();
        assert_eq!(std::iter::from_fn(noticed).count(), fit);
    }

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
