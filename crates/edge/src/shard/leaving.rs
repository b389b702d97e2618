//! App servers that hand their sessions over before they leave.
//!
//! The app server says with `Standing` that a session could go. The node then sends no more
//! messages for it, and says so with `Close`; messages that come meanwhile are held. When the app
//! server has said all it had to say, it sends its own `Close`, and the session waits for another
//! app server like one whose app server was lost.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_switchboard::SessionKey;
use trunkline_trunk::encode::encode_close;
use trunkline_trunk::{CloseReason as WireReason, Frame, NumberState, Origin, StandingFlags};

use super::Shard;
use super::command::SlotKey;
use super::keepsake::Journey;
use super::slot::{Live, State, number_of};

/// The time in which an app server must hand over a session that it asked to.
pub(super) const LEAVING_MAX: Duration = Duration::from_secs(30);

impl Shard {
    /// Notes what an app server says about a session.
    pub(super) fn standing(&mut self, index: u32, flags: StandingFlags) {
        let Some(live) = self.slots.live(index) else { return };
        let Some(keepsake) = &mut live.keepsake else { return };
        keepsake.standing = flags;
        if flags.leaves {
            self.begin_leaving(index);
        }
    }

    /// Agrees that the app server hands the session over, if another one could take it: not while
    /// only such are there that never take one over, so that the app server ends it in order.
    pub(super) fn begin_leaving(&mut self, index: u32) {
        let hub = self.slots.get(index).map(|slot| slot.hub);
        if !self.is_rehomeable(index) || hub.is_none_or(|hub| self.is_without_homes(hub)) {
            return;
        }
        let now = self.now;
        let session = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (trunk, number) = (slot.trunk, slot.number);
        let State::Live(live) = &mut slot.state else { return };
        if number != NumberState::Open || live.session.is_closed() {
            return;
        }
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return };
        let Some(keepsake) = &mut live.keepsake else { return };
        if slot.number.send_hand_over().is_err() {
            return;
        }
        keepsake.journey = Some(Box::new(Journey::new(Origin::HandedOver, now)));
        encode_close(&mut shard_trunk.out, session, WireReason::HandedOver, "");
        let key = SlotKey::here(self.index, index, slot.generation);
        self.homes.leaving.push_back((now + LEAVING_MAX, key));
    }

    /// Closes the sessions that an app server has not handed over in time. Nobody can tell what it
    /// still does for them; their clients can return.
    pub(super) fn look_at_leaving(&mut self) {
        while let Some((until, key)) = self.homes.leaving.pop_front_if(|(at, _)| *at <= self.now) {
            let is_late = |slot: &mut super::Slot| {
                slot.number == NumberState::Leaving
                    && slot
                        .live()
                        .and_then(Live::journey)
                        .is_some_and(|journey| journey.since + LEAVING_MAX == until)
            };
            if !self.slots.of(key).is_some_and(is_late) {
                continue;
            }
            let index = key.slot;
            let past = self.past_of(index);
            let parked = self.end_keepsake(index, past, "in_doubt");
            self.env.metrics.count_rehomed(Origin::HandedOver, "in_doubt");
            let hub = usize::from(self.slots.at(index).hub);
            self.boards[hub].remove_session(SessionKey(index));
            // What the app server says until its own `Close` is ignored.
            self.close_number(index, WireReason::GoneBeforeAnswer, "");
            self.close_unheard(index, CloseReason::AppServerLostInDoubt);
            for command in parked {
                self.handle(command);
            }
        }
    }

    /// Handles the `Close` of an app server that was asked for the session, or ends it in the usual
    /// way if that says so.
    pub(super) fn handed_back(&mut self, index: u32, frame: &Frame) {
        if self.departures.is_leaving(index) {
            return self.depart(index, frame);
        }
        let is_handed_over = matches!(frame, Frame::Close { reason, .. } if reason.reason() == WireReason::HandedOver);
        let ended = self.slots.live(index).and_then(|live| live.held.as_ref()?.ended);
        if !is_handed_over {
            return self.close_by_app(index, frame);
        }
        let is_closed = self.slots.live(index).is_some_and(|live| live.session.is_closed());
        let past = self.past_of(index);
        let (Some(past), true, None, false) = (past, self.is_rehomeable(index), ended, is_closed)
        else {
            // The client has gone, or nobody could take the session over any longer.
            let past = self.past_of(index);
            let parked = self.end_keepsake(index, past, "ended");
            let hub = usize::from(self.slots.at(index).hub);
            self.boards[hub].remove_session(SessionKey(index));
            self.close_unheard(index, CloseReason::ServerShuttingDown);
            for command in parked {
                self.handle(command);
            }
            return;
        };
        if let Some(shard_trunk) = self.trunks.get(&self.slots.at(index).trunk) {
            shard_trunk.trunk.session_removed();
        }
        let now = self.now;
        if let Some(keepsake) = self.slots.live(index).and_then(|live| live.keepsake.as_mut()) {
            keepsake.end_stay(now, false);
        }
        self.wait_for_home(index, Origin::HandedOver, past, now);
    }

    /// Whether the session is on its way from one app server to another.
    pub(super) fn is_between(&self, index: u32) -> bool {
        self.slots.get(index).is_some_and(super::Slot::is_between)
    }
}
