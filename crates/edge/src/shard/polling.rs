//! The HTTP side of live sessions: polls, posts, and the check whether a sid exists.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_engineio::error::HandshakeError;
use trunkline_engineio::{CloseReason, PollKey, Protocol, TransportKind};

use super::command::{
    Answer, Asked, Command, Inspected, POST_BROKEN, PostBegun, PostBounds, Refusal, SlotKey,
};
use super::meters::Heard;
use super::slot::{Carrier, Live, State, number_of};
use super::uplink::{Uplink, answer_to};
use super::{SCRATCH_BYTES, Shard};
use crate::reply::{self, Reply};
use crate::sid::Sid;

impl Shard {
    /// Handles a GET of a polling session: holds it until the session has packets to send.
    pub(super) fn poll(&mut self, asked: &Asked, poll: u32, reply: Reply<Answer>) {
        self.catch_up_with_probe(&asked.sid);
        self.serve_overdue(&asked.sid);
        match self.find(asked, true) {
            Ok(key) => self.hold_poll(key, poll, reply),
            Err(refusal) => {
                let _ = reply.send(Answer::Refused(refusal));
            }
        }
    }

    /// Holds a poll, and answers it at once if the session has packets to send.
    pub(super) fn hold_poll(&mut self, key: SlotKey, poll: u32, reply: Reply<Answer>) {
        let now = self.now;
        let Some(live) = self.live(key) else { return };
        let Carrier::Polling(polling) = &mut live.carrier else { return };
        let unread = polling.bytes_in_flight();
        let waiting = unread + live.session.outbox_bytes();
        if unread > 0 && waiting >= live.session.config().outbox_bytes_max {
            // A client that polls again and again without reading the answers.
            self.drop_client(key.slot, CloseReason::OutboxFull);
        }
        let Some(live) = self.live(key) else { return };
        let Carrier::Polling(polling) = &mut live.carrier else { return };
        match live.session.handle_poll(now, PollKey(poll)) {
            Ok(()) => polling.held = Some((poll, reply)),
            Err(rule) => {
                let _ = reply.send(Answer::Status(400));
                self.count_misbehaviour(rule.slug());
            }
        }
        self.mark_dirty(key.slot);
    }

    /// Notes that the connection of a held poll ended before the poll was answered.
    pub(super) fn poll_gone(&mut self, sid: &Sid, poll: u32) {
        if let Some(slot) = self.slots.get(sid.slot)
            && slot.secret.matches(&sid.secret)
        {
            self.held_poll_gone(self.key_of(sid.slot, slot), poll);
        }
    }

    /// Answers a held poll, with a noop when there is nothing to send.
    pub(super) fn poll_back(&mut self, sid: &Sid, poll: u32) {
        let Some(slot) = self.slots.get(sid.slot).filter(|one| one.secret.matches(&sid.secret))
        else {
            return;
        };
        self.with_key(self.key_of(sid.slot, slot), |live, now| {
            if matches!(&live.carrier, Carrier::Polling(polling)
                if polling.held.as_ref().is_some_and(|(held, _)| *held == poll))
            {
                live.session.release_poll(now);
            }
        });
    }

    /// Handles the end of a held poll's connection for the session of this key.
    pub(super) fn held_poll_gone(&mut self, key: SlotKey, poll: u32) {
        self.with_key(key, |live, now| {
            let Carrier::Polling(polling) = &mut live.carrier else { return };
            if polling.held.take_if(|(held, _)| *held == poll).is_some() {
                live.session.handle_poll_gone(now, PollKey(poll));
            } else if polling.answered == Some(poll) {
                // The answer was given to a request whose connection was ending.
                live.session.handle_poll_lost(now);
            }
        });
    }

    /// Begins a POST. Without credit it waits, and its body stays unread in the client's stream.
    pub(super) fn post_begin(&mut self, asked: Asked, reply: Reply<PostBegun>) {
        let post = Command::PostBegin { asked, reply };
        let Some((key, Command::PostBegin { reply, .. })) = self.let_begin(post) else { return };
        let Some(begun) = self.want_body(key) else { return };
        let begun = begun.map(|(bounds, jsonp)| {
            let (cutter, cut) = reply::pair();
            if let Some(Carrier::Polling(polling)) = self.live(key).map(|live| &mut live.carrier) {
                polling.posting = Some(cutter);
            }
            PostBegun::Wanted { key, bounds, jsonp, cut }
        });
        if let Err(PostBegun::Wanted { key, .. }) =
            reply.send(begun.unwrap_or_else(|refused| refused))
        {
            self.post_gone(key, Some(POST_BROKEN));
        }
    }

