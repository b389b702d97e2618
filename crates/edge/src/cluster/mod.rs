//! The other nodes of the cluster: requests for their sessions, their requests for ours, and moves.
//!
//! One thread drives the mesh over the bus, so that a slow broker costs no shard a turn. Tasks and
//! shards reach it through [`Cluster`]. To a request's task it makes no difference where the session
//! is: it sends the same [`Command`], and gets its answer from the same kind of reply.

mod asking;
pub(crate) mod core;
mod doors;
mod finding;
mod inputs;
mod moving;
mod run;
mod serving;
mod wire;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc::{self, Sender};
use trunkline_clock::Timestamp;
use trunkline_mesh::{Bus, BusEvent, ClusterKey, Event, Frame, Identity, Mesh, NodeState, PeerKey};

pub use self::doors::Peers;
pub(crate) use self::inputs::Inputs;
pub(crate) use self::moving::{MoveKey, MoveStep};
pub(crate) use self::run::{Parts, spawn};
use crate::reply::{self, Reply};
use crate::shard::{Asked, Command};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// Inputs that may wait for the cluster's thread; then tasks wait.
const INBOX_MAX: usize = 16 * 1024;
/// Words of doors that may wait for it. Their own credit bounds them, to some thousands for each hub
/// and node.
const WORDS_MAX: usize = 64 * 1024;
/// The numbers of moves begin so; those of other requests differ.
const MOVES: u32 = 0xfe << 24;

/// What a node needs to be one of a cluster.
pub struct ClusterConfig {
    /// Who this node is.
    pub identity: Identity,
    /// The limits and spans of the mesh.
    pub mesh: trunkline_mesh::Config,
    /// The key that all nodes of the cluster have.
    pub key: ClusterKey,
    /// A random number.
    pub seed: u64,
    /// Opens the bus, on the cluster's own thread, within its runtime.
    pub open: Box<dyn FnOnce() -> io::Result<OpenBus> + Send>,
    /// Sees everything that the mesh reports.
    pub witness: Box<dyn Witness>,
}

impl fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterConfig").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Both directions of a bus.
pub struct OpenBus {
    /// Sends; never blocks.
    pub bus: Box<dyn Bus>,
    /// What comes in.
    pub events: Box<dyn BusEvents>,
}

impl fmt::Debug for OpenBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenBus").finish_non_exhaustive()
    }
}

/// What comes in from a bus, in order and within bounds.
pub trait BusEvents: Send {
    /// The next event; a pending task is woken when one comes.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<BusEvent>;
}

/// Sees what the mesh reports: for log lines, metrics and status. Called on the cluster's thread,
/// so it must not block.
pub trait Witness: fmt::Debug + Send {
    /// The mesh has reported this.
    fn saw(&mut self, now: Timestamp, mesh: &Mesh, event: &Event);

    /// Some time has passed; called every half second.
    fn looked(&mut self, now: Timestamp, mesh: &Mesh, relayed: &Relayed);
}

/// The requests between this node and others, and those under way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Relayed {
    /// Requests that arrived here for sessions of other nodes, since the start.
    pub asked: u64,
    /// Requests of other nodes for sessions of this one, since the start.
    pub served: u64,
    /// Requests of this node's clients that wait for an answer.
    pub asking: usize,
    /// Requests of other nodes that wait for an answer.
    pub serving: usize,
    /// Moves under way, in both directions.
    pub moving: usize,
}

/// What is known of the session with an id that the app made: `None` when no node has it. The error:
/// nobody can tell now.
pub(crate) type Found = Result<Option<Sid>, Unavailable>;

/// The way to the cluster's thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    inbox: Sender<Input>,
    /// The inbox of moves: requests do not fill it.
    moves: Sender<Input>,
    /// The inbox of the words of doors: they fill no other.
    words: Sender<Input>,
    next_move: Arc<AtomicU32>,
    drains: Arc<AtomicBool>,
}

