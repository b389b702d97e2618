//! One message to any number of sessions.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use trunkline_websocket::deflate::Deflation;
use trunkline_websocket::{FRAME_HEADER_BYTES_MAX, Opcode, encode_header};

use crate::deflate::{AgreedDeflate, Allowed};
use crate::protocol::Protocol;

/// One Engine.IO message, shared by the outboxes of all sessions that it goes to. Each flavour
/// (WebSocket frame, polling packet, base64, …) is encoded when the first session needs it, and
/// never twice.
#[derive(Debug)]
pub struct Outgoing {
    kind: OutgoingKind,
    may_compress: bool,
    payload: Bytes,
    /// The flavour that nearly every session needs: the frame of revision 4. For text it is also
    /// the frame of revision 3.
    frame: OnceCell<Bytes>,
    /// The other uncompressed flavours; allocated when one of them is needed.
    rare: OnceCell<Box<RareFlavours>>,
    /// The compressed flavours; allocated when one of them is needed.
    deflated: OnceCell<Box<DeflatedFlavours>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OutgoingKind {
    Binary,
    /// The handshake's answer: a text packet of another type.
    Open,
    Text,
}

#[derive(Debug, Default)]
struct RareFlavours {
    base64_frame_v3: OnceCell<Bytes>,
    base64_frame_v4: OnceCell<Bytes>,
    base64_packet_v3: OnceCell<Bytes>,
    base64_packet_v4: OnceCell<Bytes>,
    binary_frame_v3: OnceCell<Bytes>,
    record_binary_v3: OnceCell<Bytes>,
    record_text_v3: OnceCell<Bytes>,
}

/// One compressed frame for each [`Flavour`].
#[derive(Debug, Default)]
struct DeflatedFlavours {
    base64_frame_v3: OnceCell<Deflated>,
    base64_frame_v4: OnceCell<Deflated>,
    binary_frame_v3: OnceCell<Deflated>,
    frame: OnceCell<Deflated>,
    /// A long message that is partly compressed; one flavour at a time.
    under_way: RefCell<Option<Box<UnderWay>>>,
}

#[derive(Debug)]
struct UnderWay {
    flavour: Flavour,
    deflation: Deflation,
}

#[derive(Debug)]
struct Deflated {
    /// The compressed frame, or the plain one when compression gains nothing.
    frame: Bytes,
    /// How far back the frame refers, as a power of two.
    window_bits: u8,
}

/// The WebSocket messages that one Engine.IO message can become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flavour {
    Base64V3,
    Base64V4,
    BinaryV3,
    /// Text in either revision, or bytes in revision 4.
    Common,
}

impl Outgoing {
    /// A message; `payload` is UTF-8 unless `binary`. The message may be compressed, and so may a
    /// poll answer that carries it.
    #[must_use]
    pub fn new(binary: bool, payload: Bytes) -> Rc<Self> {
        let kind = if binary { OutgoingKind::Binary } else { OutgoingKind::Text };
        Rc::new(Self::of(kind, true, payload))
    }

    /// A message that the app sent with `compress(false)`.
    #[must_use]
    pub fn uncompressed(binary: bool, payload: Bytes) -> Rc<Self> {
        let kind = if binary { OutgoingKind::Binary } else { OutgoingKind::Text };
        Rc::new(Self::of(kind, false, payload))
    }

    /// The open packet with this JSON.
    pub(crate) fn open(json: Bytes) -> Rc<Self> {
        Rc::new(Self::of(OutgoingKind::Open, true, json))
    }

    fn of(kind: OutgoingKind, may_compress: bool, payload: Bytes) -> Self {
        Self {
            kind,
            may_compress,
            payload,
            frame: OnceCell::new(),
            rare: OnceCell::new(),
            deflated: OnceCell::new(),
        }
    }

    /// The message's kind as a number, for a snapshot.
    pub(crate) const fn kind_number(&self) -> u8 {
        match self.kind {
            OutgoingKind::Binary => 0,
            OutgoingKind::Open => 1,
            OutgoingKind::Text => 2,
        }
    }

