//! Moves of sessions between two nodes, as far as they are carried: each is one number on the link,
//! and one shard at each end. What the steps mean is up to the shards.

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline_mesh::{Frame, PeerKey, Position, RequestId, Str};

use super::serving::ToShard;
use crate::shard::{Asked, Command};

/// A move as the shards at its ends name it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct MoveKey {
    /// At the owner, the landing node. `None` at the landing node itself.
    pub(crate) from: Option<PeerKey>,
    pub(crate) id: u32,
}

/// A step of a move, on its way to the other node or from it.
#[derive(Clone, Debug)]
pub(crate) enum MoveStep {
    /// To the owner, first of all: a probing WebSocket has sent its probe. `node` is the id of the
    /// landing node.
    ProbeBegun { asked: Asked, node: Str },
    /// To the owner: there will be no upgrade. The move is over.
    ProbeGone,
    /// To the owner: the upgrade has arrived.
    Take(Vec<Position>),
    /// To the landing node: the session is about to leave.
    Taken,
    /// To the landing node: the session.
    Export(Bytes),
    /// To either: the move failed, and is over. Also when the other node is gone.
    Failed(Str),
    /// To the owner: the session lives at the landing node. The move is over.
    Arrived,
}

impl MoveStep {
    fn is_last(&self) -> bool {
        matches!(self, Self::ProbeGone | Self::Failed(_) | Self::Arrived)
    }
}

/// The moves under way.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// Those that this node began, as the landing node: the owner, and this node's shard.
    begun: BTreeMap<u32, (PeerKey, u8)>,
    /// Those of sessions of this node: the shard.
    owned: BTreeMap<(PeerKey, u32), u8>,
}

impl Moving {
    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.owned.len()
    }

    /// Begins a move whose first frame goes to this peer.
    pub(super) fn begin(&mut self, id: u32, peer: PeerKey, shard: u8) {
        self.begun.insert(id, (peer, shard));
    }

    /// A later step of a shard of this node. `None`: the move is over.
    pub(super) fn send(&mut self, key: MoveKey, step: MoveStep) -> Option<(PeerKey, Frame)> {
        let id = RequestId(key.id);
        let last = step.is_last();
        let peer = match key.from {
            Some(peer) => {
                self.owned.get(&(peer, key.id))?;
                if last {
                    self.owned.remove(&(peer, key.id));
                }
                peer
            }
            None => {
                let (peer, _) = *self.begun.get(&key.id)?;
                if last {
                    self.begun.remove(&key.id);
                }
                peer
            }
        };
        let frame = match step {
            MoveStep::ProbeBegun { .. } => return None, // Only `begin` does that.
            MoveStep::ProbeGone => Frame::ProbeGone { id },
            MoveStep::Take(positions) => Frame::Take { id, positions },
            MoveStep::Taken => Frame::Taken { id },
            MoveStep::Export(snapshot) => Frame::Export { id, snapshot },
            MoveStep::Failed(cause) => Frame::MoveFailed { id, cause },
            MoveStep::Arrived => Frame::Arrived { id },
        };
        Some((peer, frame))
    }

    /// A landing node begins a move of a session of this node.
    pub(super) fn probe_begun(
        &mut self,
        peer: PeerKey,
        id: u32,
        (asked, node): (Asked, Str),
    ) -> ToShard {
        let shard = asked.sid.shard;
        self.owned.insert((peer, id), shard);
        let key = MoveKey { from: Some(peer), id };
        (shard, Command::Move { key, step: MoveStep::ProbeBegun { asked, node } })
    }

    /// A step of the landing node.
    pub(super) fn landing_steps(
        &mut self,
        peer: PeerKey,
        id: u32,
        step: MoveStep,
    ) -> Option<ToShard> {
        let shard = *self.owned.get(&(peer, id))?;
        if step.is_last() {
            self.owned.remove(&(peer, id));
        }
        let key = MoveKey { from: Some(peer), id };
        Some((shard, Command::Move { key, step }))
    }

    /// A step of the owner.
    pub(super) fn owner_steps(
        &mut self,
        peer: PeerKey,
        id: u32,
        step: MoveStep,
    ) -> Option<ToShard> {
        let (_, shard) = self.begun.get(&id).filter(|(owner, _)| *owner == peer).copied()?;
        if step.is_last() {
            self.begun.remove(&id);
        }
        Some((shard, Command::Move { key: MoveKey { from: None, id }, step }))
    }

    /// Ends the moves with a peer whose link has ended.
    pub(super) fn peer_gone(&mut self, peer: PeerKey) -> Vec<ToShard> {
        let step = || MoveStep::Failed(Str::from_static("the other node is gone"));
        let owned = self.owned.extract_if(.., |(from, _), _| *from == peer);
        let owned = owned.map(|((peer, id), shard)| {
            (shard, Command::Move { key: MoveKey { from: Some(peer), id }, step: step() })
        });
        let mut gone: Vec<ToShard> = owned.collect();
        let begun = self.begun.extract_if(.., |_, (owner, _)| *owner == peer);
        gone.extend(begun.map(|(id, (_, shard))| {
            (shard, Command::Move { key: MoveKey { from: None, id }, step: step() })
        }));
        gone
    }
}

/// The answer to a step that cannot be delivered.
pub(super) fn undelivered(shard: u8, id: u32) -> ToShard {
    let step = MoveStep::Failed(Str::from_static("the owner cannot be reached"));
    (shard, Command::Move { key: MoveKey { from: None, id }, step })
}
