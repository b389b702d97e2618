//! Broadcasts: which sessions get them, and messages that the same sessions get one after another.
//!
//! An app that broadcasts several messages in one turn of its event loop sends them in one batch,
//! mostly to the same receivers. Such a run is selected once, and each receiver gets one piece.

use std::rc::Rc;

use trunkline_engineio::{Burst, Delivery, Outgoing, Sent};
use trunkline_switchboard::recovery::Origin;
use trunkline_switchboard::{Selection, SessionKey};
use trunkline_trunk::{Broadcast, Str};

use super::Shard;
use super::backlog::SLICE;
use super::downlink::outgoing;
use super::slow;
use crate::hub::TrunkNumber;

/// The most bytes of a run with several messages: their frames are copied into one piece.
const RUN_BYTES_MAX: usize = 64 * 1024;

/// Broadcasts in a row with the same receivers.
#[derive(Debug, Default)]
pub(super) struct Run {
    broadcasts: Vec<Broadcast>,
    bytes: usize,
}

impl Run {
    /// Whether this broadcast may be sent together with those before it.
    pub(super) fn takes(&self, next: &Broadcast) -> bool {
        self.broadcasts.first().is_none_or(|first| {
            !first.flags.volatile
                && first.flags == next.flags
                && first.nsp == next.nsp
                && first.rooms == next.rooms
                && first.except == next.except
                && self.bytes + bytes_of(next) <= RUN_BYTES_MAX
        })
    }

    pub(super) fn push(&mut self, broadcast: Broadcast) {
        self.bytes += bytes_of(&broadcast);
        self.broadcasts.push(broadcast);
    }
}

fn bytes_of(broadcast: &Broadcast) -> usize {
    broadcast.parts.iter().map(|part| part.data.len()).sum()
}

impl Shard {
    /// Whether some receivers of this broadcast may have received it before they came here.
    pub(super) fn has_ahead(&self, trunk: TrunkNumber, origin: Origin) -> bool {
        let hub = self.trunks.get(&trunk).map(|one| usize::from(one.trunk.hub.number));
        hub.is_some_and(|hub| self.recoveries[hub].has_ahead(origin))
    }

    /// Sends a run and leaves it empty.
    pub(super) fn broadcast(&mut self, trunk: TrunkNumber, run: &mut Run) {
        let run = std::mem::take(run);
        self.broadcast_except(trunk, &run, None);
    }

    /// Sends one broadcast to those who have not received it before they came to this shard.
    pub(super) fn broadcast_to_those_behind(
        &mut self,
        trunk: TrunkNumber,
        broadcast: Broadcast,
        origin: Origin,
    ) {
        let mut run = Run::default();
        run.push(broadcast);
        self.broadcast_except(trunk, &run, Some(origin));
    }

    /// Sends a run, but not to those who received what comes from `had`.
    fn broadcast_except(&mut self, trunk: TrunkNumber, run: &Run, had: Option<Origin>) {
        let Some(first) = run.broadcasts.first() else { return };
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let Some(&nsp) = shard_trunk.namespaces.get(&first.nsp.0) else { return };
        let hub = usize::from(shard_trunk.trunk.hub.number);
        let rooms: Vec<&str> = first.rooms.iter().map(Str::as_str).collect();
        let except: Vec<&str> = first.except.iter().map(Str::as_str).collect();
        let server = first.flags.local.then_some(shard_trunk.trunk.server);
        let selection = Selection { rooms: &rooms, except: &except, server };
        let mut selected = Vec::new();
        self.boards[hub].select(nsp, &selection, &mut |session| selected.push(session.0));
        if let Some(origin) = had {
            let log = &self.recoveries[hub];
            selected.retain(|index| !log.has_had(origin, (SessionKey(*index), nsp)));
        }
        let deliveries = selected.len() * run.broadcasts.len();
        self.env.metrics.broadcast_deliveries.inc_by(deliveries as u64);
        let messages: Vec<_> = run
            .broadcasts
            .iter()
            .flat_map(|one| &one.parts)
            .map(|part| outgoing(part.binary, first.flags.compressible, part.data.clone()))
            .collect();
        let together = messages.len() > 1 && !first.flags.volatile && run.bytes <= RUN_BYTES_MAX;
        let burst = together.then(|| Burst::new(&messages));
        // A large selection is flushed in slices, and messages to single sessions are sent before
        // it.
        let many = selected.len() > SLICE;
        for index in selected {
            if first.flags.volatile && !many {
                self.settle_if_backlogged(index);
            }
            let queued = match &burst {
                Some(burst) if self.has_room(index, burst.cost_bytes()) => {
                    self.put_burst(index, burst, (messages.len(), run.bytes))
                }
                Some(_) | None => self.put_each(index, &messages, first.flags.volatile),
            };
            match (queued, many) {
                (true, true) => self.mark_for_later(index),
                (true, false) => self.mark_dirty(index),
                (false, _) => (),
            }
        }
    }

    /// Puts the messages of one broadcast, or of a run, into a session's outbox one by one; true
    /// when there is something to flush.
    pub(super) fn put_each(
        &mut self,
        index: u32,
        messages: &[Rc<Outgoing>],
        volatile: bool,
    ) -> bool {
        let stream_idle =
            volatile && self.slots.live(index).is_some_and(|live| live.stream_is_idle());
        let mut queued = false;
        for (place, message) in messages.iter().enumerate() {
            let delivery = match (volatile, place) {
                (false, _) => Delivery::Reliable,
                (true, 0) => Delivery::Volatile { stream_idle },
                (true, _) => Delivery::Attached,
            };
            queued |= self.put(index, message, delivery);
        }
        queued
    }

    /// Whether the session's outbox can take this much without a look at how fast its client reads.
    fn has_room(&mut self, index: u32, bytes: usize) -> bool {
        let most = self.env.limits.outbox_bytes_max / slow::PART;
        !self.memory_full
            && self.slots.live(index).is_some_and(|live| live.session.outbox_bytes() + bytes < most)
    }

    /// Puts a burst into a session's outbox; true when there is something to flush.
    fn put_burst(
        &mut self,
        index: u32,
        burst: &Rc<Burst>,
        (messages, bytes): (usize, usize),
    ) -> bool {
        let now = self.now;
        self.delivered += messages;
        let Some(live) = self.slots.live(index) else { return false };
        match live.session.send_burst(now, burst) {
            Sent::Dropped => false,
            Sent::Queued => {
                self.sent.messages += messages as u64;
                self.sent.bytes += bytes as u64;
                true
            }
        }
    }
}