    /// The message of a kind's number; `None` when there is no such kind, or when a text is not
    /// UTF-8.
    pub(crate) fn from_kind(number: u8, may_compress: bool, payload: Bytes) -> Option<Rc<Self>> {
        let kind = match number {
            0 => OutgoingKind::Binary,
            1 => OutgoingKind::Open,
            2 => OutgoingKind::Text,
            _ => return None,
        };
        let is_text = || core::str::from_utf8(&payload).is_ok();
        (kind == OutgoingKind::Binary || is_text())
            .then(|| Rc::new(Self::of(kind, may_compress, payload)))
    }

    /// The message's content.
    pub(crate) const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The length of the message in bytes, without any packet type, frame or base64.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// True for a message without content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// True for bytes, false for text.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.kind == OutgoingKind::Binary
    }

    /// Whether this message, or a poll answer that carries it, may be compressed.
    #[must_use]
    pub fn may_compress(&self) -> bool {
        self.may_compress
    }

    /// The complete RFC 6455 frame, unmasked: `4` and the text; the raw bytes in revision 4; `0x04`
    /// and the bytes in revision 3.
    #[must_use]
    pub fn websocket_frame(&self, protocol: Protocol) -> &Bytes {
        self.plain_frame(self.flavour(protocol, false))
    }

    /// The frame for a client that asked for base64 (query `b64`).
    #[must_use]
    pub fn websocket_frame_base64(&self, protocol: Protocol) -> &Bytes {
        self.plain_frame(self.flavour(protocol, true))
    }

    /// The frame for a client that agreed to compression, with or without base64. It is the plain
    /// frame when the message is shorter than the app's threshold, when the app forbade
    /// compression, when compression gains nothing, or when the client's window is too small.
    #[must_use]
    pub fn websocket_frame_deflated(
        &self,
        protocol: Protocol,
        base64_only: bool,
        agreed: &AgreedDeflate,
    ) -> &Bytes {
        let flavour = self.flavour(protocol, base64_only);
        self.deflated_frame(flavour, agreed).unwrap_or_else(|| self.plain_frame(flavour))
    }

    fn flavour(&self, protocol: Protocol, base64_only: bool) -> Flavour {
        match (self.kind, base64_only, protocol) {
            (OutgoingKind::Open | OutgoingKind::Text, _, _)
            | (OutgoingKind::Binary, false, Protocol::V4) => Flavour::Common,
            (OutgoingKind::Binary, false, Protocol::V3) => Flavour::BinaryV3,
            (OutgoingKind::Binary, true, Protocol::V3) => Flavour::Base64V3,
            (OutgoingKind::Binary, true, Protocol::V4) => Flavour::Base64V4,
        }
    }

    fn plain_frame(&self, flavour: Flavour) -> &Bytes {
        let cell = match flavour {
            Flavour::Base64V3 => &self.rare().base64_frame_v3,
            Flavour::Base64V4 => &self.rare().base64_frame_v4,
            Flavour::BinaryV3 => &self.rare().binary_frame_v3,
            Flavour::Common => &self.frame,
        };
        cell.get_or_init(|| {
            let (opcode, packet_type, data) = self.websocket_message(flavour);
            frame(opcode, &[packet_type, &data])
        })
    }

    /// Appends the frame of revision 4, without keeping a copy.
    pub(crate) fn append_frame(&self, frames: &mut Vec<u8>) {
        match self.frame.get() {
            Some(frame) => frames.extend_from_slice(frame),
            None => {
                let (opcode, packet_type, data) = self.websocket_message(Flavour::Common);
                push_frame(frames, opcode, &[packet_type, &data]);
            }
        }
    }

    /// Whether [`websocket_frame_deflated`](Self::websocket_frame_deflated) is ready, or can be
    /// made now within the compression budget. Each call compresses one more piece of a long
    /// message.
    pub(crate) fn prepare_deflated(
        &self,
        protocol: Protocol,
        base64_only: bool,
        agreed: &AgreedDeflate,
    ) -> bool {
        let flavour = self.flavour(protocol, base64_only);
        let deflate = &agreed.deflate;
        let message_len = self.message_len(flavour);
        if !self.may_compress || message_len < deflate.settings().threshold_bytes {
            return true;
        }
        let flavours = self.deflated.get_or_init(Box::default);
        let cell = flavours.cell(flavour);
        let window_bits = deflate.window_bits();
        if cell.get().is_some() || !agreed.can_read(window_bits, message_len) {
            return true;
        }
        let mut under_way = flavours.under_way.borrow_mut();
        let others = under_way.as_ref().is_some_and(|one| one.flavour != flavour);
        let fed = under_way.as_ref().map_or(0, |one| one.deflation.message_len());
        let missing = if others { message_len } else { message_len - fed };
        let Some(allowed) = deflate.allow(message_len, missing) else { return false };
        let Allowed::Part(part) = allowed else { return true };
        if others {
            // Another flavour was under way for other clients: this one starts again, which happens
            // at most once for a message.
            *under_way = None;
        }
        let one = under_way
            .get_or_insert_with(|| Box::new(UnderWay { flavour, deflation: deflate.begin() }));
        let (opcode, packet_type, data) = self.websocket_message(flavour);
        one.feed(part, [packet_type, &data]);
        if one.deflation.message_len() < message_len {
            return false;
        }
        if let Some(one) = under_way.take() {
            let smaller = one.deflation.frame(opcode);
            let frame = smaller.unwrap_or_else(|| self.plain_frame(flavour).clone());
            // The cell was empty a moment ago, so `set` cannot fail.
            let _ = cell.set(Deflated { frame, window_bits });
        }
        true
    }

    fn deflated_frame(&self, flavour: Flavour, agreed: &AgreedDeflate) -> Option<&Bytes> {
        let deflate = &agreed.deflate;
        let message_len = self.message_len(flavour);
        if !self.may_compress || message_len < deflate.settings().threshold_bytes {
            return None;
        }
        let flavours = self.deflated.get_or_init(Box::default);
        let cell = flavours.cell(flavour);
        let window_bits = cell.get().map_or(deflate.window_bits(), |made| made.window_bits);
        if !agreed.can_read(window_bits, message_len) {
            return None;
        }
        let made = cell.get_or_init(|| {
            let (opcode, packet_type, data) = self.websocket_message(flavour);
            let smaller = deflate.frame(opcode, &[packet_type, &data]);
            let frame = smaller.unwrap_or_else(|| self.plain_frame(flavour).clone());
            Deflated { frame, window_bits }
        });
        Some(&made.frame)
    }

    /// The length in bytes of what a frame of this flavour carries.
    fn message_len(&self, flavour: Flavour) -> usize {
        let base64_len = self.len().div_ceil(3) * 4;
        match (flavour, self.kind) {
            (Flavour::Base64V3, _) => 2 + base64_len,
            (Flavour::Base64V4, _) => 1 + base64_len,
            (Flavour::Common, OutgoingKind::Binary) => self.len(),
            (Flavour::BinaryV3, _) | (Flavour::Common, OutgoingKind::Open | OutgoingKind::Text) => {
                1 + self.len()
            }
        }
    }

    /// The content of a frame: its opcode, its packet type (empty if the data contains it), and its
    /// data.
    fn websocket_message(&self, flavour: Flavour) -> (Opcode, &'static [u8], Bytes) {
        let (opcode, packet_type): (_, &[u8]) = match (flavour, self.kind) {
            (Flavour::Base64V3, _) => {
                return (Opcode::Text, b"", self.polling_packet(Protocol::V3));
            }
            (Flavour::Base64V4, _) => {
                return (Opcode::Text, b"", self.polling_packet(Protocol::V4));
            }
            (Flavour::BinaryV3, _) => (Opcode::Binary, &[4]),
            (Flavour::Common, OutgoingKind::Binary) => (Opcode::Binary, b""),
            (Flavour::Common, OutgoingKind::Open) => (Opcode::Text, b"0"),
            (Flavour::Common, OutgoingKind::Text) => (Opcode::Text, b"4"),
        };
        (opcode, packet_type, self.payload.clone())
    }

    /// The text form of the packet: `4` and the text; `b` (revision 4) or `b4` (revision 3) and
    /// base64.
    #[must_use]
    pub fn polling_packet(&self, protocol: Protocol) -> Bytes {
        if !self.is_binary() {
            // The packet is the end of the text frame.
            let frame = self.websocket_frame(protocol);
            return frame.slice(frame.len() - self.payload.len() - 1..);
        }
        let rare = self.rare();
        match protocol {
            Protocol::V3 => rare.base64_packet_v3.get_or_init(|| self.base64("b4")).clone(),
            Protocol::V4 => rare.base64_packet_v4.get_or_init(|| self.base64("b")).clone(),
        }
    }

    /// The packet in a text payload of revision 3: `length:packet`, the length in UTF-16 code
    /// units.
    #[must_use]
    pub fn record_text_v3(&self) -> &Bytes {
        self.rare().record_text_v3.get_or_init(|| {
            let packet = self.polling_packet(Protocol::V3);
            let length = alloc::format!("{}:", utf16_units(&packet));
            concat(&[length.as_bytes(), &packet])
        })
    }

    /// The packet in a binary payload of revision 3: a kind byte, the length's digits as bytes,
    /// 255, the packet.
    #[must_use]
    pub fn record_binary_v3(&self) -> &Bytes {
        self.rare().record_binary_v3.get_or_init(|| {
            let (kind, packet_type): (u8, &[u8]) = match self.kind {
                OutgoingKind::Binary => (1, &[4]),
                OutgoingKind::Open => (0, b"0"),
                OutgoingKind::Text => (0, b"4"),
            };
            let mut header = alloc::vec![kind];
            header.extend(digits(self.payload.len() + 1));
            header.push(255);
            concat(&[&header, packet_type, &self.payload])
        })
    }

    fn base64(&self, prefix: &str) -> Bytes {
        let mut packet = prefix.into();
        STANDARD.encode_string(&self.payload, &mut packet);
        Bytes::from(packet)
    }

    fn rare(&self) -> &RareFlavours {
        self.rare.get_or_init(Box::default)
    }
}

