//! From one WebSocket message to frames (section 2).

use core::iter::FusedIterator;

use bytes::{Buf, Bytes};

use crate::bodies::bit_0;
use crate::frame::{Frame, RequestId, SessionNumber};
use crate::kind::FrameKind;
use crate::read::{Body, split_varint};
use crate::values::{ErrorCode, SendFlags, StandingFlags};

/// The frames of one batch, in order. Payloads and strings are slices of `batch`.
///
/// Unknown optional types are skipped. After an error the iterator ends.
pub const fn decode_batch(batch: Bytes) -> Batch {
    Batch { rest: batch }
}

/// An iterator over the frames of one batch: see [`decode_batch`].
#[derive(Clone, Debug)]
pub struct Batch {
    rest: Bytes,
}

impl Iterator for Batch {
    type Item = Result<Frame, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(&wire) = self.rest.first() {
            match self.next_frame(wire) {
                Ok(None) => (),
                Ok(Some(frame)) => return Some(Ok(frame)),
                Err(rule) => {
                    self.rest = Bytes::new();
                    return Some(Err(DecodeError { wire, rule }));
                }
            }
        }
        None
    }
}

impl FusedIterator for Batch {}

impl Batch {
    /// Decodes the next frame; `None` for an optional frame that this version does not know.
    fn next_frame(&mut self, wire: u8) -> Result<Option<Frame>, Rule> {
        let kind = FrameKind::from_wire(wire);
        if kind.is_none() && wire < 0x80 {
            return Err(Rule::UnknownType);
        }
        let (length, length_bytes) = split_varint(&self.rest[1..])?;
        self.rest.advance(1 + length_bytes);
        let length = usize::try_from(length).map_err(|_| Rule::Truncated)?;
        if length > self.rest.len() {
            return Err(Rule::Truncated);
        }
        let mut body = Body(self.rest.split_to(length));
        let Some(kind) = kind else { return Ok(None) };
        let frame = body.frame(kind)?;
        // A later version may append fields to these two, and only to these.
        if !matches!(kind, FrameKind::Hello | FrameKind::Welcome) {
            body.finish()?;
        }
        Ok(Some(frame))
    }
}

