//! Frames of a batch, dealt out to the shards of a node.

use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use super::step::Shares;
use crate::frame::{Frame, SessionNumber};
use crate::text::Str;

/// The shard, out of `shards`, to which a session's number belongs.
///
/// Each shard gives out the numbers of its lane, see [`Numbers::lane`](crate::Numbers::lane).
pub const fn shard_of(session: SessionNumber, shards: u32) -> usize {
    (session.0 % shards) as usize
}

/// Frames that are dealt out and not yet with the shards.
#[derive(Debug)]
pub(super) struct Dealt {
    by_shard: Vec<Vec<Frame>>,
    is_empty: bool,
    pub(super) cost_bytes: u64,
    broadcasts: u64,
    persisted: Vec<(Str, usize)>,
}

impl Dealt {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            by_shard: vec![Vec::new(); shards.max(1).into()],
            is_empty: true,
            cost_bytes: 0,
            broadcasts: 0,
            persisted: Vec::new(),
        }
    }

    /// Adds a frame for the shard of the session.
    pub(super) fn push(&mut self, session: SessionNumber, frame: Frame) {
        let shards = u32::try_from(self.by_shard.len()).unwrap_or(u32::MAX);
        let shard = shard_of(session, shards);
        if let Frame::Persist(persist) = &frame {
            self.persisted.push((persist.pid.clone(), shard));
        }
        self.is_empty = false;
        self.by_shard[shard].push(frame);
    }

    /// Adds a frame for every shard.
    pub(super) fn push_to_all(&mut self, frame: Frame) {
        if matches!(frame, Frame::Broadcast(_) | Frame::Recorded { .. }) {
            self.broadcasts += 1;
        }
        self.is_empty = false;
        let Some((last, others)) = self.by_shard.split_last_mut() else { return };
        for share in others {
            share.push(frame.clone());
        }
        last.push(frame);
    }

    /// Takes the shares. The error is the cost of frames that belong to no shard.
    pub(super) fn take(&mut self) -> Result<Shares, u64> {
        let cost_bytes = mem::take(&mut self.cost_bytes);
        if mem::replace(&mut self.is_empty, true) {
            return Err(cost_bytes);
        }
        let fresh = vec![Vec::new(); self.by_shard.len()];
        Ok(Shares {
            by_shard: mem::replace(&mut self.by_shard, fresh),
            cost_bytes,
            broadcasts: mem::take(&mut self.broadcasts),
            persisted: mem::take(&mut self.persisted),
        })
    }
}
