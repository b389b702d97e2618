//! The end of sessions: one by one, with their app server, or in a drain. Each end has a cause.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::{CloseReason, Session, Transmit, TransportKind};
use trunkline_switchboard::SessionKey;
use trunkline_trunk::{self as wire, CloseReason as WireReason, FrameKind};
use trunkline_websocket::{Opcode, encode};

use super::command::{Answer, SlotKey};
use super::poller::{Kind, Readiness, Token};
use super::reading::READS_PER_TURN;
use super::recovery::Log;
use super::slot::{Carrier, State, number_of};
use super::streams::Stream;
use super::{Lingering, Shard};
use crate::metrics::Ending;

/// Time in which a closed stream has to deliver its last frame and receive the client's answer.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// The interval between the steps of a paced closing.
const PACE: Duration = Duration::from_millis(50);

/// The interval at which old entries are removed from the logs for returning clients.
const EXPIRY: Duration = Duration::from_secs(1);

/// Sessions that wait to be closed at an even pace.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    pub(super) waiting: VecDeque<(SlotKey, CloseReason)>,
    pub(super) next_at: Option<Timestamp>,
    /// The part of a session that the steps so far have left over.
    owed: f64,
}

/// A drain: closes a number of sessions per step.
#[derive(Debug)]
pub(super) struct DrainPace {
    next_at: Timestamp,
    until: Timestamp,
    waiting: VecDeque<SlotKey>,
    /// The part of a session that the steps so far have left over.
    owed: f64,
}

impl Shard {
    /// Ends a session after its earlier messages have gone to the app server, if that still exists.
    pub(super) fn end_when_heard(
        &mut self,
        index: u32,
        reason: CloseReason,
        description: &'static str,
    ) {
        let slot = self.slots.at(index);
        let is_heard = self.trunks.contains_key(&slot.trunk);
        match slot.live().and_then(|live| live.held.as_mut()) {
            Some(held) if is_heard => held.ended = Some((reason, description)),
            Some(_) | None => self.end_session(index, reason, description),
        }
    }

    /// Ends a session: notifies the app server and the client once, and releases everything that
    /// the session held.
    pub(super) fn end_session(
        &mut self,
        index: u32,
        reason: CloseReason,
        description: &'static str,
    ) {
        self.forget_departure(index, reason);
        let past = self.past_of(index);
        let parked = self.end_keepsake(index, past, "ended");
        let slot = self.slots.at(index);
        let State::Live(mut live) = std::mem::replace(&mut slot.state, State::Ended) else {
            return;
        };
        self.unwatch(index);
        self.tokens.leave(index);
        let slot = self.slots.at(index);
        slot.guest = None;
        let (counted, secret) = (slot.counted, slot.secret);
        let hub = usize::from(slot.hub);
        let in_one_payload = slot.spoke && live.session.transport() == TransportKind::Polling;
        self.boards[hub].remove_session(SessionKey(index));
        if let Some(custom) = live.extra.and_then(|extra| extra.custom_sid)
            && let Some(hub) = self.env.directory.hub(hub)
        {
            hub.forget_custom_sid(&custom, &secret);
        }
        match live.carrier {
            Carrier::Polling(polling) => {
                if let Some((_, reply)) = polling.held {
                    let _ = reply.send(Answer::Abort);
                }
                if let Some(flights) = polling.flights {
                    self.part(flights, reason);
                }
            }
            Carrier::Stream(mut stream) => {
                // A stream that accepted nothing until now still gets what was queued before, and
                // the close frame.
                let close = queue_the_rest(&mut live.session, &mut stream);
                self.linger(stream, close);
            }
            Carrier::Promised | Carrier::Gone => (),
        }
        if let Some(probe) = live.probe {
            self.linger(probe.stream, None);
        }
        self.count_session(counted, -1);
        self.leave_seat(hub);
        let wire_reason = wire_reason(reason, in_one_payload);
        let description = if is_told_in_words(reason) {
            // On the trunk both are one reason; the description tells the app which one it was.
            reason.slug()
        } else {
            description
        };
        let ending = Ending::of(reason);
        self.env.metrics.sessions_closed.get_or_create(&ending).inc();
        self.close_number(index, wire_reason, description);
        self.release(index);
        // They learn that the session has ended.
        for command in parked {
            self.handle(command);
        }
    }

