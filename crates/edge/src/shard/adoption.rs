//! How a session without an app server gets another one: who is asked, when, and what follows from
//! the answer.
//!
//! Sessions whose clients have said something go first and at once. The others follow at
//! `rehome_per_second`, because each costs an app server about as much as a handshake.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use trunkline_engineio::{CloseReason, TransportKind};
use trunkline_switchboard::SessionKey;
use trunkline_trunk::{
    Adopt, Adopted, CloseReason as WireReason, EioVersion, Frame, FrameKind, NumberState, Str,
    Transport,
};

use super::Shard;
use super::command::SlotKey;
use super::homes::NOWHERE;
use super::keepsake::Journey;
use super::slot::{Live, State, number_of};
use super::uplink::Uplink;
use crate::hub::{Trunk, TrunkNumber};
use crate::sid::Sid;

/// The most adoptions of one shard that an app server has not answered. Few, because when the app
/// server dies in one of them, all of them are closed and nothing of them is kept: nobody can tell
/// which one was the cause.
const ADOPTIONS_MAX: usize = 16;
/// The interval between two steps with idle sessions: so short that [`ADOPTIONS_MAX`] in each step is
/// no less than the usual pace.
const PACE: Duration = Duration::from_millis(10);

fn text(text: &str) -> Str {
    Str::from(String::from(text))
}

fn on_the_wire(transport: TransportKind) -> Transport {
    match transport {
        TransportKind::Polling => Transport::Polling,
        TransportKind::WebSocket => Transport::WebSocket,
    }
}

impl Shard {
    /// Gives sessions that wait to app servers, as many as may be given now.
    pub(super) fn give_homes(&mut self) {
        if self.homes.hubs.is_empty() {
            return;
        }
        let mut idle = self.idle_share();
        let hubs = if idle > 0 {
            self.homes.hubs_in_turn()
        } else {
            self.homes.hubs.keys().copied().collect()
        };
        for hub in hubs {
            self.give_homes_of(hub, &mut idle);
            if let Some(queue) = self.homes.hubs.get(&hub)
                && queue.eager.is_empty()
                && queue.idle.is_empty()
            {
                self.homes.hubs.remove(&hub);
            }
        }
        if self.homes.hubs.values().all(|queue| queue.idle.is_empty()) {
            self.homes.next_at = None;
        }
    }

    fn give_homes_of(&mut self, hub: u16, idle: &mut usize) {
        while let Some(key) = self.homes.hubs.get_mut(&hub).and_then(|one| one.eager.pop_front()) {
            if self.waits(key) && !self.give_home(key) {
                self.homes.hubs.entry(hub).or_default().eager.push_front(key);
                return;
            }
        }
        while *idle > 0
            && let Some(key) = self.homes.hubs.get_mut(&hub).and_then(|one| one.idle.pop_front())
        {
            if !self.waits(key) {
                continue;
            }
            if !self.give_home(key) {
                self.homes.hubs.entry(hub).or_default().idle.push_front(key);
                return;
            }
            *idle -= 1;
        }
    }

    /// The number of idle sessions that may be given away in this turn.
    fn idle_share(&mut self) -> usize {
        let Some(at) = self.homes.next_at.filter(|at| *at <= self.now) else { return 0 };
        let per_second = f64::from(self.env.limits.rehome_per_second);
        let share = per_second / f64::from(self.shards) * PACE.as_secs_f64();
        let due = self.homes.owed + share;
        self.homes.owed = due.fract();
        // What could not be given away in time is not made up for.
        self.homes.next_at = Some((at + PACE).max(self.now));
        super::ending::whole(due)
    }

    fn waits(&mut self, key: SlotKey) -> bool {
        let slot = self.slots.of(key);
        slot.is_some_and(|slot| {
            slot.waits_for_home() && slot.live().is_some_and(|live| !live.session.is_closed())
        })
    }

