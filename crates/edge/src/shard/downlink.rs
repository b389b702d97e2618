//! Frames from app servers, applied to sessions and the switchboard in the order in which they
//! came.

use std::rc::Rc;

use bytes::Bytes;
use trunkline_engineio::{CloseReason, Delivery, Outgoing, Sent};
use trunkline_switchboard::recovery::Origin;
use trunkline_switchboard::{NamespaceKey, SessionKey};
use trunkline_trunk::{Action, Misbehaved, NumberState};
use trunkline_trunk::{CloseReason as WireReason, Frame, NamespaceNumber, SendFlags, Str};

use super::Shard;
use super::broadcasting::Run;
use super::slot::{Live, State, slot_of};
use super::slow;
use crate::hub::TrunkNumber;
use crate::memory::HELD_BYTES_BEYOND_CEILING;
use crate::metrics::Metrics;
use crate::unavailable::Unavailable;

/// Messages put into outboxes, and their bytes. Counted here first, because an atomic addition for
/// each message took 4 % of a node's time in bursts.
#[derive(Debug, Default)]
pub(super) struct SentCounts {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl SentCounts {
    /// Adds the counts to the node's metrics.
    pub(super) fn count_into(self, metrics: &Metrics) {
        if self.messages > 0 {
            metrics.messages_sent.inc_by(self.messages);
            metrics.sent_bytes.inc_by(self.bytes);
        }
    }
}

impl Shard {
    /// Handles the frames of one batch. Broadcasts in a row that reach the same sockets are sent
    /// together.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other frames are handled one by one")]
    pub(super) fn handle_batch(&mut self, trunk: TrunkNumber, frames: Vec<Frame>) {
        let mut run = Run::default();
        for frame in frames {
            let (offset, broadcast) = match frame {
                Frame::Broadcast(broadcast) => (None, broadcast),
                Frame::Recorded { offset, broadcast } => (Some(offset), broadcast),
                frame => {
                    self.broadcast(trunk, &mut run);
                    self.handle_frame(trunk, frame);
                    continue;
                }
            };
            if !run.takes(&broadcast) {
                self.broadcast(trunk, &mut run);
            }
            let origin = self.advance(trunk);
            self.capture(trunk, origin, &broadcast);
            if let Some(offset) = offset {
                self.record(trunk, origin, &offset, &broadcast);
            }
            if let Some(origin) = origin.filter(|origin| self.has_ahead(trunk, *origin)) {
                self.broadcast(trunk, &mut run);
                self.broadcast_to_those_behind(trunk, broadcast, origin);
            } else {
                run.push(broadcast);
            }
        }
        self.broadcast(trunk, &mut run);
        self.look_at_wanted();
    }

