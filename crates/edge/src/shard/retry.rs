//! Handshakes that wait for their app servers: how long each is waited for, and when another one is
//! asked instead.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::Rng;
use trunkline_clock::Timestamp;
use trunkline_switchboard::affinity::{Advice, Promptness};
use trunkline_trunk::{CloseReason as WireReason, NumberState, Str};

use super::Shard;
use super::command::SlotKey;
use super::slot::{Opening, Slot, State, number_of};
use super::timers::Timers;
use crate::hub::Trunk;
use crate::sid::{SLOTS_MAX, Sid, SidSecret};
use crate::unavailable::Unavailable;

/// The most app servers that are asked about one handshake, one after another.
const SERVERS_MAX: usize = 3;

impl Shard {
    /// Gives a handshake to its app server, in its own slot. The caller has checked that there is
    /// room.
    ///
    /// The error returns the handshake if this shard does not know the trunk: the hub learns of a
    /// trunk slightly before or after the shard.
    pub(super) fn place(&mut self, mut opening: Box<Opening>) -> Result<(), Box<Opening>> {
        let trunk = &opening.trunk;
        let Some(shard_trunk) = self.trunks.get_mut(&trunk.number) else {
            trunk.session_removed();
            return Err(opening);
        };
        trunk.handshake_given(self.now);
        self.env.sessions[usize::from(self.index)].fetch_add(1, Ordering::Relaxed);
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let secret = SidSecret(self.rng.random());
        let place = self.slots.vacant();
        let slot = place.index();
        // A handshake is only taken once there is a number.
        let node = self.env.numbers.present().unwrap_or_default();
        let sid = Sid { node, shard: self.index, slot, secret };
        opening.key.set(SlotKey::here(self.index, slot, generation));
        opening.asked_at = self.now;
        opening.open.session = number_of(slot, self.index, self.shards);
        opening.open.sid = Str::from(sid.encode());
        opening.open.encode(&mut shard_trunk.out);
        let look_at = Promptness::first_look(self.now, self.env.limits.patience());
        let look_at = Timers::tick_of(self.now, look_at.min(opening.until));
        place.insert(Slot {
            trunk: trunk.number,
            number: NumberState::Opening,
            pending: true,
            counted: opening.transport,
            armed: look_at,
            ..Slot::new(generation, secret, trunk.hub.number, State::Opening(opening))
        });
        self.timers.arm(slot, look_at);
        Ok(())
    }

    /// Checks a handshake that has waited for a while: it continues to wait, goes to another app
    /// server, or ends.
    pub(super) fn look_at_opening(&mut self, index: u32) {
        let now = self.now;
        let patience = self.env.limits.patience();
        let Some(slot) = self.slots.get_mut(index) else { return };
        let State::Opening(opening) = &slot.state else { return };
        let until = opening.until;
        if until <= now {
            return self.opening_timed_out(index);
        }
        let again = match opening.trunk.advise(now, opening.asked_at, patience) {
            Advice::Call { until } | Advice::Wait { until } => until,
            Advice::Leave { ejected } => {
                if let Some(hang) = ejected {
                    self.env.metrics.count_ejection(hang);
                }
                if self.try_elsewhere(index) {
                    return;
                }
                // No other app server can answer: the handshake stays with this one, which may
                // still answer.
                Promptness::first_look(now, patience)
            }
        };
        self.arm(index, Some(again.min(until)));
    }

    /// Takes a handshake back from its app server and gives it to another one, or ends it if its
    /// client has gone. False if there is no other app server.
    pub(super) fn try_elsewhere(&mut self, index: u32) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        let State::Opening(opening) = &slot.state else { return false };
        if opening.reply.is_closed() {
            // The notice that the client has gone is on its way to the handshake's current slot, so
            // the handshake must stay there.
            let (key, poll) = (opening.key.get(), opening.poll);
            self.handshake_gone(key, poll);
            return true;
        }
        let Some(other) = self.other_app_server(index) else { return false };
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let State::Opening(mut opening) = std::mem::replace(&mut slot.state, State::Ended) else {
            return false;
        };
        // First notify the old app server that no client waits for its answer, so that at most one
        // of the two accepts the session.
        self.close_number(index, WireReason::GoneBeforeAnswer, "another app server was asked");
        self.release(index);
        opening.tried.push(opening.trunk.number);
        opening.trunk = other;
        self.env.metrics.handshakes_retried.inc();
        if let Err(opening) = self.place(opening) {
            let why = Unavailable::NoAppServer;
            self.count_handshake(why.slug());
            opening.trunk.hub.note_refused(why);
            // If the client has gone, the answer is not needed.
            let _ = opening.reply.send(super::Answer::Unavailable(why));
        }
        true
    }

    fn other_app_server(&self, index: u32) -> Option<Arc<Trunk>> {
        let State::Opening(opening) = &self.slots.get(index)?.state else { return None };
        if opening.tried.len() + 1 >= SERVERS_MAX || self.slots.len() >= SLOTS_MAX {
            return None;
        }
        let mut tried = opening.tried.clone();
        tried.push(opening.trunk.number);
        let other = opening.trunk.hub.pick_other(&self.env.limits, self.now, &tried)?;
        if self.trunks.contains_key(&other.number) {
            return Some(other);
        }
        other.session_removed();
        None
    }

    /// Notes that the app server has accepted or rejected a handshake.
    pub(super) fn answered(&mut self, index: u32, asked_at: Timestamp) {
        let now = self.now;
        if let Some(trunk) = self.take_pending(index) {
            trunk.handshake_answered(now, asked_at);
        }
    }

    /// Notes that no answer of the app server about the number is expected any longer.
    pub(super) fn no_longer_pending(&mut self, index: u32) {
        if let Some(trunk) = self.take_pending(index) {
            trunk.handshake_withdrawn();
        }
    }

    fn take_pending(&mut self, index: u32) -> Option<&Trunk> {
        let slot = self.slots.get_mut(index)?;
        let pending = std::mem::take(&mut slot.pending);
        let shard_trunk = self.trunks.get(&slot.trunk).filter(|_| pending)?;
        Some(&shard_trunk.trunk)
    }
}
