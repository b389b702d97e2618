//! The state of one trunk that the shards, the hub and the trunk's own task share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{Notify, oneshot};
use trunkline_clock::Timestamp;
use trunkline_switchboard::ServerKey;
use trunkline_switchboard::affinity::{
    Advice, Hang, Patience, Promptness, Standing, Told, sessions_over_all,
};
use trunkline_token::KeyMark;
use trunkline_trunk::settings::{EngineSettings, OwnSettings};
use trunkline_trunk::{Misbehaved, RequestId, SharedCredit};

use super::asking::Asking;
use super::newcomers::Newcomers;
use super::nodes::encode_nodes;
use super::outbox::{Outbox, Taken};
use super::remains::Tally;
use super::resuming::{Offer, Resuming};
use super::{Hub, locked};

/// A trunk's number, unique in the node for the life of the process.
pub(crate) type TrunkNumber = u32;

/// The origin of a trunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// A part of this process. It is not a peer of other app servers, and its settings have no
    /// path.
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
    /// The app server's key, the same for each of its trunks.
    pub(crate) server: ServerKey,
    pub(crate) server_id: String,
    pub(crate) sdk: String,
    pub(crate) origin: Origin,
    /// The key that signed the token of its present stream; `None` for one inside of this process.
    pub(super) key: Mutex<Option<KeyMark>>,
    pub(crate) settings: EngineSettings,
    /// What the SDK itself said about this trunk.
    pub(crate) own: OwnSettings,
    /// What became of its sessions, once it is gone.
    pub(crate) tally: Tally,
    /// Set when the app server may continue the trunk on another stream.
    pub(crate) resuming: Option<Resuming>,
    /// Set while the trunk has no stream.
    broken: AtomicBool,
    /// The time at which its stream broke last, in microseconds.
    broken_at: AtomicU64,
    /// Encoded frames that wait for the writer. Shards append once per turn. Bounded by credit for
    /// data, and by the number of sessions and requests for everything else.
    outbox: Mutex<Outbox>,
    /// Each call that is under way has a share in it.
    pub(crate) calls: Arc<()>,
    /// Wakes the writer when frames are in the outbox, credit is due, or the trunk is to end.
    pub(crate) wake_writer: Notify,
    /// Bytes of `Message` that the app server still accepts; every shard spends them.
    pub(crate) credit: Arc<SharedCredit>,
    /// Set when something of a shard may wait for credit or for the window.
    pub(super) waited_for: AtomicBool,
    /// Bytes of the app server's data that the shards have processed and that are not yet returned
    /// as credit.
    pub(super) processed: AtomicU64,
    sessions: AtomicUsize,
    /// What the app server last said of its sessions over all nodes.
    told: Mutex<Option<Told>>,
    pending: AtomicUsize,
    draining: AtomicBool,
    /// Set together with `ending`, for a check without the lock.
    ended: AtomicBool,
    ending: Mutex<Option<Ending>>,
    pub(super) asking: Mutex<Asking>,
    /// Bytes of requests that the trunk's own task has not taken yet.
    pub(super) asking_bytes: AtomicUsize,
    /// How many of them it may have at once.
    pub(super) newcomers: Newcomers,
    /// How promptly the app server answers handshakes.
    promptness: Mutex<Promptness>,
    /// Set while the app server is ejected. Changes together with `promptness`, for a check without
    /// the lock.
    ejected: AtomicBool,
    /// The time of the last frame from the app server, in microseconds of the node's clock.
    heard_at: AtomicU64,
    notes: Mutex<Notes>,
}

/// The reason for which another part of the node ends the trunk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// A shard found the app server at fault.
    Misbehaved(Misbehaved),
    /// The same app server process has opened another trunk to this node.
    Replaced,
    /// The key with which the app server opened it is one of the hub's no longer.
    KeyRemoved,
    /// The configuration has the hub no longer.
    HubRemoved,
    /// The node stops.
    NodeStops,
}

/// Notices for the trunk's own task.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Keys of requests whose clients no longer wait.
    pub(crate) abandoned: Vec<u64>,
    /// Questions of the app server that shards have answered.
    pub(crate) answered: Vec<Answered>,
    /// Set when the node drains: the time after which it closes the trunk.
    pub(crate) drain: Option<Duration>,
    /// Set when another stream is offered.
    pub(crate) stream: bool,
    /// Set when the app server is to be pinged, to see whether it is alive.
    pub(crate) ping: bool,
    /// Set when sessions of the hub wait for an app server, or may in a moment.
    pub(crate) unhomed: bool,
}

