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
    /// How it may be treated, and how far it goes.
    pub flags: BroadcastFlags,
    /// Sockets in any of these; all when empty.
    pub rooms: Vec<Str>,
    /// But not those in any of these.
    pub except: Vec<Str>,
    /// The Engine.IO messages of one Socket.IO packet, in order.
    pub parts: Vec<Part>,
}

/// One Engine.IO message of a packet for many sockets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// The data is binary, not text.
    pub binary: bool,
    /// Text or bytes, without a packet type. Text is not checked to be UTF-8.
    pub data: Bytes,
}
