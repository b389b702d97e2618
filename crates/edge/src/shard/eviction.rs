//! When memory is full, sessions that hold much are closed, those that hold most first, whether or not they are to get
//! more: who asks for much and does not read it must not keep newcomers out.

use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;

use super::Shard;
use crate::memory::HELD_BYTES_BEYOND_CEILING;

/// How often a shard without turns looks whether memory is full.
const LOOK: Duration = Duration::from_secs(1);
/// How often it goes on while memory is full: what the last step closed has been given back by then.
const STEP: Duration = Duration::from_millis(10);
/// Slots that one step looks at.
const SLOTS_PER_STEP: u32 = 4_096;

/// How far the search for those who hold much has come.
#[derive(Debug)]
pub(super) struct Eviction {
    pub(super) next_at: Timestamp,
    cursor: u32,
    /// Who holds more than this goes; half of it after each round.
    above_bytes: usize,
}

impl Default for Eviction {
    fn default() -> Self {
        Self { next_at: Timestamp::ORIGIN, cursor: 0, above_bytes: usize::MAX }
    }
}

impl Shard {
    /// One step, if one is due.
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
        // Every shard does its part; what is missing after all of them have is for the next step.
        let beyond_bytes = self.env.memory.bytes_beyond(&self.env.metrics);
        let mut missing = beyond_bytes.div_ceil((self.shards as usize).max(1));
        let end = (self.eviction.cursor + SLOTS_PER_STEP).min(self.slots.end());
        while self.eviction.cursor < end && missing > 0 {
            let index = self.eviction.cursor;
            self.eviction.cursor += 1;
            let Some(live) = self.slots.live(index) else { continue };
            let held_bytes = live.held_bytes();
            // One that is closed has given back what it can.
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

    /// Streams that are closed and still have much to deliver.
    fn evict_lingering(&mut self) {
        let above = self.eviction.above_bytes;
        self.lingering.retain(|_, lingering| lingering.stream.held_bytes() <= above);
    }
}
