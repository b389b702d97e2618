//! A frame's header: RFC 6455, section 5.2.

use crate::error::PeerMisbehaved;

/// The close code that stands for "no code": never on the wire (RFC 6455, section 7.4.1).
pub const CLOSE_CODE_ABSENT: u16 = 1005;

/// The longest payload of a control frame, in bytes (section 5.5).
pub(crate) const CONTROL_PAYLOAD_BYTES_MAX: u64 = 125;
/// The longest length that every implementation can represent; `ws`, which Socket.IO uses, refuses
/// longer ones too.
const PAYLOAD_LENGTH_MAX: u64 = (1 << 53) - 1;

/// The first reserved bit: the message that starts here is compressed (RFC 7692, section 6).
pub(crate) const RSV1: u8 = 0x40;
/// The two reserved bits that none of our extensions uses.
const RSV2_AND_RSV3: u8 = 0x30;

/// Our end of the connection. A server expects masked frames, a client expects unmasked
/// ones (section 5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// We opened the connection.
    Client,
    /// We accepted the connection.
    Server,
}

/// The rules of a connection: our role, our limit, and what both ends agreed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Our end of the connection.
    pub role: Role,
    /// The longest accepted data message, in bytes: as it is received, over all of its fragments,
    /// and as it is inflated.
    pub message_bytes_max: usize,
    /// Whether permessage-deflate was agreed on, so that the peer's messages may be compressed.
    pub deflate: bool,
}

/// What an encoded frame carries. Our own messages are never fragmented.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcode {
    /// A binary message.
    Binary,
    /// The closing handshake.
    Close,
    /// A ping, to be answered with a pong of the same payload.
    Ping,
    /// The answer to a ping.
    Pong,
    /// A text message: UTF-8.
    Text,
}

impl Opcode {
    /// The number in the header's low four bits.
    pub(crate) const fn to_wire(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// The two kinds of data message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Data {
    Binary,
    Text,
}

/// The three kinds of control frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Control {
    Close,
    Ping,
    Pong,
}

/// The kind of a received frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Continuation,
    Control(Control),
    Start(Data),
}

impl Kind {
    const fn from_wire(opcode: u8) -> Result<Self, PeerMisbehaved> {
        Ok(match opcode {
            0x0 => Self::Continuation,
            0x1 => Self::Start(Data::Text),
            0x2 => Self::Start(Data::Binary),
            0x8 => Self::Control(Control::Close),
            0x9 => Self::Control(Control::Ping),
            0xa => Self::Control(Control::Pong),
            _ => return Err(PeerMisbehaved::ReservedOpcode),
        })
    }
}

/// A frame's header, complete and checked against every rule that needs no payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) fin: bool,
    /// Whether the message is compressed; set only at the start of a message.
    pub(crate) deflated: bool,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload_len: u64,
    /// The length of the header itself, in bytes.
    pub(crate) len: usize,
}

impl Header {
    /// Reads a header from the start of `bytes`; none when more bytes are needed. `inside_message`
    /// tells whether a fragmented message is under way. The checks are made as soon as the bytes
    /// they need are there, in the order of npm `ws`.
    #[inline]
    pub(crate) fn read(
        rules: Rules,
        inside_message: bool,
        bytes: &[u8],
    ) -> Result<Option<Self>, PeerMisbehaved> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let deflated = first & RSV1 != 0;
        if first & RSV2_AND_RSV3 != 0 || (deflated && !rules.deflate) {
            return Err(PeerMisbehaved::ReservedBits);
        }
        let kind = Kind::from_wire(first & 0x0f)?;
        let fin = first & 0x80 != 0;
        let short_len = second & 0x7f;
        check_kind(kind, fin, deflated, short_len, inside_message)?;
        let masked = second & 0x80 != 0;
        match (rules.role, masked) {
            (Role::Server, false) => return Err(PeerMisbehaved::MaskMissing),
            (Role::Client, true) => return Err(PeerMisbehaved::MaskUnexpected),
            (Role::Server, true) | (Role::Client, false) => (),
        }
        let Some((payload_len, length_bytes)) = read_length(short_len, rest)? else {
            return Ok(None);
        };
        let mut len = 2 + length_bytes;
        let mut mask = None;
        if masked {
            let Some(key) = bytes.get(len..).and_then(|tail| tail.first_chunk::<4>()) else {
                return Ok(None);
            };
            mask = Some(*key);
            len += 4;
        }
        Ok(Some(Self { kind, fin, deflated, mask, payload_len, len }))
    }

    /// The payload, when all of it lies in `input`, which starts with this header.
    pub(crate) fn whole_payload<'a>(&self, input: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let end = self.len.checked_add(usize::try_from(self.payload_len).ok()?)?;
        input.get_mut(self.len..end)
    }
}

fn check_kind(
    kind: Kind,
    fin: bool,
    deflated: bool,
    short_len: u8,
    inside_message: bool,
) -> Result<(), PeerMisbehaved> {
    match kind {
        Kind::Continuation if deflated => Err(PeerMisbehaved::ReservedBits),
        Kind::Continuation if !inside_message => Err(PeerMisbehaved::ContinuationWithoutStart),
        Kind::Start(_) if inside_message => Err(PeerMisbehaved::DataInsideMessage),
        Kind::Control(_) if !fin => Err(PeerMisbehaved::ControlFragmented),
        Kind::Control(_) if deflated => Err(PeerMisbehaved::ReservedBits),
        Kind::Control(_) if u64::from(short_len) > CONTROL_PAYLOAD_BYTES_MAX => {
            Err(PeerMisbehaved::ControlTooLong)
        }
        Kind::Control(Control::Close) if short_len == 1 => Err(PeerMisbehaved::CloseBodyTooShort),
        Kind::Continuation | Kind::Control(_) | Kind::Start(_) => Ok(()),
    }
}

/// The payload's length and how many bytes beyond the first two it took. A length in more bytes
/// than it needs is accepted, as `ws` does, though section 5.2 asks senders for the shortest form.
fn read_length(short_len: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, PeerMisbehaved> {
    match short_len {
        126 => Ok(rest.first_chunk().map(|bytes| (u64::from(u16::from_be_bytes(*bytes)), 2))),
        127 => {
            let Some(bytes) = rest.first_chunk() else { return Ok(None) };
            let length = u64::from_be_bytes(*bytes);
            if length > PAYLOAD_LENGTH_MAX {
                return Err(PeerMisbehaved::LengthOutOfRange);
            }
            Ok(Some((length, 8)))
        }
        short => Ok(Some((u64::from(short), 0))),
    }
}
