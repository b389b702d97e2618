//! Packets for many sockets (section 7).

use alloc::vec::Vec;

use bytes::Bytes;

use super::NamespaceNumber;
use crate::text::Str;
use crate::values::BroadcastFlags;

/// The body of `Broadcast` (section 7), and of `Recorded` (section 9) without its offset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broadcast {
    /// The namespace.
    pub nsp: NamespaceNumber,
    /// How the packet may be treated, and how far it goes.
    pub flags: BroadcastFlags,
    /// Receivers are sockets in any of these rooms; all sockets when empty.
    pub rooms: Vec<Str>,
    /// Sockets in any of these rooms are excluded.
    pub except: Vec<Str>,
    /// The Engine.IO messages of one Socket.IO packet, in order.
    pub parts: Vec<Part>,
}

/// One Engine.IO message of a packet for many sockets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// Whether the data is binary; else it is text.
    pub binary: bool,
    /// Text or bytes, without a packet type. Text is not checked to be UTF-8.
    pub data: Bytes,
}
