//! What leaves, and where to.

use bytes::Bytes;

use super::outbox::{Item, Items};
use super::{PollKey, Session, State};
use crate::packet::{Control, PROBE_PONG_FRAME};
use crate::payload::{self, Encoded};
use crate::protocol::TransportKind;

/// Something for the caller to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transmit {
    /// Close the probing stream with an empty close frame (code 1005, as npm sends it).
    CloseProbe,
    /// Close the session's WebSocket: a close frame, then the end.
    CloseStream {
        /// 1005 stands for an empty close frame, which is what npm sends.
        code: u16,
    },
    /// Write this complete frame to the session's WebSocket.
    Frame(Bytes),
    /// Nothing yet: the next message has to be compressed, and the budget for that is used up
    /// ([`Deflate::within`](crate::Deflate::within)). Call again when it is not.
    Later,
    /// Write this complete frame to the probing stream.
    ProbeFrame(Bytes),
    /// Move the probing stream into the place of the session's stream. An earlier WebSocket there
    /// is closed with an empty close frame. If compression was agreed on for the probing stream,
    /// tell the session now ([`set_deflate`](Session::set_deflate)).
    PromoteProbe,
    /// Answer a poll with status 200.
    Respond {
        /// Which poll.
        poll: PollKey,
        /// Its content type.
        content_type: ContentType,
        /// Its body.
        body: Bytes,
        /// Whether it may be compressed, if it is long enough and the client accepts it.
        compress: bool,
    },
}

/// The type of a poll's answer.
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

/// Output beside the outbox. At rest all of it is zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outputs {
    /// For the held poll, when the outbox has nothing for it.
    pub(super) answer: Answer,
    pub(super) close_probe: bool,
    pub(super) close_stream: bool,
    pub(super) probe_pongs: u8,
    pub(super) promote: bool,
}

/// What a poll is answered with when there are no packets to send.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Answer {
    Close,
    #[default]
    None,
    Noop,
    NoopAndClose,
}

impl Answer {
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

/// The close frame without a code.
const CLOSE_CODE: u16 = trunkline_websocket::CLOSE_CODE_ABSENT;

impl Session {
    /// The next thing to do, in order. Over WebSocket call it only while the stream can take more.
    /// A held poll is answered once, with everything that is queued.
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
            && let Some(Item::Packet(next)) = self.outbox.front()
            && !next.prepare_deflated(self.protocol, self.base64_only, agreed)
        {
            return Some(Transmit::Later);
        }
        if self.transport == TransportKind::WebSocket
            && let Some(item) = self.outbox.pop()
        {
            self.finish_when_sent();
            let deflate = self.deflate.as_ref();
            let frame = item.websocket_frame(self.protocol, self.base64_only, deflate);
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
        self.held.filter(|_| self.outputs.answer != Answer::None || self.polls_get_outbox())
    }

    /// After an upgrade the outbox belongs to the new stream.
    fn polls_get_outbox(&self) -> bool {
        self.transport == TransportKind::Polling && !self.outbox.is_empty()
    }

    fn respond(&mut self, poll: PollKey) -> Transmit {
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

    /// Over WebSocket: ends a session that the app closed, once nothing is unsent.
    pub(super) fn finish_when_sent(&mut self) {
        if let State::ClosingWhenSent { reason } = self.state
            && self.outbox.is_empty()
        {
            self.finish(reason, "", Answer::None);
        }
    }
}
