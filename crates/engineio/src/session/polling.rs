//! HTTP long-polling: at most one GET is held, at most one POST is under way.

use super::transmit::PollAnswer;
use super::{PollKey, Session, State};
use crate::Timestamp;
use crate::close::CloseReason;
use crate::error::PeerMisbehaved;
use crate::protocol::TransportKind;

impl Session {
    /// Handles a new GET. It is held until [`poll_transmit`](Self::poll_transmit) answers it, which
    /// may be at once.
    ///
    /// # Errors
    ///
    /// [`PollsOverlap`](PeerMisbehaved::PollsOverlap): answer this poll with status 400 and no
    /// body; the session ends, and the earlier poll is answered with `close`.
    /// [`SessionClosed`](PeerMisbehaved::SessionClosed) and
    /// [`WrongTransport`](PeerMisbehaved::WrongTransport) change nothing.
    pub fn handle_poll(&mut self, now: Timestamp, poll: PollKey) -> Result<(), PeerMisbehaved> {
        self.check_polling()?;
        if self.held.is_some() {
            return Err(self.misbehaved(PeerMisbehaved::PollsOverlap));
        }
        self.held = Some(poll);
        match self.state {
            State::ClosingAtNextPoll { reason, .. } => {
                self.finish(reason, "", PollAnswer::NoopAndClose);
            }
            State::ClosingWhenSent { reason } => self.close_at_next_poll(now, reason),
            State::Closed | State::Open => (),
        }
        Ok(())
    }

    /// Handles the end of a held poll's connection before its answer: the session ends. A poll that
    /// is not held is ignored.
    pub fn handle_poll_gone(&mut self, _now: Timestamp, poll: PollKey) {
        if self.held == Some(poll) {
            self.held = None;
            self.outputs.answer = PollAnswer::None;
            self.finish_gone(CloseReason::TransportError, "poll connection closed prematurely");
        }
    }

    /// Answers the held poll now, with a noop when there is nothing else: its client polls again.
    pub fn release_poll(&mut self, _now: Timestamp) {
        if self.held.is_some() && self.outputs.answer == PollAnswer::None {
            self.outputs.answer = PollAnswer::Noop;
        }
    }

    /// Handles a poll answer that could not be delivered: its packets are lost, so the session
    /// ends.
    pub fn handle_poll_lost(&mut self, _now: Timestamp) {
        if self.transport == TransportKind::Polling {
            self.finish_gone(CloseReason::TransportError, "poll connection closed prematurely");
        }
    }

    /// Handles the end of a POST's connection before its body was complete.
    pub fn handle_post_gone(&mut self, _now: Timestamp) {
        if self.transport == TransportKind::Polling {
            self.finish(
                CloseReason::TransportError,
                "data request connection closed prematurely",
                PollAnswer::Close,
            );
        }
    }

    /// Handles a POST that came while another was under way: answer the new one with status 400 and
    /// no body, and break the other's connection.
    pub fn handle_overlapping_post(&mut self, _now: Timestamp) {
        if self.transport == TransportKind::Polling {
            self.misbehaved(PeerMisbehaved::PostsOverlap);
        }
    }

    pub(super) fn check_polling(&self) -> Result<(), PeerMisbehaved> {
        match (self.state, self.transport) {
            (State::Closed, _) => Err(PeerMisbehaved::SessionClosed),
            (_, TransportKind::WebSocket) => Err(PeerMisbehaved::WrongTransport),
            (_, TransportKind::Polling) => Ok(()),
        }
    }

    /// Ends the session because a payload cannot be decoded; a closing session ignores it.
    pub(super) fn undecodable(&mut self, misbehaved: PeerMisbehaved) -> Result<(), PeerMisbehaved> {
        match self.state {
            State::Open => Err(self.misbehaved(misbehaved)),
            State::Closed | State::ClosingAtNextPoll { .. } | State::ClosingWhenSent { .. } => {
                Ok(())
            }
        }
    }
}
