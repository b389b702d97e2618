//! A turn: it begins with the time, takes input, and ends when every touched session has been
//! flushed.

use trunkline_clock::Timestamp;

use super::command::Command;
use super::{DEFLATED_PER_TURN, Shard};

impl Shard {
    /// Sets the time and checks the memory in use; called by the code that begins a turn.
    pub(super) fn begin_turn(&mut self, now: Timestamp) {
        self.now = now;
        self.delivered = 0;
        self.inflated = 0;
        self.deflatable.set(DEFLATED_PER_TURN);
        self.memory_full = self.env.memory.is_full(&self.env.metrics);
    }

    /// Runs one command, alone in its turn.
    pub(super) fn take_turn(&mut self, now: Timestamp, command: Command) {
        self.begin_turn(now);
        self.handle(command);
        self.finish_turn();
    }

    /// Flushes the touched sessions and gives each app server its batch.
    pub(super) fn finish_turn(&mut self) {
        self.evict();
        self.give_homes();
        self.admit();
        self.settle_dirty();
        std::mem::take(&mut self.sent).count_into(&self.env.metrics);
        for shard_trunk in self.trunks.values_mut() {
            if !shard_trunk.out.is_empty() {
                let weight = std::mem::take(&mut shard_trunk.out_weight);
                shard_trunk.trunk.push(&shard_trunk.out, weight);
                shard_trunk.out.clear();
            }
        }
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty() || !self.linger_unread.is_empty()
    }

    /// The latest time at which the shard needs a turn.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let heavy = (!self.heavy.is_empty()).then_some(self.heavy_at);
        let waits = [self.meters.next(), self.flows.next(), self.newcomers.next()];
        let all = [self.timers.next(), self.paced_deadline(), heavy].into_iter().chain(waits);
        all.flatten().min()
    }

    /// Runs one turn of everything but commands, whether or not the loop was woken for it.
    pub(super) fn take_all_turns(&mut self, clock: impl Fn() -> Timestamp) -> std::io::Result<()> {
        self.begin_turn(clock());
        // Further readiness is handled after the next slice.
        let _more = self.handle_readiness()?;
        self.serve_timers();
        self.read_unread();
        self.read_heavy(clock);
        self.discard_unread();
        self.finish_turn();
        Ok(())
    }

    /// Handles all timer entries that are due.
    pub(super) fn serve_timers(&mut self) {
        while let Some((tick, slots)) = self.timers.pop_due(self.now) {
            for index in slots {
                self.timer_fired(index, tick);
            }
        }
        self.wake_slowed();
        self.serve_flows();
        self.go_on_closing();
    }
}
