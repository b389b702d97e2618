//! A session's messages on their way to its app server, within the credit that the app server gave.
//!
//! Without credit nothing is sent: the session's stream is not read, its posts are not begun, and what one read or one
//! post had already brought is held, in order, until there is credit again. Who waits for credit stands in a queue, and
//! goes to its end after a turn: however much one session has to say, the others are heard between.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tokio::sync::oneshot;
use trunkline_engineio::{Body, CloseReason};
use trunkline_trunk::encode::{encode_message, encode_upgraded, message_cost};
use trunkline_trunk::{NumberState, SessionNumber, Transport};

use super::command::{Answer, Command};
use super::slot::{Carrier, Slot, number_of};
use super::{Shard, ShardTrunk};
use crate::metrics::Metrics;
use crate::trunks::TrunkNumber;

/// What a session without credit has in hand.
#[derive(Debug, Default)]
pub(crate) struct Held {
    messages: VecDeque<(bool, Bytes)>,
    /// What one read had brought behind those messages, not decoded yet: a compressed message may be a thousand times
    /// as long as what came of it.
    pub(super) unheard: Vec<u8>,
    /// The answer to the post that brought them: given when they have gone.
    answer: Option<(oneshot::Sender<Answer>, Answer)>,
    /// The session has ended; its app server hears of it behind its last message.
    pub(super) ended: Option<(CloseReason, &'static str)>,
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

    pub(super) fn payload_bytes_max(&self) -> usize {
        self.shard_trunk.config.payload_bytes_max
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
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if std::mem::replace(&mut slot.paused, true) {
            return;
        }
        let number = number_of(index, self.index, self.shards);
        if let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.uplink(), number) {
            uplink.pause(index);
        }
    }

    /// Keeps the answer to a post until what it brought has gone.
    pub(super) fn answer_when_sent(
        &mut self,
        index: u32,
        reply: oneshot::Sender<Answer>,
        answer: Answer,
    ) {
        let live = self.slots.get_mut(index as usize).and_then(Slot::live);
        match live.and_then(|live| live.held.as_mut()) {
            Some(held) => {
                held.answer = Some((reply, answer));
                self.pause(index);
            }
            None => {
                // A requester that has gone does not need it.
                let _ = reply.send(answer);
            }
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
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
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

    /// True when nothing is held any more.
    fn send_held(&mut self, index: u32) -> bool {
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index as usize) else { return false };
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
        let Some(held) = live.held.take() else { return true };
        if let Carrier::Polling(polling) = &mut live.carrier
            && let Some((reply, answer)) = held.answer
        {
            polling.posting = None;
            let _ = reply.send(answer);
        }
        if let Some((reason, description)) = held.ended {
            self.end_session(index, reason, description);
            return false;
        }
        let mut unheard = held.unheard;
        unheard.is_empty() || self.hear(index, &mut unheard)
    }
}