    /// Asks an app server to take a session over. False when there is none.
    fn give_home(&mut self, key: SlotKey) -> bool {
        let Some(trunk) = self.pick_home(key.slot) else { return false };
        let number = trunk.number;
        if let Some(queue) =
            self.slots.get(key.slot).and_then(|slot| self.homes.hubs.get_mut(&slot.hub))
        {
            queue.could_go = self.now;
        }
        let Some(adopt) = self.adopt_frame(key.slot) else {
            trunk.session_removed();
            return true;
        };
        let mut frame = BytesMut::new();
        Frame::Adopt(Box::new(adopt)).encode(&mut frame);
        let bytes = frame.len();
        if bytes > self.env.limits.trunk_batch_bytes_max {
            // No app server could read it.
            trunk.session_removed();
            self.give_up_home(key.slot, CloseReason::AppServerLost, "no_home");
            if let Some(times) = self.env.directory.note("adopt_too_long") {
                tracing::warn!(
                    bytes,
                    times,
                    "sessions are closed, because what another app server needs of them is longer than trunk_batch_bytes_max"
                );
            }
            return true;
        }
        let now = self.now;
        let slot = self.slots.at(key.slot);
        if slot.number.send(FrameKind::Adopt).is_err() {
            trunk.session_removed();
            return true;
        }
        slot.trunk = number;
        if let State::Live(live) = &mut slot.state {
            let transport = live.session.transport();
            if let Some(journey) = live.journey() {
                journey.asked_at = now;
                journey.seen = false;
                journey.told = Some(transport);
            }
        }
        if let Some(shard_trunk) = self.trunks.get_mut(&number) {
            shard_trunk.adopting += 1;
            shard_trunk.out.extend_from_slice(&frame);
        }
        self.homes.asked.push_back((now + self.env.limits.handshake_timeout, key));
        true
    }

    fn pick_home(&mut self, index: u32) -> Option<Arc<Trunk>> {
        let hub = Arc::clone(self.hub(self.slots.get(index)?.hub)?);
        let full = self.trunks.iter().filter(|(_, trunk)| trunk.adopting >= ADOPTIONS_MAX);
        let full: Vec<TrunkNumber> = full.map(|(number, _)| *number).collect();
        let trunk = hub.pick_home(&self.env.limits, self.now, &full)?;
        if self.trunks.contains_key(&trunk.number) {
            return Some(trunk);
        }
        // The hub learns of a trunk slightly before or after the shard.
        trunk.session_removed();
        None
    }

    fn adopt_frame(&self, index: u32) -> Option<Adopt> {
        let slot = self.slots.get(index)?;
        let State::Live(live) = &slot.state else { return None };
        let keepsake = live.keepsake.as_ref()?;
        let custom = live.extra.as_ref().and_then(|extra| extra.custom_sid.as_deref());
        let node = self.env.numbers.present().unwrap_or_default();
        let sid = Sid { node, shard: self.index, slot: index, secret: slot.secret };
        let sockets = self.boards[usize::from(slot.hub)].sockets_of(SessionKey(index));
        let sockets = sockets.iter().filter_map(|one| {
            let kept = keepsake.state(one.nsp, one.id)?;
            Some(Adopted {
                nsp: text(one.nsp_name),
                socket: text(one.id),
                pid: text(kept.pid),
                rooms: one.rooms.iter().map(|room| text(room)).collect(),
                state: bytes::Bytes::copy_from_slice(kept.state),
            })
        });
        Some(Adopt {
            session: number_of(index, self.index, self.shards),
            eio: EioVersion::V4,
            sid: custom.map_or_else(|| Str::from(sid.encode()), text),
            transport: on_the_wire(live.session.transport()),
            origin: keepsake.journey.as_ref()?.origin,
            request: keepsake.request(&self.interner),
            sockets: sockets
                .chain(keepsake.journey.iter().flat_map(|one| one.unseated()))
                .collect(),
        })
    }

