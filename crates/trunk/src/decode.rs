//! From one WebSocket message to frames (section 2).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::iter::FusedIterator;

use bytes::{Buf, Bytes};

use crate::frame::{
    Broadcast, ClientRequest, Frame, Header, Hello, NamespaceNumber, Open, Part, Persist, Position,
    Reattach, Request, RequestId, Response, Restored, RestoredAt, SessionNumber, Welcome,
};
use crate::kind::FrameKind;
use crate::read::{Body, split_varint};
use crate::text::Str;
use crate::values::{
    BroadcastFlags, CloseCode, EioVersion, ErrorCode, Found, RequestCode, SendFlags, Transport,
};
use crate::{DESCRIPTION_BYTES_MAX, TOKEN_BYTES_MAX};

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
            | FrameKind::Prove => {
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
            | FrameKind::GiveBack => unreachable!("{kind} has no session"),
        })
    }

    fn hello(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Hello(Box::new(Hello {
            version_min: self.varint()?,
            version_max: self.varint()?,
            credit: self.varint()?,
            server: self.str()?,
            sdk: self.str()?,
            settings: self.str()?,
        })))
    }

    fn welcome(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Welcome(Welcome {
            version: self.varint()?,
            credit: self.varint()?,
            ping_interval_ms: self.varint()?,
            batch_bytes_max: self.varint()?,
            info: self.str()?,
        }))
    }

    fn open(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(Frame::Open(Box::new(Open {
            session,
            eio: self.coded(Rule::UndefinedValue, EioVersion::from_wire)?,
            sid: self.str()?,
            request: self.client_request()?,
        })))
    }

    fn close(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        let reason = CloseCode(self.u8()?);
        if self.0.len() > DESCRIPTION_BYTES_MAX {
            return Err(Rule::TooLong);
        }
        let description = Str::from_utf8(self.rest()).map_err(|_| Rule::BadUtf8)?;
        Ok(Frame::Close { session, reason, description })
    }

    fn request(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Request(Box::new(Request {
            request_id: RequestId(self.varint()?),
            code: self.coded(Rule::UndefinedValue, RequestCode::from_wire)?,
            context: self.str()?,
            request: self.client_request()?,
        })))
    }

    fn broadcast(&mut self) -> Result<Frame, Rule> {
        let (nsp, flags) = self.broadcast_head()?;
        Ok(Frame::Broadcast(self.broadcast_tail(nsp, flags)?))
    }

    fn recorded(&mut self) -> Result<Frame, Rule> {
        let (nsp, flags) = self.broadcast_head()?;
        let offset = self.str()?;
        Ok(Frame::Recorded { offset, broadcast: self.broadcast_tail(nsp, flags)? })
    }

    fn broadcast_head(&mut self) -> Result<(NamespaceNumber, BroadcastFlags), Rule> {
        Ok((self.nsp()?, self.coded(Rule::UndefinedFlag, BroadcastFlags::from_wire)?))
    }

    fn broadcast_tail(
        &mut self,
        nsp: NamespaceNumber,
        flags: BroadcastFlags,
    ) -> Result<Broadcast, Rule> {
        Ok(Broadcast {
            nsp,
            flags,
            rooms: self.strs()?,
            except: self.strs()?,
            parts: self.parts()?,
        })
    }

    fn persist(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(Frame::Persist(Box::new(Persist {
            session,
            nsp: self.nsp()?,
            pid: self.str()?,
            socket: self.str()?,
            rooms: self.strs()?,
            data: self.rest(),
        })))
    }

    fn restore(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Restore {
            request_id: RequestId(self.varint()?),
            nsp: self.nsp()?,
            pid: self.str()?,
            offset: self.str()?,
        })
    }

    fn restored(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Restored(Box::new(Restored {
            request_id: RequestId(self.varint()?),
            found: self.coded(Rule::UndefinedValue, bit_0)?,
            socket: self.str()?,
            rooms: self.strs()?,
            data: self.bytes()?,
            missed: self.list(1, Self::parts)?,
        })))
    }

    fn restored_at(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::RestoredAt(Box::new(RestoredAt {
            request_id: RequestId(self.varint()?),
            found: self.coded(Rule::UndefinedValue, Found::from_wire)?,
            socket: self.str()?,
            rooms: self.strs()?,
            data: self.bytes()?,
            missed: self.list(1, Self::parts)?,
            log: self.str()?,
            last: self.str()?,
            cut: self.list(3, Self::position)?,
        })))
    }

    fn reattach(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(Frame::Reattach(Box::new(Reattach {
            session,
            nsp: self.nsp()?,
            socket: self.str()?,
            rooms: self.strs()?,
            pid: self.str()?,
            log: self.str()?,
            last: self.str()?,
            cut: self.list(3, Self::position)?,
        })))
    }

    fn position(&mut self) -> Result<Position, Rule> {
        Ok(Position { server: self.str()?, number: self.long()? })
    }

    /// Reads a number of more than 32 bits: its high half, then its low half.
    fn long(&mut self) -> Result<u64, Rule> {
        let high = u64::from(self.varint()?);
        Ok(high << 32 | u64::from(self.varint()?))
    }

    fn client_request(&mut self) -> Result<ClientRequest, Rule> {
        Ok(ClientRequest {
            transport: self.transport()?,
            secure: self.coded(Rule::UndefinedFlag, bit_0)?,
            address: self.str()?,
            port: u16::try_from(self.varint()?).map_err(|_| Rule::UndefinedValue)?,
            method: self.str()?,
            url: self.str()?,
            headers: self.list(2, Self::header)?,
            claims: self.str()?,
        })
    }

    fn response(&mut self) -> Result<Response, Rule> {
        let status = self.varint()?;
        let status = u16::try_from(status).ok().filter(|status| (200..1000).contains(status));
        Ok(Response {
            status: status.ok_or(Rule::UndefinedValue)?,
            headers: self.list(2, Self::header)?,
            body: self.bytes()?,
        })
    }

    fn header(&mut self) -> Result<Header, Rule> {
        Ok(Header { name: self.str()?, value: self.str()? })
    }

    fn strs(&mut self) -> Result<Vec<Str>, Rule> {
        self.list(1, Self::str)
    }

    fn parts(&mut self) -> Result<Vec<Part>, Rule> {
        self.list(2, Self::part)
    }

    fn part(&mut self) -> Result<Part, Rule> {
        Ok(Part { binary: self.coded(Rule::UndefinedValue, bit_0)?, data: self.bytes()? })
    }

    fn nsp(&mut self) -> Result<NamespaceNumber, Rule> {
        Ok(NamespaceNumber(self.varint()?))
    }

    fn transport(&mut self) -> Result<Transport, Rule> {
        self.coded(Rule::UndefinedValue, Transport::from_wire)
    }

    fn token(&mut self) -> Result<Bytes, Rule> {
        if self.0.len() > TOKEN_BYTES_MAX {
            return Err(Rule::TooLong);
        }
        Ok(self.rest())
    }
}

const fn bit_0(wire: u8) -> Option<bool> {
    match wire {
        0 => Some(false),
        1 => Some(true),
        _ => None,
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

/// One variant per rule of the format that a batch can break. Alphabetical.
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
    /// A token or a description exceeds its limit.
    #[error("a field is longer than its limit")]
    TooLong,
    /// A field, a body or the batch ends too early.
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
    /// A varint exceeds 32 bits.
    #[error("a varint is larger than 2^32-1")]
    VarintTooLarge,
}

impl Rule {
    /// The rule's name in `spec/vectors/frames.json`, also usable as a metric label.
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
