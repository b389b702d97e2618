//! Sessions without an app server, until another one takes them over: how they wait, for how long,
//! and what is kept of their sockets when they end before that.
//!
//! A session that waits is one whose app server gives no credit: its stream is not read, and its
//! posts are not begun. Its sockets stay in the switchboard, so broadcasts reach it. `adoption.rs`
//! finds it another app server; `loss.rs` and `leaving.rs` say which sessions wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::{CloseReason, Protocol};
use trunkline_switchboard::recovery::Persisted;
use trunkline_switchboard::{NamespaceKey, SessionKey};
use trunkline_trunk::{
    ClientRequest, CloseReason as WireReason, NumberState, Origin, StandingFlags,
    State as SocketFrame,
};

use super::command::{Command, SlotKey};
use super::keepsake::{Journey, Keepsake, Past, SocketState};
use super::recovery::keep_time;
use super::slot::{Live, Slot, State};
use super::{Shard, ShardTrunk};
use crate::hub::{Hub, Trunk, TrunkNumber};

/// The trunk of a session that waits for an app server. No trunk has this number.
pub(super) const NOWHERE: TrunkNumber = 0;
/// The interval of looks at sessions that have waited long but have only to wait for their turn.
const LOOK: Duration = Duration::from_millis(250);
/// The time for which sessions still wait when only app servers are there that never take one over.
/// A deploy may start one of those and one that does at once; that is there a moment later.
const OTHERS_WAIT: Duration = Duration::from_secs(2);

/// The sessions of a shard that wait for an app server.
#[derive(Debug, Default)]
pub(super) struct Homes {
    pub(super) hubs: BTreeMap<u16, Queue>,
    /// The hub whose idle sessions come first in the next step.
    pub(super) next_hub: u16,
    /// The times at which each adoption is given up, in order; some are answered by then.
    pub(super) asked: VecDeque<(Timestamp, SlotKey)>,
    /// The times at which an app server must have handed each over, in order; some are by then.
    pub(super) leaving: VecDeque<(Timestamp, SlotKey)>,
    /// The time at which some more of the idle ones are given to app servers.
    pub(super) next_at: Option<Timestamp>,
    /// The part of a session that the steps so far have left over.
    pub(super) owed: f64,
}

/// The sessions of one hub that wait. Keys of those that wait no longer are skipped.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Those whose clients have said something: given away at once.
    pub(super) eager: VecDeque<SlotKey>,
    /// The others: given away at a pace.
    pub(super) idle: VecDeque<SlotKey>,
    /// Since when each has waited, in order; some have a home by now.
    pub(super) since: VecDeque<(Timestamp, SlotKey)>,
    /// The last time at which some app server could have taken one.
    pub(super) could_go: Timestamp,
    /// The earliest time of the next look at those that have waited long.
    look_at: Timestamp,
    /// The time of the next look at the app servers that are there.
    roster_at: Timestamp,
    /// Since when only app servers are there that never take a session over.
    only_others: Option<Timestamp>,
}

impl Queue {
    /// The time at which a session that waits since then has waited long enough: while there is an
    /// app server for it, it only has to wait for its turn.
    fn end_of(&self, since: Timestamp, wait: Duration) -> Timestamp {
        since.max(self.could_go) + wait
    }

    fn deadline(&self, wait: Duration) -> Option<Timestamp> {
        let (since, _) = self.since.front()?;
        Some(self.end_of(*since, wait).max(self.look_at).min(self.roster_at))
    }

    /// Whether those that wait have waited long enough for another kind of app server.
    fn is_hopeless(&self, now: Timestamp) -> bool {
        self.only_others.is_some_and(|since| since + OTHERS_WAIT <= now)
    }
}

impl Homes {
    /// The next time at which something has to be done about them.
    pub(super) fn deadline(&self, wait: Duration) -> Option<Timestamp> {
        let ends = self.hubs.values().filter_map(|queue| queue.deadline(wait));
        let first = |list: &VecDeque<(Timestamp, SlotKey)>| list.front().map(|(at, _)| *at);
        ends.chain(first(&self.asked)).chain(first(&self.leaving)).chain(self.next_at).min()
    }

