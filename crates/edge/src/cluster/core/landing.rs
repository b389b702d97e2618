//! The landing node's part: requests of this node's clients and shards for sessions of others.

use trunkline_clock::Timestamp;
use trunkline_mesh::{Frame, Lane, NotNow, Owner, PeerKey, Reach, RequestId, Str};

use super::{AGAIN, Core};
use crate::cluster::{moving, wire};
use crate::environment::Environment;
use crate::shard::{Asked, Command, POST_TOO_LARGE};
use crate::unavailable::Unavailable;

impl Core {
    pub(super) fn ask(&mut self, now: Timestamp, command: Command) {
        match command {
            Command::Poll { asked, poll, reply } => {
                let Some(hub) = self.hub(asked.hub) else { return };
                let unread_max = self.env.limits.outbox_bytes_max;
                let id = self.asking.poll(&asked, &hub, poll, reply, unread_max);
                if let Some(id) = id {
                    self.try_request(now, id);
                }
            }
            Command::PollGone { poll, .. } => {
                if let Some((peer, frame)) = self.asking.poll_gone(poll) {
                    self.send(now, peer, frame);
                }
            }
            Command::PostBegin { asked, reply } => {
                let Some(hub) = self.hub(asked.hub) else { return };
                let id = self.asking.post_begin(&asked, &hub, reply);
                self.try_request(now, id);
            }
            Command::Post(post) => {
                let Some(hub) = self.hub(post.asked.hub) else { return };
                let id = self.asking.post(*post, &hub);
                self.try_request(now, id);
            }
            Command::PostBody { key, binary, body, reply } => {
                if let Some(peer) = self.asking.post_body(key.slot, reply) {
                    let id = RequestId(key.slot);
                    self.send(now, peer, Frame::PostBody { id, binary, body });
                }
            }
            Command::PostGone { key, fault } => {
                if let Some((peer, frame)) = self.asking.post_gone(key.slot, fault) {
                    self.send(now, peer, frame);
                }
            }
            Command::Inspect { asked, reply } => {
                let Some(hub) = self.hub(asked.hub) else { return };
                let id = self.asking.inspect(&asked, &hub, reply);
                self.try_request(now, id);
            }
            // An answer was not read in time. Its session ends by its silence.
            Command::HandshakeGone { .. } => (),
            Command::Adopt { .. }
            | Command::Arrived(_)
            | Command::Batch { .. }
            | Command::CreditReturned { .. }
            | Command::Drain(_)
            | Command::Token(_)
            | Command::ForeignProbe(_)
            | Command::GiveBack(_)
            | Command::Move { .. }
            | Command::Past(_)
            | Command::PollBack { .. }
            | Command::Probe { .. }
            | Command::Reloaded(_)
            | Command::Pulse(_)
            | Command::Rest { .. }
            | Command::Restore(_)
            | Command::Settings(..)
            | Command::Stop
            | Command::TrunkDown { .. }
            | Command::TrunkUp(..) => debug_assert!(false, "only for shards of this node"),
        }
    }

    /// Sends a request that has not been sent, or lets it wait, or ends it.
    fn try_request(&mut self, now: Timestamp, id: u32) {
        self.relayed.asked += 1;
        self.try_or_wait(now, id);
    }

    pub(super) fn try_or_wait(&mut self, now: Timestamp, id: u32) {
        if self.try_to_send(now, id) {
            return;
        }
        if self.asking.held_bytes(id) > 0 && self.env.memory.is_full(&self.env.metrics) {
            return self.asking.fail(id, Unavailable::MemoryFull);
        }
        self.asking.wait(now, id);
        self.again_at.get_or_insert(now + AGAIN);
    }

    /// False when the owner cannot be reached now.
    fn try_to_send(&mut self, now: Timestamp, id: u32) -> bool {
        let Some((sid, frame)) = self.asking.unsent(id) else { return true };
        let owners = self.owners_of(sid.node);
        let Some(peer) = self.asking.next_owner(id, &owners) else {
            if self.knows_all() {
                self.finding.forget(&sid);
                self.asking.refuse(id);
            }
            return self.knows_all();
        };
        if self.mesh.reach(peer) != Reach::Open || self.backlog.is_behind(peer, Lane::Control) {
            return false;
        }
        let takes_whole = |peer| self.mesh.load_of(peer).is_some_and(|load| load.whole_posts);
        let begin = begin_of(frame).filter(|_| !takes_whole(peer));
        if self.mesh.send(now, peer, Lane::Control, begin.as_ref().unwrap_or(frame)).is_err() {
            return false;
        }
        self.asking.is_sent(id, peer, owners.len() > 1 || begin.is_some());
        true
    }

    /// The other nodes that have sessions under this number: usually one. This node's own sessions
    /// were looked at before a request came here.
    fn owners_of(&self, number: u16) -> Vec<PeerKey> {
        let peer = |owner| if let Owner::Peer(peer) = owner { Some(peer) } else { None };
        self.mesh.claimants(number).filter_map(peer).collect()
    }

