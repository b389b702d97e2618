//! What the shards, the hub and the trunk's own tasks share of one trunk.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::Notify;
use trunkline_clock::Timestamp;
use trunkline_switchboard::ServerKey;
use trunkline_switchboard::affinity::{Advice, Hang, Patience, Promptness, Standing};
use trunkline_trunk::settings::EngineSettings;
use trunkline_trunk::{Misbehaved, RequestId, SharedCredit};

use super::asking::Asking;
use super::{Hub, locked};
use crate::neighbours::Neighbours;

/// Unique in the node for the life of the process.
pub(crate) type TrunkNumber = u32;

/// Where a trunk comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// A part of this process. It is no app server that others could talk to, and its settings have no path.
    Inside,
    Outside(SocketAddr),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inside => f.write_str("inside"),
            Self::Outside(address) => address.fmt(f),
        }
    }
}

/// One app server's trunk.
#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) number: TrunkNumber,
    pub(crate) hub: Arc<Hub>,
    /// The app server, whichever trunk it speaks over.
    pub(crate) server: ServerKey,
    pub(crate) server_id: String,
    pub(crate) sdk: String,
    pub(crate) origin: Origin,
    pub(crate) settings: EngineSettings,
    /// Encoded frames that wait for the writer. Shards append once per turn; bounded by credit for data and
    /// by the number of sessions and requests for everything else.
    outbox: Mutex<Outbox>,
    /// Wakes the writer: frames are in the outbox, or credit is due, or the trunk is to end.
    pub(crate) wake_writer: Notify,
    /// Bytes of `Message` that the app server will still take; spent by every shard.
    pub(crate) credit: Arc<SharedCredit>,
    /// Bytes of the app server's data worked off by the shards and not yet given back.
    processed: AtomicU64,
    sessions: AtomicUsize,
    pending: AtomicUsize,
    draining: AtomicBool,
    /// Set together with `ending`, for those who only want to know whether.
    ended: AtomicBool,
    ending: Mutex<Option<Ending>>,
    pub(super) asking: Mutex<Asking>,
    /// Bytes of requests that its own task has not taken.
    pub(super) asking_bytes: AtomicUsize,
    /// How it answers handshakes.
    promptness: Mutex<Promptness>,
    /// It is ejected. Set together with `promptness`, for the one who hears it.
    ejected: AtomicBool,
    /// When its last frame came, in microseconds of the node's clock.
    heard_at: AtomicU64,
    notes: Mutex<Notes>,
}

/// Encoded frames, and the place among them where the app server is to be told who the others are. The list itself is
/// made when the frames are taken: changes that nobody has read about take no memory.
#[derive(Debug, Default)]
struct Outbox {
    frames: BytesMut,
    peers_at: Option<usize>,
}

/// Why somebody other than the trunk's own task wants it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// A shard found the app server at fault.
    Misbehaved(Misbehaved),
    /// The same app server process has opened another trunk to this node.
    Replaced,
    /// The node stops.
    NodeStops,
}

/// What the trunk's own task has not heard of yet.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Keys of requests that nobody waits for any more.
    pub(crate) abandoned: Vec<u64>,
    /// What shards have answered.
    pub(crate) answered: Vec<Answered>,
    /// The node drains, and closes the trunk after so long.
    pub(crate) drain: Option<Duration>,
    /// Somebody wants to know whether the app server is alive.
    pub(crate) ping: bool,
}

/// A question of the app server's that has its answer in the outbox, or is about to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answered {
    Prove(RequestId),
    Restore(RequestId),
}

impl Trunk {
    pub(crate) fn new(
        number: TrunkNumber,
        hub: Arc<Hub>,
        hello: (String, String),
        origin: Origin,
        settings: EngineSettings,
        credit: Arc<SharedCredit>,
        now: Timestamp,
    ) -> Self {
        let (server_id, sdk) = hello;
        let server = hub.enter_server(&server_id);
        Self {
            number,
            hub,
            server,
            server_id,
            sdk,
            origin,
            settings,
            outbox: Mutex::default(),
            wake_writer: Notify::new(),
            credit,
            processed: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ending: Mutex::new(None),
            asking: Mutex::default(),
            asking_bytes: AtomicUsize::new(0),
            promptness: Mutex::default(),
            ejected: AtomicBool::new(false),
            heard_at: AtomicU64::new(now.as_micros()),
            notes: Mutex::default(),
        }
    }