impl DeflatedFlavours {
    fn cell(&self, flavour: Flavour) -> &OnceCell<Deflated> {
        match flavour {
            Flavour::Base64V3 => &self.base64_frame_v3,
            Flavour::Base64V4 => &self.base64_frame_v4,
            Flavour::BinaryV3 => &self.binary_frame_v3,
            Flavour::Common => &self.frame,
        }
    }
}

impl UnderWay {
    /// Takes the next `bytes` of the message that `parts` make when put together.
    fn feed(&mut self, bytes: usize, parts: [&[u8]; 2]) {
        let mut skip = self.deflation.message_len();
        let mut left = bytes;
        for part in parts {
            let from = skip.min(part.len());
            skip -= from;
            let piece = &part[from..part.len().min(from + left)];
            left -= piece.len();
            self.deflation.feed(piece);
        }
    }
}

/// A server's frame around a payload in parts.
fn frame(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let mut frame = Vec::new();
    push_frame(&mut frame, opcode, parts);
    Bytes::from(frame)
}

fn push_frame(frames: &mut Vec<u8>, opcode: Opcode, parts: &[&[u8]]) {
    let payload_len: usize = parts.iter().map(|part| part.len()).sum();
    let mut header = [0; FRAME_HEADER_BYTES_MAX];
    let header_len = encode_header(opcode, payload_len, &mut header, None);
    frames.reserve_exact(header_len + payload_len);
    frames.extend_from_slice(&header[..header_len]);
    for part in parts {
        frames.extend_from_slice(part);
    }
}

fn concat(parts: &[&[u8]]) -> Bytes {
    Bytes::from(parts.concat())
}

/// The number of UTF-16 code units of this UTF-8 text: one per character, two beyond U+FFFF.
pub(crate) fn utf16_units(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0)).sum()
}

/// The decimal digits of a length, each as a byte of value 0 to 9.
pub(crate) fn digits(length: usize) -> impl Iterator<Item = u8> {
    alloc::format!("{length}").into_bytes().into_iter().map(|digit| digit - b'0')
}