/// An input of the cluster's thread.
#[derive(Debug)]
pub(crate) enum Input {
    /// A request that names a session of another node, or its later parts.
    Command(Command),
    /// Searches the session with an id that the app made, in the hub of this number.
    Find { hub: u16, id: Box<str>, reply: Reply<Found> },
    /// A shard begins the move of another node's session to itself.
    BeginMove { id: u32, asked: Asked, shard: u8 },
    /// A later step of a move, for the other node.
    Move { key: MoveKey, step: MoveStep },
    /// A word of a door of this node, for that of another.
    Word { to: PeerKey, frame: Frame },
    /// What this node says of itself from now on.
    State(NodeState),
    /// A hub has its first session with an id that the app made.
    OwnIds,
    /// The digest of this node's hubs from now on.
    Hubs([u8; 8]),
    /// Leaves the cluster; the reply comes when the others have been told.
    Stop(std::sync::mpsc::SyncSender<()>),
}

impl Cluster {
    pub(crate) fn new() -> (Self, Inputs) {
        let (inbox, requests) = mpsc::channel(INBOX_MAX);
        let (moves, steps) = mpsc::channel(INBOX_MAX);
        let (words, said) = mpsc::channel(WORDS_MAX);
        let drains = Arc::default();
        let inputs = Inputs::new(requests, steps, said, Arc::clone(&drains));
        (Self { inbox, moves, words, next_move: Arc::default(), drains }, inputs)
    }

    /// Sends a command for a session of another node. Waits only while the inbox is full.
    pub(crate) async fn tell(&self, command: Command) {
        // The thread's end drops the reply, so the one who waits is notified.
        let _ = self.inbox.send(Input::Command(command)).await;
    }

    /// The session with an id that the app made, on whichever node it is.
    pub(crate) async fn find(&self, hub: u16, id: &str) -> Found {
        let (reply, found) = reply::pair();
        // The error has the reply in it: kept, it would have this wait without end.
        if self.inbox.send(Input::Find { hub, id: id.into(), reply }).await.is_err() {
            return Err(Unavailable::MeshDown);
        }
        found.await.unwrap_or(Err(Unavailable::MeshDown))
    }

    /// Begins the move of another node's session to a shard of this one. The shard gets the owner's
    /// steps as [`Command::Move`] with the returned key. `None`: too much waits.
    pub(crate) fn begin_move(&self, asked: Asked, shard: u8) -> Option<MoveKey> {
        let id = MOVES | self.next_move.fetch_add(1, Ordering::Relaxed) & !MOVES;
        self.moves.try_send(Input::BeginMove { id, asked, shard }).ok()?;
        Some(MoveKey { from: None, id })
    }

    /// Sends a step of a move to the other node. False: too much waits, so the move has failed.
    pub(crate) fn send_step(&self, key: MoveKey, step: MoveStep) -> bool {
        self.moves.try_send(Input::Move { key, step }).is_ok()
    }

    /// Says of this node that it drains.
    pub(crate) fn drain(&self) {
        self.drains.store(true, Ordering::Release);
        // Wakes the thread. It does not sleep while its inbox is full.
        let _ = self.inbox.try_send(Input::State(NodeState::Draining));
    }

    /// Notes that a hub has its first session with an id that the app made.
    pub(crate) fn has_own_ids(&self) {
        let _ = self.inbox.try_send(Input::OwnIds);
    }

    /// Says of this node that it has other hubs. Blocks while the inbox is full.
    pub(crate) fn set_hubs_digest(&self, digest: [u8; 8]) {
        // Without the thread nobody is told anything.
        let _ = self.inbox.blocking_send(Input::Hubs(digest));
    }

    /// Leaves the cluster. Blocks until the others have been told, for a moment at most.
    pub(crate) fn stop(&self) {
        let (stopped, is_stopped) = std::sync::mpsc::sync_channel(1);
        if self.inbox.blocking_send(Input::Stop(stopped)).is_ok() {
            let _ = is_stopped.recv_timeout(std::time::Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_search_ends_with_the_thread_of_the_cluster() {
        let (cluster, inputs) = Cluster::new();
        drop(inputs);
        let found =
            tokio::time::timeout(std::time::Duration::from_secs(9), cluster.find(0, "mine"));
        assert!(matches!(found.await.expect("it ends"), Err(Unavailable::MeshDown)));
    }
}
