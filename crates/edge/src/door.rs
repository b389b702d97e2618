//! The access to a node's shards, for the tasks of one shard's thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::task::spawn_local;
use trunkline_engineio::{HandshakeError, Protocol};

use crate::cluster::Found;
use crate::environment::Environment;
use crate::gate::{Rules, RulesReader};
use crate::hub::Hub;
use crate::reply;
use crate::shard::{Answer, Asked, Command, LocalShard, OpenRequest, SlotKey};
use crate::sid::Sid;

/// Where a session is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Site {
    /// In this shard of this node.
    Shard(u8),
    /// On another node, which the sid or the request's number names.
    Elsewhere,
}

impl From<u8> for Site {
    fn from(shard: u8) -> Self {
        Self::Shard(shard)
    }
}

/// Where a session may be, as far as its sid says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whereabouts {
    Known(Site),
    /// In this shard if that has it. If not, it is elsewhere: another node has the number as well.
    Shared(u8),
}

/// The session that a client names, for a node with so many shards. `None` when it is nobody's.
pub(crate) fn named(env: &Environment, shards: usize, hub: &Hub, text: &str) -> Option<Sid> {
    let sid = hub.resolve_sid(text)?;
    let is_here = usize::from(sid.shard) < shards && env.numbers.owns(sid.node);
    let may_be_elsewhere =
        env.cluster.is_some() && (!env.numbers.owns(sid.node) || env.numbers.is_shared(sid.node));
    (is_here || may_be_elsewhere).then_some(sid)
}

/// Where to look for a session, for a node with so many shards.
pub(crate) fn whereabouts(env: &Environment, shards: usize, sid: &Sid) -> Whereabouts {
    if env.cluster.is_none() {
        return Whereabouts::Known(Site::Shard(sid.shard));
    }
    if !env.numbers.owns(sid.node) || usize::from(sid.shard) >= shards {
        return Whereabouts::Known(Site::Elsewhere);
    }
    if env.numbers.is_shared(sid.node) {
        return Whereabouts::Shared(sid.shard);
    }
    Whereabouts::Known(Site::Shard(sid.shard))
}

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
    rules: RefCell<RulesReader>,
}

impl Door {
    pub(crate) fn new(
        shard: Rc<LocalShard>,
        peers: Arc<[Sender<Command>]>,
        env: Arc<Environment>,
    ) -> Self {
        let own = shard.index();
        let rules = RefCell::new(RulesReader::new(&env.gate));
        Self(Rc::new(Inner { shard, own, peers, env, next_poll: Cell::new(0), rules }))
    }

    pub(crate) fn env(&self) -> &Arc<Environment> {
        &self.0.env
    }

    /// The present rules for addresses.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(self.0.rules.borrow_mut().rules())
    }

    /// The inboxes of all shards, by their numbers.
    pub(crate) fn peers(&self) -> &Arc<[Sender<Command>]> {
        &self.0.peers
    }

    /// The number of this thread's own shard.
    pub(crate) fn own(&self) -> u8 {
        self.0.own
    }

    /// The session that a client names. `None` when it is nobody's.
    pub(crate) fn sid(&self, hub: &Hub, text: &str) -> Option<Sid> {
        named(&self.0.env, self.0.peers.len(), hub, text)
    }

    /// Like [`Self::sid`]; also finds a session of another node whose id the app made.
    pub(crate) async fn find_sid(&self, hub: &Hub, text: &str) -> Found {
        if text.is_empty() {
            return Ok(None);
        }
        match (self.sid(hub, text), &self.0.env.cluster) {
            (None, Some(cluster)) => cluster.find(hub.number, text).await,
            (found, _) => Ok(found),
        }
    }

    /// Where the session is that a request names.
    pub(crate) async fn site_of(&self, asked: &Asked) -> Site {
        match whereabouts(&self.0.env, self.0.peers.len(), &asked.sid) {
            Whereabouts::Known(site) => site,
            Whereabouts::Shared(_) if !self.has(*asked).await => Site::Elsewhere,
            Whereabouts::Shared(shard) => Site::Shard(shard),
        }
    }

    /// Where a session is, whoever asks.
    pub(crate) async fn site_of_sid(&self, hub: &Hub, sid: &Sid) -> Site {
        self.site_of(&Asked { sid: *sid, protocol: Protocol::V4, hub: hub.number }).await
    }

    /// Whether a shard of this node has the session.
    async fn has(&self, asked: Asked) -> bool {
        let (reply, found) = reply::pair();
        self.tell(asked.sid.shard, Command::Inspect { asked, reply }).await;
        match found.await {
            Ok(Err(Answer::Refused(refusal))) => refusal.error != HandshakeError::UnknownSid,
            Ok(_) | Err(_) => true,
        }
    }

    /// Sends a handshake to an app server, see [`LocalShard::open`].
    pub(crate) fn open(&self, open: OpenRequest) -> Option<Rc<Cell<SlotKey>>> {
        self.0.shard.open(open)
    }

    /// Sends a command to a shard of this node, or to the node that has the session. Does not wait
    /// for an answer.
    pub(crate) async fn tell(&self, site: impl Into<Site>, command: Command) {
        let shard = match site.into() {
            Site::Shard(shard) => shard,
            Site::Elsewhere => {
                if let Some(cluster) = &self.0.env.cluster {
                    cluster.tell(command).await;
                }
                return;
            }
        };
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
    pub(crate) fn tell_later(&self, site: impl Into<Site>, command: Command) {
        let (door, site) = (self.clone(), site.into());
        spawn_local(async move { door.tell(site, command).await });
    }

    /// A number for a poll, different from those of other recent polls of any thread.
    pub(crate) fn poll_number(&self) -> u32 {
        let next = self.0.next_poll.get().wrapping_add(1) & 0x00ff_ffff;
        self.0.next_poll.set(next);
        u32::from(self.0.own) << 24 | next
    }
}
