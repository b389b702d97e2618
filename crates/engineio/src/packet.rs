//! Packets: one type and its data, as text or bytes.

use crate::error::PeerMisbehaved;
use crate::protocol::{Body, Protocol};

/// The seven packet types of Engine.IO, and `Unknown` for revision 3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PacketType {
    Close,
    Message,
    Noop,
    Open,
    Ping,
    Pong,
    /// A binary or base64 packet of revision 3 whose type does not exist: npm ignores it silently.
    Unknown,
    Upgrade,
}

impl PacketType {
    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Close,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Message,
            5 => Self::Upgrade,
            6 => Self::Noop,
            _ => Self::Unknown,
        }
    }

    const fn from_digit(digit: u8) -> Self {
        Self::from_number(digit.wrapping_sub(b'0'))
    }
}

/// One packet, borrowed from what the client sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Packet<'a> {
    pub(crate) kind: PacketType,
    pub(crate) data: Data<'a>,
}

/// The data of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Data<'a> {
    /// Bytes, still in base64.
    Base64(&'a str),
    Binary(&'a [u8]),
    Text(&'a str),
}

impl<'a> Packet<'a> {
    /// Reads one packet: a WebSocket message, or one piece of a polling payload.
    pub(crate) fn decode(protocol: Protocol, encoded: Body<'a>) -> Result<Self, PeerMisbehaved> {
        match (encoded, protocol) {
            (Body::Binary(bytes), Protocol::V4) => {
                Ok(Self { kind: PacketType::Message, data: Data::Binary(bytes) })
            }
            (Body::Binary(bytes), Protocol::V3) => {
                let (kind, data) = bytes.split_first().unwrap_or((&u8::MAX, bytes));
                Ok(Self { kind: PacketType::from_number(*kind), data: Data::Binary(data) })
            }
            (Body::Text(text), _) => Self::decode_text(protocol, text),
        }
    }

    fn decode_text(protocol: Protocol, text: &'a str) -> Result<Self, PeerMisbehaved> {
        if let Some(base64) = text.strip_prefix('b') {
            return Ok(Self::decode_base64(protocol, base64));
        }
        let kind = text.bytes().next().map_or(PacketType::Unknown, PacketType::from_digit);
        if kind == PacketType::Unknown {
            return Err(PeerMisbehaved::PacketTypeUnknown);
        }
        Ok(Self { kind, data: Data::Text(&text[1..]) })
    }

    /// Reads what follows the `b`: in revision 4 only base64, in revision 3 the type and then
    /// base64.
    fn decode_base64(protocol: Protocol, text: &'a str) -> Self {
        let mut kind = PacketType::Message;
        let mut base64 = text;
        if protocol == Protocol::V3 {
            let mut characters = text.chars();
            let digit = characters.next().and_then(|first| u8::try_from(first).ok());
            kind = digit.map_or(PacketType::Unknown, PacketType::from_digit);
            base64 = characters.as_str();
        }
        Self { kind, data: Data::Base64(base64) }
    }

    /// True for `ping` with the data `probe`.
    pub(crate) fn is_probe(&self) -> bool {
        self.kind == PacketType::Ping && self.data == Data::Text("probe")
    }
}

/// The packets that a session sends on its own account. None of them has data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Control {
    Close,
    Noop,
    Ping,
    Pong,
}

impl Control {
    /// The packet in text form: its digit.
    pub(crate) const fn packet(self) -> &'static [u8] {
        match self {
            Self::Close => b"1",
            Self::Ping => b"2",
            Self::Pong => b"3",
            Self::Noop => b"6",
        }
    }

    /// The complete RFC 6455 frame.
    pub(crate) const fn websocket_frame(self) -> &'static [u8] {
        match self {
            Self::Close => b"\x81\x011",
            Self::Ping => b"\x81\x012",
            Self::Pong => b"\x81\x013",
            Self::Noop => b"\x81\x016",
        }
    }
}

/// The complete RFC 6455 frame that answers a probe.
pub(crate) const PROBE_PONG_FRAME: &[u8] = b"\x81\x063probe";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_packets_are_the_same_in_both_revisions() {
        for protocol in [Protocol::V3, Protocol::V4] {
            for (text, kind) in [
                ("0", PacketType::Open),
                ("1", PacketType::Close),
                ("2", PacketType::Ping),
                ("3", PacketType::Pong),
                ("4", PacketType::Message),
                ("5", PacketType::Upgrade),
                ("6", PacketType::Noop),
            ] {
                let packet = Packet::decode(protocol, Body::Text(text)).unwrap();
                assert_eq!(packet, Packet { kind, data: Data::Text("") });
            }
            for unknown in ["", "7", "9", "x", "\u{1e}", " ", "é4", "/", ":"] {
                assert_eq!(
                    Packet::decode(protocol, Body::Text(unknown)),
                    Err(PeerMisbehaved::PacketTypeUnknown),
                    "{unknown:?}"
                );
            }
        }
    }

    #[test]
    fn bytes_and_base64_have_a_type_in_revision_3_alone() {
        let decode = |protocol, body| Packet::decode(protocol, body).unwrap();
        let of = |kind, data| Packet { kind, data };
        for (protocol, body, expected) in [
            (Protocol::V4, Body::Binary(b"\x04a"), of(PacketType::Message, Data::Binary(b"\x04a"))),
            (Protocol::V4, Body::Binary(b""), of(PacketType::Message, Data::Binary(b""))),
            (Protocol::V4, Body::Text("b4YQ"), of(PacketType::Message, Data::Base64("4YQ"))),
            (Protocol::V4, Body::Text("b"), of(PacketType::Message, Data::Base64(""))),
            (Protocol::V3, Body::Binary(b"\x04a"), of(PacketType::Message, Data::Binary(b"a"))),
            (Protocol::V3, Body::Binary(b"\x05"), of(PacketType::Upgrade, Data::Binary(b""))),
            (Protocol::V3, Body::Binary(b"\x09a"), of(PacketType::Unknown, Data::Binary(b"a"))),
            (Protocol::V3, Body::Binary(b""), of(PacketType::Unknown, Data::Binary(b""))),
            (Protocol::V3, Body::Text("b4YQ"), of(PacketType::Message, Data::Base64("YQ"))),
            (Protocol::V3, Body::Text("b€Q"), of(PacketType::Unknown, Data::Base64("Q"))),
            (Protocol::V3, Body::Text("b"), of(PacketType::Unknown, Data::Base64(""))),
        ] {
            assert_eq!(decode(protocol, body), expected, "{protocol:?} {body:?}");
        }
    }
}
