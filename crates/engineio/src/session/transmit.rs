//! The output of a session: what the caller must write, and where.

use bytes::Bytes;

use super::outbox::{Entry, Item, Items};
use super::{PollKey, Session, State};
use crate::packet::{Control, PROBE_PONG_FRAME};
use crate::payload::{self, Encoded};
use crate::protocol::TransportKind;

/// One thing for the caller to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transmit {
    /// Close the probing stream with an empty close frame (code 1005, as npm sends it).
    CloseProbe,
    /// Close the session's WebSocket: a close frame, then the end.
    CloseStream {
        /// The close code; 1005 stands for an empty close frame, which is what npm sends.
        code: u16,
    },
    /// Write these bytes, one complete frame or several, to the session's WebSocket.
    Frame(Bytes),
    /// Nothing now: the next message must be compressed, and the compression budget is used up
    /// ([`Deflate::within`](crate::Deflate::within)). Call again when the budget is filled.
    Later,
    /// Write this complete frame to the probing stream.
    ProbeFrame(Bytes),
    /// Put the probing stream in the place of the session's stream. Close an earlier WebSocket
    /// there with an empty close frame. If the probing stream agreed on compression, set it now
    /// ([`set_deflate`](Session::set_deflate)).
    PromoteProbe,
    /// Answer a poll with status 200.
    Respond {
        /// The poll to answer.
        poll: PollKey,
        /// The content type of the answer.
        content_type: ContentType,
        /// The body of the answer.
        body: Bytes,
        /// Whether the body may be compressed, if it is long enough and the client accepts that.
        compress: bool,
    },
}

/// The content type of a poll answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContentType {
    /// Revision 3 with bytes in the payload.
    Binary,
    /// Everything else.
    Text,
}

impl ContentType {
    /// The value of the header `Content-Type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "application/octet-stream",
            Self::Text => "text/plain; charset=UTF-8",
        }
    }
}

/// Output other than the outbox. For an idle session all of it is zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outputs {
    /// The answer for the held poll when the outbox is empty.
    pub(super) answer: PollAnswer,
    pub(super) close_probe: bool,
    pub(super) close_stream: bool,
    pub(super) probe_pongs: u8,
    pub(super) promote: bool,
}

/// The answer to a poll when there are no packets to send.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum PollAnswer {
    Close,
    #[default]
    None,
    Noop,
    NoopAndClose,
}

impl PollAnswer {
    const fn items(self) -> &'static [Item] {
        const CLOSE: Item = Item::Control(Control::Close);
        const NOOP: Item = Item::Control(Control::Noop);
        match self {
            Self::Close => &[CLOSE],
            Self::None => &[],
            Self::Noop => &[NOOP],
            Self::NoopAndClose => &[NOOP, CLOSE],
        }
    }
}

/// The code that stands for a close frame without a code.
const CLOSE_CODE: u16 = trunkline_websocket::CLOSE_CODE_ABSENT;

impl Session {
    /// The next thing to do, in order. Over WebSocket call it only while the stream can take more.
    /// A held poll is answered once, with all queued packets.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if self.outputs.probe_pongs > 0 {
            self.outputs.probe_pongs -= 1;
            return Some(Transmit::ProbeFrame(Bytes::from_static(PROBE_PONG_FRAME)));
        }
        if let Some(poll) = self.answerable_poll() {
            return Some(self.respond(poll));
        }
        if core::mem::take(&mut self.outputs.promote) {
            return Some(Transmit::PromoteProbe);
        }
        if let Some(agreed) = &self.deflate
            && self.transport == TransportKind::WebSocket
            && let Some(next) = self.outbox.front_message()
            && !next.prepare_deflated(self.protocol, self.base64_only, agreed)
        {
            return Some(Transmit::Later);
        }
        if self.transport == TransportKind::WebSocket
            && let Some(entry) = self.outbox.pop()
        {
            self.finish_when_sent();
            let deflate = self.deflate.as_ref();
            let frame = match entry {
                Entry::Burst(burst) => burst.frames().clone(),
                Entry::Item(item) => item.websocket_frame(self.protocol, self.base64_only, deflate),
            };
            return Some(Transmit::Frame(frame));
        }
        if core::mem::take(&mut self.outputs.close_stream) {
            return Some(Transmit::CloseStream { code: CLOSE_CODE });
        }
        core::mem::take(&mut self.outputs.close_probe).then_some(Transmit::CloseProbe)
    }

    /// True when [`poll_transmit`](Self::poll_transmit) has something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        let outputs = &self.outputs;
        outputs.probe_pongs > 0
            || outputs.promote
            || outputs.close_stream
            || outputs.close_probe
            || self.answerable_poll().is_some()
            || (self.transport == TransportKind::WebSocket && !self.outbox.is_empty())
    }

    fn answerable_poll(&self) -> Option<PollKey> {
        self.held.filter(|_| self.outputs.answer != PollAnswer::None || self.polls_get_outbox())
    }

    /// Whether polls still get the packets of the outbox: after an upgrade they belong to the new
    /// stream.
    fn polls_get_outbox(&self) -> bool {
        self.transport == TransportKind::Polling && !self.outbox.is_empty()
    }

    pub(super) fn respond(&mut self, poll: PollKey) -> Transmit {
        self.held = None;
        let answer = core::mem::take(&mut self.outputs.answer);
        let items = if self.polls_get_outbox() { self.outbox.take() } else { Items::default() };
        let Encoded { content_type, body, may_compress: compress } = match items {
            Items::Empty => payload::encode(self.protocol, self.base64_only, answer.items().iter()),
            Items::Many(_) | Items::One(_) => {
                payload::encode(self.protocol, self.base64_only, items.iter())
            }
        };
        Transmit::Respond { poll, content_type, body, compress }
    }

    /// Over WebSocket: ends a session that the app closed, once no packet is unsent.
    pub(super) fn finish_when_sent(&mut self) {
        if let State::ClosingWhenSent { reason } = self.state
            && self.outbox.is_empty()
        {
            self.finish(reason, "", PollAnswer::None);
        }
    }
}
