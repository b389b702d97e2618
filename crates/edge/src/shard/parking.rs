//! Posts that have begun and have to wait: for credit, for what came before them, or for an app
//! server. Their bodies stay unread in the clients' streams, except short ones that arrived together
//! with their heads. A session has at most one of them: its next one overlaps with it.

use std::collections::VecDeque;

use super::Shard;
use super::command::{Command, PostBegun};
use super::uplink::Waiting;
use crate::hub::TrunkNumber;

impl Shard {
    /// Refuses a POST that began before the one before it was over, as Engine.IO does.
    pub(super) fn refuse_overlap(&mut self, index: u32, command: Command) {
        let now = self.now;
        if let Some(live) = self.slots.live(index) {
            live.session.handle_overlapping_post(now);
        }
        self.count_misbehaviour("posts_overlap");
        self.mark_dirty(index);
        command.refuse_post(PostBegun::Status(400));
    }

    /// Notes that a post no longer waits for credit.
    pub(super) fn unpark(&mut self, command: &Command) {
        if let Some(asked) = command.post()
            && let Some(slot) = self.slots.get_mut(asked.sid.slot)
            && slot.secret.matches(&asked.sid.secret)
        {
            slot.parked = false;
        }
    }

    /// Moves the session's post that waits for the credit of a trunk to its journey.
    pub(super) fn take_parked_post(&mut self, trunk: TrunkNumber, index: u32) {
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return };
        let waiting = std::mem::take(&mut shard_trunk.waiting);
        let is_its = |waiting: &Waiting| match waiting {
            Waiting::Post(command) => self.is_post_of(index, command),
            Waiting::Session(_) => false,
        };
        let (posts, others): (VecDeque<_>, _) = waiting.into_iter().partition(is_its);
        if let Some(shard_trunk) = self.trunks.get_mut(&trunk) {
            shard_trunk.waiting = others;
        }
        for post in posts {
            if let Waiting::Post(command) = post {
                self.unpark(&command);
                self.park_post(index, command);
            }
        }
    }

    /// Whether this is a post of the session in this slot, not of an earlier one.
    fn is_post_of(&self, index: u32, command: &Command) -> bool {
        let Some(asked) = command.post() else { return false };
        let slot = self.slots.get(index).filter(|_| asked.sid.slot == index);
        slot.is_some_and(|slot| slot.secret.matches(&asked.sid.secret))
    }

    /// Lets a post wait until the session has a home.
    pub(super) fn park_post(&mut self, index: u32, command: Command) {
        if !self.is_post_of(index, &command) {
            // It learns that its session has ended.
            return self.handle(command);
        }
        let Some(live) = self.slots.live(index) else { return };
        // A post whose body is there no longer overlaps with others.
        let held = live.held.as_ref();
        let is_second = live.is_posting() && !held.is_some_and(|held| held.has_post());
        let is_third = held.is_some_and(|held| held.has_parked());
        let Some(journey) = live.journey() else { return };
        if is_second || is_third || !journey.parked.is_empty() {
            return self.refuse_overlap(index, command);
        }
        journey.parked.push(command);
        self.note_demand(index);
    }
}
