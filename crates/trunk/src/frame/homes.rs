//! The frames for sessions whose app server changes (section 4), and the socket states for that.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{ClientRequest, NamespaceNumber, SessionNumber};
use crate::text::Str;
use crate::values::{EioVersion, Operation, Origin, Transport};

/// The body of `Adopt`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Adopt {
    /// The session, with its number on this trunk.
    pub session: SessionNumber,
    /// The client's version of Engine.IO.
    pub eio: EioVersion,
    /// The session id that the client has.
    pub sid: Str,
    /// The session's present transport.
    pub transport: Transport,
    /// Why the session needs another app server.
    pub origin: Origin,
    /// The handshake, as the first app server had it in `Open`.
    pub request: ClientRequest,
    /// The session's sockets.
    pub sockets: Vec<Adopted>,
}

/// One socket of an adopted session: `adopted` in section 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Adopted {
    /// The name of the namespace.
    pub nsp: Str,
    /// The Socket.IO id.
    pub socket: Str,
    /// The private id.
    pub pid: Str,
    /// The socket's rooms, without the one that has its id as its name.
    pub rooms: Vec<Str>,
    /// The socket's last state; only SDKs read it.
    pub state: Bytes,
}

/// The body of `State`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// The session.
    pub session: SessionNumber,
    /// The namespace.
    pub nsp: NamespaceNumber,
    /// The Socket.IO id.
    pub socket: Str,
    /// The private id.
    pub pid: Str,
    /// The state, which replaces the socket's former one; only SDKs read it.
    pub state: Bytes,
}

/// The body of `Operate`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operate {
    /// The name of the namespace.
    pub nsp: Str,
    /// What happens to the sockets.
    pub op: Operation,
    /// From an app server: sockets in any of these rooms are meant; all sockets when empty. From a
    /// node: the ids of the sockets.
    pub rooms: Vec<Str>,
    /// Sockets in any of these rooms are excluded.
    pub except: Vec<Str>,
    /// The rooms to join or to leave.
    pub args: Vec<Str>,
}