impl Body {
    fn frame(&mut self, kind: FrameKind) -> Result<Frame, Rule> {
        Ok(match kind {
            FrameKind::Hello => self.hello()?,
            FrameKind::Welcome => self.welcome()?,
            FrameKind::Error => {
                Frame::Error { code: ErrorCode::from_wire(self.varint()?), message: self.str()? }
            }
            FrameKind::Ping => Frame::Ping { token: self.token()? },
            FrameKind::Pong => Frame::Pong { token: self.token()? },
            FrameKind::Credit => Frame::Credit { bytes: self.varint()? },
            FrameKind::Drain => Frame::Drain { deadline_ms: self.varint()? },
            FrameKind::Settings => Frame::Settings { settings: self.str()? },
            FrameKind::Request => self.request()?,
            FrameKind::Response => Frame::Response {
                request_id: RequestId(self.varint()?),
                response: self.response()?,
            },
            FrameKind::Namespace => Frame::Namespace { nsp: self.nsp()?, name: self.str()? },
            FrameKind::Release => Frame::Release { nsp: self.nsp()? },
            FrameKind::Broadcast => self.broadcast()?,
            FrameKind::Recorded => self.recorded()?,
            FrameKind::Peers => Frame::Peers { servers: self.strs()? },
            FrameKind::Relay => Frame::Relay { to: self.strs()?, payload: self.rest() },
            FrameKind::Relayed => Frame::Relayed { from: self.str()?, payload: self.rest() },
            FrameKind::Restore => self.restore()?,
            FrameKind::Restored => self.restored()?,
            FrameKind::Number => Frame::Number { next: self.long()? },
            FrameKind::RestoredAt => self.restored_at()?,
            FrameKind::Proved => Frame::Proved {
                request_id: RequestId(self.varint()?),
                holds: self.coded(Rule::UndefinedValue, bit_0)?,
            },
            FrameKind::GiveBack => Frame::GiveBack { nsp: self.nsp()?, pid: self.str()? },
            FrameKind::Call => Frame::Call {
                request_id: RequestId(self.varint()?),
                name: self.str()?,
                arguments: self.str()?,
            },
            FrameKind::Called => Frame::Called {
                request_id: RequestId(self.varint()?),
                done: self.coded(Rule::UndefinedValue, bit_0)?,
                answer: self.str()?,
            },
            FrameKind::Handled => Frame::Handled { begun: self.varint()?, done: self.varint()? },
            FrameKind::Got => Frame::Got { batches: self.varint()? },
            FrameKind::Nodes => Frame::Nodes { nodes: self.list(4, Self::listed_node)? },
            FrameKind::Load => Frame::Load { sessions: self.varint()?, lag_ms: self.varint()? },
            FrameKind::Operate => self.operate()?,
            FrameKind::Unhomed => {
                Frame::Unhomed { waiting: self.coded(Rule::UndefinedValue, bit_0)? }
            }
            FrameKind::Open
            | FrameKind::Accept
            | FrameKind::Reject
            | FrameKind::Message
            | FrameKind::Send
            | FrameKind::Close
            | FrameKind::Upgraded
            | FrameKind::Mark
            | FrameKind::Marked
            | FrameKind::Attach
            | FrameKind::Beside
            | FrameKind::Choose
            | FrameKind::Detach
            | FrameKind::Join
            | FrameKind::Leave
            | FrameKind::Persist
            | FrameKind::Reattach
            | FrameKind::Prove
            | FrameKind::Adopt
            | FrameKind::State
            | FrameKind::Standing => {
                let session = SessionNumber(self.varint()?);
                self.session_frame(kind, session)?
            }
        })
    }

    /// Decodes the frames whose first field is a session.
    fn session_frame(&mut self, kind: FrameKind, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(match kind {
            FrameKind::Open => self.open(session)?,
            FrameKind::Accept => Frame::Accept {
                session,
                sid: self.str()?,
                headers: self.list(2, Self::header)?,
                lasting: self.list(2, Self::header)?,
            },
            FrameKind::Reject => Frame::Reject { session, response: self.response()? },
            FrameKind::Message => {
                let binary = self.coded(Rule::UndefinedFlag, bit_0)?;
                Frame::Message { session, binary, payload: self.rest() }
            }
            FrameKind::Send => {
                let flags = self.coded(Rule::UndefinedFlag, SendFlags::from_wire)?;
                Frame::Send { session, flags, payload: self.rest() }
            }
            FrameKind::Close => self.close(session)?,
            FrameKind::Upgraded => Frame::Upgraded { session, transport: self.transport()? },
            FrameKind::Mark => Frame::Mark {
                session,
                mark: self.varint()?,
                now: self.coded(Rule::UndefinedFlag, bit_0)?,
            },
            FrameKind::Marked => {
                Frame::Marked { session, mark: self.varint()?, waiting_bytes: self.varint()? }
            }
            FrameKind::Attach => Frame::Attach {
                session,
                nsp: self.nsp()?,
                socket: self.str()?,
                rooms: self.strs()?,
            },
            FrameKind::Beside => Frame::Beside {
                session,
                nsp: self.nsp()?,
                socket: self.str()?,
                rooms: self.strs()?,
            },
            FrameKind::Choose => Frame::Choose { session, nsp: self.nsp()?, socket: self.str()? },
            FrameKind::Detach => Frame::Detach { session, nsp: self.nsp()? },
            FrameKind::Join => Frame::Join { session, nsp: self.nsp()?, rooms: self.strs()? },
            FrameKind::Leave => Frame::Leave { session, nsp: self.nsp()?, rooms: self.strs()? },
            FrameKind::Persist => self.persist(session)?,
            FrameKind::Reattach => self.reattach(session)?,
            FrameKind::Adopt => self.adopt(session)?,
            FrameKind::State => self.state(session)?,
            FrameKind::Standing => {
                let flags = self.coded(Rule::UndefinedFlag, StandingFlags::from_wire)?;
                Frame::Standing { session, flags }
            }
            FrameKind::Prove => Frame::Prove {
                session,
                request_id: RequestId(self.varint()?),
                cut: self.list(3, Self::position)?,
            },
            FrameKind::Hello
            | FrameKind::Welcome
            | FrameKind::Error
            | FrameKind::Ping
            | FrameKind::Pong
            | FrameKind::Credit
            | FrameKind::Drain
            | FrameKind::Settings
            | FrameKind::Request
            | FrameKind::Response
            | FrameKind::Namespace
            | FrameKind::Release
            | FrameKind::Broadcast
            | FrameKind::Recorded
            | FrameKind::Peers
            | FrameKind::Relay
            | FrameKind::Relayed
            | FrameKind::Restore
            | FrameKind::Restored
            | FrameKind::Number
            | FrameKind::RestoredAt
            | FrameKind::Proved
            | FrameKind::GiveBack
            | FrameKind::Call
            | FrameKind::Called
            | FrameKind::Handled
            | FrameKind::Got
            | FrameKind::Nodes
            | FrameKind::Load
            | FrameKind::Operate
            | FrameKind::Unhomed => unreachable!("{kind} has no session"),
        })
    }
}

