//! An owner of a [`NodeTrunk`] that carries out its steps at once, and judges the sessions' frames
//! as shards do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;
use trunkline_trunk::{
    Action, CannotNow, ClientRequest, CloseCode, CloseReason, EioVersion, EndCause, EndEvent,
    Frame, FrameKind, Greeting, LinkConfig, LinkEvent, Misbehaved, NamespaceNumber, NodeInfo,
    NodeTrunk, NodeTrunkConfig, NumberState, Numbers, Open, Refused, RequestCode, RequestId,
    SessionNumber, SharedCredit, Shares, Step, Str, shard_of,
};

use super::NAMESPACES_MAX;

pub struct Node {
    pub trunk: NodeTrunk,
    shards: u16,
    /// What the app server said in `Hello`, until it is accepted.
    pub greeting: Option<Greeting>,
    pub refused: Option<Refused>,
    credit: Option<Arc<SharedCredit>>,
    numbers: Numbers,
    sessions: BTreeMap<SessionNumber, NumberState>,
    next_key: u32,
    /// Whether either end drains.
    draining: bool,
    /// The cost of shares that are not processed yet.
    held_bytes: u64,
    outbox: VecDeque<Frame>,
    events: VecDeque<EndEvent>,
    ended: Option<EndCause>,
    batches: u32,
}

impl Node {
    pub fn new(now: Timestamp, link: LinkConfig, shards: u16) -> Self {
        let config =
            NodeTrunkConfig { link, namespaces_max: NAMESPACES_MAX, shards, abandoned_max: 100 };
        Self {
            trunk: NodeTrunk::new(now, config),
            shards,
            greeting: None,
            refused: None,
            credit: None,
            numbers: Numbers::default(),
            sessions: BTreeMap::new(),
            next_key: 0,
            draining: false,
            held_bytes: 0,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            ended: None,
            batches: 0,
        }
    }

    /// The credit that all senders share, once the app server is accepted.
    pub fn credit(&self) -> Option<&SharedCredit> {
        self.credit.as_deref()
    }

    /// Handles a batch; before the first broadcast of every second batch, it stops to look.
    pub fn handle_batch(&mut self, now: Timestamp, batch: Bytes) -> Result<(), Misbehaved> {
        self.batches += 1;
        if self.batches.is_multiple_of(2) {
            self.trunk.look_before_broadcast();
        }
        self.trunk.handle_batch(now, batch);
        self.carry_out()
    }

