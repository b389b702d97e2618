//! A session's messages on their way to its app server, within the credit that the app server gave.
//!
//! Without credit nothing is sent: the session's stream is not read, its posts are not begun, and what one read or one
//! post had already brought is held, in order, until there is credit again. Who waits for credit stands in a queue, and
//! goes to its end after a turn: however much one session has to say, the others are heard between.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use trunkline_engineio::{Body, CloseReason, PeerMisbehaved, Post};
use trunkline_trunk::Header;
use trunkline_trunk::encode::{encode_message, encode_upgraded, message_cost};
use trunkline_trunk::{NumberState, SessionNumber, Transport};

use super::command::{Answer, Command};
use super::slot::{Carrier, State, number_of};
use super::{Shard, ShardTrunk};
use crate::hub::TrunkNumber;
use crate::metrics::{Cause, Metrics};
use crate::reply::Reply;

/// Packets of a post that are decoded before others are looked at: what one read of a WebSocket might bring.
const PACKETS_PER_SLICE: usize = 256;

/// What a session has in hand that has not gone to its app server: for want of credit, or because others have their
/// turns first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    messages: VecDeque<(bool, Bytes)>,
    /// What one read had brought behind those messages, not decoded yet: a compressed message may be a thousand times
    /// as long as what came of it.
    pub(super) unheard: Vec<u8>,
    /// The rest of a post that is not decoded yet: its packets come behind those messages.
    post: Option<Post>,
    /// Who waits for the answer to that post, and the answer when all of it is decoded: given when its messages have
    /// gone.
    reply: Option<Reply<Answer>>,
    answer: Option<Answer>,
    /// Posts that came meanwhile: their bodies are in the clients' streams, and not read before.
    parked: Vec<Command>,
    /// The session has ended; its app server hears of it behind its last message.
    pub(super) ended: Option<(CloseReason, &'static str)>,
}

impl Held {
    /// A post has come, whole.
    pub(super) fn by_post(post: Post, reply: Reply<Answer>) -> Self {
        Self { post: Some(post), reply: Some(reply), ..Self::default() }
    }

    /// It goes on with credit only.
    pub(super) fn waits_for_credit(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Bytes that are not decoded yet.
    pub(super) fn undecoded_bytes(&self) -> usize {
        self.unheard.len() + self.post.as_ref().map_or(0, Post::bytes)
    }

    /// Lets a post wait until nothing is held any more.
    pub(super) fn park(&mut self, command: Command) {
        self.parked.push(command);
    }

    /// What is not decoded yet will not be: its memory is given back. The app server gets the messages before it.
    pub(super) fn forget_undecoded(&mut self) {
        self.unheard = Vec::new();
        self.post = None;
    }

    /// The app has closed the session: the post is well, though nobody hears the rest of it.
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

/// Who waits for credit.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A post whose body is not read before.
    Post(Command),
    /// A session that is not read.
    Session(u32),
}

/// Where one session's messages go: its app server's batch of this turn.
pub(super) struct Uplink<'a> {
    shard_trunk: &'a mut ShardTrunk,
    number: SessionNumber,
    open: bool,
}

impl<'a> Uplink<'a> {
    /// `None` when the app server is gone.
    pub(super) fn new(
        trunks: &'a mut HashMap<TrunkNumber, ShardTrunk>,
        (trunk, state): (TrunkNumber, NumberState),
        number: SessionNumber,
    ) -> Option<Self> {
        let open = state == NumberState::Open;
        Some(Self { shard_trunk: trunks.get_mut(&trunk)?, number, open })
    }

    pub(super) fn has_credit(&self) -> bool {
        self.shard_trunk.trunk.has_credit()
    }

    /// Sends one message, or holds it behind those that are held.
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
            return; // The app has closed the session: nobody hears it any more.
        }
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

    /// False when there is no credit to start a message with.
    fn send(&mut self, binary: bool, bytes: &[u8]) -> bool {
        let cost = message_cost(self.number, bytes.len());
        if !self.shard_trunk.trunk.spend_credit(cost) {
            return false;
        }
        encode_message(&mut self.shard_trunk.out, self.number, binary, bytes);
        true
    }

    /// Tells that the session's transport is now a WebSocket. An app that has closed it meanwhile does not know its
    /// number any more.
    pub(super) fn upgraded(&mut self) {
        if self.open {
            encode_upgraded(&mut self.shard_trunk.out, self.number, Transport::WebSocket);
        }
    }

    /// Notes a slot that goes on once there is credit again.
    pub(super) fn pause(&mut self, slot: u32) {
        self.shard_trunk.waiting.push_back(Waiting::Session(slot));
    }

    /// The same for a post whose body is not wanted before.
    pub(super) fn park(&mut self, command: Command) {
        self.shard_trunk.waiting.push_back(Waiting::Post(command));
    }
}

impl Shard {
    /// The slot goes on when its app server gives credit.
    pub(super) fn pause(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if std::mem::replace(&mut slot.paused, true) {
            return;
        }
        let number = number_of(index, self.index, self.shards);
        if let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.uplink(), number) {
            uplink.pause(index);
        }
    }

    /// The trunk may send again: those who wait have their turns, as long as the credit lasts. True when somebody had
    /// one.
    pub(super) fn resume_paused(&mut self, trunk: TrunkNumber) -> bool {
        let count = self.trunks.get(&trunk).map_or(0, |shard_trunk| shard_trunk.waiting.len());
        for turn in 0..count {
            let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return turn > 0 };
            if !shard_trunk.trunk.has_credit() {
                return turn > 0;
            }
            match shard_trunk.waiting.pop_front() {
                Some(Waiting::Session(index)) => self.resume(trunk, index),
                Some(Waiting::Post(command)) => self.handle(command),
                None => return turn > 0,
            }
        }
        count > 0
    }

    fn resume(&mut self, trunk: TrunkNumber, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        // It may be another session's by now.
        if slot.trunk != trunk || !std::mem::take(&mut slot.paused) {
            return;
        }
        if self.send_held(index) {
            // At once: in a later turn those who hold something would have taken the credit.
            self.read_probe(index);
            self.read_stream(index);
        }
    }

    /// Goes on with what is held: messages within the credit, and behind them one slice of what is not decoded. True when
    /// nothing is held any more.
    pub(super) fn send_held(&mut self, index: u32) -> bool {
        if !self.send_messages(index) {
            return false;
        }
        if self.hears_post(index) {
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
            // A requester that has gone does not need it.
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

    /// False when some have to wait.
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

    /// Whether a post of this session is not decoded to its end.
    pub(super) fn hears_post(&mut self, index: u32) -> bool {
        let live = self.slots.live(index);
        live.is_some_and(|live| live.held.as_ref().is_some_and(|held| held.post.is_some()))
    }

    /// Decodes one slice of a post. All messages before it have gone.
    fn hear_post(&mut self, index: u32) {
        let now = self.now;
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let uplink = slot.uplink();
        let State::Live(live) = &mut slot.state else { return };
        let Some(mut held) = live.held.take() else { return };
        let metrics = &self.env.metrics;
        // Without an app server the session is about to be closed, and the post is broken off.
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
            let outcome = live.session.go_on_with_post(now, &mut post, PACKETS_PER_SLICE, &mut on);
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
        self.mark_dirty(index);
    }
}

/// What a post gets that broke a rule.
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
