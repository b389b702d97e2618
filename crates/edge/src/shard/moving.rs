//! Sessions that leave for another node, because their clients have opened their WebSockets there.
//!
//! The other node takes a session when the client has changed to its WebSocket. From then on the
//! session here is one over a WebSocket that accepts nothing: what its app server and others send
//! waits in its outbox. Its app server is told, and its last word is the barrier: everything that it
//! said here is in the session, which then leaves as bytes. Until then nothing has moved, and
//! nothing is forwarded afterwards.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::{CloseReason, Session, Transmit, TransportKind};
use trunkline_switchboard::SessionKey;
use trunkline_switchboard::recovery::Cut;
use trunkline_trunk::encode::encode_close;
use trunkline_trunk::{CloseCode, CloseReason as WireReason, Frame, NumberState};

use super::Shard;
use super::command::{Answer, Asked, Payload};
use super::ending::wire_reason;
use super::export::{Export, MovedSocket, MovedToken};
use super::slot::{Carrier, State, number_of};
use crate::cluster::{MoveKey, MoveStep};
use crate::sid::SidSecret;

/// The longest time for which a session waits for broadcasts that the other node has had already.
const POSITIONS_WAIT: Duration = Duration::from_secs(1);
/// The longest time for which the app server's last word is awaited.
const LAST_WORD_WAIT: Duration = Duration::from_secs(10);
/// How long a session that has left is remembered for requests that are still on their way.
const REMEMBER: Duration = Duration::from_secs(60);
/// The most that are.
const REMEMBERED_MAX: usize = 65_536;

/// The sessions of a shard that may leave, are about to, or have left.
#[derive(Debug, Default)]
pub(super) struct Departures {
    by_slot: HashMap<u32, Departure>,
    slots: HashMap<MoveKey, u32>,
    /// Those that wait for broadcasts.
    waiting: Vec<u32>,
    left: HashSet<[u8; 15]>,
    left_until: VecDeque<(Timestamp, [u8; 15])>,
}

#[derive(Debug)]
struct Departure {
    /// The attempt of the other node.
    key: MoveKey,
    /// The id of the other node.
    node: Box<str>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The client's WebSocket probes at the other node.
    Probing,
    /// The other node wants the session, which waits for the broadcasts up to these positions.
    Wanted { positions: Cut, until: Timestamp },
    /// The session's app server has been told; its last word is awaited.
    Leaving { until: Timestamp },
}

impl Departures {
    /// The time at which a departure has taken too long.
    pub(super) fn deadline_of(&self, index: u32) -> Option<Timestamp> {
        match self.by_slot.get(&index)?.stage {
            Stage::Probing => None,
            Stage::Wanted { until, .. } | Stage::Leaving { until } => Some(until),
        }
    }

    /// Whether the session's client has changed to its WebSocket at another node.
    pub(super) fn is_wanted(&self, index: u32) -> bool {
        self.deadline_of(index).is_some()
    }

    /// Whether the session's app server has been told that it leaves.
    pub(super) fn is_leaving(&self, index: u32) -> bool {
        matches!(self.by_slot.get(&index), Some(Departure { stage: Stage::Leaving { .. }, .. }))
    }

    /// Whether the session with this secret has left a short time ago.
    pub(super) fn has_left(&self, secret: &SidSecret) -> bool {
        self.left.contains(&secret.0)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty() && self.slots.is_empty() && self.waiting.is_empty()
    }

    fn remove(&mut self, index: u32) -> Option<Departure> {
        let departure = self.by_slot.remove(&index)?;
        self.slots.remove(&departure.key);
        self.waiting.retain(|other| *other != index);
        Some(departure)
    }

    fn remember(&mut self, now: Timestamp, secret: [u8; 15]) {
        let is_over = |at: Timestamp| at <= now;
        while let Some((at, old)) = self.left_until.front().copied()
            && (is_over(at) || self.left_until.len() >= REMEMBERED_MAX)
        {
            self.left_until.pop_front();
            self.left.remove(&old);
        }
        self.left.insert(secret);
        self.left_until.push_back((now + REMEMBER, secret));
    }
}