    pub fn handle_frame(&mut self, now: Timestamp, frame: Frame) -> Result<(), Misbehaved> {
        let mut batch = BytesMut::new();
        frame.encode(&mut batch);
        self.handle_batch(now, batch.freeze())
    }

    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.trunk.handle_timeout(now);
        let _told_by_the_event = self.carry_out();
    }

    /// Accepts the app server, if its `Hello` has come.
    pub fn welcome(&mut self, now: Timestamp) -> Result<(), Misbehaved> {
        let Some(greeting) = self.greeting.take() else { return Ok(()) };
        self.credit = Some(greeting.credit);
        let warnings = &greeting.warnings;
        self.trunk.welcome(now, NodeInfo::new("node", "0.0.0", warnings));
        self.carry_out()
    }

    /// Begins to drain.
    pub fn drain(&mut self, deadline: Duration) {
        self.draining = true;
        self.trunk.drain(deadline);
    }

    /// Opens a session for a client.
    pub fn open(
        &mut self,
        eio: EioVersion,
        sid: Str,
        request: ClientRequest,
    ) -> Result<SessionNumber, CannotNow> {
        if !self.trunk.is_up() {
            return Err(CannotNow::NotUp);
        }
        if self.draining {
            return Err(CannotNow::Draining);
        }
        let number = self.numbers.take().ok_or(CannotNow::State(FrameKind::Open))?;
        let session = SessionNumber(number);
        self.sessions.entry(session).or_default().send(FrameKind::Open)?;
        self.outbox.push_back(Frame::Open(Box::new(Open { session, eio, sid, request })));
        Ok(session)
    }

    /// Asks about a client's request that opens no session.
    pub fn request(
        &mut self,
        code: RequestCode,
        context: Str,
        request: ClientRequest,
    ) -> Result<RequestId, CannotNow> {
        if !self.trunk.is_up() {
            return Err(CannotNow::NotUp);
        }
        let key = self.next_key;
        self.next_key += 1;
        self.trunk.request(key.into(), code, context, request);
        // Numbers are given out like the keys as long as none comes again.
        Ok(RequestId(key))
    }

    /// Sends a frame of a session, a relay, or an answer.
    pub fn send(&mut self, frame: Frame) -> Result<(), CannotNow> {
        use FrameKind::{Close, Marked, Message, Upgraded};
        let kind = frame.kind();
        if !self.trunk.is_up() {
            return Err(CannotNow::NotUp);
        }
        if frame.data_cost().is_some() && !self.may_send_data() {
            return Err(CannotNow::NoCredit);
        }
        if let Some(session) = frame.session() {
            let sendable = matches!(kind, Message | Upgraded | Marked | Close);
            let state = self.sessions.get_mut(&session).filter(|_| sendable);
            let state = state.ok_or(CannotNow::State(kind))?;
            if matches!(&frame, Frame::Close { reason, .. } if matches!(reason.reason(), CloseReason::HandedOver | CloseReason::Moved))
            {
                state.send_hand_over()?;
            } else {
                state.send(kind)?;
            }
        } else {
            self.note_answer(&frame)?;
        }
        if let (Some(credit), Some(cost_bytes)) = (&self.credit, frame.data_cost()) {
            assert!(credit.spend(cost_bytes), "it was there a moment ago");
        }
        self.outbox.push_back(frame);
        Ok(())
    }

    /// Processes the shares that are held.
    pub fn process(&mut self) {
        self.trunk.processed(core::mem::take(&mut self.held_bytes));
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        if let Some(frame) = self.trunk.poll_transmit() {
            return Some(frame);
        }
        if !self.trunk.is_up() {
            self.outbox.clear();
        }
        self.outbox.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<EndEvent> {
        let _told_by_the_event = self.carry_out();
        self.events.pop_front()
    }

    pub fn poll_deadline(&self) -> Option<Timestamp> {
        self.trunk.poll_deadline()
    }

    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    pub fn state(&self, session: SessionNumber) -> NumberState {
        self.sessions.get(&session).copied().unwrap_or_default()
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub fn may_send_data(&self) -> bool {
        self.trunk.is_up() && self.credit.as_ref().is_some_and(|credit| credit.may_send())
    }

    /// Bytes of data that may still be sent.
    pub fn credit_bytes(&self) -> i64 {
        self.credit.as_ref().map_or(0, |credit| credit.available_bytes())
    }

    /// Carries out the machine's steps. An error is the rule that the app server has just broken.
    fn carry_out(&mut self) -> Result<(), Misbehaved> {
        while let Some(step) = self.trunk.poll_step() {
            assert_eq!(
                self.ended, None,
                "the end is the last step, and this comes behind it: {step:?}"
            );
            match step {
                Step::BroadcastAhead => {
                    if self.batches.is_multiple_of(4) {
                        self.trunk.deal_out();
                    }
                    self.trunk.go_on();
                }
                Step::CreditReturned => self.note(LinkEvent::CreditReturned),
                Step::Draining { deadline_ms } => {
                    self.draining = true;
                    self.note(LinkEvent::PeerDrains { deadline_ms });
                }
                Step::Ended(cause) => {
                    self.note(LinkEvent::Ended(cause.clone()));
                    self.ended = Some(cause.clone());
                    if let EndCause::Misbehaved(rule) = cause {
                        return Err(rule);
                    }
                }
                Step::Call { request_id, name, arguments } => {
                    self.frame(Frame::Call { request_id, name, arguments });
                }
                Step::GiveBack { pid, .. } => {
                    self.frame(Frame::GiveBack { nsp: NamespaceNumber(0), pid });
                }
                Step::Hello(greeting) => self.greeting = Some(*greeting),
                Step::Load { sessions, lag_ms } => self.frame(Frame::Load { sessions, lag_ms }),
                Step::Refused(refused) => self.refused = Some(refused),
                Step::Relay { to, payload } => self.frame(Frame::Relay { to, payload }),
                Step::Response { key, response } => {
                    let request_id = RequestId(u32::try_from(key).unwrap());
                    self.frame(Frame::Response { request_id, response });
                }
                Step::Restore(asked) => self.frame(Frame::Restore {
                    request_id: asked.request_id,
                    nsp: NamespaceNumber(0),
                    pid: asked.pid,
                    offset: asked.offset,
                }),
                Step::Settings(_) => (),
                Step::Shares(shares) => self.take_shares(shares),
            }
        }
        Ok(())
    }

    fn note(&mut self, event: LinkEvent) {
        self.events.push_back(EndEvent::Link(event));
    }

    fn frame(&mut self, frame: Frame) {
        self.events.push_back(EndEvent::Frame(frame));
    }

    /// Lets each shard judge the frames of its sessions. A frame for all shards is noted once.
    fn take_shares(&mut self, shares: Shares) {
        assert_eq!(shares.by_shard.len(), usize::from(self.shards));
        self.held_bytes += shares.cost_bytes;
        let mut for_all: Vec<Vec<Frame>> = Vec::new();
        for (shard, frames) in shares.by_shard.into_iter().enumerate() {
            let (of_sessions, sessionless): (Vec<Frame>, Vec<Frame>) =
                frames.into_iter().partition(|frame| frame.session().is_some());
            for frame in &of_sessions {
                let session = frame.session().unwrap();
                assert_eq!(shard_of(session, self.shards.into()), shard, "{frame:?}");
            }
            if shard == 0 {
                sessionless.iter().for_each(|frame| self.frame(frame.clone()));
            }
            for_all.push(sessionless);
            for frame in of_sessions {
                self.judge(frame);
            }
        }
        assert!(for_all.iter().all(|frames| *frames == for_all[0]), "{for_all:?}");
    }

    fn judge(&mut self, frame: Frame) {
        let Some(session) = frame.session() else { return };
        let mut state = self.state(session);
        let action = match state.handle(frame.kind()) {
            Ok(action) => action,
            Err(rule) => return self.trunk.misbehaved(rule),
        };
        if let Some(slot) = self.sessions.get_mut(&session) {
            *slot = state;
        }
        match action {
            Action::Ignore => {
                let cost_bytes = u64::from(frame.data_cost().unwrap_or_default());
                self.held_bytes -= cost_bytes;
                self.trunk.processed(cost_bytes);
            }
            Action::Freed => self.free(session),
            Action::Rejected | Action::HandedBack => {
                self.free(session);
                self.frame(frame);
            }
            Action::Closed => {
                self.answer_close(session, &frame);
                self.frame(frame);
            }
            Action::Accepted | Action::Deliver | Action::Opened => self.frame(frame),
        }
    }

    fn note_answer(&mut self, frame: &Frame) -> Result<(), CannotNow> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others have their own methods")]
        let possible = match frame {
            Frame::Restored(restored) => self.trunk.restored(restored.request_id),
            Frame::RestoredAt(restored) => self.trunk.restored(restored.request_id),
            Frame::Proved { request_id, .. } => self.trunk.proved(*request_id),
            Frame::Peers { .. } | Frame::Relayed { .. } => true,
            _ => false,
        };
        if possible { Ok(()) } else { Err(CannotNow::State(frame.kind())) }
    }

    fn answer_close(&mut self, session: SessionNumber, close: &Frame) {
        let reason = if let Frame::Close { reason, .. } = close { *reason } else { CloseCode(0) };
        self.outbox.push_back(Frame::Close { session, reason, description: Str::EMPTY });
        self.free(session);
    }

    fn free(&mut self, session: SessionNumber) {
        self.sessions.remove(&session);
        self.numbers.free(session.0);
    }
}