    /// The hubs, each first in its turn: one hub's sessions must not use up what all may have.
    pub(super) fn hubs_in_turn(&mut self) -> Vec<u16> {
        let mut hubs: Vec<u16> = self.hubs.keys().copied().collect();
        let first = hubs.partition_point(|hub| *hub < self.next_hub);
        hubs.rotate_left(first);
        self.next_hub = hubs.first().map_or(0, |hub| hub.saturating_add(1));
        hubs
    }
}

impl ShardTrunk {
    /// What has to be known of the app server once it is gone.
    pub(super) fn past(&self) -> Option<Past> {
        let keep = keep_time(&self.trunk.settings)?;
        Some(Past { source: self.feed?.source(), keep })
    }
}

fn waits_since(slot: &mut Slot, since: Timestamp) -> bool {
    slot.waits_for_home()
        && slot.live().and_then(Live::journey).is_some_and(|journey| journey.since == since)
}

impl Slot {
    /// Whether the session has left its app server and no other one has been asked yet.
    pub(super) fn waits_for_home(&self) -> bool {
        self.trunk == NOWHERE && self.is_between()
    }

    /// Whether nothing goes to an app server: the old one is gone or about to be, and the new one
    /// has not accepted.
    pub(super) fn is_between(&self) -> bool {
        match &self.state {
            State::Live(live) => live.keepsake.as_ref().is_some_and(|kept| kept.is_between()),
            State::Opening(_) | State::Arriving(_) | State::Ended => false,
        }
    }
}

impl Live {
    pub(super) fn journey(&mut self) -> Option<&mut Journey> {
        self.keepsake.as_mut()?.journey.as_deref_mut()
    }
}

impl Shard {
    /// Keeps what another app server would need to take the session over, if that may happen.
    pub(super) fn keepsake(
        &mut self,
        trunk: &Trunk,
        protocol: Protocol,
        request: &ClientRequest,
    ) -> Option<Box<Keepsake>> {
        let applies = self.env.limits.rehome
            && trunk.own.rehome
            && trunk.settings.connection_state_recovery.is_some()
            && protocol == Protocol::V4;
        if !applies {
            return None;
        }
        Keepsake::new(request, &mut self.interner).map(Box::new)
    }

    /// Keeps the state of a socket. One that the session does not have was under way when it ended.
    pub(super) fn keep_state(&mut self, trunk: TrunkNumber, index: u32, frame: &SocketFrame) {
        let Some((hub, key)) = self.socket_on(trunk, index, frame.nsp) else { return };
        if !self.boards[hub].has_socket(SessionKey(index), key, &frame.socket) {
            return;
        }
        let Some(live) = self.slots.live(index) else { return };
        let Some(keepsake) = &mut live.keepsake else { return };
        let state = SocketState { socket: &frame.socket, pid: &frame.pid, state: &frame.state };
        let is_kept = keepsake.set_state(key, state);
        if keepsake.standing.leaves {
            self.begin_leaving(index);
        }
        if !is_kept && let Some(times) = self.env.directory.note("state_not_kept") {
            tracing::warn!(
                trunk,
                times,
                "states of sockets are too long to be kept; their sessions are closed when their app server is lost"
            );
        }
    }

    /// Forgets the states of sockets that the session no longer has in a namespace.
    pub(super) fn forget_states(&mut self, index: u32, (hub, key): (usize, NamespaceKey)) {
        let board = &self.boards[hub];
        if let Some(live) = self.slots.live(index)
            && let Some(keepsake) = &mut live.keepsake
        {
            keepsake.retain(key, |socket| board.has_socket(SessionKey(index), key, socket));
        }
    }

