//! The app server's end of one whole trunk.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::EndEvent;
use super::link::{AppHello, Link, LinkConfig};
use super::misbehaved::{CannotNow, Misbehaved};
use super::number::{Action, AppNumberState};
use crate::decode::decode_batch;
use crate::frame::{Frame, RequestId, SessionNumber};
use crate::kind::{Direction, FrameKind};
use crate::text::Str;
use crate::values::{CloseCode, CloseReason};

/// A [`Link`] and [`AppNumberState`]s together: for test kits, load tools and SDKs.
///
/// It answers a `Close` by itself, returns the credit of ignored frames, and holds frames in order
/// while it has no credit: [`Self::held_bytes`] says how much. Its answer to a `Close` leaves at
/// once, so it can send `Persist` only for a session that is open.
#[derive(Debug)]
pub struct AppEnd {
    link: Link,
    sessions: BTreeMap<SessionNumber, AppNumberState>,
    requests: BTreeSet<RequestId>,
    restores: BTreeSet<RequestId>,
    proves: BTreeSet<RequestId>,
    outbox: VecDeque<Frame>,
    held_bytes: u64,
    events: VecDeque<Frame>,
}

impl AppEnd {
    /// The end of a trunk whose WebSocket has just opened.
    pub fn new(now: Timestamp, config: LinkConfig, hello: AppHello) -> Self {
        Self {
            link: Link::app(now, config, hello),
            sessions: BTreeMap::new(),
            requests: BTreeSet::new(),
            restores: BTreeSet::new(),
            proves: BTreeSet::new(),
            outbox: VecDeque::new(),
            held_bytes: 0,
            events: VecDeque::new(),
        }
    }

    /// Handles one WebSocket message. An error has already ended the trunk.
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

    /// Handles one frame. An error has already ended the trunk.
    pub fn handle_frame(&mut self, now: Timestamp, frame: Frame) -> Result<(), Misbehaved> {
        let Some(frame) = self.link.handle_frame(now, frame)? else { return Ok(()) };
        self.take_frame(frame).inspect_err(|misbehaved| self.link.handle_misbehaved(*misbehaved))
    }

    /// The deadline from [`Self::poll_deadline`] has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.link.handle_timeout(now);
    }

    /// The part without sessions: `give_up`, `drain`, `processed` and its state.
    pub const fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Sends any frame of an app server except those of the link.
    ///
    /// The caller chooses the numbers of namespaces, of `Restore`s and of `Prove`s.
    pub fn send(&mut self, frame: Frame) -> Result<(), CannotNow> {
        let kind = frame.kind();
        if !self.link.is_up() {
            return Err(CannotNow::NotUp);
        }
        if let Some(session) = frame.session() {
            let state = self.sessions.get_mut(&session).ok_or(CannotNow::State(kind))?;
            state.send(kind)?;
            if state.is_free() {
                self.sessions.remove(&session);
            }
            if let Frame::Prove { request_id, .. } = &frame
                && !self.proves.insert(*request_id)
            {
                return Err(CannotNow::State(kind));
            }
        } else {
            self.check_sessionless(&frame)?;
        }
        self.queue(frame);
        Ok(())
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        if let Some(frame) = self.link.poll_transmit() {
            return Some(frame);
        }
        if !self.link.is_up() {
            self.outbox.clear();
            self.held_bytes = 0;
        }
        if let Some(cost_bytes) = self.outbox.front()?.data_cost() {
            if !self.link.may_send_data() {
                return None;
            }
            self.link.spend(cost_bytes);
            self.held_bytes -= u64::from(cost_bytes);
        }
        self.outbox.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<EndEvent> {
        // Frames that came before the end still count; the end is the last event.
        let frame = self.events.pop_front().map(EndEvent::Frame);
        frame.or_else(|| self.link.poll_event().map(EndEvent::Link))
    }

    /// When [`Self::handle_timeout`] is due.
    pub const fn poll_deadline(&self) -> Option<Timestamp> {
        self.link.poll_deadline()
    }

    /// The state of a session's number.
    pub fn state(&self, session: SessionNumber) -> AppNumberState {
        self.sessions.get(&session).copied().unwrap_or_default()
    }

    /// How many numbers are in use.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The cost of the data frames that are not sent yet.
    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    fn take_frame(&mut self, frame: Frame) -> Result<(), Misbehaved> {
        self.check_number(&frame)?;
        let Some(session) = frame.session() else {
            self.events.push_back(frame);
            return Ok(());
        };
        let mut state = self.state(session);
        let handed_over = matches!(&frame, Frame::Close { reason, .. } if matches!(reason.reason(), CloseReason::HandedOver | CloseReason::Moved));
        let action =
            if handed_over { state.handle_hand_over()? } else { state.handle(frame.kind())? };
        if action == Action::Closed {
            let reason =
                if let Frame::Close { reason, .. } = &frame { *reason } else { CloseCode(0) };
            self.queue(Frame::Close { session, reason, description: Str::EMPTY });
            state = AppNumberState::Free;
        }
        if state.is_free() {
            self.sessions.remove(&session);
        } else {
            self.sessions.insert(session, state);
        }
        match action {
            Action::Ignore => self.link.processed(frame.data_cost().unwrap_or_default().into()),
            Action::Freed => (),
            Action::Accepted
            | Action::Closed
            | Action::Deliver
            | Action::HandedBack
            | Action::Opened
            | Action::Rejected => self.events.push_back(frame),
        }
        Ok(())
    }

    /// Checks the numbers of requests, of `Restore`s and of `Prove`s; each has its own space of
    /// numbers.
    fn check_number(&mut self, frame: &Frame) -> Result<(), Misbehaved> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others have no such number")]
        match frame {
            Frame::Request(request) if !self.requests.insert(request.request_id) => {
                Err(Misbehaved::NumberInUse(FrameKind::Request))
            }
            Frame::Restored(restored) if !self.restores.remove(&restored.request_id) => {
                Err(Misbehaved::NumberNotInUse(FrameKind::Restored))
            }
            Frame::RestoredAt(restored) if !self.restores.remove(&restored.request_id) => {
                Err(Misbehaved::NumberNotInUse(FrameKind::RestoredAt))
            }
            Frame::Proved { request_id, .. } if !self.proves.remove(request_id) => {
                Err(Misbehaved::NumberNotInUse(FrameKind::Proved))
            }
            _ => Ok(()),
        }
    }

    fn check_sessionless(&mut self, frame: &Frame) -> Result<(), CannotNow> {
        let kind = frame.kind();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others have no number of their own"
        )]
        let possible = match frame {
            Frame::Response { request_id, .. } => self.requests.remove(request_id),
            Frame::Restore { request_id, .. } => self.restores.insert(*request_id),
            Frame::Operate(_) => true,
            _ => kind.direction() == Direction::ToNode && kind != FrameKind::Hello,
        };
        if possible { Ok(()) } else { Err(CannotNow::State(kind)) }
    }

    fn queue(&mut self, frame: Frame) {
        self.held_bytes += u64::from(frame.data_cost().unwrap_or_default());
        self.outbox.push_back(frame);
    }
}
