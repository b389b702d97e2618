//! A session's messages on their way to its app server, within the credit that the app server gave.
//!
//! Without credit nothing is sent: the session's stream is not read, its posts are not begun, and
//! everything that one read or one post has already brought is held, in order, until there is
//! credit again. Sessions that wait for credit stand in a queue, and go to its end after a turn:
//! even if one session has very much to send, the others are read in between.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use trunkline_engineio::{Body, CloseReason, PeerMisbehaved, Post};
use trunkline_trunk::Header;
use trunkline_trunk::encode::{encode_message, encode_upgraded, message_cost};
use trunkline_trunk::{NumberState, SessionNumber, Transport, weight_of};

use super::command::{Answer, Command};
use super::meters::Heard;
use super::share::{Share, quantum};
use super::slot::{Carrier, State, number_of};
use super::{SCRATCH_BYTES, Shard, ShardTrunk};
use crate::hub::TrunkNumber;
use crate::metrics::{Cause, Metrics};
use crate::reply::Reply;

/// Packets of a post that are decoded before other sessions have their turn: about as many as one
/// read of a WebSocket can bring.
const PACKETS_PER_SLICE: usize = 256;

/// A session's input that has not been sent to its app server, for lack of credit or because other
/// sessions have their turn first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    messages: VecDeque<(bool, Bytes)>,
    /// Bytes of the same read after those messages, not decoded yet: a compressed message can
    /// decode to a thousand times its length.
    pub(super) unheard: Vec<u8>,
    /// The rest of a post that is not decoded yet: its packets come after those messages.
    post: Option<Post>,
    /// The reply for the client of that post, and its answer once all of it is decoded. The answer
    /// is given when the post's messages have been sent.
    reply: Option<Reply<Answer>>,
    answer: Option<Answer>,
    /// Posts that came meanwhile: their bodies stay unread in the clients' streams.
    parked: Vec<Command>,
    /// The end of the session, if it has ended: the app server is notified after the last message.
    pub(super) ended: Option<(CloseReason, &'static str)>,
}

impl Held {
    /// Holds a whole post that has come.
    pub(super) fn hold_post(&mut self, post: Post, reply: Reply<Answer>) {
        self.post = Some(post);
        self.reply = Some(reply);
    }

    /// Whether a post is under way.
    pub(super) fn has_post(&self) -> bool {
        self.post.is_some() || self.reply.is_some()
    }

    /// Holds messages before all others.
    pub(super) fn put_before(&mut self, mut messages: VecDeque<(bool, Bytes)>) {
        messages.append(&mut self.messages);
        self.messages = messages;
    }

    /// What a session has held that comes from another node: messages, and bytes of its stream.
    pub(super) fn of_moved(messages: Vec<(bool, Bytes)>, unheard: Vec<u8>) -> Option<Self> {
        let is_empty = messages.is_empty() && unheard.is_empty();
        (!is_empty).then(|| Self { messages: messages.into(), unheard, ..Self::default() })
    }

    /// The messages that are decoded.
    pub(super) fn decoded(&self) -> Vec<(bool, Bytes)> {
        self.messages.iter().cloned().collect()
    }

    /// Drops a post that is not decoded completely, because the session no longer polls. Returns the
    /// posts that waited for it.
    pub(super) fn leave_post(&mut self) -> Vec<Command> {
        (self.post, self.reply, self.answer) = (None, None, None);
        std::mem::take(&mut self.parked)
    }

    /// Whether the rest can be sent only with credit.
    pub(super) fn waits_for_credit(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Bytes that are not decoded yet.
    pub(super) fn undecoded_bytes(&self) -> usize {
        self.unheard.len() + self.post.as_ref().map_or(0, Post::bytes)
    }

    /// Lets a post wait until nothing is held any longer.
    pub(super) fn park(&mut self, command: Command) {
        self.parked.push(command);
    }

    /// Whether a post waits already.
    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Drops the bytes that are not decoded yet and frees their memory. The app server still gets
    /// the messages before them.
    pub(super) fn forget_undecoded(&mut self) {
        self.unheard = Vec::new();
        self.post = None;
    }

    /// Answers the held post after the app has closed the session: the post succeeds, although the
    /// rest of it is not delivered.
    pub(super) fn dismiss(
        self,
        lasting: Option<Arc<[Header]>>,
    ) -> Option<(CloseReason, &'static str)> {
        if let Some(reply) = self.reply {
            let _ = reply.send(Answer::Ok { lasting });
        }
        self.ended
    }
}

/// Input that waits for credit.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A post whose body is not read until there is credit.
    Post(Command),
    /// A session whose stream is not read until there is credit.
    Session(u32),
}

/// The way of one session's messages: into its app server's batch of this turn.
pub(super) struct Uplink<'a> {
    shard_trunk: &'a mut ShardTrunk,
    number: SessionNumber,
    open: bool,
    /// Messages that came.
    pub(super) messages: u64,
}

