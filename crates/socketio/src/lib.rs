//! Socket.IO 5, pure: the packet that travels in one Engine.IO message.
//!
//! [`parse`] reads a packet's header and checks its data as `socket.io-parser` does, with the same
//! leniency; the data stays raw JSON. [`encode`] is the reverse. Binary attachments are the
//! Engine.IO messages that follow; [`Packet::attachments`] is their number, and the caller collects
//! them.
//!
//! Stricter than `socket.io-parser` in one point: an acknowledgement id must be an integer that
//! JavaScript can represent exactly. `socket.io-parser` accepts others as a rounded number,
//! `Infinity` or `NaN`.
//!
//! Source: the Socket.IO protocol, revision 5, and `socket.io-parser` 4.2.
#![no_std]
extern crate alloc;

mod encode;
mod json;
mod parse;

pub use encode::{encode, event_data, quote};
pub use parse::{ATTACHMENTS_MAX, ID_MAX, ParseError, event_name, parse, parse_head};

/// One packet; borrowed, with its data not decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// The type of the packet.
    pub kind: PacketKind,
    /// Binary messages that follow; 0 unless `kind` is binary.
    pub attachments: u32,
    /// The namespace, `/` by default.
    pub nsp: &'a str,
    /// The id of an acknowledgement: the one that an event asks for, or the one that is given.
    pub id: Option<u64>,
    /// Raw JSON, or empty.
    pub data: &'a str,
}

/// The packet types, in the order of their numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PacketKind {
    /// 0: join a namespace (data: auth), or the answer (data: the socket's id).
    Connect,
    /// 1: leave a namespace.
    Disconnect,
    /// 2: an event (data: an array of name and arguments).
    Event,
    /// 3: an acknowledgement (data: an array of arguments).
    Ack,
    /// 4: the namespace was refused (data: an error object or string).
    ConnectError,
    /// 5: an event with attachments.
    BinaryEvent,
    /// 6: an acknowledgement with attachments.
    BinaryAck,
}

impl PacketKind {
    /// Whether a packet of this kind carries attachments.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }
}

impl<'a> Packet<'a> {
    /// Enters a namespace; `auth` is a JSON object or empty.
    pub const fn connect(nsp: &'a str, auth: &'a str) -> Self {
        Self { kind: PacketKind::Connect, attachments: 0, nsp, id: None, data: auth }
    }

    /// Leaves a namespace.
    pub const fn disconnect(nsp: &'a str) -> Self {
        Self { kind: PacketKind::Disconnect, attachments: 0, nsp, id: None, data: "" }
    }

    /// An event; [`event_data`] makes its data. With an `id` it asks for an acknowledgement.
    pub const fn event(nsp: &'a str, id: Option<u64>, data: &'a str) -> Self {
        Self { kind: PacketKind::Event, attachments: 0, nsp, id, data }
    }

    /// The acknowledgement of the event with this id; `data` is a JSON array.
    pub const fn ack(nsp: &'a str, id: u64, data: &'a str) -> Self {
        Self { kind: PacketKind::Ack, attachments: 0, nsp, id: Some(id), data }
    }

    /// The same event or acknowledgement with attachments: each `{"_placeholder":true,"num":N}` in
    /// the data stands for one. Other packet types have none and stay unchanged.
    #[must_use]
    pub const fn with_attachments(self, attachments: u32) -> Self {
        let kind = match self.kind {
            PacketKind::Event | PacketKind::BinaryEvent => PacketKind::BinaryEvent,
            PacketKind::Ack | PacketKind::BinaryAck => PacketKind::BinaryAck,
            PacketKind::Connect | PacketKind::Disconnect | PacketKind::ConnectError => return self,
        };
        Self { kind, attachments, ..self }
    }
}
