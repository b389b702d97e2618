//! Decodes frames out of the bytes of a lane.

use bytes::Bytes;
use trunkline_trunk::Rule;

use super::{
    Answer, AnswerPayload, Found, Frame, FrameKind, Inspected, PayloadType, PostBegun, Refused,
    RequestId, Sid,
};
use crate::wire::{Body, split_varint};

/// Types from here on are optional: an unknown one is skipped.
const OPTIONAL: u8 = 0x80;

/// A frame that breaks the format. The rest of its lane cannot be read, so the link ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {rule}", self.frame_name())]
pub struct FrameError {
    /// The type of the frame, as on the wire.
    pub wire: u8,
    /// The rule that the frame broke.
    #[source]
    pub rule: Rule,
}

impl FrameError {
    /// The name of the frame in the spec, or a name for an unknown type.
    #[must_use]
    pub fn frame_name(&self) -> &'static str {
        FrameKind::from_wire(self.wire).map_or("frame of unknown type", FrameKind::name)
    }
}

/// The beginning of a frame: its type, where its body begins, and where it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) wire: u8,
    pub(crate) body: usize,
    pub(crate) end: usize,
}

/// Reads the head of the frame at the beginning of `bytes`; `None` while it is incomplete.
pub(crate) fn split_head(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<Head>, FrameError> {
    let Some((&wire, rest)) = bytes.split_first() else { return Ok(None) };
    let error = |rule| FrameError { wire, rule };
    let (length, digits) = match split_varint(rest) {
        Ok(split) => split,
        Err(Rule::Truncated) => return Ok(None),
        Err(rule) => return Err(error(rule)),
    };
    let body = 1 + digits;
    let length = usize::try_from(length).map_err(|_| error(Rule::TooLong))?;
    if length > frame_bytes_max.saturating_sub(body) {
        return Err(error(Rule::TooLong));
    }
    // An unknown mandatory type is told before its body has arrived.
    if wire < OPTIONAL && FrameKind::from_wire(wire).is_none() {
        return Err(error(Rule::UnknownType));
    }
    Ok(Some(Head { wire, body, end: body + length }))
}

impl Frame {
    /// Decodes one whole frame, and nothing after it; `None` for an unknown optional one.
    ///
    /// # Errors
    ///
    /// The first rule that the bytes break.
    pub fn decode(bytes: &Bytes) -> Result<Option<Self>, FrameError> {
        let wire = bytes.first().copied().unwrap_or_default();
        let truncated = FrameError { wire, rule: Rule::Truncated };
        let head = split_head(bytes, usize::MAX)?.ok_or(truncated)?;
        if head.end > bytes.len() {
            return Err(truncated);
        }
        if head.end < bytes.len() {
            return Err(FrameError { wire, rule: Rule::LeftoverBytes });
        }
        Self::decode_body(wire, bytes.slice(head.body..))
    }

    /// Decodes the body of a frame; `None` for an unknown optional type.
    pub(crate) fn decode_body(wire: u8, body: Bytes) -> Result<Option<Self>, FrameError> {
        let error = |rule| FrameError { wire, rule };
        let Some(kind) = FrameKind::from_wire(wire) else {
            return if wire < OPTIONAL { Err(error(Rule::UnknownType)) } else { Ok(None) };
        };
        let mut body = Body(body);
        let frame = body.frame(kind).map_err(error)?;
        body.finish().map_err(error)?;
        Ok(Some(frame))
    }
}

impl Body {
    fn frame(&mut self, kind: FrameKind) -> Result<Frame, Rule> {
        let id = RequestId(self.varint()?);
        Ok(match kind {
            FrameKind::Poll => {
                Frame::Poll { id, sid: self.sid()?, hub: self.str()?, protocol: self.protocol()? }
            }
            FrameKind::PollGone => Frame::PollGone { id },
            FrameKind::PollBack => Frame::PollBack { id },
            FrameKind::Answered => Frame::Answered { id, answer: self.answer()? },
            FrameKind::PostBegin => Frame::PostBegin {
                id,
                sid: self.sid()?,
                hub: self.str()?,
                protocol: self.protocol()?,
            },
            FrameKind::PostBegun => Frame::PostBegun { id, begun: self.post_begun()? },
            FrameKind::PostBody => Frame::PostBody { id, binary: self.bool()?, body: self.rest() },
            FrameKind::Post => Frame::Post {
                id,
                sid: self.sid()?,
                hub: self.str()?,
                protocol: self.protocol()?,
                binary: self.bool()?,
                body: self.rest(),
            },
            FrameKind::PostGone => Frame::PostGone { id, fault: self.optional(Self::str)? },
            FrameKind::Cut => Frame::Cut { id },
            FrameKind::Inspect => Frame::Inspect {
                id,
                sid: self.sid()?,
                hub: self.str()?,
                protocol: self.protocol()?,
            },
            FrameKind::Inspected => Frame::Inspected { id, inspected: self.inspected()? },
            FrameKind::WhoHas => Frame::WhoHas { id, hub: self.str()?, sid: self.str()? },
            FrameKind::IHave => Frame::IHave { id, sid: self.optional(Self::sid)? },
            FrameKind::ProbeBegun => Frame::ProbeBegun { id, sid: self.sid()?, hub: self.str()? },
            FrameKind::ProbeGone => Frame::ProbeGone { id },
            FrameKind::Take => Frame::Take { id, positions: self.list(2, Self::position)? },
            FrameKind::Taken => Frame::Taken { id },
            FrameKind::Export => Frame::Export { id, snapshot: self.rest() },
            FrameKind::MoveFailed => Frame::MoveFailed { id, cause: self.str()? },
            FrameKind::Arrived => Frame::Arrived { id },
            FrameKind::Door => {
                Frame::Door { id, door: self.u8()?, hub: self.str()?, word: self.rest() }
            }
        })
    }

    fn sid(&mut self) -> Result<Sid, Rule> {
        self.array().map(Sid)
    }

    fn protocol(&mut self) -> Result<u8, Rule> {
        match self.u8()? {
            protocol @ (3 | 4) => Ok(protocol),
            _ => Err(Rule::UndefinedValue),
        }
    }

    /// Reads a byte that says whether a field follows, then the field.
    fn optional<T>(
        &mut self,
        field: impl Fn(&mut Self) -> Result<T, Rule>,
    ) -> Result<Option<T>, Rule> {
        if self.bool()? { field(self).map(Some) } else { Ok(None) }
    }

    fn answer(&mut self) -> Result<Answer, Rule> {
        Ok(match self.u8()? {
            0 => Answer::Payload(self.payload()?),
            1 => Answer::Ok { lasting: self.optional(|body| body.list(2, Self::header))? },
            2 => Answer::Status(self.varint()?),
            3 => Answer::Refused(self.refused()?),
            4 => Answer::Unavailable(self.str()?),
            5 => Answer::Abort,
            _ => return Err(Rule::UndefinedValue),
        })
    }

    fn payload(&mut self) -> Result<AnswerPayload, Rule> {
        let flags = self.flags(0b1111)?;
        let has = |bit: u8| flags & (1 << bit) != 0;
        Ok(AnswerPayload {
            content_type: if has(0) { PayloadType::Binary } else { PayloadType::Text },
            compress: has(1),
            jsonp: if has(2) { Some(self.str()?) } else { None },
            lasting: if has(3) { Some(self.list(2, Self::header)?) } else { None },
            first: self.list(2, Self::header)?,
            body: self.rest(),
        })
    }

    fn refused(&mut self) -> Result<Refused, Rule> {
        Ok(Refused { code: self.u8()?, context: self.str()? })
    }

    fn post_begun(&mut self) -> Result<PostBegun, Rule> {
        Ok(match self.u8()? {
            0 => PostBegun::Wanted {
                bytes_max: self.long()?,
                chunks_max: self.long()?,
                timeout_ms: self.long()?,
                jsonp: self.bool()?,
            },
            1 => PostBegun::Refused(self.refused()?),
            2 => PostBegun::Status(self.varint()?),
            _ => return Err(Rule::UndefinedValue),
        })
    }

    fn inspected(&mut self) -> Result<Inspected, Rule> {
        Ok(match self.u8()? {
            0 => Inspected::Found(Found {
                server: self.str()?,
                movable: self.u8()?,
                upgrade_timeout_ms: self.long()?,
                base64_only: self.bool()?,
                settings: self.bytes()?,
            }),
            1 => Inspected::Refused(self.refused()?),
            _ => return Err(Rule::UndefinedValue),
        })
    }
}
