//! The frames for sockets that return (section 9).

use alloc::vec::Vec;

use bytes::Bytes;

use super::{NamespaceNumber, Part, RequestId, SessionNumber};
use crate::text::Str;
use crate::values::Found;

/// The body of `Persist` (section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Persist {
    /// The session, which the app server has not closed yet.
    pub session: SessionNumber,
    /// The namespace.
    pub nsp: NamespaceNumber,
    /// The private id, with which the socket is asked for.
    pub pid: Str,
    /// The Socket.IO id.
    pub socket: Str,
    /// The socket's rooms, without the one that has its id as its name.
    pub rooms: Vec<Str>,
    /// The socket's data; only SDKs read it.
    pub data: Bytes,
}

/// The body of `Restored` (section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// The number of the `Restore`.
    pub request_id: RequestId,
    /// Whether the socket can return; if not, all fields below are empty.
    pub found: bool,
    /// The Socket.IO id.
    pub socket: Str,
    /// The rooms as they were persisted.
    pub rooms: Vec<Str>,
    /// The data as it was persisted.
    pub data: Bytes,
    /// The parts of each recorded packet after the offset, in order.
    pub missed: Vec<Vec<Part>>,
}

/// The body of `Reattach` (section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reattach {
    /// The session.
    pub session: SessionNumber,
    /// The namespace.
    pub nsp: NamespaceNumber,
    /// The Socket.IO id.
    pub socket: Str,
    /// The socket's rooms, without the one that has its id as its name.
    pub rooms: Vec<Str>,
    /// The private id.
    pub pid: Str,
    /// The log, as in `RestoredAt`.
    pub log: Str,
    /// The last offset, as in `RestoredAt`.
    pub last: Str,
    /// The cut, as in `RestoredAt`.
    pub cut: Vec<Position>,
}

/// The body of `RestoredAt` (section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoredAt {
    /// The number of the `Restore`.
    pub request_id: RequestId,
    /// Whether the socket can return; if not, all fields below except `socket` are empty.
    pub found: Found,
    /// The Socket.IO id.
    pub socket: Str,
    /// The rooms as they were persisted.
    pub rooms: Vec<Str>,
    /// The data as it was persisted.
    pub data: Bytes,
    /// The parts of each recorded packet that the client has not received, in order.
    pub missed: Vec<Vec<Part>>,
    /// The log whose order the missed packets have.
    pub log: Str,
    /// The offset of the last packet that the client has once it has the missed packets.
    pub last: Str,
    /// The client's position for each app server once it has the missed packets.
    pub cut: Vec<Position>,
}

impl Restored {
    /// The answer when no node keeps the socket.
    pub const fn nothing(request_id: RequestId) -> Self {
        Self {
            request_id,
            found: false,
            socket: Str::EMPTY,
            rooms: Vec::new(),
            data: Bytes::new(),
            missed: Vec::new(),
        }
    }
}

impl RestoredAt {
    /// The answer when no node keeps the socket.
    pub const fn nothing(request_id: RequestId) -> Self {
        Self {
            request_id,
            found: Found::No,
            socket: Str::EMPTY,
            rooms: Vec::new(),
            data: Bytes::new(),
            missed: Vec::new(),
            log: Str::EMPTY,
            last: Str::EMPTY,
            cut: Vec::new(),
        }
    }
}

/// A position: all broadcasts of one app server up to a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Position {
    /// The app server's id.
    pub server: Str,
    /// The number of the last broadcast.
    pub number: u64,
}