    /// Whether another app server could take the session over: it has a socket, and the state of
    /// each of its sockets is kept.
    pub(super) fn is_rehomeable(&self, index: u32) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        let State::Live(live) = &slot.state else { return false };
        let Some(keepsake) = &live.keepsake else { return false };
        let sockets = self.boards[usize::from(slot.hub)].sockets_of(SessionKey(index));
        !sockets.is_empty() && sockets.iter().all(|one| keepsake.state(one.nsp, one.id).is_some())
    }

    /// Lets a session wait for another app server, because its own is gone.
    /// `since`: the time from which that may not have done what others did to its sockets.
    pub(super) fn wait_for_home(
        &mut self,
        index: u32,
        origin: Origin,
        past: Past,
        since: Timestamp,
    ) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(index) else { return };
        let number = slot.trunk;
        let key = SlotKey::here(self.index, index, slot.generation);
        let hub = slot.hub;
        slot.trunk = NOWHERE;
        slot.number = NumberState::Free;
        let was_paused = std::mem::take(&mut slot.paused);
        let was_parked = slot.parked;
        let was_unread = slot.unread || slot.heavy;
        let State::Live(live) = &mut slot.state else { return };
        let has_held = live.held.is_some();
        let Some(keepsake) = &mut live.keepsake else { return };
        // It may have begun its journey when it was asked to leave.
        let mut journey =
            keepsake.journey.take().unwrap_or_else(|| Box::new(Journey::new(origin, now)));
        let since = since.min(journey.since);
        journey.origin = origin;
        journey.since = now;
        journey.past = Some(past);
        keepsake.standing = StandingFlags::default();
        keepsake.eager |= was_paused || was_unread || has_held || !journey.parked.is_empty();
        let eager = keepsake.eager;
        keepsake.journey = Some(journey);
        if was_parked {
            self.take_parked_post(number, index);
        }
        self.boards[usize::from(hub)].disown(SessionKey(index));
        self.forget_marks(index);
        self.count_waiting(hub, 1);
        self.queue_for_home(key, hub, eager);
        self.note_wait(key, hub, now);
        self.repeat_lately(index, since);
    }

    /// Puts a session that waits into one of the queues of its hub.
    pub(super) fn queue_for_home(&mut self, key: SlotKey, hub: u16, eager: bool) {
        let queue = self.homes.hubs.entry(hub).or_default();
        if eager {
            queue.eager.push_back(key);
        } else {
            queue.idle.push_back(key);
            self.homes.next_at.get_or_insert(self.now);
        }
    }

    /// Notes since when a session has waited.
    pub(super) fn note_wait(&mut self, key: SlotKey, hub: u16, since: Timestamp) {
        let list = &mut self.homes.hubs.entry(hub).or_default().since;
        let at = list.partition_point(|(other, _)| *other <= since);
        list.insert(at, (since, key));
    }

    /// Notes that the client of a session between two app servers has said something: the session
    /// goes before those that have nothing to say.
    pub(super) fn note_demand(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let key = SlotKey::here(self.index, index, slot.generation);
        let (hub, waits) = (slot.hub, slot.waits_for_home());
        let State::Live(live) = &mut slot.state else { return };
        let Some(keepsake) = &mut live.keepsake else { return };
        if keepsake.is_between() && !std::mem::replace(&mut keepsake.eager, true) && waits {
            self.queue_for_home(key, hub, true);
        }
    }

    /// Changes the number of sessions that wait.
    pub(super) fn count_waiting(&self, hub: u16, change: i64) {
        self.env.metrics.homes_waiting.inc_by(change);
        if let Some(hub) = self.hub(hub) {
            let before = hub.homes_waiting.fetch_add(change, Ordering::Relaxed);
            if before <= 0 && change > 0 {
                hub.tell_unhomed();
            }
        }
    }

    pub(super) fn hub(&self, number: u16) -> Option<&Arc<Hub>> {
        self.env.directory.hub(usize::from(number))
    }

    /// Ends the keeping of a session that no other app server will take over. With `past`, its
    /// sockets are kept for the client's return. Returns the posts that waited.
    pub(super) fn end_keepsake(
        &mut self,
        index: u32,
        past: Option<Past>,
        outcome: &'static str,
    ) -> Vec<Command> {
        self.no_longer_adopting(index);
        let Some(slot) = self.slots.get_mut(index) else { return Vec::new() };
        let hub = slot.hub;
        let State::Live(live) = &mut slot.state else { return Vec::new() };
        let Some(mut keepsake) = live.keepsake.take() else { return Vec::new() };
        if let Some(past) = past {
            self.keep_sockets(index, hub, &keepsake, past);
        }
        keepsake.release(&mut self.interner);
        let Some(journey) = keepsake.journey.take() else { return Vec::new() };
        if journey.past.is_some() {
            self.count_waiting(hub, -1);
            self.env.metrics.count_rehomed(journey.origin, outcome);
        }
        journey.parked
    }

    /// The app server from which the session's sockets are: its last one, or the present one if
    /// that was asked to hand the session over.
    pub(super) fn past_of(&self, index: u32) -> Option<Past> {
        let slot = self.slots.get(index)?;
        let State::Live(live) = &slot.state else { return None };
        let journey = live.keepsake.as_ref()?.journey.as_ref()?;
        journey.past.or_else(|| self.trunks.get(&slot.trunk)?.past())
    }

    /// Keeps the session's sockets for the client's return, as the app server would have done.
    fn keep_sockets(&mut self, index: u32, hub: u16, keepsake: &Keepsake, past: Past) {
        let Some(hub_of) = self.env.directory.hub(usize::from(hub)) else { return };
        let board = &self.boards[usize::from(hub)];
        let log = &mut self.recoveries[usize::from(hub)];
        for placed in board.sockets_of(SessionKey(index)) {
            let Some(kept) = keepsake.state(placed.nsp, placed.id) else { continue };
            let names = placed.rooms.iter().copied().chain([placed.id]);
            let socket = Persisted {
                nsp: placed.nsp_name.into(),
                socket: placed.id.into(),
                server: past.source,
                rooms: names.map(Box::from).collect(),
                data: Bytes::copy_from_slice(kept.state),
                data_bytes: kept.state.len(),
            };
            let seat = (SessionKey(index), placed.nsp);
            // Before the client can know that its session has ended.
            hub_of.kept_by(kept.pid, self.index);
            let gone = log.persist(self.now, past.keep, kept.pid, socket, seat);
            hub_of.forget_kept(&gone, self.index);
            if !log.keeps(kept.pid) {
                hub_of.forget_kept(&[Box::from(kept.pid)], self.index);
            }
        }
    }

    /// Does what is due for sessions that wait.
    pub(super) fn look_at_homes(&mut self) {
        let wait = self.env.limits.home_wait;
        let is_due = |queue: &Queue| queue.deadline(wait).is_some_and(|at| at <= self.now);
        let due = self.homes.hubs.iter().filter(|(_, queue)| is_due(queue));
        let due: Vec<u16> = due.map(|(hub, _)| *hub).collect();
        for hub in due {
            self.look_at_ends(hub);
        }
        self.look_at_leaving();
        while let Some((until, key)) = self.homes.asked.pop_front_if(|(at, _)| *at <= self.now) {
            let timeout = self.env.limits.handshake_timeout;
            let is_unanswered = |slot: &mut Slot| {
                slot.number == NumberState::Adopting
                    && slot
                        .live()
                        .and_then(Live::journey)
                        .is_some_and(|one| one.asked_at + timeout == until)
            };
            if self.slot(key).is_some_and(is_unanswered) {
                self.give_up_home(key.slot, CloseReason::AppServerLost, "silent");
            }
        }
    }

    /// Lets those sessions of a hub be closed that nobody could take for too long.
    fn look_at_ends(&mut self, hub: u16) {
        let now = self.now;
        let could_go = self.could_go(hub);
        let only_others = self.is_without_homes(hub);
        if let Some(queue) = self.homes.hubs.get_mut(&hub) {
            queue.roster_at = now + LOOK;
            queue.only_others = only_others.then(|| queue.only_others.unwrap_or(now));
        }
        let wait = self.env.limits.home_wait;
        while let Some(queue) = self.homes.hubs.get_mut(&hub) {
            if could_go {
                queue.could_go = now;
                queue.look_at = now + LOOK;
            }
            let Some((since, key)) = queue.since.front().copied() else { return };
            let is_long = queue.end_of(since, wait) <= now;
            let is_over = (is_long || queue.is_hopeless(now)) && !could_go;
            let still_waits = self.slots.of(key).is_some_and(|slot| waits_since(slot, since));
            if still_waits && !is_over {
                return;
            }
            if let Some(queue) = self.homes.hubs.get_mut(&hub) {
                queue.since.pop_front();
            }
            if still_waits {
                self.orphans.waiting.push_back((key, CloseReason::AppServerLost));
                self.orphans.next_at.get_or_insert(now);
            }
        }
    }

    /// Whether an app server could take sessions of the hub over, now or once it has answered for
    /// others.
    fn could_go(&self, hub: u16) -> bool {
        self.hub(hub).is_some_and(|hub| hub.has_home(&self.env.limits, self.now))
    }

    /// Whether only app servers of the hub are there that never take a session over.
    pub(super) fn is_without_homes(&self, hub: u16) -> bool {
        self.hub(hub).is_some_and(|hub| hub.is_without_homes(&self.env.limits))
    }

    /// Closes a session without an app server, unless it has one by now.
    pub(super) fn close_orphan(&mut self, key: SlotKey, reason: CloseReason) {
        if reason.is_revoked() {
            return self.close_revoked(key, reason);
        }
        let Some(slot) = self.slots.of(key) else { return };
        if slot.waits_for_home() {
            let hub = slot.hub;
            let since = slot.live().and_then(Live::journey).map(|journey| journey.since);
            let queue = self.homes.hubs.get(&hub);
            let could_go = queue.map(|queue| queue.could_go);
            let is_hopeless = queue.is_some_and(|queue| queue.is_hopeless(self.now));
            let wait = self.env.limits.home_wait;
            // It may have had a home meanwhile, or may get one now.
            if let Some(since) = since
                && !(is_hopeless && self.is_without_homes(hub))
                && (since.max(could_go.unwrap_or(since)) + wait > self.now || self.could_go(hub))
            {
                return self.note_wait(key, hub, since);
            }
            self.give_up_home(key.slot, reason, "no_home");
        } else if !self.trunks.contains_key(&slot.trunk) {
            self.close_live(key, reason);
        }
    }

    /// Closes a session that nobody takes over; its client can return.
    pub(super) fn give_up_home(&mut self, index: u32, reason: CloseReason, outcome: &'static str) {
        let past = self.past_of(index);
        let Some(slot) = self.slots.get(index) else { return };
        let hub = usize::from(slot.hub);
        let parked = self.end_keepsake(index, past, outcome);
        self.boards[hub].remove_session(SessionKey(index));
        // The app server that did not answer need not; the slot stays until the client knows.
        let why = "the app server did not answer in time";
        self.close_number(index, WireReason::GoneBeforeAnswer, why);
        self.close_unheard(index, reason);
        for command in parked {
            self.handle(command);
        }
    }

    /// Closes a session that has no app server any longer: what its client has said and nobody has
    /// taken is dropped.
    pub(super) fn close_unheard(&mut self, index: u32, reason: CloseReason) {
        let Some(live) = self.slots.live(index) else { return };
        let lasting = live.lasting();
        let ended = live.held.take().and_then(|held| held.dismiss(lasting));
        if let Some((reason, description)) = ended {
            self.end_session(index, reason, description);
        } else {
            self.with(index, |live, now| live.session.close(now, reason));
        }
    }
}