impl Shard {
    /// Whether a move that has begun may still succeed. What its app has closed moves as well, to
    /// say goodbye: its client has stopped polling.
    fn is_movable(&self, index: u32) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        let State::Live(live) = &slot.state else { return false };
        let session = &live.session;
        let has_app = slot.number == NumberState::Open && session.is_open();
        (has_app || has_left_its_app(slot.number, session))
            && session.transport() == TransportKind::Polling
            && self.trunks.get(&slot.trunk).is_some_and(|one| one.trunk.own.moves)
            && self.hub(slot.hub).is_some_and(|hub| hub.all_move())
    }

    /// Whether a session may begin to move to another node, as far as this node can tell.
    pub(super) fn may_begin_to_move(&self, index: u32) -> bool {
        let hub = self.slots.get(index).and_then(|slot| self.hub(slot.hub));
        self.is_movable(index) && hub.is_some_and(|hub| hub.may_begin_to_move())
    }

    /// Handles a step of a move: of a node that has a WebSocket of a session's client, or of a node
    /// that has the session whose client's WebSocket is here.
    pub(super) fn move_step(&mut self, key: MoveKey, step: MoveStep) {
        if key.from.is_none() {
            return self.arrival_step(key.id, step);
        }
        let known = self.departures.slots.get(&key).copied();
        match (step, known) {
            (MoveStep::ProbeBegun { asked, node }, _) => {
                self.foreign_probe_begun(&asked, key, &node);
            }
            (MoveStep::Take(positions), Some(index)) => {
                let positions = positions.iter().map(|at| (at.server.as_str().into(), at.number));
                self.wanted(index, Cut(positions.collect()));
            }
            (MoveStep::Take(_), None) => self.refuse_move(key, "session_gone"),
            (MoveStep::ProbeGone, Some(index)) => self.foreign_probe_gone(index),
            (MoveStep::Failed(cause), Some(index)) => self.fail_departure(index, &cause, false),
            (MoveStep::ProbeGone | MoveStep::Failed(_), None)
            | (MoveStep::Arrived | MoveStep::Taken | MoveStep::Export(_), _) => (),
        }
    }

    /// Sends a step to the other node. False when it cannot be sent: the move has failed, which that
    /// node notices in time.
    pub(super) fn send_step(&self, key: MoveKey, step: MoveStep) -> bool {
        self.env.cluster.as_ref().is_some_and(|cluster| cluster.send_step(key, step))
    }

    fn refuse_move(&self, key: MoveKey, cause: &str) {
        self.send_step(key, MoveStep::Failed(cause.to_owned().into()));
    }

    fn foreign_probe_begun(&mut self, asked: &Asked, key: MoveKey, node: &str) {
        let now = self.now;
        let index = asked.sid.slot;
        let is_it = self
            .slots
            .get(index)
            .is_some_and(|slot| slot.hub == asked.hub && slot.secret.matches(&asked.sid.secret));
        if !is_it {
            return self.refuse_move(key, "session_gone");
        }
        if !self.may_begin_to_move(index) {
            return self.refuse_move(key, "cannot_move");
        }
        if self.departures.is_wanted(index) {
            return self.refuse_move(key, "already_upgrading");
        }
        let begun = self.with(index, |live, _| live.session.handle_foreign_probe(now));
        if !matches!(begun, Some(Ok(()))) {
            return self.refuse_move(key, "already_upgrading");
        }
        // An attempt before this one has taken too long.
        if let Some(earlier) = self.departures.remove(index) {
            self.refuse_move(earlier.key, "timeout");
        }
        self.departures.slots.insert(key, index);
        self.departures
            .by_slot
            .insert(index, Departure { key, node: node.into(), stage: Stage::Probing });
    }

    fn foreign_probe_gone(&mut self, index: u32) {
        if matches!(self.departures.by_slot.get(&index), Some(one) if matches!(one.stage, Stage::Probing))
        {
            self.departures.remove(index);
            self.with(index, |live, now| {
                if live.probe.is_none() {
                    live.session.handle_probe_closed(now);
                }
            });
        }
    }

    /// Handles that the client has changed to its WebSocket at the other node.
    fn wanted(&mut self, index: u32, positions: Cut) {
        let until = self.now + POSITIONS_WAIT;
        let is_probing = self
            .slots
            .live(index)
            .is_some_and(|live| live.session.is_probing() && live.probe.is_none());
        if !is_probing || !self.is_movable(index) {
            return self.fail_departure(index, "cannot_move", true);
        }
        let Some(departure) = self.departures.by_slot.get_mut(&index) else { return };
        departure.stage = Stage::Wanted { positions, until };
        if !self.begin_departure(index) {
            self.departures.waiting.push(index);
            self.arm(index, Some(until));
        }
    }

    /// Lets those sessions leave for which the broadcasts have come that they waited for.
    pub(super) fn look_at_wanted(&mut self) {
        if self.departures.waiting.is_empty() {
            return;
        }
        for index in std::mem::take(&mut self.departures.waiting) {
            if !self.begin_departure(index) {
                self.departures.waiting.push(index);
            }
        }
    }

    /// Tells the session's app server that it leaves. False when broadcasts have to come before
    /// that: those that the other node had before it began to queue them.
    fn begin_departure(&mut self, index: u32) -> bool {
        let Some(departure) = self.departures.by_slot.get(&index) else { return true };
        let Stage::Wanted { positions, .. } = &departure.stage else { return true };
        let Some(slot) = self.slots.get(index) else { return true };
        let log = &self.recoveries[usize::from(slot.hub)];
        if !positions.0.iter().all(|(server, number)| log.has_reached(server, *number)) {
            return false;
        }
        if !self.is_movable(index) {
            self.fail_departure(index, "cannot_move", true);
            return true;
        }
        // The app server is told only what the other node will hear, too.
        let key = departure.key;
        if !self.send_step(key, MoveStep::Taken) {
            self.fail_departure(index, "overloaded", true);
            return true;
        }
        let has_left = self.slots.get(index).is_some_and(|slot| {
            matches!(&slot.state, State::Live(live) if has_left_its_app(slot.number, &live.session))
        });
        self.leave_polling(index);
        if has_left {
            self.send_away(index, None);
            return true;
        }
        let until = self.now + LAST_WORD_WAIT;
        let session = number_of(index, self.index, self.shards);
        let slot = self.slots.at(index);
        let Some(shard_trunk) = self.trunks.get_mut(&slot.trunk) else { return true };
        if slot.number.send_hand_over().is_err() {
            return true;
        }
        let Some(departure) = self.departures.by_slot.get_mut(&index) else { return true };
        departure.stage = Stage::Leaving { until };
        encode_close(&mut shard_trunk.out, session, WireReason::Moved, &departure.node);
        self.arm(index, Some(until));
        true
    }

    /// Ends the session's polling: it is one over a WebSocket from now on, which accepts nothing.
    fn leave_polling(&mut self, index: u32) {
        let now = self.now;
        let Some(live) = self.slots.live(index) else { return };
        let answer = live.session.handle_foreign_upgrade(now);
        let lasting = live.lasting();
        // A client that follows the protocol has no request under way, nor an unread answer.
        if let Carrier::Polling(polling) = std::mem::replace(&mut live.carrier, Carrier::Promised) {
            if let Some((_, reply)) = polling.held
                && let Some(Transmit::Respond { content_type, body, compress, .. }) = answer
            {
                let (jsonp, first, flight) = (None, Vec::new(), None);
                let payload =
                    Payload { content_type, body, compress, jsonp, lasting, first, flight };
                let _ = reply.send(Answer::Payload(Box::new(payload)));
            }
            if let Some(flights) = polling.flights {
                flights.cut();
            }
        }
        let parked = live.held.as_mut().map(|held| held.leave_post()).unwrap_or_default();
        if live.held.as_ref().is_some_and(|held| !held.waits_for_credit()) {
            live.held = None;
        }
        self.mark_dirty(index);
        for command in parked {
            self.handle(command);
        }
    }

    /// Handles the app server's last word about a session that leaves.
    pub(super) fn depart(&mut self, index: u32, frame: &Frame) {
        let code = if let Frame::Close { reason, .. } = frame { Some(*reason) } else { None };
        self.send_away(index, code.filter(|code| code.reason() != WireReason::Moved));
    }

    /// Sends a session to the other node. `closed`: its app has closed it just now, with this reason.
    fn send_away(&mut self, index: u32, closed: Option<CloseCode>) {
        let now = self.now;
        let is_closed = self.slots.live(index).is_none_or(|live| live.session.is_closed());
        let export = if is_closed { None } else { self.export(index, closed) };
        let Some(export) = export else {
            // It has ended meanwhile, which the end of this turn notices.
            self.mark_dirty(index);
            return;
        };
        // Only what is certainly sent is given away.
        let Some(key) = self.departures.by_slot.get(&index).map(|departure| departure.key) else {
            return;
        };
        if !self.send_step(key, MoveStep::Export(export)) {
            return self.fail_departure(index, "overloaded", true);
        }
        self.departures.remove(index);
        self.end_keepsake(index, None, "moved");
        self.unwatch(index);
        self.tokens.leave(index);
        let slot = self.slots.at(index);
        slot.guest = None;
        let (hub, counted, secret) = (usize::from(slot.hub), slot.counted, slot.secret);
        let State::Live(live) = std::mem::replace(&mut slot.state, State::Ended) else { return };
        if let Some(custom) = live.extra.and_then(|extra| extra.custom_sid)
            && let Some(hub) = self.env.directory.hub(hub)
        {
            hub.forget_custom_sid(&custom, &secret);
        }
        self.boards[hub].remove_session(SessionKey(index));
        self.count_session(counted, -1);
        self.leave_seat(hub);
        self.departures.remember(now, secret.0);
        self.release(index);
    }

    fn export(&mut self, index: u32, closed: Option<CloseCode>) -> Option<Bytes> {
        let now = self.now;
        let slot = self.slots.get(index)?;
        let hub = usize::from(slot.hub);
        let feed = self.trunks.get(&slot.trunk).and_then(|one| one.feed);
        let State::Live(live) = &slot.state else { return None };
        let custom = live.extra.as_ref().and_then(|extra| extra.custom_sid.as_deref());
        let keepsake = live.keepsake.as_deref();
        let log = &self.recoveries[hub];
        let sockets = self.boards[hub].sockets_of(SessionKey(index));
        let sockets = sockets.iter().map(|one| {
            let rooms: BTreeSet<&str> = one.rooms.iter().copied().chain([one.id]).collect();
            let seat = (SessionKey(index), one.nsp);
            let last =
                feed.and_then(|feed| log.last_offset(seat, (one.nsp_name, feed.source()), &rooms));
            let kept = keepsake.and_then(|keepsake| keepsake.state(one.nsp, one.id));
            MovedSocket {
                nsp: one.nsp_name.into(),
                id: one.id.into(),
                rooms: one.rooms.iter().map(|room| Box::from(*room)).collect(),
                in_own_room: one.in_own_room,
                last,
                kept: kept.map(|kept| (kept.pid.into(), Bytes::copy_from_slice(kept.state))),
            }
        });
        let export = Export {
            engine: live.session.export(now)?,
            custom_sid: custom.map(Box::from),
            lasting: live.lasting().map(|lasting| lasting.to_vec()).unwrap_or_default(),
            held: live.held.as_ref().map(|held| held.decoded()).unwrap_or_default(),
            request: keepsake.map(|keepsake| keepsake.request(&self.interner)),
            standing: keepsake.map(|keepsake| keepsake.standing).unwrap_or_default(),
            closed,
            sockets: sockets.collect(),
            cut: log.cut(),
            token: self.tokens.of(index).map(|token| MovedToken::of(token, now)),
        };
        Some(export.encode())
    }

    /// Ends an attempt of a session to leave. If its client has changed to the other node already,
    /// the session ends: nothing reaches that client from here.
    fn fail_departure(&mut self, index: u32, cause: &str, tell: bool) {
        let Some(departure) = self.departures.by_slot.get(&index) else { return };
        let key = departure.key;
        let was_probing = matches!(departure.stage, Stage::Probing);
        if was_probing && !tell {
            // The other node has gone, or its stream has ended.
            return self.foreign_probe_gone(index);
        }
        tracing::debug!(cause, "a session does not move to another node");
        if let Some(departure) = self.departures.remove(index) {
            self.close_departed(index, &departure, wire_reason(CloseReason::MoveFailed, false));
        }
        if tell {
            self.refuse_move(key, cause);
        }
        self.with(index, |live, now| live.session.abort(now, CloseReason::MoveFailed));
    }

    /// Says of a session that the app server gives away that it has ended: else the app server would
    /// wait for the other node, which may be gone.
    fn close_departed(&mut self, index: u32, departure: &Departure, reason: WireReason) {
        if !matches!(departure.stage, Stage::Leaving { .. }) {
            return;
        }
        let session = number_of(index, self.index, self.shards);
        let slot = self.slots.at(index);
        let Some(shard_trunk) = self.trunks.get_mut(&slot.trunk) else { return };
        if shard_trunk.trunk.own.move_ends && slot.number.end_leaving() {
            encode_close(&mut shard_trunk.out, session, reason, "");
        }
    }

    /// Notes that a session has ended, whatever became of its way to another node.
    pub(super) fn forget_departure(&mut self, index: u32, reason: CloseReason) {
        if self.departures.by_slot.is_empty() {
            return;
        }
        if let Some(departure) = self.departures.remove(index) {
            self.close_departed(index, &departure, wire_reason(reason, false));
            self.refuse_move(departure.key, "session_ended");
        }
    }

    /// Ends a departure that has taken too long.
    pub(super) fn look_at_departure(&mut self, index: u32) {
        if self.departures.deadline_of(index).is_some_and(|until| until <= self.now) {
            self.fail_departure(index, "timeout", true);
        }
    }

    /// Handles the loss of the app server of a session that leaves. False when it does not.
    pub(super) fn lose_leaving(&mut self, index: u32, past: Option<super::keepsake::Past>) -> bool {
        if !self.departures.is_wanted(index) {
            return false;
        }
        let parked = self.end_keepsake(index, past, "in_doubt");
        let slot = self.slots.at(index);
        slot.number = NumberState::Free;
        let hub = usize::from(slot.hub);
        self.boards[hub].remove_session(SessionKey(index));
        self.fail_departure(index, "app_server_lost", true);
        for command in parked {
            self.handle(command);
        }
        true
    }
}

/// Whether the app has closed a session that has not ended, because its client has not heard of it.
fn has_left_its_app(number: NumberState, session: &Session) -> bool {
    number == NumberState::Free && !session.is_open() && !session.is_closed()
}