/// A frame that breaks the format. The rest of the batch cannot be read, so the trunk ends: error
/// 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {rule}", self.frame_name())]
pub struct DecodeError {
    /// The type of the frame, as on the wire.
    pub wire: u8,
    /// The rule that the frame broke.
    #[source]
    pub rule: Rule,
}

impl DecodeError {
    /// The name of the frame in the spec, or a name for an unknown type.
    pub fn frame_name(&self) -> &'static str {
        match FrameKind::from_wire(self.wire) {
            Some(kind) => kind.name(),
            None if self.wire < 0x80 => "frame of unknown type",
            None => "optional frame of unknown type",
        }
    }
}

/// One variant per rule of the format that bytes can break. Alphabetical. Frames between nodes
/// (the crate `mesh`) have the same fields and keep the same rules.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Rule {
    /// A `str` or a description is not UTF-8.
    #[error("a string is not UTF-8")]
    BadUtf8,
    /// Bytes are left after the last field.
    #[error("bytes are left over after the last field")]
    LeftoverBytes,
    /// A list announces more items than the bytes could hold.
    #[error("a list announces more items than the body can hold")]
    ListCount,
    /// A token, a description or a whole frame exceeds its limit.
    #[error("a field is longer than its limit")]
    TooLong,
    /// A field, a body or the whole ends too early.
    #[error("the bytes end in the middle of a field")]
    Truncated,
    /// A bit is set that has no meaning.
    #[error("a flag bit is set that has no meaning")]
    UndefinedFlag,
    /// A number has no meaning in this field.
    #[error("a field has a value that has no meaning")]
    UndefinedValue,
    /// A mandatory type has no meaning.
    #[error("the type is mandatory and unknown")]
    UnknownType,
    /// A varint is longer than necessary.
    #[error("a varint is not in its shortest form")]
    VarintNotShortest,
    /// A varint exceeds the range of its field: 32 bits in a trunk.
    #[error("a varint is too large for its field")]
    VarintTooLarge,
}

impl Rule {
    /// The rule's name in `spec/vectors`, also usable as a metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadUtf8 => "bad_utf8",
            Self::LeftoverBytes => "leftover_bytes",
            Self::ListCount => "list_count",
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::UndefinedFlag => "undefined_flag",
            Self::UndefinedValue => "undefined_value",
            Self::UnknownType => "unknown_type",
            Self::VarintNotShortest => "varint_not_shortest",
            Self::VarintTooLarge => "varint_too_large",
        }
    }
}