    /// Returns a POST that may begin now. Others wait, or are refused.
    pub(super) fn let_begin(&mut self, post: Command) -> Option<(SlotKey, Command)> {
        let asked = *post.post()?;
        self.catch_up_with_probe(&asked.sid);
        self.serve_overdue(&asked.sid);
        let key = match self.find(&asked, true) {
            Ok(key) => key,
            Err(refusal) => {
                post.refuse_post(PostBegun::Refused(refusal));
                return None;
            }
        };
        if self.is_between(key.slot) {
            self.park_post(key.slot, post);
            return None;
        }
        let number = number_of(key.slot, self.index, self.shards);
        let slot = self.slots.get_mut(key.slot)?;
        if let Some(held) = slot.live().and_then(|live| live.held.as_mut()) {
            // The previous POST's body has arrived, so this one does not overlap with it; but it is
            // not decoded yet.
            if held.has_parked() {
                self.refuse_overlap(key.slot, post);
            } else {
                held.park(post);
            }
            return None;
        }
        if slot.slowed.by_itself() {
            if let Some(second) = self.slow_post(key.slot, post) {
                self.refuse_overlap(key.slot, second);
            }
            return None;
        }
        if !self.has_flow(key.slot) {
            if let Some(second) = self.queue_post(key.slot, post) {
                self.refuse_overlap(key.slot, second);
            }
            return None;
        }
        let slot = self.slots.get_mut(key.slot)?;
        if let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.uplink(), number)
            && uplink.readable(slot.share, SCRATCH_BYTES) == 0
        {
            // The one that waits has begun, so this one overlaps with it.
            if std::mem::replace(&mut slot.parked, true) {
                self.refuse_overlap(key.slot, post);
            } else {
                uplink.park(post);
                self.pause(key.slot);
            }
            return None;
        }
        Some((key, post))
    }

    /// The limits for a POST's body, and whether it is a form; or that the POST overlaps with
    /// another one.
    pub(super) fn want_body(
        &mut self,
        key: SlotKey,
    ) -> Option<Result<(PostBounds, bool), PostBegun>> {
        let now = self.now;
        let live = self.live(key)?;
        let config = live.session.config();
        let bounds = PostBounds {
            bytes_max: config.payload_bytes_max,
            chunks_max: config.payload_chunks_max,
            timeout: config.payload_timeout,
        };
        let jsonp = live.jsonp().is_some();
        let Carrier::Polling(polling) = &mut live.carrier else { return None };
        if polling.posting.take_if(|cutter| !cutter.is_closed()).is_none() {
            return Some(Ok((bounds, jsonp)));
        }
        live.session.handle_overlapping_post(now);
        self.count_misbehaviour("posts_overlap");
        self.mark_dirty(key.slot);
        Some(Err(PostBegun::Status(400)))
    }

    /// Handles the body of a complete POST: its messages go to the app server slice by slice.
    pub(super) fn post_body(
        &mut self,
        key: SlotKey,
        binary: bool,
        body: Bytes,
        reply: Reply<Answer>,
    ) {
        let now = self.now;
        // The session may have ended or upgraded before the body was complete: npm destroys such a
        // request, too.
        let Some(live) = self.live(key) else { return };
        let lasting = live.lasting();
        let Carrier::Polling(polling) = &mut live.carrier else { return };
        if live.held.as_ref().is_some_and(|held| held.has_post()) {
            // This POST began when the body of the one before had been read but had not reached the
            // shard.
            live.session.handle_overlapping_post(now);
            let _ = reply.send(Answer::Status(400));
            self.count_misbehaviour("posts_overlap");
            self.mark_dirty(key.slot);
            return;
        }
        let bytes = body.len();
        match live.session.begin_post(now, binary, body) {
            Ok(post) => {
                live.held.get_or_insert_default().hold_post(post, reply);
                self.note_read(key.slot, bytes);
                self.charge(key.slot, Heard { bytes: bytes as u64, ..Heard::default() });
                self.send_held(key.slot);
                self.note_demand(key.slot);
            }
            Err(rule) => {
                polling.posting = None;
                let _ = reply.send(answer_to(rule, lasting));
                self.count_misbehaviour(rule.slug());
            }
        }
        self.mark_dirty(key.slot);
    }

    /// Ends a POST without a usable body. If the client is at fault, the session ends, as in
    /// Engine.IO.
    pub(super) fn post_gone(&mut self, key: SlotKey, fault: Option<&'static str>) {
        self.with_key(key, |live, now| {
            let Carrier::Polling(polling) = &mut live.carrier else { return };
            polling.posting = None;
            if let Some(fault) = fault {
                live.session.handle_stream_error(now, fault);
            }
        });
    }

    /// Checks a sid for the handshake of a WebSocket that wants to probe.
    pub(super) fn inspect(&mut self, asked: &Asked) -> Result<Inspected, Refusal> {
        self.serve_overdue(&asked.sid);
        let key = self.find(asked, false)?;
        let trunk = self.slots.get(key.slot).and_then(|slot| self.trunks.get(&slot.trunk));
        let owner = trunk.map(|known| Arc::clone(&known.trunk));
        let (has_owner, movable) = (owner.is_some(), self.may_begin_to_move(key.slot));
        Ok(Inspected { key, owner, has_owner, movable })
    }

    /// Does what the session's timer should have done by now before a later request is handled:
    /// ticks are coarse, and Node.js fires a timer before it reads a stream.
    fn serve_overdue(&mut self, sid: &Sid) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(sid.slot) else { return };
        if !slot.secret.matches(&sid.secret) {
            return;
        }
        let is_due = |live: &mut Live| live.session.poll_deadline().is_some_and(|at| at <= now);
        if slot.live().is_some_and(is_due) {
            self.session_timed_out(sid.slot);
        }
    }

    /// Makes Engine.IO's checks of a request that names a session, in its order.
    fn find(&self, asked: &Asked, polling: bool) -> Result<SlotKey, Refusal> {
        let Asked { sid, protocol, hub } = asked;
        let found = self
            .slots
            .get(sid.slot)
            .filter(|slot| self.env.numbers.owns(sid.node) && slot.hub == *hub)
            .filter(|slot| slot.secret.matches(&sid.secret));
        let (slot, live) = match found {
            Some(slot) => match &slot.state {
                State::Live(live) if !live.session.is_closed() => (slot, live),
                State::Live(_) | State::Opening(_) | State::Arriving(_) | State::Ended => {
                    return Err(unknown_sid(sid));
                }
            },
            None if polling && self.departures.has_left(&sid.secret) => {
                return Err(wrong_transport(TransportKind::WebSocket));
            }
            None => return Err(unknown_sid(sid)),
        };
        let transport = live.session.transport();
        if polling && transport != TransportKind::Polling {
            return Err(wrong_transport(transport));
        }
        let previous = live.session.protocol();
        if previous != *protocol {
            return Err(Refusal {
                error: HandshakeError::BadRequest,
                context: format!(
                    r#"{{"name":"PROTOCOL_MISMATCH","protocol":{},"previousProtocol":{}}}"#,
                    revision(*protocol),
                    revision(previous)
                ),
            });
        }
        Ok(self.key_of(sid.slot, slot))
    }

    pub(super) fn count_misbehaviour(&self, cause: &'static str) {
        self.env.metrics.misbehaviour.get_or_create(&crate::metrics::Cause { cause }).inc();
    }
}

