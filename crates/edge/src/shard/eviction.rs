//! When memory is full, closes the sessions that hold most, whether or not more is to be sent to
//! them: clients that ask for much and do not read it must not keep new clients out.

use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;

use super::Shard;
use crate::memory::HELD_BYTES_BEYOND_CEILING;

/// The interval in which a shard without turns checks whether memory is full.
const LOOK: Duration = Duration::from_secs(1);
/// The interval of steps while memory is full: by then the memory freed by the last step has been
/// returned.
const STEP: Duration = Duration::from_millis(10);
/// The slots that one step looks at.
const SLOTS_PER_STEP: u32 = 4_096;

/// The progress of the search for the sessions that hold most.
#[derive(Debug)]
pub(super) struct Eviction {
    pub(super) next_at: Timestamp,
    cursor: u32,
    /// Sessions that hold more than this are closed; it is halved after each round.
    above_bytes: usize,
}

impl Default for Eviction {
    fn default() -> Self {
        Self { next_at: Timestamp::ORIGIN, cursor: 0, above_bytes: usize::MAX }
    }
}

impl Shard {
    /// Takes one step, if one is due.
    pub(super) fn evict(&mut self) {
        if self.now < self.eviction.next_at {
            return;
        }
        if !self.memory_full {
            self.eviction = Eviction { next_at: self.now + LOOK, ..Eviction::default() };
            return;
        }
        self.eviction.next_at = self.now + STEP;
        if self.eviction.above_bytes == usize::MAX {
            self.eviction.above_bytes =
                (self.env.limits.outbox_bytes_max / 2).max(HELD_BYTES_BEYOND_CEILING);
            for (_, flights) in self.parting.drain(..) {
                flights.cut();
            }
        }
        // Every shard closes a part; if that was not enough, the next step continues.
        let beyond_bytes = self.env.memory.bytes_beyond(&self.env.metrics);
        let mut missing = beyond_bytes.div_ceil((self.shards as usize).max(1));
        let end = (self.eviction.cursor + SLOTS_PER_STEP).min(self.slots.end());
        while self.eviction.cursor < end && missing > 0 {
            let index = self.eviction.cursor;
            self.eviction.cursor += 1;
            let Some(live) = self.slots.live(index) else { continue };
            let held_bytes = live.held_bytes();
            // A closed session has freed everything it can.
            if held_bytes > self.eviction.above_bytes && !live.session.is_closed() {
                missing = missing.saturating_sub(held_bytes);
                self.drop_client(index, CloseReason::MemoryFull);
                self.mark_dirty(index);
            }
        }
        if self.eviction.cursor >= self.slots.end() {
            self.evict_lingering();
            self.eviction.cursor = 0;
            let half = self.eviction.above_bytes / 2;
            self.eviction.above_bytes = half.max(HELD_BYTES_BEYOND_CEILING);
        }
    }

    /// Closes streams that have ended but still have much to deliver.
    fn evict_lingering(&mut self) {
        let above = self.eviction.above_bytes;
        self.lingering.retain(|_, lingering| lingering.stream.held_bytes() <= above);
    }
}
