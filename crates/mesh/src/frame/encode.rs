//! Encodes frames: type, length, body.
//!
//! A body is walked twice, first to measure and then to write, so nothing is buffered in between.

use bytes::{BufMut, BytesMut};

use super::{Answer, AnswerPayload, Frame, Inspected, PayloadType, PostBegun, Refused, RequestId};
use super::{Found, Sid};
use crate::bus::Lane;
use crate::wire::{Sink, varint_length, wire_length};

/// The longest frame of the control lane, in bytes.
const CONTROL_BYTES_MAX: usize = 64 << 10;

impl Frame {
    /// Appends the frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let length = self.body_length();
        out.reserve(length + 11);
        out.put_u8(self.kind() as u8);
        let mut sink = Sink::Write(out);
        sink.length(length);
        self.body(&mut sink);
    }

    /// The number of bytes that [`Self::encode`] appends.
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        let length = self.body_length();
        1 + varint_length(wire_length(length)) + length
    }

    /// The lane for this frame: by its length, except that frames that must come one after the other
    /// share the bulk lane: those of a move, and those of doors.
    #[must_use]
    pub fn fitting_lane(&self) -> Lane {
        let is_ordered =
            matches!(self, Self::Taken { .. } | Self::Export { .. } | Self::Door { .. });
        if is_ordered || self.encoded_length() > CONTROL_BYTES_MAX {
            Lane::Bulk
        } else {
            Lane::Control
        }
    }

    fn body_length(&self) -> usize {
        let mut sink = Sink::Measure(0);
        self.body(&mut sink);
        let Sink::Measure(length) = sink else { unreachable!("no walk changes the kind of sink") };
        length
    }

    fn body(&self, to: &mut Sink<'_>) {
        to.varint(self.id().0);
        match self {
            Self::Poll { sid, hub, protocol, .. }
            | Self::PostBegin { sid, hub, protocol, .. }
            | Self::Inspect { sid, hub, protocol, .. } => {
                to.raw(&sid.0);
                to.str(hub);
                to.u8(*protocol);
            }
            Self::PollGone { id: RequestId(_) }
            | Self::PollBack { id: RequestId(_) }
            | Self::Cut { .. }
            | Self::ProbeGone { .. }
            | Self::Taken { .. }
            | Self::Arrived { .. } => {}
            Self::Answered { answer, .. } => to.answer(answer),
            Self::PostBegun { begun, .. } => to.post_begun(begun),
            Self::PostBody { binary, body, .. } => {
                to.u8((*binary).into());
                to.raw(body);
            }
            Self::Post { sid, hub, protocol, binary, body, .. } => {
                to.raw(&sid.0);
                to.str(hub);
                to.u8(*protocol);
                to.u8((*binary).into());
                to.raw(body);
            }
            Self::PostGone { fault, .. } => {
                to.u8(fault.is_some().into());
                fault.iter().for_each(|fault| to.str(fault));
            }
            Self::Inspected { inspected, .. } => to.inspected(inspected),
            Self::WhoHas { hub, sid, .. } => {
                to.str(hub);
                to.str(sid);
            }
            Self::IHave { sid, .. } => {
                to.u8(sid.is_some().into());
                sid.iter().for_each(|Sid(bytes)| to.raw(bytes));
            }
            Self::ProbeBegun { sid, hub, .. } => {
                to.raw(&sid.0);
                to.str(hub);
            }
            Self::Take { positions, .. } => to.list(positions, Sink::position),
            Self::Export { snapshot, .. } => to.raw(snapshot),
            Self::MoveFailed { cause, .. } => to.str(cause),
            Self::Door { door, hub, word, .. } => {
                to.u8(*door);
                to.str(hub);
                to.raw(word);
            }
        }
    }
}

impl Sink<'_> {
    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Payload(payload) => {
                self.u8(0);
                self.payload(payload);
            }
            Answer::Ok { lasting } => {
                self.u8(1);
                self.u8(lasting.is_some().into());
                lasting.iter().for_each(|headers| self.list(headers, Sink::header));
            }
            Answer::Status(code) => {
                self.u8(2);
                self.varint(*code);
            }
            Answer::Refused(refused) => {
                self.u8(3);
                self.refused(refused);
            }
            Answer::Unavailable(slug) => {
                self.u8(4);
                self.str(slug);
            }
            Answer::Abort => self.u8(5),
        }
    }

    fn payload(&mut self, payload: &AnswerPayload) {
        let AnswerPayload { content_type, compress, jsonp, lasting, first, body } = payload;
        let binary = *content_type == PayloadType::Binary;
        self.u8(u8::from(binary)
            | u8::from(*compress) << 1
            | u8::from(jsonp.is_some()) << 2
            | u8::from(lasting.is_some()) << 3);
        jsonp.iter().for_each(|number| self.str(number));
        lasting.iter().for_each(|headers| self.list(headers, Sink::header));
        self.list(first, Sink::header);
        self.raw(body);
    }

    fn refused(&mut self, refused: &Refused) {
        self.u8(refused.code);
        self.str(&refused.context);
    }

    fn post_begun(&mut self, begun: &PostBegun) {
        match begun {
            PostBegun::Wanted { bytes_max, chunks_max, timeout_ms, jsonp } => {
                self.u8(0);
                self.varint(*bytes_max);
                self.varint(*chunks_max);
                self.varint(*timeout_ms);
                self.u8((*jsonp).into());
            }
            PostBegun::Refused(refused) => {
                self.u8(1);
                self.refused(refused);
            }
            PostBegun::Status(code) => {
                self.u8(2);
                self.varint(*code);
            }
        }
    }

    fn inspected(&mut self, inspected: &Inspected) {
        match inspected {
            Inspected::Found(found) => {
                let Found { server, movable, upgrade_timeout_ms, base64_only, settings } = found;
                self.u8(0);
                self.str(server);
                self.u8(*movable);
                self.varint(*upgrade_timeout_ms);
                self.u8((*base64_only).into());
                self.bytes(settings);
            }
            Inspected::Refused(refused) => {
                self.u8(1);
                self.refused(refused);
            }
        }
    }
}
