//! Sockets that come back (section 9).

use alloc::vec::Vec;

use bytes::Bytes;

use super::{NamespaceNumber, Part, RequestId, SessionNumber};
use crate::text::Str;
use crate::values::Found;

/// The body of `Persist` (section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Persist {
    /// The session, not yet closed by the app server.
    pub session: SessionNumber,
    /// The namespace.
    pub nsp: NamespaceNumber,
    /// The private id, by which it is asked for.
    pub pid: Str,
    /// The Socket.IO id.
    pub socket: Str,
    /// Its rooms, without the one that has its id as its name.
    pub rooms: Vec<Str>,
    /// The socket's data; only SDKs read it.
    pub data: Bytes,
}

/// The body of `Restored` (section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// The `Restore`'s.
    pub request_id: RequestId,
    /// Whether the socket can come back; if not, all below is empty.
    pub found: bool,
    /// The Socket.IO id.
    pub socket: Str,
    /// As they were persisted.
    pub rooms: Vec<Str>,
    /// As it was persisted.
    pub data: Bytes,
    /// The parts of each recorded packet behind the offset, in order.
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
    /// Its rooms, without the one that has its id as its name.
    pub rooms: Vec<Str>,
    /// The private id.
    pub pid: Str,
    /// As `RestoredAt` has it.
    pub log: Str,
    /// As `RestoredAt` has it.
    pub last: Str,
    /// As `RestoredAt` has it.
    pub cut: Vec<Position>,
}

/// The body of `RestoredAt` (section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoredAt {
    /// The `Restore`'s.
    pub request_id: RequestId,
    /// Whether the socket can come back; if not, all below but `socket` is empty.
    pub found: Found,
    /// The Socket.IO id.
    pub socket: Str,
    /// As they were persisted.
    pub rooms: Vec<Str>,
    /// As it was persisted.
    pub data: Bytes,
    /// The parts of each recorded packet that the client has not, in order.
    pub missed: Vec<Vec<Part>>,
    /// Whose order the missed packets have.
    pub log: Str,
    /// The offset of the last packet that the client has when it has those.
    pub last: Str,
    /// What it then has of each app server.
    pub cut: Vec<Position>,
}

/// Of one app server all broadcasts up to a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Position {
    /// The app server's id.
    pub server: Str,
    /// The number of the last one.
    pub number: u64,
}