    /// Sends `Close` for a session number, once.
    pub(super) fn close_number(&mut self, index: u32, reason: WireReason, description: &str) {
        let number = number_of(index, self.index, self.shards);
        let slot = self.slots.at(index);
        if slot.number.end_leaving() {
            return; // It was sent when the app server asked to hand the session over.
        }
        if slot.number.send(FrameKind::Close).is_err() {
            return; // It was sent before, or the app server is gone.
        }
        if let Some(shard_trunk) = self.trunks.get_mut(&slot.trunk) {
            wire::encode::encode_close(&mut shard_trunk.out, number, reason, description);
        }
    }

    /// Gives back the place in its hub of a session that was live.
    pub(super) fn leave_seat(&self, hub: usize) {
        if let Some(hub) = self.env.directory.hub(hub) {
            hub.unseat();
        }
    }

    /// Frees the slot once nothing needs its number any longer.
    pub(super) fn release(&mut self, index: u32) {
        let slot = self.slots.at(index);
        if !slot.is_free() {
            return;
        }
        self.no_longer_pending(index);
        self.arrivals.release(index);
        let slot = self.slots.remove(index);
        self.forget_token(index);
        self.recoveries[usize::from(slot.hub)].leave(SessionKey(index));
        self.env.sessions[usize::from(self.index)].fetch_sub(1, Ordering::Relaxed);
        if let Some(shard_trunk) = self.trunks.get(&slot.trunk) {
            shard_trunk.trunk.session_removed();
        }
    }

    /// Lets a stream deliver the frames that wait in it, then a close frame, and then end.
    pub(super) fn linger(&mut self, mut stream: Stream, close_frame: Option<Bytes>) {
        if let Some(frame) = close_frame {
            stream.queue(frame);
        }
        if stream.write(&mut Vec::new()).is_err() {
            return;
        }
        if stream.is_idle() {
            // Most clients end their side first. When that has been read, closing tells them the
            // same as ending this side and loses nothing.
            if matches!(discard(&mut stream), Discarded::Ended) {
                return;
            }
            stream.shutdown_write();
        } else if self.memory_full {
            return; // Nothing is kept for a client that does not read.
        }
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let entry = self.lingering.vacant_entry();
        let index = u32::try_from(entry.key()).expect("fewer streams than descriptors");
        let token = Token::new(Kind::Linger, index, generation);
        if self.poller.retarget(&stream.socket, token).is_err()
            && self.poller.add(&stream.socket, token).is_err()
        {
            return;
        }
        entry.insert(Lingering { generation, stream, ended: false });
        self.linger_ends.push_back((self.now + LINGER, index, generation));
        // Bytes that arrived before the token changed cause no new edge: read at once.
        self.linger_ready(Readiness { token, readable: true, writable: false, ended: false });
    }

    /// Handles an event of a lingering stream.
    pub(super) fn linger_ready(&mut self, event: Readiness) {
        let index = event.token.index as usize;
        let Some(lingering) = self.lingering.get_mut(index) else { return };
        if !event.token.is_of(lingering.generation) {
            return;
        }
        let stream = &mut lingering.stream;
        let was_idle = stream.is_idle();
        let mut done = stream.write(&mut Vec::new()).is_err();
        if !was_idle && stream.is_idle() {
            stream.shutdown_write();
        }
        if event.readable && !done {
            match discard(stream) {
                Discarded::Ended => lingering.ended = true,
                Discarded::Emptied => (),
                // Read and discard however much there is: closing with unread bytes would reset the
                // stream, and the client would lose what it has not received. `LINGER` ends it.
                Discarded::MoreLeft => self.linger_unread.push_back(event.token),
            }
        }
        // A client that sends no more may still read what was sent before.
        done |= lingering.ended && lingering.stream.is_idle();
        if done {
            self.lingering.remove(index);
        }
    }

