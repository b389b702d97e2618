//! The HTTP side of live sessions: polls, posts, and the question whether a sid exists.

use std::collections::hash_map::HashMap;

use tokio::sync::oneshot;
use trunkline_engineio::error::HandshakeError;
use trunkline_engineio::{Body, PollKey, Protocol, TransportKind};
use trunkline_trunk as wire;

use super::command::{Answer, PostBegun, Refusal, SlotKey};
use super::slot::{Carrier, Live, State, number_of};
use super::{Shard, ShardTrunk};
use crate::sid::Sid;
use crate::trunks::TrunkNumber;

impl Shard {
    /// A GET of a polling session: held until there is something to say.
    pub(super) fn poll(
        &mut self,
        sid: &Sid,
        protocol: Protocol,
        poll: u32,
        reply: oneshot::Sender<Answer>,
    ) {
        match self.find(sid, protocol, true) {
            Ok(key) => self.hold_poll(key, poll, reply),
            Err(refusal) => {
                let _ = reply.send(Answer::Refused(refusal));
            }
        }
    }

    pub(super) fn hold_poll(&mut self, key: SlotKey, poll: u32, reply: oneshot::Sender<Answer>) {
        let now = self.now;
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

    /// The connection of a held poll ended before there was anything to say.
    pub(super) fn poll_gone(&mut self, sid: &Sid, poll: u32) {
        if let Some(slot) = self.slots.get(sid.slot as usize)
            && slot.secret.matches(&sid.secret)
        {
            self.held_poll_gone(self.key_of(sid.slot, slot), poll);
        }
    }

    pub(super) fn held_poll_gone(&mut self, key: SlotKey, poll: u32) {
        let now = self.now;
        let Some(live) = self.live(key) else { return };
        let Carrier::Polling(polling) = &mut live.carrier else { return };
        if polling.held.as_ref().is_none_or(|(held, _)| *held != poll) {
            return; // It had been answered.
        }
        polling.held = None;
        live.session.handle_poll_gone(now, PollKey(poll));
        self.mark_dirty(key.slot);
    }

    pub(super) fn post_begin(
        &mut self,
        sid: &Sid,
        protocol: Protocol,
        reply: oneshot::Sender<PostBegun>,
    ) {
        let now = self.now;
        let begun = match self.find(sid, protocol, true) {
            Err(refusal) => PostBegun::Refused(refusal),
            Ok(key) => {
                let bytes_max = self.payload_bytes_max(key);
                let Some(live) = self.live(key) else { return };
                let Carrier::Polling(polling) = &mut live.carrier else { return };
                if polling.posting.take().is_some() {
                    live.session.handle_overlapping_post(now);
                    self.count_misbehaviour("overlapping_post");
                    self.mark_dirty(key.slot);
                    PostBegun::Status(400)
                } else {
                    let (cutter, cut) = oneshot::channel();
                    polling.posting = Some(cutter);
                    PostBegun::Wanted { key, bytes_max, cut }
                }
            }
        };
        if let Err(PostBegun::Wanted { key, .. }) = reply.send(begun) {
            self.post_gone(key, true);
        }
    }

    fn payload_bytes_max(&self, key: SlotKey) -> usize {
        let trunk = self.slots.get(key.slot as usize).map(|slot| slot.trunk);
        let shard_trunk = trunk.and_then(|number| self.trunks.get(&number));
        shard_trunk.map_or(0, |shard_trunk| shard_trunk.config.payload_bytes_max)
    }

    /// A POST is complete: its messages go to the app server in one batch.
    pub(super) fn post_body(
        &mut self,
        key: SlotKey,
        binary: bool,
        body: &[u8],
        reply: oneshot::Sender<Answer>,
    ) {
        let now = self.now;
        let number = number_of(key.slot, self.index, self.shards);
        let answer = 'answer: {
            let Some(slot) = self.slots.get_mut(key.slot as usize).filter(|slot| key.is_of(slot))
            else {
                break 'answer Answer::Abort;
            };
            let State::Live(live) = &mut slot.state else { break 'answer Answer::Abort };
            let Carrier::Polling(polling) = &mut live.carrier else {
                // The session upgraded while the body was under way: npm destroys such a request, too.
                break 'answer Answer::Abort;
            };
            polling.posting = None;
            let uplink = Uplink::new(&mut self.trunks, slot.trunk, number);
            let outcome = match uplink {
                Some(mut uplink) => live.session.handle_post(now, binary, body, &mut |message| {
                    uplink.message(&message);
                }),
                // The app server is gone; the session is about to be closed.
                None => Ok(()),
            };
            let lasting = live.lasting();
            self.env.metrics.messages_received.inc();
            self.env.metrics.received_bytes.inc_by(body.len() as u64);
            match outcome {
                Err(rule) => {
                    self.count_misbehaviour(rule.slug());
                    match rule.answer() {
                        Ok(()) => Answer::Ok { lasting },
                        Err(status) => Answer::Status(status),
                    }
                }
                Ok(()) => Answer::Ok { lasting },
            }
        };
        let _ = reply.send(answer);
        self.mark_dirty(key.slot);
    }

    /// A POST ended without a body that can be used.
    pub(super) fn post_gone(&mut self, key: SlotKey, broken: bool) {
        let now = self.now;
        let Some(live) = self.live(key) else { return };
        let Carrier::Polling(polling) = &mut live.carrier else { return };
        polling.posting = None;
        if broken {
            live.session.handle_stream_error(now, "data request connection closed prematurely");
            self.mark_dirty(key.slot);
        }
    }

    pub(super) fn inspect(&mut self, sid: &Sid, protocol: Protocol) -> Result<SlotKey, Refusal> {
        self.find(sid, protocol, false)
    }

    /// The checks of Engine.IO for a request that names a session, in its order.
    fn find(&self, sid: &Sid, protocol: Protocol, polling: bool) -> Result<SlotKey, Refusal> {
        let found = self
            .slots
            .get(sid.slot as usize)
            .filter(|slot| sid.node == self.env.node_number && slot.secret.matches(&sid.secret));
        let (slot, live) = match found {
            Some(slot) => match &slot.state {
                State::Live(live) if !live.session.is_closed() => (slot, live),
                State::Live(_) | State::Opening(_) | State::Ended => return Err(unknown_sid(sid)),
            },
            None => return Err(unknown_sid(sid)),
        };
        let transport = live.session.transport();
        if polling && transport != TransportKind::Polling {
            return Err(Refusal {
                error: HandshakeError::BadRequest,
                context: format!(
                    r#"{{"name":"TRANSPORT_MISMATCH","transport":"polling","previousTransport":"{}"}}"#,
                    transport.name()
                ),
            });
        }
        let previous = live.session.protocol();
        if previous != protocol {
            return Err(Refusal {
                error: HandshakeError::BadRequest,
                context: format!(
                    r#"{{"name":"PROTOCOL_MISMATCH","protocol":{},"previousProtocol":{}}}"#,
                    revision(protocol),
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

fn unknown_sid(sid: &Sid) -> Refusal {
    Refusal {
        error: HandshakeError::UnknownSid,
        context: format!(r#"{{"sid":"{}"}}"#, sid.encode()),
    }
}

/// Where one session's messages go: its app server's batch of this turn.
pub(super) struct Uplink<'a> {
    shard_trunk: &'a mut ShardTrunk,
    number: wire::SessionNumber,
}

impl<'a> Uplink<'a> {
    /// `None` when the app server is gone.
    pub(super) fn new(
        trunks: &'a mut HashMap<TrunkNumber, ShardTrunk>,
        trunk: TrunkNumber,
        number: wire::SessionNumber,
    ) -> Option<Self> {
        Some(Self { shard_trunk: trunks.get_mut(&trunk)?, number })
    }

    pub(super) fn payload_bytes_max(&self) -> usize {
        self.shard_trunk.config.payload_bytes_max
    }

    pub(super) fn has_credit(&self) -> bool {
        self.shard_trunk.trunk.has_credit()
    }

    /// Notes a slot that is to be read once there is credit again.
    pub(super) fn pause(&mut self, slot: u32) {
        self.shard_trunk.paused.push(slot);
    }

    /// Appends one message; true when it used the credit up.
    pub(super) fn message(&mut self, body: &Body<'_>) -> bool {
        let (binary, bytes) = match body {
            Body::Text(text) => (false, text.as_bytes()),
            Body::Binary(bytes) => (true, *bytes),
        };
        let out = &mut self.shard_trunk.out;
        wire::encode::encode_message(out, self.number, binary, bytes);
        self.shard_trunk.trunk.spend_credit(wire::encode::message_cost(self.number, bytes.len()))
    }
}

impl Live {
    /// The held poll with this number, to be answered now.
    pub(super) fn take_held(&mut self, poll: PollKey) -> Option<oneshot::Sender<Answer>> {
        let Carrier::Polling(polling) = &mut self.carrier else { return None };
        polling.held.take_if(|(held, _)| *held == poll.0).map(|(_, reply)| reply)
    }
}