    /// Gives the held polls back to their owners, because this node stops: they answer them now, and
    /// the clients poll elsewhere.
    pub(crate) fn give_polls_back(&mut self, now: Timestamp) {
        for (peer, id) in self.asking.held_polls() {
            self.send(now, peer, Frame::PollBack { id: RequestId(id) });
        }
    }

    /// Whether whoever is not known is not there: not before this node has listened for a while, and
    /// not without a bus.
    fn knows_all(&self) -> bool {
        self.mesh.is_bus_up() && self.mesh.number().is_some()
    }

    /// Tries again what could not be sent.
    pub(super) fn try_again(&mut self, now: Timestamp) {
        for (peer, lane, mut waiting) in self.backlog.take() {
            while let Some(frame) = waiting.pop() {
                match self.mesh.send(now, peer, lane, &frame) {
                    Ok(()) => (),
                    Err(NotNow::Gone) => waiting.clear(), // What they belong to has ended.
                    Err(NotNow::TooLong) => self.drop_frame(now, peer, &frame, POST_TOO_LARGE),
                    Err(NotNow::Full) => {
                        waiting.unpop(frame);
                        break;
                    }
                }
            }
            self.backlog.put_back(peer, lane, waiting);
        }
        self.finding.ask_again();
        // Posts that wait belong to no session of this node, so no shard frees their memory.
        let mut beyond_bytes = self.bytes_to_free();
        for (until, id) in self.asking.take_waiting() {
            if self.try_to_send(now, id) {
                continue;
            }
            let held_bytes = self.asking.held_bytes(id);
            if until <= now {
                self.asking.fail(id, Unavailable::MeshDown);
            } else if beyond_bytes > 0 && held_bytes > 0 {
                beyond_bytes = beyond_bytes.saturating_sub(held_bytes);
                self.asking.fail(id, Unavailable::MemoryFull);
            } else {
                self.asking.wait_until(until, id);
            }
        }
        if self.asking.has_waiting() || self.finding.has_later() || !self.backlog.is_empty() {
            self.again_at = Some(now + AGAIN);
        }
    }

    /// The bytes to free because the memory ceiling is reached. Nobody looks while nothing waits.
    fn bytes_to_free(&self) -> usize {
        let Environment { memory, metrics, .. } = &*self.env;
        let is_full = self.asking.has_waiting() && memory.is_full(metrics);
        if is_full { memory.bytes_beyond(metrics) } else { 0 }
    }

    pub(super) fn ask_who_has(&mut self, now: Timestamp, id: u32, hub: u16, name: &str) {
        if !self.knows_all() {
            self.again_at.get_or_insert(now + AGAIN);
            return self.finding.ask_later(id);
        }
        let hub = self.hub(hub).map_or(Str::EMPTY, |hub| Str::from(hub.name.clone()));
        let sid = Str::from(name.to_owned());
        let frame = Frame::WhoHas { id: RequestId(id), hub, sid };
        let peers: Vec<PeerKey> = self.mesh.peers_with_own_sids().collect();
        let peers = self.finding.not_denied(id, peers);
        let (asked, silent): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| {
            self.mesh.reach(*peer) == Reach::Open
                && !self.backlog.is_behind(*peer, Lane::Control)
                && self.mesh.send(now, *peer, Lane::Control, &frame).is_ok()
        });
        let is_untold = self.mesh.members().any(|member| !member.load.own_sids);
        if self.finding.asked(now, id, (asked, silent), is_untold) {
            self.again_at.get_or_insert(now + AGAIN);
        }
    }

    pub(super) fn begin_move(&mut self, now: Timestamp, id: u32, asked: Asked, shard: u8) {
        let Some(hub) = self.hub(asked.hub) else { return };
        let (sid, hub, _) = wire::asked(&asked, &hub);
        let frame = Frame::ProbeBegun { id: RequestId(id), sid, hub };
        let owners = self.owners_of(asked.sid.node);
        let owner = self.asking.home_of(&asked.sid, &owners).or_else(|| owners.first().copied());
        match owner {
            Some(peer)
                if self.mesh.reach(peer) == Reach::Open
                    && !self.backlog.is_behind(peer, Lane::Control)
                    && self.mesh.send(now, peer, Lane::Control, &frame).is_ok() =>
            {
                self.moving.begin(id, peer, shard);
            }
            Some(_) | None => self.to_shards.push_back(moving::undelivered(shard, id)),
        }
    }
}

/// The beginning of a whole post, for a node of an earlier version.
fn begin_of(frame: &Frame) -> Option<Frame> {
    let Frame::Post { id, sid, hub, protocol, .. } = frame else { return None };
    Some(Frame::PostBegin { id: *id, sid: *sid, hub: hub.clone(), protocol: *protocol })
}