    /// Handles one frame: it takes effect, or is ignored as too late, or shows that the app server
    /// breaks a rule.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the trunk's own task and `handle_batch` deal with all others"
    )]
    pub(super) fn handle_frame(&mut self, trunk: TrunkNumber, frame: Frame) {
        let Some(session) = frame.session() else {
            match frame {
                Frame::Namespace { nsp, name } => self.name_namespace(trunk, nsp, &name),
                Frame::Release { nsp } => self.release_namespace(trunk, nsp),
                Frame::Number { next } => self.number(trunk, next),
                Frame::Operate(operate) => self.operate(trunk, &operate),
                _ => (),
            }
            return;
        };
        let index = slot_of(session, self.shards);
        let slot = self.slots.get_mut(index).filter(|slot| slot.trunk == trunk);
        if slot.as_ref().is_some_and(|slot| matches!(slot.state, State::Arriving(_))) {
            return self.queue_frame(trunk, index, frame);
        }
        let mut free = NumberState::Free;
        let number = slot.map_or(&mut free, |slot| &mut slot.number);
        let was_asked = *number == NumberState::Adopting;
        let judged = number.handle(frame.kind());
        if was_asked && let Some(journey) = self.slots.live(index).and_then(Live::journey) {
            journey.seen = true;
        }
        match judged {
            Ok(Action::Ignore | Action::Opened) => {
                if let Frame::Prove { request_id, .. } = frame {
                    self.answer_prove(trunk, request_id, false);
                }
                self.forget_refused(trunk, &frame);
            }
            Ok(Action::Freed) => self.release(index),
            Ok(Action::HandedBack) => self.handed_back(index, &frame),
            Ok(Action::Closed) => self.close_by_app(index, &frame),
            Ok(Action::Accepted | Action::Deliver | Action::Rejected) => {
                self.apply(trunk, index, frame);
            }
            Err(misbehaved) => {
                if let Some(shard_trunk) = self.trunks.get(&trunk) {
                    shard_trunk.trunk.misbehaved(misbehaved);
                }
                self.forget_refused(trunk, &frame);
            }
        }
    }

    /// Forgets where a refused socket is kept: the hub was told before this shard saw the frame,
    /// but the socket is not kept.
    fn forget_refused(&self, trunk: TrunkNumber, frame: &Frame) {
        let Frame::Persist(persist) = frame else { return };
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let hub = &shard_trunk.trunk.hub;
        if !self.recoveries[usize::from(hub.number)].keeps(&persist.pid) {
            self.forget_kept(hub, &persist.pid);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only these kinds of frames get here")]
    fn apply(&mut self, trunk: TrunkNumber, index: u32, frame: Frame) {
        match frame {
            Frame::Accept { sid, headers, lasting, .. } => {
                if self.is_between(index) {
                    let has_own = !(sid.is_empty() && headers.is_empty() && lasting.is_empty());
                    if has_own && let Some(shard_trunk) = self.trunks.get(&trunk) {
                        shard_trunk.trunk.misbehaved(Misbehaved::AdoptedAnew);
                    }
                    return self.adopted(index);
                }
                if self.slots.live(index).is_some() {
                    return; // It has moved here: nothing is left to open.
                }
                self.accept(index, &sid, &headers, &lasting);
            }
            Frame::Reject { response, .. } => self.reject(index, response),
            Frame::Send { flags, payload, .. } => {
                let message = outgoing(flags.binary, flags.compressible, payload);
                self.send(index, &message, flags);
            }
            Frame::Attach { nsp, socket, rooms, .. } => {
                let Some(place) = self.socket_on(trunk, index, nsp) else { return };
                self.attach_fresh((trunk, index), place, &socket, &rooms, false);
            }
            Frame::Beside { nsp, socket, rooms, .. } => {
                let Some(place) = self.socket_on(trunk, index, nsp) else { return };
                self.attach_fresh((trunk, index), place, &socket, &rooms, true);
            }
            Frame::State(state) => self.keep_state(trunk, index, &state),
            Frame::Standing { flags, .. } => self.standing(index, flags),
            Frame::Choose { nsp, socket, .. } => {
                if let Some((hub, key)) = self.socket_on(trunk, index, nsp) {
                    self.boards[hub].choose(SessionKey(index), key, &socket);
                }
            }
            Frame::Mark { mark, now, .. } => self.mark(index, mark, now),
            Frame::Reattach(reattach) => self.reattach(trunk, index, &reattach),
            Frame::Prove { request_id, cut, .. } => self.prove(trunk, request_id, cut),
            Frame::Persist(persist) => self.persist(trunk, index, &persist),
            Frame::Detach { nsp, .. } => {
                if let Some((hub, key)) = self.socket_on(trunk, index, nsp) {
                    self.boards[hub].detach(SessionKey(index), key);
                    self.forget_states(index, (hub, key));
                }
            }
            Frame::Join { nsp, rooms, .. } => {
                if let Some(place) = self.socket_on(trunk, index, nsp) {
                    self.join(index, place, &rooms);
                }
            }
            Frame::Leave { nsp, rooms, .. } => {
                if let Some((hub, key)) = self.socket_on(trunk, index, nsp) {
                    for room in &rooms {
                        self.boards[hub].leave(SessionKey(index), key, room);
                    }
                }
            }
            _ => (),
        }
    }

    /// The hub and the namespace of a socket of this session. `None` when the session is not live,
    /// or the app server has not named the namespace.
    pub(super) fn socket_on(
        &self,
        trunk: TrunkNumber,
        index: u32,
        nsp: NamespaceNumber,
    ) -> Option<(usize, NamespaceKey)> {
        let key = *self.trunks.get(&trunk)?.namespaces.get(&nsp.0)?;
        let slot = self.slots.get(index)?;
        matches!(slot.state, State::Live(_)).then(|| (usize::from(slot.hub), key))
    }

    fn name_namespace(&mut self, trunk: TrunkNumber, nsp: NamespaceNumber, name: &Str) {
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return };
        let board = &mut self.boards[usize::from(shard_trunk.trunk.hub.number)];
        let key = board.namespace(name);
        if let Some(before) = shard_trunk.namespaces.insert(nsp.0, key) {
            board.release_namespace(before);
        }
    }

    fn release_namespace(&mut self, trunk: TrunkNumber, nsp: NamespaceNumber) {
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return };
        if let Some(key) = shard_trunk.namespaces.remove(&nsp.0) {
            self.boards[usize::from(shard_trunk.trunk.hub.number)].release_namespace(key);
        }
    }

    /// Attaches a socket as its app server has made it. A socket of the same id that waits for an
    /// app server becomes this one: it keeps its place among those that return.
    fn attach_fresh(
        &mut self,
        (trunk, index): (TrunkNumber, u32),
        (hub, key): (usize, NamespaceKey),
        socket: &Str,
        rooms: &[Str],
        beside: bool,
    ) {
        let session = SessionKey(index);
        let is_adopted = self.is_between(index) && self.boards[hub].choose(session, key, socket);
        if !is_adopted && !beside {
            self.recoveries[hub].take_seat((session, key));
        }
        self.attach((trunk, index), (hub, key), socket, rooms, beside && !is_adopted);
        self.forget_states(index, (hub, key));
        self.repeat_operations(index, (hub, key), socket);
    }

    /// Enters a session's socket, with its rooms, into the switchboard. `beside`: the session may
    /// have other sockets in the namespace.
    pub(super) fn attach(
        &mut self,
        (trunk, index): (TrunkNumber, u32),
        (hub, key): (usize, NamespaceKey),
        socket: &Str,
        rooms: &[Str],
        beside: bool,
    ) {
        let Some(server) = self.trunks.get(&trunk).map(|one| one.trunk.server) else { return };
        if !self.is_open(index) {
            return;
        }
        let (session, rooms_at_once) = (SessionKey(index), self.rooms_at_once());
        let board = &mut self.boards[hub];
        let rooms = rooms.iter().map(Str::as_str).take(rooms_at_once);
        let attached = if beside {
            board.attach_beside(session, server, key, socket, rooms)
        } else {
            board.attach(session, server, key, socket, rooms)
        };
        if let Err(error) = attached
            && let Some(times) = self.env.directory.note("not_attached")
        {
            tracing::warn!(trunk, times, %error, "a socket was not attached; broadcasts will not reach it");
        }
        self.check_membership(index, hub);
    }

    fn send(&mut self, index: u32, message: &Rc<Outgoing>, flags: SendFlags) {
        let delivery = if flags.attached {
            Delivery::Attached
        } else if flags.volatile {
            // Other sessions still have to be flushed; this client is not the cause.
            self.settle_if_backlogged(index);
            let live = self.slots.live(index);
            Delivery::Volatile { stream_idle: live.is_some_and(|live| live.stream_is_idle()) }
        } else {
            Delivery::Reliable
        };
        self.deliver(index, message, delivery);
    }

    /// Puts a message into a session's outbox; this turn flushes it.
    pub(super) fn deliver(&mut self, index: u32, message: &Rc<Outgoing>, delivery: Delivery) {
        if self.put(index, message, delivery) {
            self.mark_dirty(index);
        }
    }

    /// Puts a message into a session's outbox; true when there is something to flush.
    pub(super) fn put(&mut self, index: u32, message: &Rc<Outgoing>, delivery: Delivery) -> bool {
        let now = self.now;
        self.delivered += 1;
        let Some(live) = self.slots.live(index) else {
            return false;
        };
        if self.memory_full && live.held_bytes() > HELD_BYTES_BEYOND_CEILING {
            self.drop_client(index, CloseReason::MemoryFull);
            return true;
        }
        match live.session.send(now, message, delivery) {
            Sent::Queued => {
                self.sent.messages += 1;
                self.sent.bytes += message.len() as u64;
            }
            Sent::Dropped => {
                if delivery != Delivery::Reliable {
                    self.env.metrics.volatile_dropped.inc();
                }
                return false;
            }
        }
        if live.session.outbox_bytes() >= self.env.limits.outbox_bytes_max / slow::PART
            && !self.may_wait(index, message.len())
        {
            self.drop_client(index, CloseReason::OutboxFull);
        }
        true
    }

    /// Closes a session with too much waiting data, and drops that data.
    pub(super) fn drop_client(&mut self, index: u32, reason: CloseReason) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(index) else { return };
        let hub = usize::from(slot.hub);
        let State::Live(live) = &mut slot.state else { return };
        if live.session.is_closed() {
            return;
        }
        let waiting_bytes = live.held_bytes();
        live.session.abort(now, reason);
        if matches!(reason, CloseReason::Flooded | CloseReason::MemoryFull)
            && let Some(held) = &mut live.held
        {
            held.forget_undecoded();
        }
        // A flood has a line of its own.
        if let Some(hub) = self.env.directory.hub(hub).filter(|_| reason != CloseReason::Flooded) {
            hub.note_dropped(reason, waiting_bytes);
        }
    }

    /// Handles `Close` from the app server: earlier messages are sent first.
    pub(super) fn close_by_app(&mut self, index: u32, frame: &Frame) {
        let now = self.now;
        if let Frame::Close { reason, .. } = frame
            && self.adoption_closed(index, reason.reason())
        {
            return;
        }
        let shutdown = matches!(frame, Frame::Close { reason, .. } if reason.reason() == WireReason::AppShutdown);
        // What is to be kept of its sockets, the app server has said.
        let parked = self.end_keepsake(index, None, "ended");
        let reason = if shutdown { CloseReason::ServerShuttingDown } else { CloseReason::Forced };
        let Some(slot) = self.slots.get_mut(index) else { return };
        match &mut slot.state {
            State::Live(live) => {
                // The app accepts no further messages.
                let lasting = live.lasting();
                let ended = live.held.take().and_then(|held| held.dismiss(lasting));
                live.session.close(now, reason);
                let hub = usize::from(slot.hub);
                self.boards[hub].remove_session(SessionKey(index));
                // The number is answered now; the slot stays until the client has its last packets.
                self.close_number(index, WireReason::AppClosed, "");
                match ended {
                    Some((reason, description)) => self.end_session(index, reason, description),
                    None => self.mark_dirty(index),
                }
            }
            State::Opening(_) => {
                // The app server is leaving or cannot answer: another one may accept the session.
                if !self.try_elsewhere(index) {
                    let why = "closed before it was accepted";
                    self.fail_opening(index, Unavailable::NoAppServer, why);
                }
            }
            State::Arriving(_) | State::Ended => {
                self.close_number(index, WireReason::AppClosed, "");
                self.release(index);
            }
        }
        for command in parked {
            self.handle(command);
        }
    }

    /// The number of the broadcast that has just come.
    fn advance(&mut self, trunk: TrunkNumber) -> Option<Origin> {
        let shard_trunk = self.trunks.get_mut(&trunk)?;
        let hub = usize::from(shard_trunk.trunk.hub.number);
        self.recoveries[hub].advance(shard_trunk.feed.as_mut()?)
    }
}

pub(super) fn outgoing(binary: bool, compressible: bool, payload: Bytes) -> Rc<Outgoing> {
    if compressible {
        Outgoing::new(binary, payload)
    } else {
        Outgoing::uncompressed(binary, payload)
    }
}