    fn promptness(&self) -> MutexGuard<'_, Promptness> {
        locked(&self.promptness)
    }

    /// Frames came from it.
    pub(crate) fn heard(&self, now: Timestamp) {
        self.heard_at.store(now.as_micros(), Ordering::Relaxed);
        if self.ejected.load(Ordering::Relaxed) && self.promptness().heard(now) {
            self.came_back();
        }
    }

    fn came_back(&self) {
        self.ejected.store(false, Ordering::Relaxed);
        tracing::info!(hub = %self.hub.name, server = %self.server_id, "app server answers again: it gets its share of newcomers");
    }

    /// It was given a handshake.
    pub(crate) fn handshake_given(&self, now: Timestamp) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.promptness().asked(now);
    }

    /// It accepted or rejected a handshake.
    pub(crate) fn handshake_answered(&self, now: Timestamp, asked_at: Timestamp) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        if self.promptness().answered(now, asked_at) {
            self.came_back();
        }
    }

    /// A handshake is off its hands without an answer.
    pub(crate) fn handshake_withdrawn(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.promptness().withdrawn();
    }

    /// Whether newcomers should go to it.
    pub(crate) fn standing(&self, now: Timestamp, patience: Patience) -> Standing {
        self.promptness().standing(now, patience)
    }

    /// What to do with something that it was asked at `asked_at` and has not answered; pings it if need be.
    pub(crate) fn advise(&self, now: Timestamp, asked_at: Timestamp, patience: Patience) -> Advice {
        let heard_at = Timestamp::from_micros(self.heard_at.load(Ordering::Relaxed));
        let advice = self.promptness().advise(now, asked_at, heard_at, patience);
        match advice {
            Advice::Call { .. } => self.note(|notes| notes.ping = true),
            Advice::Leave { ejected: Some(hang) } => {
                self.ejected.store(true, Ordering::Relaxed);
                let why = match hang {
                    Hang::Silent => "it gives no sign of life",
                    Hang::Unanswered => "it answers pings, but no handshakes",
                };
                tracing::warn!(hub = %self.hub.name, server = %self.server_id, unanswered = self.pending(), "app server hangs, newcomers go to others: {why}");
            }
            Advice::Leave { ejected: None } | Advice::Wait { .. } => (),
        }
        advice
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Appends whole frames, in order, and wakes the writer.
    pub(crate) fn push(&self, frames: &[u8]) {
        self.outbox().frames.extend_from_slice(frames);
        self.wake_writer.notify_one();
    }

    /// The same, unless the app server has that much unread already; false when it has.
    pub(crate) fn push_bounded(&self, frames: &[u8], unread_bytes_max: usize) -> bool {
        {
            let mut outbox = self.outbox();
            if outbox.frames.len() >= unread_bytes_max {
                return false;
            }
            outbox.frames.extend_from_slice(frames);
        }
        self.wake_writer.notify_one();
        true
    }

    /// Others have come or gone: the app server is told at this place, or at an earlier one that waits.
    pub(crate) fn peers_changed(&self) {
        {
            let mut outbox = self.outbox();
            let here = outbox.frames.len();
            outbox.peers_at.get_or_insert(here);
        }
        self.wake_writer.notify_one();
    }

    /// Takes everything that waits.
    pub(crate) fn take_outbox(&self, neighbours: Option<&dyn Neighbours>) -> BytesMut {
        let Outbox { mut frames, peers_at } = std::mem::take(&mut *self.outbox());
        let Some(place) = peers_at else { return frames };
        let rest = frames.split_off(place);
        self.hub.encode_peers_of(&self.server_id, neighbours, &mut frames);
        frames.extend_from_slice(&rest);
        frames
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        locked(&self.outbox)
    }

    pub(crate) fn has_credit(&self) -> bool {
        self.credit.may_send()
    }

    /// Spends credit for a data frame, unless there is none to start one with. The last frame may overdraw it.
    pub(crate) fn spend_credit(&self, bytes: u32) -> bool {
        self.credit.spend(bytes)
    }

    /// Whether it is one of the app servers that talk to one another.
    pub(crate) fn is_peer(&self) -> bool {
        self.origin != Origin::Inside
    }

    /// Bytes worked off since the last call.
    pub(crate) fn take_processed(&self) -> u64 {
        self.processed.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn session_added(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn session_removed(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Handshakes that wait for the app server's word.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// May it be given sessions and requests? Not when it is about to end, or reads too slowly.
    pub(crate) fn is_usable(&self, unread_bytes_max: usize) -> bool {
        let asking_bytes = self.asking_bytes.load(Ordering::Relaxed);
        !self.ended.load(Ordering::Relaxed)
            && self.outbox().frames.len() + asking_bytes < unread_bytes_max
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Asks the trunk's own task to end it after what is in the outbox; the first cause stays.
    pub(crate) fn end(&self, cause: Ending) {
        self.ended.store(true, Ordering::Relaxed);
        locked(&self.ending).get_or_insert(cause);
        self.wake_writer.notify_one();
    }

    pub(crate) fn misbehaved(&self, misbehaved: Misbehaved) {
        self.end(Ending::Misbehaved(misbehaved));
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        *locked(&self.ending)
    }

    /// The app server gets this answer now. To be said before the answer is in the outbox, which wakes the task.
    pub(crate) fn answered(&self, what: Answered) {
        locked(&self.notes).answered.push(what);
    }

    /// Nobody waits for the answer to this request any more.
    pub(super) fn abandoned(&self, key: u64) {
        locked(&self.notes).abandoned.push(key);
    }

    /// The node drains: the app server is to be told.
    pub(super) fn drain(&self, deadline: Duration) {
        self.note(|notes| notes.drain = Some(deadline));
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut locked(&self.notes));
        self.wake_writer.notify_one();
    }

    /// What there is to know since the last call.
    pub(crate) fn take_notes(&self) -> Notes {
        std::mem::take(&mut *locked(&self.notes))
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.hub.leave_server(&self.server_id);
    }
}

/// The data bytes of one batch: given back when the last shard that works on the batch drops its share.
#[derive(Debug)]
pub(crate) struct BatchCredit {
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) bytes: u64,
}

impl Drop for BatchCredit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.trunk.processed.fetch_add(self.bytes, Ordering::Relaxed);
            self.trunk.wake_writer.notify_one();
        }
    }
}
