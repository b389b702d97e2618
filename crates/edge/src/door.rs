//! The access to a node's shards, for the tasks of one shard's thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::task::spawn_local;

use crate::environment::Environment;
use crate::hub::Hub;
use crate::reply;
use crate::shard::{Command, LocalShard, OpenRequest, SlotKey};
use crate::sid::Sid;

/// The access to shards that the tasks of one thread share: their own shard, and the others.
#[derive(Clone, Debug)]
pub(crate) struct Door(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    shard: Rc<LocalShard>,
    own: u8,
    peers: Arc<[Sender<Command>]>,
    env: Arc<Environment>,
    next_poll: Cell<u32>,
}

impl Door {
    pub(crate) fn new(
        shard: Rc<LocalShard>,
        peers: Arc<[Sender<Command>]>,
        env: Arc<Environment>,
    ) -> Self {
        let own = shard.index();
        Self(Rc::new(Inner { shard, own, peers, env, next_poll: Cell::new(0) }))
    }

    pub(crate) fn env(&self) -> &Arc<Environment> {
        &self.0.env
    }

    /// The inboxes of all shards, by their numbers.
    pub(crate) fn peers(&self) -> &Arc<[Sender<Command>]> {
        &self.0.peers
    }

    /// The number of this thread's own shard.
    pub(crate) fn own(&self) -> u8 {
        self.0.own
    }

    /// The session of this node that a client names. `None` when another node may have it.
    pub(crate) fn own_sid(&self, hub: &Hub, text: &str) -> Option<Sid> {
        hub.resolve_sid(text, self.0.env.node_number, self.0.peers.len())
    }

    /// Sends a handshake to an app server, see [`LocalShard::open`].
    pub(crate) fn open(&self, open: OpenRequest) -> Option<Rc<Cell<SlotKey>>> {
        self.0.shard.open(open)
    }

    /// Sends a command to a shard. Does not wait for an answer.
    pub(crate) async fn tell(&self, shard: u8, command: Command) {
        if shard == self.0.own {
            self.0.shard.take_turn(command);
        } else if let Some(peer) = self.0.peers.get(usize::from(shard)) {
            // The end of a shard ends the whole node, so the error needs no handling.
            let _ = peer.send(command).await;
        }
    }

    /// Sends a command to a shard: at once to this thread's own, else like [`Self::tell_later`].
    pub(crate) fn tell_now(&self, shard: u8, command: Command) {
        if shard == self.0.own {
            self.0.shard.take_turn(command);
        } else {
            self.tell_later(shard, command);
        }
    }

    /// Waits until this thread's shard has handled everything that others have sent it so far:
    /// commands from `tell` do not queue after those.
    pub(crate) async fn catch_up(&self) {
        let Some(inbox) = self.0.peers.get(usize::from(self.0.own)) else { return };
        if inbox.capacity() == inbox.max_capacity() {
            return;
        }
        let (reply, is_past) = reply::pair();
        // The end of a shard ends the whole node.
        let _ = inbox.send(Command::Past(reply)).await;
        let _ = is_past.await;
    }

    /// Like [`Self::tell`], for places that cannot wait, such as the drop of a guard.
    pub(crate) fn tell_later(&self, shard: u8, command: Command) {
        let door = self.clone();
        spawn_local(async move { door.tell(shard, command).await });
    }

    /// A number for a poll, different from those of other recent polls of any thread.
    pub(crate) fn poll_number(&self) -> u32 {
        let next = self.0.next_poll.get().wrapping_add(1) & 0x00ff_ffff;
        self.0.next_poll.set(next);
        u32::from(self.0.own) << 24 | next
    }
}