impl<'a> Uplink<'a> {
    /// The uplink of a session; `None` when its app server is gone, is about to hand it over, or
    /// has not taken it over yet.
    pub(super) fn new(
        trunks: &'a mut HashMap<TrunkNumber, ShardTrunk>,
        (trunk, state): (TrunkNumber, NumberState),
        number: SessionNumber,
    ) -> Option<Self> {
        if matches!(state, NumberState::Adopting | NumberState::Leaving) {
            return None;
        }
        let open = state == NumberState::Open;
        Some(Self { shard_trunk: trunks.get_mut(&trunk)?, number, open, messages: 0 })
    }

    pub(super) fn has_credit(&self) -> bool {
        self.shard_trunk.trunk.has_credit()
    }

    /// The bytes that may be read from the client now, see [`Share::readable`].
    pub(super) fn readable(&self, share: Share, quantum: usize) -> usize {
        if self.has_credit() { share.readable(&self.shard_trunk.trunk, quantum) } else { 0 }
    }

    /// Adds bytes that were read from the client to the session's share.
    pub(super) fn note_read(&self, share: &mut Share, bytes: usize) {
        share.add(&self.shard_trunk.trunk, bytes);
    }

    /// Sends one message, or holds it after those that are held.
    pub(super) fn message(
        &mut self,
        body: &Body<'_>,
        held: &mut Option<Box<Held>>,
        metrics: &Metrics,
    ) {
        let (binary, bytes) = match body {
            Body::Text(text) => (false, text.as_bytes()),
            Body::Binary(bytes) => (true, *bytes),
        };
        if !self.open {
            return; // The app has closed the session: no listener is left.
        }
        self.messages += 1;
        metrics.messages_received.inc();
        metrics.received_bytes.inc_by(bytes.len() as u64);
        if held.is_some() || !self.send(binary, bytes) {
            let held = held.get_or_insert_default();
            if held.messages.is_empty() {
                metrics.trunk_stalls.inc();
            }
            held.messages.push_back((binary, Bytes::copy_from_slice(bytes)));
        }
    }

    /// Sends one message; false when there is no credit to start it with.
    fn send(&mut self, binary: bool, bytes: &[u8]) -> bool {
        let cost = message_cost(self.number, bytes.len());
        if !self.shard_trunk.trunk.spend_credit(cost) {
            return false;
        }
        self.shard_trunk.out_weight += weight_of(cost);
        encode_message(&mut self.shard_trunk.out, self.number, binary, bytes);
        true
    }

    /// Notifies the app server that the session's transport is now a WebSocket. An app that has
    /// closed the session meanwhile no longer knows its number.
    pub(super) fn upgraded(&mut self) {
        if self.open {
            encode_upgraded(&mut self.shard_trunk.out, self.number, Transport::WebSocket);
        }
    }

    /// Notes a slot that continues once there is credit again.
    pub(super) fn pause(&mut self, slot: u32) {
        self.shard_trunk.waiting.push_back(Waiting::Session(slot));
        self.shard_trunk.trunk.note_waiting();
    }

    /// Notes a post whose body is not read until there is credit again: at most one for a session.
    pub(super) fn park(&mut self, command: Command) {
        self.shard_trunk.waiting.push_back(Waiting::Post(command));
        self.shard_trunk.trunk.note_waiting();
    }
}