    /// Continues with lingering streams that had more to read than one turn's share.
    pub(super) fn discard_unread(&mut self) {
        for _ in 0..self.linger_unread.len() {
            let Some(token) = self.linger_unread.pop_front() else { return };
            self.linger_ready(Readiness { token, readable: true, writable: false, ended: false });
        }
    }

    /// Gives up lingering streams whose time is over.
    pub(super) fn end_lingering(&mut self) {
        while let Some((_, index, generation)) =
            self.linger_ends.pop_front_if(|(until, _, _)| *until <= self.now)
        {
            let index = index as usize;
            if self.lingering.get(index).is_some_and(|left| left.generation == generation) {
                self.lingering.remove(index);
            }
        }
    }

    /// The next time at which something in this file has to continue.
    pub(super) fn paced_deadline(&self) -> Option<Timestamp> {
        let lingering = self.linger_ends.front().map(|(until, _, _)| *until);
        let drain = self.drain.as_ref().map(|drain| drain.next_at);
        let kept = self.recoveries.iter().any(Log::is_in_use).then_some(self.recoveries_due);
        let parting = self.parting.front().map(|(until, _)| *until);
        let eviction = self.env.memory.has_ceiling().then_some(self.eviction.next_at);
        let rests = self.resting.next_end();
        let tokens = self.tokens.next_end();
        let closing = [tokens, lingering, parting, rests, eviction, self.slow_due];
        let all =
            [self.orphans.next_at, self.homes.deadline(self.env.limits.home_wait), drain, kept];
        let all = all.into_iter().chain(closing);
        all.flatten().min()
    }

    /// Does everything in this file that is due.
    pub(super) fn go_on_closing(&mut self) {
        self.end_lingering();
        self.end_parting();
        self.end_rests();
        if self.recoveries_due <= self.now {
            self.expire_recoveries();
            self.forget_lately();
            self.recoveries_due = self.now + EXPIRY;
        }
        self.end_tokens();
        self.look_at_homes();
        self.close_orphans();
        self.close_drained();
        self.look_at_slow();
    }

    fn close_orphans(&mut self) {
        let Some(at) = self.orphans.next_at.filter(|at| *at <= self.now) else { return };
        let per_second = f64::from(self.env.limits.orphan_close_per_second);
        let due = self.orphans.owed + per_second / f64::from(self.shards) * PACE.as_secs_f64();
        self.orphans.owed = due.fract();
        for _ in 0..whole(due) {
            let Some((key, reason)) = self.orphans.waiting.pop_front() else { break };
            self.close_orphan(key, reason);
        }
        self.orphans.next_at = (!self.orphans.waiting.is_empty()).then(|| at + PACE);
    }

    /// Closes a session, if it is still in its slot.
    pub(super) fn close_live(&mut self, key: SlotKey, reason: CloseReason) {
        if self.departures.is_leaving(key.slot) {
            return; // It is about to be another node's.
        }
        // A session that has already ended needs nothing.
        self.with_key(key, |live, now| live.session.close(now, reason));
    }

    /// Closes all sessions, spread evenly over the time until the deadline.
    pub(super) fn begin_drain(&mut self, deadline: Duration) {
        self.drain = Some(DrainPace {
            next_at: self.now,
            // A tenth of the time is left for the last streams to deliver their frames.
            until: self.now + deadline.mul_f32(0.9),
            waiting: self.open_sessions(),
            owed: 0.0,
        });
    }

    fn open_sessions(&self) -> VecDeque<SlotKey> {
        let open = self.slots.iter().filter_map(|(index, slot)| match &slot.state {
            State::Live(live) if !live.session.is_closed() => Some(self.key_of(index, slot)),
            State::Live(_) | State::Opening(_) | State::Arriving(_) | State::Ended => None,
        });
        open.collect()
    }

