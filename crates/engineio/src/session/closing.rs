//! The ends of a session: the app closes it in order or at once, its stream ends, or the client
//! breaks a rule.

use core::time::Duration;

use super::transmit::PollAnswer;
use super::{Session, State};
use crate::Timestamp;
use crate::close::CloseReason;
use crate::error::PeerMisbehaved;
use crate::protocol::TransportKind;

/// How long npm waits for a poll that it can answer with `close`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The last event, until it is polled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) reason: CloseReason,
    pub(super) description: &'static str,
}

impl Session {
    /// Closes the session for the app. What was sent before leaves first; what is sent from now on
    /// is dropped.
    ///
    /// Over WebSocket the session ends when everything is sent. Over polling a held poll is
    /// answered with the unsent packets, or with `close` when there are none. If there were unsent
    /// packets, or no poll was held, the next poll is answered with `noop` and `close` and ends the
    /// session. Without a next poll the session ends after 30 s.
    pub fn close(&mut self, now: Timestamp, reason: CloseReason) {
        if !matches!(self.state, State::Open) {
            return;
        }
        let unsent = !self.outbox.is_empty();
        match (self.transport, self.held.is_some()) {
            (TransportKind::WebSocket, _) | (TransportKind::Polling, true) if !unsent => {
                self.finish(reason, "", PollAnswer::Close);
            }
            (TransportKind::Polling, held) if held || !unsent => {
                self.close_at_next_poll(now, reason);
            }
            (TransportKind::Polling | TransportKind::WebSocket, _) => {
                self.state = State::ClosingWhenSent { reason };
            }
        }
    }

    /// Ends the session at once. Queued packets leave only if they can leave now: with the held
    /// poll, or into the stream before its close frame. After an overflow they are dropped.
    pub fn abort(&mut self, _now: Timestamp, reason: CloseReason) {
        if matches!(
            reason,
            CloseReason::Flooded | CloseReason::MemoryFull | CloseReason::OutboxFull
        ) {
            self.finish_unsent(reason, "");
        } else {
            self.finish(reason, "", PollAnswer::Close);
        }
    }

    /// The session's WebSocket ended: a close frame came, or the end of the stream.
    pub fn handle_stream_closed(&mut self, _now: Timestamp) {
        match self.transport {
            TransportKind::Polling => {
                self.finish(CloseReason::TransportClose, "", PollAnswer::Close)
            }
            TransportKind::WebSocket => self.finish_gone(CloseReason::TransportClose, ""),
        }
    }

    /// The session's stream broke: it was reset, or the client broke RFC 6455 (the caller sends
    /// that close frame).
    pub fn handle_stream_error(&mut self, _now: Timestamp, description: &'static str) {
        match self.transport {
            TransportKind::Polling => {
                self.finish(CloseReason::TransportError, description, PollAnswer::Close);
            }
            TransportKind::WebSocket => {
                self.finish_gone(CloseReason::TransportError, description);
            }
        }
    }

    pub(super) fn close_at_next_poll(&mut self, now: Timestamp, reason: CloseReason) {
        self.state = State::ClosingAtNextPoll { reason, give_up_at: now + CLOSE_TIMEOUT };
    }

    /// Ends the session because the client broke a rule, and returns that rule.
    pub(super) fn misbehaved(&mut self, misbehaved: PeerMisbehaved) -> PeerMisbehaved {
        if let Some(reason) = misbehaved.close_reason() {
            self.finish(reason, misbehaved.description(), PollAnswer::Close);
        }
        misbehaved
    }

    /// Ends the session. A WebSocket is closed after the queued packets. A held poll is answered:
    /// with the queued packets, or with `answer` when there are none.
    pub(super) fn finish(
        &mut self,
        reason: CloseReason,
        description: &'static str,
        answer: PollAnswer,
    ) {
        if !self.end(reason, description) {
            return;
        }
        match self.transport {
            TransportKind::Polling if self.held.is_some() => self.outputs.answer = answer,
            TransportKind::Polling => {
                self.outbox.take();
            }
            TransportKind::WebSocket => self.outputs.close_stream = true,
        }
    }

    /// Ends the session and drops the queued packets.
    pub(super) fn finish_unsent(&mut self, reason: CloseReason, description: &'static str) {
        if !self.is_closed() {
            self.outbox.take();
            self.finish(reason, description, PollAnswer::Close);
        }
    }

    /// Ends the session, if it has not ended, after its stream or held poll is gone: no answer can
    /// reach the client.
    pub(super) fn finish_gone(&mut self, reason: CloseReason, description: &'static str) {
        self.end(reason, description);
        self.outbox.take();
        self.outputs.promote = false;
        self.outputs.close_stream = false;
    }

    /// Marks the session as ended; false when it had ended before.
    fn end(&mut self, reason: CloseReason, description: &'static str) -> bool {
        if self.is_closed() {
            return false;
        }
        self.state = State::Closed;
        self.heartbeat = super::Heartbeat::Off;
        self.closed = Some(Closed { reason, description });
        if self.probe.take().is_some() {
            self.outputs.close_probe = true;
        }
        true
    }
}
