//! HTTP long-polling: one GET held, one POST at a time.

use super::transmit::Answer;
use super::{PollKey, Session, State};
use crate::Timestamp;
use crate::close::CloseReason;
use crate::error::PeerMisbehaved;
use crate::protocol::TransportKind;

impl Session {
    /// A GET arrived. It is held until [`poll_transmit`](Self::poll_transmit) answers it, which may
    /// be at once.
    ///
    /// # Errors
    ///
    /// [`PollsOverlap`](PeerMisbehaved::PollsOverlap): answer this poll with status 400 and no
    /// body; the session ends, and the poll that was held is answered with `close`.
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
                self.finish(reason, "", Answer::NoopAndClose);
            }
            State::ClosingWhenSent { reason } => self.close_at_next_poll(now, reason),
            State::Closed | State::Open => (),
        }
        Ok(())
    }

    /// The connection of a held poll ended before the answer. The session ends with it. Any other
    /// poll is ignored.
    pub fn handle_poll_gone(&mut self, _now: Timestamp, poll: PollKey) {
        if self.held == Some(poll) {
            self.held = None;
            self.outputs.answer = Answer::None;
            self.finish_gone(CloseReason::TransportError, "poll connection closed prematurely");
        }
    }

    /// The answer to a poll could not be delivered: what was in it is lost, and the session with it.
    pub fn handle_poll_lost(&mut self, _now: Timestamp) {
        if self.transport == TransportKind::Polling {
            self.finish_gone(CloseReason::TransportError, "poll connection closed prematurely");
        }
    }

    /// The connection of a POST ended before its body did.
    pub fn handle_post_gone(&mut self, _now: Timestamp) {
        if self.transport == TransportKind::Polling {
            self.finish(
                CloseReason::TransportError,
                "data request connection closed prematurely",
                Answer::Close,
            );
        }
    }

    /// A POST came while another was under way: answer it with status 400 and no body, and cut the
    /// other's connection.
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

    /// A session that is closing does not care any more.
    pub(super) fn undecodable(&mut self, misbehaved: PeerMisbehaved) -> Result<(), PeerMisbehaved> {
        match self.state {
            State::Open => Err(self.misbehaved(misbehaved)),
            State::Closed | State::ClosingAtNextPoll { .. } | State::ClosingWhenSent { .. } => {
                Ok(())
            }
        }
    }
}
