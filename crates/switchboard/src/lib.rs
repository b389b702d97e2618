//! The switchboard: the part of one hub that one shard owns, and the answer to "who receives this?".
//!
//! Contract for callers (the edge, the fuzzer):
//!
//! 1. Commands (`attach`, `detach`, `join`, `leave`, `remove_session`) take effect at once, in call order.
//! 2. [`Switchboard::select`] visits the session of each socket that a broadcast reaches exactly once. A session has
//!    one socket in a namespace, unless its client connected twice at once: then commands mean the chosen one.
//! 3. The order of a visit is stable: it depends on the sequence of commands alone. It is the order of
//!    attaching or joining until a member leaves; then the last member takes the free place.
//! 4. A [`NamespaceKey`] is a hold: it stays valid until [`Switchboard::release_namespace`] gives it back.
//!
//! Nothing is allocated by a broadcast, and a socket that is only in its namespace and in the room of
//! its own id costs no room, no list and no string: see `tests/memory.rs` for the number.
//!
//! No clock, socket, thread or random source is reachable from this crate: it is `no_std`.
#![no_std]
extern crate alloc;

pub mod affinity;
mod board;
#[cfg(any(test, feature = "invariants"))]
mod invariants;
mod name;
mod orphans;
mod records;
pub mod recovery;
mod select;
mod slab;

pub use board::Switchboard;
pub use orphans::Placed;

/// The shard's slot of a session. Slots are dense: the switchboard keeps four bytes for every number
/// up to the highest that was used.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionKey(pub u32);

/// An app server of the hub, numbered by the caller.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerKey(pub u32);

/// An interned namespace name; one [`Switchboard`]'s keys mean nothing to another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NamespaceKey(pub(crate) u32);

impl NamespaceKey {
    /// The namespace `/`, which always exists.
    pub const DEFAULT: Self = Self(0);
}

/// The sockets of a namespace that a broadcast goes to, as `rooms` and `except` of Socket.IO's
/// adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// A socket must be in one of these; empty means all sockets of the namespace.
    pub rooms: &'a [&'a str],
    /// A socket must be in none of these.
    pub except: &'a [&'a str],
    /// Only the sockets of this app server.
    pub server: Option<ServerKey>,
}

/// How much a [`Switchboard`] holds now, for gauges.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Sockets: sessions times the namespaces that each is in.
    pub sockets: usize,
    /// Rooms with a member other than the socket whose id is the room's name.
    pub rooms: usize,
    /// Pairs of a socket and a room, without the room of the socket's own id.
    pub memberships: usize,
    /// Namespaces that have a socket or are held, `/` included.
    pub namespaces: usize,
}

/// Why a socket was not attached; nothing has changed. In alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AttachError {
    /// Another socket in this namespace has the id.
    #[error("another socket of this namespace has this id")]
    IdTaken,
    /// The key's hold was returned, or the key belongs to another switchboard.
    #[error("the namespace key is not held")]
    NamespaceUnknown,
}
