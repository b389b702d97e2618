//! The node's side of one whole trunk, where one owner holds all of its sessions.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::EndEvent;
use super::link::{Link, LinkConfig};
use super::misbehaved::{CannotNow, Misbehaved};
use super::namespaces::Namespaces;
use super::number::{Action, NumberState, Numbers};
use crate::decode::decode_batch;
use crate::frame::{ClientRequest, Frame, Open, Request, RequestId, SessionNumber};
use crate::kind::FrameKind;
use crate::text::Str;
use crate::values::{CloseCode, EioVersion, RequestCode};

/// [`Link`], [`NumberState`]s and [`Namespaces`] in one. A sharded node holds the parts itself.
///
/// Answers a `Close` by itself, and returns the credit of frames that are ignored.
#[derive(Debug)]
pub struct NodeEnd {
    link: Link,
    numbers: Numbers,
    sessions: BTreeMap<SessionNumber, NumberState>,
    request_numbers: Numbers,
    requests: BTreeSet<RequestId>,
    restores: BTreeSet<RequestId>,
    proves: BTreeSet<RequestId>,
    namespaces: Namespaces,
    outbox: VecDeque<Frame>,
    events: VecDeque<Frame>,
}

impl NodeEnd {
    /// Just after the WebSocket opened.
    pub fn new(now: Timestamp, config: LinkConfig, namespaces_max: usize) -> Self {
        Self {
            link: Link::node(now, config),
            numbers: Numbers::default(),
            sessions: BTreeMap::new(),
            request_numbers: Numbers::default(),
            requests: BTreeSet::new(),
            restores: BTreeSet::new(),
            proves: BTreeSet::new(),
            namespaces: Namespaces::new(namespaces_max),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// One WebSocket message came. An error has already ended the trunk.
    pub fn handle_batch(&mut self, now: Timestamp, batch: Bytes) -> Result<(), Misbehaved> {
        self.link.handle_life(now);
        for frame in decode_batch(batch) {
            match frame {
                Ok(frame) => self.handle_frame(now, frame)?,
                Err(error) => {
                    self.link.handle_undecodable(error);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// One frame came. An error has already ended the trunk.
    pub fn handle_frame(&mut self, now: Timestamp, frame: Frame) -> Result<(), Misbehaved> {
        let Some(frame) = self.link.handle_frame(now, frame)? else { return Ok(()) };
        self.take_frame(frame).inspect_err(|misbehaved| self.link.handle_misbehaved(*misbehaved))
    }

    /// The deadline from [`Self::poll_deadline`] has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.link.handle_timeout(now);
    }

    /// The trunk without its sessions: `welcome`, `give_up`, `drain`, `processed` and what it knows.
    pub const fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// A client wants a session; the answer is a frame `Accept`, `Reject` or `Close`.
    pub fn open(
        &mut self,
        eio: EioVersion,
        sid: Str,
        request: ClientRequest,
    ) -> Result<SessionNumber, CannotNow> {
        if !self.link.is_up() {
            return Err(CannotNow::NotUp);
        }
        if !self.link.may_open() {
            return Err(CannotNow::Draining);
        }
        let number = self.numbers.take().ok_or(CannotNow::State(FrameKind::Open))?;
        let session = SessionNumber(number);
        self.sessions.entry(session).or_default().send(FrameKind::Open)?;
        self.outbox.push_back(Frame::Open(Box::new(Open { session, eio, sid, request })));
        Ok(session)
    }

    /// A client's request that opens no session; the answer is a frame `Response`.
    pub fn request(
        &mut self,
        code: RequestCode,
        context: Str,
        request: ClientRequest,
    ) -> Result<RequestId, CannotNow> {
        if !self.link.is_up() {
            return Err(CannotNow::NotUp);
        }
        let number = self.request_numbers.take().ok_or(CannotNow::State(FrameKind::Request))?;
        let request_id = RequestId(number);
        self.requests.insert(request_id);
        let request = Request { request_id, code, context, request };
        self.outbox.push_back(Frame::Request(Box::new(request)));
        Ok(request_id)
    }

    /// Sends a `Message`, `Upgraded`, `Marked`, `Close`, `Peers`, `Relayed`, `Restored`, `RestoredAt` or `Proved`.
    pub fn send(&mut self, frame: Frame) -> Result<(), CannotNow> {
        let kind = frame.kind();
        if !self.link.is_up() {
            return Err(CannotNow::NotUp);
        }
        let cost_bytes = frame.data_cost();
        if cost_bytes.is_some() && !self.link.may_send_data() {
            return Err(CannotNow::NoCredit);
        }
        if let Some(session) = frame.session() {
            use FrameKind::{Close, Marked, Message, Upgraded};
            let sendable = matches!(kind, Message | Upgraded | Marked | Close);
            let state = self.sessions.get_mut(&session).filter(|_| sendable);
            state.ok_or(CannotNow::State(kind))?.send(kind)?;
        } else {
            self.check_sessionless(&frame)?;
        }
        self.link.spend(cost_bytes.unwrap_or_default());
        self.outbox.push_back(frame);
        Ok(())
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        if let Some(frame) = self.link.poll_transmit() {
            return Some(frame);
        }
        if !self.link.is_up() {
            self.outbox.clear();
        }
        self.outbox.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<EndEvent> {
        // Frames that came before the end still count; the end is the last event.
        let frame = self.events.pop_front().map(EndEvent::Frame);
        frame.or_else(|| self.link.poll_event().map(EndEvent::Link))
    }

    /// When [`Self::handle_timeout`] is due.
    pub const fn poll_deadline(&self) -> Option<Timestamp> {
        self.link.poll_deadline()
    }

    /// The number's state.
    pub fn state(&self, session: SessionNumber) -> NumberState {
        self.sessions.get(&session).copied().unwrap_or_default()
    }

    /// How many numbers are in use.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    fn take_frame(&mut self, frame: Frame) -> Result<(), Misbehaved> {
        self.namespaces.handle(&frame)?;
        self.check_number(&frame)?;
        let Some(session) = frame.session() else {
            self.events.push_back(frame);
            return Ok(());
        };
        let mut state = self.state(session);
        let action = state.handle(frame.kind())?;
        if let Some(slot) = self.sessions.get_mut(&session) {
            *slot = state;
        }
        match action {
            Action::Ignore => self.link.processed(frame.data_cost().unwrap_or_default().into()),
            Action::Freed => self.free(session),
            Action::Rejected => {
                self.free(session);
                self.events.push_back(frame);
            }
            Action::Closed => {
                self.answer_close(session, &frame);
                self.events.push_back(frame);
            }
            Action::Accepted | Action::Deliver | Action::Opened => self.events.push_back(frame),
        }
        Ok(())
    }

    /// The numbers of requests, of `Restore`s and of `Prove`s, each in a space of its own.
    fn check_number(&mut self, frame: &Frame) -> Result<(), Misbehaved> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others have no such number")]
        match frame {
            Frame::Response { request_id, .. } => {
                if !self.requests.remove(request_id) {
                    return Err(Misbehaved::NumberNotInUse(FrameKind::Response));
                }
                self.request_numbers.free(request_id.0);
                Ok(())
            }
            Frame::Restore { request_id, .. } if !self.restores.insert(*request_id) => {
                Err(Misbehaved::NumberInUse(FrameKind::Restore))
            }
            Frame::Prove { request_id, .. } if !self.proves.insert(*request_id) => {
                Err(Misbehaved::NumberInUse(FrameKind::Prove))
            }
            _ => Ok(()),
        }
    }

    fn check_sessionless(&mut self, frame: &Frame) -> Result<(), CannotNow> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others have their own methods")]
        let possible = match frame {
            Frame::Restored(restored) => self.restores.remove(&restored.request_id),
            Frame::RestoredAt(restored) => self.restores.remove(&restored.request_id),
            Frame::Proved { request_id, .. } => self.proves.remove(request_id),
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