    fn close_drained(&mut self) {
        let Some(mut drain) = self.drain.take_if(|drain| drain.next_at <= self.now) else { return };
        if drain.waiting.is_empty() {
            // Includes handshakes that were under way when the drain began.
            drain.waiting = self.open_sessions();
        }
        let steps = (drain.until.since(self.now).as_secs_f64() / PACE.as_secs_f64()).max(1.0);
        let waiting = u32::try_from(drain.waiting.len()).unwrap_or(u32::MAX);
        let due = drain.owed + f64::from(waiting) / steps;
        drain.owed = due.fract();
        drain.next_at = self.now + PACE;
        for _ in 0..whole(due) {
            let Some(key) = drain.waiting.pop_front() else { break };
            self.close_live(key, CloseReason::NodeShutdown);
        }
        self.drain = Some(drain);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of at most as many sessions as there are, never negative"
)]
pub(super) fn whole(due: f64) -> usize {
    due as usize
}

/// Whether the description tells the app what the reason on the trunk does not.
fn is_told_in_words(reason: CloseReason) -> bool {
    reason.is_revoked()
        || matches!(
            reason,
            CloseReason::Flooded
                | CloseReason::MemoryFull
                | CloseReason::NamespacesFull
                | CloseReason::OutboxFull
                | CloseReason::RoomsFull
        )
}

/// The result of discarding a lingering stream's bytes.
enum Discarded {
    Emptied,
    Ended,
    MoreLeft,
}

/// Reads and discards one turn's share of bytes that no session needs.
fn discard(stream: &mut Stream) -> Discarded {
    let mut rest = [0; 16 * 1024];
    for _ in 0..READS_PER_TURN {
        match stream.socket.read(&mut rest) {
            Ok(0) => return Discarded::Ended,
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Discarded::Emptied,
            Err(_) => return Discarded::Ended,
        }
    }
    Discarded::MoreLeft
}

/// Queues what the session still has to send after the frames in its stream; returns the close
/// frame.
fn queue_the_rest(session: &mut Session, stream: &mut Stream) -> Option<Bytes> {
    loop {
        match session.poll_transmit()? {
            Transmit::Frame(frame) => stream.queue(frame),
            // No message waits to be compressed any longer.
            Transmit::Later => session.set_deflate(None),
            Transmit::CloseStream { .. } => return Some(encode(Opcode::Close, &[], None)),
            Transmit::CloseProbe
            | Transmit::ProbeFrame(_)
            | Transmit::PromoteProbe
            | Transmit::Respond { .. } => (),
        }
    }
}

/// The reason as the trunk has it. `in_one_payload`: what ended the session arrived in the same
/// polling payload as messages before it.
pub(super) fn wire_reason(reason: CloseReason, in_one_payload: bool) -> WireReason {
    match reason {
        CloseReason::TransportClose if in_one_payload => WireReason::ClosedWithMessages,
        CloseReason::ParseError if in_one_payload => WireReason::ParseErrorWithMessages,
        CloseReason::TransportClose => WireReason::ClientClosed,
        CloseReason::Flooded | CloseReason::TransportError => WireReason::TransportError,
        CloseReason::PingTimeout => WireReason::PingTimeout,
        CloseReason::ParseError => WireReason::ParseError,
        CloseReason::Forced => WireReason::AppClosed,
        CloseReason::ServerShuttingDown => WireReason::AppShutdown,
        // For the app these are the same: more waited for the client than the node may hold.
        CloseReason::MemoryFull | CloseReason::OutboxFull => WireReason::OutboxFull,
        CloseReason::TooLarge => WireReason::MessageTooLarge,
        // For the app these are the same: the client has to connect again.
        CloseReason::AddressDenied
        | CloseReason::HubRemoved
        | CloseReason::KeyRemoved
        | CloseReason::MoveFailed
        | CloseReason::NamespacesFull
        | CloseReason::NodeShutdown
        | CloseReason::RecoveryUnproved
        | CloseReason::RoomsFull
        | CloseReason::TokenExpired
        | CloseReason::TokenRevoked
        | CloseReason::UserSessionsFull => WireReason::NodeShutdown,
        CloseReason::AppServerLost
        | CloseReason::AppServerLostInDoubt
        | CloseReason::RehomeRefused => WireReason::AppLost,
    }
}