fn revision(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::V3 => 3,
        Protocol::V4 => 4,
    }
}

fn wrong_transport(previous: TransportKind) -> Refusal {
    Refusal {
        error: HandshakeError::BadRequest,
        context: format!(
            r#"{{"name":"TRANSPORT_MISMATCH","transport":"polling","previousTransport":"{}"}}"#,
            previous.name()
        ),
    }
}

fn unknown_sid(sid: &Sid) -> Refusal {
    Refusal {
        error: HandshakeError::UnknownSid,
        context: format!(r#"{{"sid":"{}"}}"#, sid.encode()),
    }
}

impl Live {
    /// Whether the body of a POST is on its way.
    pub(super) fn is_posting(&self) -> bool {
        match &self.carrier {
            Carrier::Polling(polling) => {
                polling.posting.as_ref().is_some_and(|cutter| !cutter.is_closed())
            }
            Carrier::Promised | Carrier::Stream(_) | Carrier::Gone => false,
        }
    }

    /// Takes the held poll with this number, to answer it now.
    pub(super) fn take_held(&mut self, poll: PollKey) -> Option<Reply<Answer>> {
        let Carrier::Polling(polling) = &mut self.carrier else { return None };
        let (_, reply) = polling.held.take_if(|(held, _)| *held == poll.0)?;
        polling.answered = Some(poll.0);
        Some(reply)
    }
}