impl Shard {
    /// Pauses the slot until its app server gives credit.
    pub(super) fn pause(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let number = number_of(index, self.index, self.shards);
        if let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.uplink(), number)
            && !std::mem::replace(&mut slot.paused, true)
        {
            if uplink.has_credit() {
                self.env.metrics.trunk_window_waits.inc();
            }
            uplink.pause(index);
        }
    }

    /// Gives the waiting sessions and posts their turns when the trunk may send again, as long as
    /// the credit lasts. True when at least one had a turn.
    pub(super) fn resume_paused(&mut self, trunk: TrunkNumber) -> bool {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return false };
        let count = shard_trunk.waiting.len();
        self.quantum = quantum(&shard_trunk.trunk, count);
        let served = self.resume_some(trunk, count);
        self.quantum = SCRATCH_BYTES;
        if let Some(shard_trunk) = self.trunks.get(&trunk)
            && !shard_trunk.waiting.is_empty()
        {
            shard_trunk.trunk.note_waiting();
        }
        served
    }

    fn resume_some(&mut self, trunk: TrunkNumber, count: usize) -> bool {
        for turn in 0..count {
            let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return turn > 0 };
            if !shard_trunk.trunk.has_room() {
                return turn > 0;
            }
            match shard_trunk.waiting.pop_front() {
                Some(Waiting::Session(index)) => self.resume(trunk, index),
                Some(Waiting::Post(command)) => {
                    self.unpark(&command);
                    self.handle(command);
                }
                None => return turn > 0,
            }
        }
        count > 0
    }

    /// Adds bytes that were read from the client to the session's share.
    pub(super) fn note_read(&mut self, index: u32, bytes: usize) {
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return };
        if let Some(uplink) = Uplink::new(&mut self.trunks, slot.uplink(), number) {
            uplink.note_read(&mut slot.share, bytes);
        }
    }

    /// Whether more of the session's input may be decoded now; if not, it waits.
    fn may_hear(&mut self, index: u32) -> bool {
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return false };
        if slot.slowed.is_slowed() || !self.has_flow(index) {
            return false; // It goes on by itself.
        }
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let uplink = Uplink::new(&mut self.trunks, slot.uplink(), number);
        let may = uplink.is_none_or(|uplink| uplink.readable(slot.share, SCRATCH_BYTES) > 0);
        if !may {
            self.pause(index);
        }
        may
    }

    fn resume(&mut self, trunk: TrunkNumber, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        // The slot may belong to another session by now.
        if slot.trunk != trunk || !std::mem::take(&mut slot.paused) {
            return;
        }
        if slot.is_between() {
            // It is about to leave this app server.
            return self.note_demand(index);
        }
        if self.send_held(index) {
            // Read at once: in a later turn, sessions that hold something would have taken the
            // credit.
            self.read_probe(index);
            self.read_stream(index);
        }
    }

    /// Continues with the held input: sends messages within the credit, and then decodes one slice
    /// of the rest. True when nothing is held any longer.
    pub(super) fn send_held(&mut self, index: u32) -> bool {
        if !self.send_messages(index) {
            return false;
        }
        if self.hears_post(index) {
            if !self.may_hear(index) {
                return false;
            }
            self.hear_post(index);
            if !self.send_messages(index) {
                return false;
            }
            if self.hears_post(index) {
                self.set_heavy(index);
                return false;
            }
        }
        let Some(live) = self.slots.live(index) else {
            return false;
        };
        let Some(held) = live.held.take() else { return true };
        if let Carrier::Polling(polling) = &mut live.carrier
            && let (Some(reply), Some(answer)) = (held.reply, held.answer)
        {
            polling.posting = None;
            // If the requester has gone, it does not need the answer.
            let _ = reply.send(answer);
        }
        if let Some((reason, description)) = held.ended {
            self.end_session(index, reason, description);
            return false;
        }
        let mut unheard = held.unheard;
        let goes_on = unheard.is_empty() || self.hear(index, &mut unheard);
        for command in held.parked {
            self.handle(command);
        }
        goes_on
    }

    /// Sends held messages; false when some have to wait.
    fn send_messages(&mut self, index: u32) -> bool {
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let uplink = slot.uplink();
        let Some(live) = slot.live() else { return false };
        let Some(held) = &mut live.held else { return true };
        let Some(mut uplink) = Uplink::new(&mut self.trunks, uplink, number) else { return false };
        while let Some((binary, bytes)) = held.messages.front() {
            if uplink.open && !uplink.send(*binary, bytes) {
                self.pause(index);
                return false;
            }
            held.messages.pop_front();
        }
        true
    }

    /// Whether a post of this session is not completely decoded.
    pub(super) fn hears_post(&mut self, index: u32) -> bool {
        let live = self.slots.live(index);
        live.is_some_and(|live| live.held.as_ref().is_some_and(|held| held.post.is_some()))
    }

    /// Decodes one slice of a post. All messages before it have been sent.
    fn hear_post(&mut self, index: u32) {
        let now = self.now;
        let packets = PACKETS_PER_SLICE.min(self.flow_packets(index));
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let uplink = slot.uplink();
        let State::Live(live) = &mut slot.state else { return };
        let Some(mut held) = live.held.take() else { return };
        let metrics = &self.env.metrics;
        let mut messages = 0;
        // Without an app server the session is about to be closed, and the post is dropped.
        if let Some(mut post) = held.post.take()
            && let Some(mut uplink) = Uplink::new(&mut self.trunks, uplink, number)
        {
            slot.spoke = false;
            let spoke = &mut slot.spoke;
            let mut beyond_credit = None;
            let mut on = |message: Body<'_>| {
                uplink.message(&message, &mut beyond_credit, metrics);
                *spoke = true;
            };
            let outcome = live.session.go_on_with_post(now, &mut post, packets, &mut on);
            messages = uplink.messages;
            metrics.count_idle_packets(post.take_idle());
            held.messages = beyond_credit.map(|beyond| beyond.messages).unwrap_or_default();
            match outcome {
                Ok(()) if !post.is_over() => held.post = Some(post),
                Ok(()) => held.answer = Some(Answer::Ok { lasting: live.lasting() }),
                Err(rule) => {
                    held.answer = Some(answer_to(rule, live.lasting()));
                    metrics.misbehaviour.get_or_create(&Cause { cause: rule.slug() }).inc();
                }
            }
        }
        live.held = Some(held);
        self.charge(index, Heard { messages, ..Heard::default() });
        self.mark_dirty(index);
    }
}

/// The answer to a post that broke a rule.
pub(super) fn answer_to(rule: PeerMisbehaved, lasting: Option<Arc<[Header]>>) -> Answer {
    match rule.answer() {
        Ok(()) => Answer::Ok { lasting },
        Err(status) => Answer::Status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_decoded_is_given_back_and_what_is_waits() {
        let messages = VecDeque::from([(false, Bytes::from_static(b"decoded"))]);
        let mut held = Held { messages, unheard: vec![0; 1_000], ..Held::default() };
        held.forget_undecoded();
        assert_eq!((held.undecoded_bytes(), held.waits_for_credit()), (0, true));
    }
}
