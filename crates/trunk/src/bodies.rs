//! Reads the bodies of frames, and the structures inside them (section 2).

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::decode::Rule;
use crate::frame::{
    Adopt, Adopted, Broadcast, ClientRequest, Frame, Header, Hello, ListedNode, NamespaceNumber,
    Open, Operate, Part, Persist, Position, Reattach, Request, RequestId, Response, Restored,
    RestoredAt, SessionNumber, State, Welcome,
};
use crate::read::Body;
use crate::text::Str;
use crate::values::{
    BroadcastFlags, CloseCode, EioVersion, Found, NodeState, Operation, Origin, RequestCode,
    Transport,
};
use crate::{DESCRIPTION_BYTES_MAX, TOKEN_BYTES_MAX};

impl Body {
    pub(crate) fn hello(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Hello(Box::new(Hello {
            version_min: self.varint()?,
            version_max: self.varint()?,
            credit: self.varint()?,
            server: self.str()?,
            sdk: self.str()?,
            settings: self.str()?,
        })))
    }

    pub(crate) fn welcome(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Welcome(Welcome {
            version: self.varint()?,
            credit: self.varint()?,
            ping_interval_ms: self.varint()?,
            batch_bytes_max: self.varint()?,
            info: self.str()?,
        }))
    }

    pub(crate) fn open(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(Frame::Open(Box::new(Open {
            session,
            eio: self.coded(Rule::UndefinedValue, EioVersion::from_wire)?,
            sid: self.str()?,
            request: self.client_request()?,
        })))
    }

    pub(crate) fn close(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        let reason = CloseCode(self.u8()?);
        if self.0.len() > DESCRIPTION_BYTES_MAX {
            return Err(Rule::TooLong);
        }
        let description = Str::from_utf8(self.rest()).map_err(|_| Rule::BadUtf8)?;
        Ok(Frame::Close { session, reason, description })
    }

    pub(crate) fn request(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Request(Box::new(Request {
            request_id: RequestId(self.varint()?),
            code: self.coded(Rule::UndefinedValue, RequestCode::from_wire)?,
            context: self.str()?,
            request: self.client_request()?,
        })))
    }

    pub(crate) fn broadcast(&mut self) -> Result<Frame, Rule> {
        let (nsp, flags) = self.broadcast_head()?;
        Ok(Frame::Broadcast(self.broadcast_tail(nsp, flags)?))
    }

    pub(crate) fn recorded(&mut self) -> Result<Frame, Rule> {
        let (nsp, flags) = self.broadcast_head()?;
        let offset = self.str()?;
        Ok(Frame::Recorded { offset, broadcast: self.broadcast_tail(nsp, flags)? })
    }

    pub(crate) fn broadcast_head(&mut self) -> Result<(NamespaceNumber, BroadcastFlags), Rule> {
        Ok((self.nsp()?, self.coded(Rule::UndefinedFlag, BroadcastFlags::from_wire)?))
    }

    pub(crate) fn broadcast_tail(
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

    pub(crate) fn persist(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(Frame::Persist(Box::new(Persist {
            session,
            nsp: self.nsp()?,
            pid: self.str()?,
            socket: self.str()?,
            rooms: self.strs()?,
            data: self.rest(),
        })))
    }

    pub(crate) fn restore(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Restore {
            request_id: RequestId(self.varint()?),
            nsp: self.nsp()?,
            pid: self.str()?,
            offset: self.str()?,
        })
    }

    pub(crate) fn restored(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Restored(Box::new(Restored {
            request_id: RequestId(self.varint()?),
            found: self.coded(Rule::UndefinedValue, bit_0)?,
            socket: self.str()?,
            rooms: self.strs()?,
            data: self.bytes()?,
            missed: self.list(1, Self::parts)?,
        })))
    }

    pub(crate) fn restored_at(&mut self) -> Result<Frame, Rule> {
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

    pub(crate) fn reattach(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
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

    pub(crate) fn operate(&mut self) -> Result<Frame, Rule> {
        Ok(Frame::Operate(Box::new(Operate {
            nsp: self.str()?,
            op: self.coded(Rule::UndefinedValue, Operation::from_wire)?,
            rooms: self.strs()?,
            except: self.strs()?,
            args: self.strs()?,
        })))
    }

    pub(crate) fn position(&mut self) -> Result<Position, Rule> {
        Ok(Position { server: self.str()?, number: self.long()? })
    }

    /// Reads a number of more than 32 bits: its high half, then its low half.
    pub(crate) fn long(&mut self) -> Result<u64, Rule> {
        let high = u64::from(self.varint()?);
        Ok(high << 32 | u64::from(self.varint()?))
    }

    pub(crate) fn client_request(&mut self) -> Result<ClientRequest, Rule> {
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

    pub(crate) fn response(&mut self) -> Result<Response, Rule> {
        let status = self.varint()?;
        let status = u16::try_from(status).ok().filter(|status| (200..1000).contains(status));
        Ok(Response {
            status: status.ok_or(Rule::UndefinedValue)?,
            headers: self.list(2, Self::header)?,
            body: self.bytes()?,
        })
    }

    pub(crate) fn header(&mut self) -> Result<Header, Rule> {
        Ok(Header { name: self.str()?, value: self.str()? })
    }

    pub(crate) fn strs(&mut self) -> Result<Vec<Str>, Rule> {
        self.list(1, Self::str)
    }

    pub(crate) fn parts(&mut self) -> Result<Vec<Part>, Rule> {
        self.list(2, Self::part)
    }

    pub(crate) fn part(&mut self) -> Result<Part, Rule> {
        Ok(Part { binary: self.coded(Rule::UndefinedValue, bit_0)?, data: self.bytes()? })
    }

    pub(crate) fn nsp(&mut self) -> Result<NamespaceNumber, Rule> {
        Ok(NamespaceNumber(self.varint()?))
    }

    pub(crate) fn transport(&mut self) -> Result<Transport, Rule> {
        self.coded(Rule::UndefinedValue, Transport::from_wire)
    }

    pub(crate) fn token(&mut self) -> Result<Bytes, Rule> {
        if self.0.len() > TOKEN_BYTES_MAX {
            return Err(Rule::TooLong);
        }
        Ok(self.rest())
    }

    pub(crate) fn adopt(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(Frame::Adopt(Box::new(Adopt {
            session,
            eio: self.coded(Rule::UndefinedValue, EioVersion::from_wire)?,
            sid: self.str()?,
            transport: self.transport()?,
            origin: self.coded(Rule::UndefinedValue, Origin::from_wire)?,
            request: self.client_request()?,
            sockets: self.list(5, Self::adopted)?,
        })))
    }

    fn adopted(&mut self) -> Result<Adopted, Rule> {
        Ok(Adopted {
            nsp: self.str()?,
            socket: self.str()?,
            pid: self.str()?,
            rooms: self.strs()?,
            state: self.bytes()?,
        })
    }

    pub(crate) fn listed_node(&mut self) -> Result<ListedNode, Rule> {
        Ok(ListedNode {
            id: self.str()?,
            number: self.varint()?,
            url: self.str()?,
            state: self.coded(Rule::UndefinedValue, NodeState::from_wire)?,
        })
    }

    pub(crate) fn state(&mut self, session: SessionNumber) -> Result<Frame, Rule> {
        Ok(Frame::State(Box::new(State {
            session,
            nsp: self.nsp()?,
            socket: self.str()?,
            pid: self.str()?,
            state: self.rest(),
        })))
    }
}

pub(crate) const fn bit_0(wire: u8) -> Option<bool> {
    match wire {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