    /// Notes that an adoption no longer counts as unanswered. Returns the transport that the app
    /// server knows of.
    pub(super) fn no_longer_adopting(&mut self, index: u32) -> Option<TransportKind> {
        let slot = self.slots.get_mut(index)?;
        let trunk = slot.trunk;
        let told = slot.live()?.journey()?.told.take()?;
        if let Some(shard_trunk) = self.trunks.get_mut(&trunk) {
            shard_trunk.adopting -= 1;
        }
        Some(told)
    }

    /// Handles that an app server has taken a session over: what its client has said meanwhile
    /// goes there.
    pub(super) fn adopted(&mut self, index: u32) {
        let told = self.no_longer_adopting(index);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let hub = slot.hub;
        let State::Live(live) = &mut slot.state else { return };
        let transport = live.session.transport();
        let Some(keepsake) = &mut live.keepsake else { return };
        let Some(journey) = keepsake.journey.take() else { return };
        keepsake.eager = false;
        keepsake.begin_stay(self.now);
        let leaves = keepsake.standing.leaves;
        // Sockets that the app server has not connected are none of the app's.
        let board = &mut self.boards[usize::from(hub)];
        board.drop_disowned(SessionKey(index));
        keepsake.retain_all(|nsp, socket| board.has_socket(SessionKey(index), nsp, socket));
        let Journey { origin, since, parked, operations, .. } = *journey;
        self.count_waiting(hub, -1);
        let metrics = &self.env.metrics;
        metrics.count_rehomed(origin, "adopted");
        metrics.rehome_seconds.observe(self.now.since(since).as_secs_f64());
        if told.is_some_and(|told| told != transport) {
            self.tell_upgraded(index);
        }
        self.answer_due_marks(index);
        if !self.pass_operations(index, &operations) {
            return;
        }
        if self.send_held(index) {
            self.read_probe(index);
            self.read_stream(index);
        }
        for command in parked {
            self.handle(command);
        }
        self.mark_dirty(index);
        if leaves {
            self.begin_leaving(index);
        }
    }

    pub(super) fn tell_upgraded(&mut self, index: u32) {
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get(index) else { return };
        if let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.uplink(), number) {
            uplink.upgraded();
        }
    }

    /// Handles a `Close` in the place of an answer to an `Adopt`. False when the frame is about
    /// something else.
    ///
    /// An app server that is about to leave gives the session back. Every other one refuses it: the
    /// client connects again and meets the app's own answer.
    pub(super) fn adoption_closed(&mut self, index: u32, reason: WireReason) -> bool {
        if self.no_longer_adopting(index).is_none() {
            return false;
        }
        self.close_number(index, WireReason::AppClosed, "");
        if reason != WireReason::HandedOver {
            let hub = usize::from(self.slots.at(index).hub);
            let parked = self.end_keepsake(index, None, "refused");
            self.boards[hub].remove_session(SessionKey(index));
            self.close_unheard(index, CloseReason::RehomeRefused);
            for command in parked {
                self.handle(command);
            }
            return true;
        }
        // Not at once, even if its client has said something: an app server that gives every
        // session back must not be asked again and again.
        self.back_to_waiting(index, false);
        true
    }

    /// Lets a session whose adoption has not begun wait for another app server. It keeps its time.
    pub(super) fn back_to_waiting(&mut self, index: u32, eager: bool) {
        self.no_longer_adopting(index);
        let slot = self.slots.at(index);
        let (trunk, hub) = (slot.trunk, slot.hub);
        slot.trunk = NOWHERE;
        slot.number = NumberState::Free;
        let key = SlotKey::here(self.index, index, slot.generation);
        // Some of its sockets may be attached already.
        self.boards[usize::from(hub)].disown(SessionKey(index));
        self.forget_marks(index);
        if let Some(shard_trunk) = self.trunks.get(&trunk) {
            shard_trunk.trunk.session_removed();
        }
        self.queue_for_home(key, hub, eager);
        let since = self.slots.live(index).and_then(Live::journey).map(|journey| journey.since);
        if let Some(since) = since {
            self.note_wait(key, hub, since);
        }
        self.unseat_disconnected(index);
    }
}