/// A question of the app server whose answer is in the outbox, or is about to be.
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
        (origin, key): (Origin, Option<KeyMark>),
        (settings, own): (EngineSettings, OwnSettings),
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
            key: Mutex::new(key),
            settings,
            resuming: own.resumable.then(Resuming::new),
            own,
            tally: Tally::default(),
            broken: AtomicBool::new(false),
            broken_at: AtomicU64::new(0),
            outbox: Mutex::default(),
            calls: Arc::default(),
            wake_writer: Notify::new(),
            credit,
            waited_for: AtomicBool::new(false),
            processed: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
            told: Mutex::default(),
            pending: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ending: Mutex::new(None),
            asking: Mutex::default(),
            asking_bytes: AtomicUsize::new(0),
            newcomers: Newcomers::default(),
            promptness: Mutex::default(),
            ejected: AtomicBool::new(false),
            heard_at: AtomicU64::new(now.as_micros()),
            notes: Mutex::default(),
        }
    }

    fn promptness(&self) -> MutexGuard<'_, Promptness> {
        locked(&self.promptness)
    }

    /// Notes that frames came from the app server.
    pub(crate) fn heard(&self, now: Timestamp) {
        self.heard_at.store(now.as_micros(), Ordering::Relaxed);
        if self.ejected.load(Ordering::Relaxed) && self.promptness().heard(now) {
            self.came_back();
        }
    }

    pub(super) fn heard_at(&self) -> Timestamp {
        Timestamp::from_micros(self.heard_at.load(Ordering::Relaxed))
    }

    fn came_back(&self) {
        self.ejected.store(false, Ordering::Relaxed);
        tracing::info!(hub = %self.hub.name, server = %self.server_id, "app server answers again: it gets its share of newcomers");
    }

    /// Notes that the app server was asked to answer a handshake.
    pub(crate) fn handshake_given(&self, now: Timestamp) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.promptness().asked(now);
    }

    /// Notes that the app server accepted or rejected a handshake.
    pub(crate) fn handshake_answered(&self, now: Timestamp, asked_at: Timestamp) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.newcomers.answered(now, asked_at);
        if self.promptness().answered(now, asked_at) {
            self.came_back();
        }
    }

    /// Notes that a handshake no longer waits for this app server, which has not answered it.
    pub(crate) fn handshake_withdrawn(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.promptness().withdrawn();
    }

    /// Whether new sessions should go to this app server.
    pub(crate) fn standing(&self, now: Timestamp, patience: Patience) -> Standing {
        self.promptness().standing(now, patience)
    }

    /// Decides about a request that the app server was sent at `asked_at` and has not answered;
    /// pings the app server if necessary.
    pub(crate) fn advise(&self, now: Timestamp, asked_at: Timestamp, patience: Patience) -> Advice {
        let advice = self.promptness().advise(now, asked_at, self.heard_at(), patience);
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

    /// Appends whole frames, in order, and wakes the writer. `weight`: that of the messages
    /// among them.
    pub(crate) fn push(&self, frames: &[u8], weight: u64) {
        self.outbox().push(frames, weight);
        self.wake_writer.notify_one();
    }

    /// Like [`Self::push`], unless the app server has too many unread bytes already; false when it
    /// has.
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

    /// Notes that app servers have come or gone: the list of peers is sent at this position in the
    /// outbox, or at an earlier one that still waits.
    pub(crate) fn peers_changed(&self) {
        {
            let mut outbox = self.outbox();
            let here = outbox.frames.len();
            outbox.peers_at.get_or_insert(here);
        }
        self.wake_writer.notify_one();
    }

    /// Notes that the nodes of the cluster have changed.
    pub(crate) fn nodes_changed(&self) {
        if self.own.nodes {
            self.outbox().nodes_due = true;
            self.wake_writer.notify_one();
        }
    }

    /// Takes all frames that wait. Returns also the weight of all messages that were ever taken.
    pub(crate) fn take_outbox(&self) -> (BytesMut, u64) {
        let Taken { mut frames, weight, peers_at, nodes_due } = self.outbox().take();
        if let Some(place) = peers_at {
            let rest = frames.split_off(place);
            self.hub.encode_peers_of(&self.server_id, &mut frames);
            frames.extend_from_slice(&rest);
        }
        if nodes_due {
            encode_nodes(&self.hub.nodes.present(), &mut frames);
        }
        (frames, weight)
    }

    /// Shows the frames that wait, for a trunk that has ended: nobody takes them any longer.
    pub(crate) fn with_outbox<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.outbox().frames)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        locked(&self.outbox)
    }

    pub(crate) fn has_credit(&self) -> bool {
        self.credit.may_send()
    }

    /// Whether messages that wait for credit or for the window may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.has_credit() && self.credit.room() > 0
    }

    /// Spends credit for a data frame; false when there is none left. The last frame may exceed it.
    pub(crate) fn spend_credit(&self, bytes: u32) -> bool {
        self.credit.spend(bytes)
    }

    /// Whether the app server is one of those that exchange messages with one another.
    pub(crate) fn is_peer(&self) -> bool {
        self.origin != Origin::Inside
    }

    /// Takes the number of bytes that were processed since the last call.
    pub(crate) fn take_processed(&self) -> u64 {
        self.processed.swap(0, Ordering::Relaxed)
    }

    /// Counts one more session of the app server.
    pub(crate) fn session_added(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one session of the app server less.
    pub(crate) fn session_removed(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Notes how many sessions the app server says that it has over all nodes.
    pub(crate) fn note_load(&self, sessions: u32) {
        *locked(&self.told) = Some(Told { sessions, own: as_u32(self.sessions()) });
    }

    /// The app server's sessions over all nodes, as far as this one can tell.
    pub(crate) fn sessions_over_all(&self) -> usize {
        let own = self.sessions();
        match self.hub.nodes.serving() {
            1 => own,
            nodes => sessions_over_all(as_u32(own), *locked(&self.told), nodes) as usize,
        }
    }

    /// Handshakes that wait for the app server's answer.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the app server may get sessions and requests. It may not when its trunk is about to
    /// end or has no stream, or when it reads too slowly.
    pub(crate) fn is_usable(&self, unread_bytes_max: usize) -> bool {
        let asking_bytes = self.asking_bytes.load(Ordering::Relaxed);
        !self.ended.load(Ordering::Relaxed)
            && !self.broken.load(Ordering::Relaxed)
            && self.outbox().frames.len() + asking_bytes < unread_bytes_max
    }

    /// Notes that the trunk's stream broke now, or that it has another one.
    pub(crate) fn set_broken(&self, broken: Option<Timestamp>) {
        if let Some(at) = broken {
            self.broken_at.store(at.as_micros(), Ordering::Relaxed);
        }
        self.broken.store(broken.is_some(), Ordering::Relaxed);
    }

    /// The time at which the trunk's stream broke; `None` while it has one.
    pub(crate) fn broken_since(&self) -> Option<Timestamp> {
        let at = Timestamp::from_micros(self.broken_at.load(Ordering::Relaxed));
        self.broken.load(Ordering::Relaxed).then_some(at)
    }

    /// Whether the app server has sessions that may wait for another one in a moment.
    pub(crate) fn is_on_its_way_out(&self) -> bool {
        self.own.rehome
            && self.sessions() > 0
            && (self.is_draining() || self.broken_since().is_some())
    }

    /// Notes that sessions of the hub wait for an app server, or may in a moment.
    pub(super) fn unhomed(&self) {
        self.note(|notes| notes.unhomed = true);
    }

    /// Offers a stream to the trunk's own task, see [`Resuming`].
    pub(crate) fn offer(
        &self,
        offer: Box<Offer>,
    ) -> Result<oneshot::Receiver<Option<Box<Offer>>>, Box<Offer>> {
        let Some(resuming) = &self.resuming else { return Err(offer) };
        let answer = resuming.offer(offer)?;
        self.note(|notes| notes.stream = true);
        Ok(answer)
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Asks the trunk's own task to end the trunk after sending the outbox; the first cause is
    /// kept.
    pub(crate) fn end(&self, cause: Ending) {
        self.ended.store(true, Ordering::Relaxed);
        locked(&self.ending).get_or_insert(cause);
        self.wake_writer.notify_one();
    }

    /// Ends the trunk because a shard found the app server at fault.
    pub(crate) fn misbehaved(&self, misbehaved: Misbehaved) {
        self.end(Ending::Misbehaved(misbehaved));
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        *locked(&self.ending)
    }

    /// Notes that this question is answered. Call it before the answer is put into the outbox,
    /// which wakes the task.
    pub(crate) fn answered(&self, what: Answered) {
        locked(&self.notes).answered.push(what);
    }

    /// Notes that the client of this request no longer waits.
    pub(super) fn abandoned(&self, key: u64) {
        locked(&self.notes).abandoned.push(key);
    }

    /// Notes that the node drains, which the app server has to be told.
    pub(super) fn drain(&self, deadline: Duration) {
        self.note(|notes| notes.drain = Some(deadline));
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut locked(&self.notes));
        self.wake_writer.notify_one();
    }

    /// Takes the notices since the last call.
    pub(crate) fn take_notes(&self) -> Notes {
        std::mem::take(&mut *locked(&self.notes))
    }
}

fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.hub.leave_server(&self.server_id);
        self.tally.log(&self.hub.name, &self.server_id);
    }
}
