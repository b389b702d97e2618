//! Compression: RFC 7692, section 7.2.1.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use miniz_oxide::DataFormat;
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output};

use super::{TAIL, WINDOW_BITS_MAX};
use crate::encoder::{FRAME_HEADER_BYTES_MAX, write_header};
use crate::frame::Opcode;

/// The length of an unmasked frame's longest header, in bytes.
const HEADER_ROOM_BYTES: usize = FRAME_HEADER_BYTES_MAX - 4;

/// Compresses messages, each by itself: no message refers to one before it.
///
/// It owns some 300 kB of working memory, whatever it has compressed. One is enough for all
/// connections of a thread.
pub struct Deflater {
    compressor: Box<CompressorOxide>,
    window_bits: u8,
}

impl Deflater {
    /// A compressor of zlib's `level`, 0 (stored) to 9 (smallest), that refers back at most
    /// 2^`window_bits` bytes. `window_bits` is 8 to 15; both are brought into range.
    #[must_use]
    pub fn new(level: u8, window_bits: u8) -> Self {
        let mut compressor =
            CompressorOxide::with_format_and_level(DataFormat::Raw, CompressionLevel::DefaultLevel);
        compressor.set_format_and_level(DataFormat::Raw, level.min(9));
        Self {
            compressor: Box::new(compressor),
            window_bits: window_bits.clamp(super::WINDOW_BITS_MIN, WINDOW_BITS_MAX),
        }
    }

    /// How far back the output refers, as a power of two.
    #[must_use]
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// The payload of a compressed message: what `parts` make when put together, without the four
    /// bytes that end every flush.
    #[must_use]
    pub fn compress(&mut self, parts: &[&[u8]]) -> Bytes {
        let mut out = Vec::new();
        self.compress_into(parts, &mut out);
        Bytes::from(out)
    }

    /// A server's complete frame with the first reserved bit set. None when it would not be shorter
    /// than the message is without compression.
    #[must_use]
    pub fn frame(&mut self, opcode: Opcode, parts: &[&[u8]]) -> Option<Bytes> {
        let message_len: usize = parts.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(HEADER_ROOM_BYTES + message_len / 2);
        out.resize(HEADER_ROOM_BYTES, 0);
        self.compress_into(parts, &mut out);
        frame_around(opcode, message_len, out)
    }

    fn compress_into(&mut self, parts: &[&[u8]], out: &mut Vec<u8>) {
        self.compressor.reset();
        let mut room = self.window_room();
        for part in parts {
            self.feed_windows(part, &mut room, out);
        }
        self.end_message(out);
    }

    fn window_room(&self) -> usize {
        let window_bytes = 1_usize << self.window_bits;
        if self.window_bits < WINDOW_BITS_MAX { window_bytes } else { usize::MAX }
    }

    /// Splits the input at full windows. The compressor has no setting for its window, but forgets
    /// earlier bytes at a full flush, so there is a full flush whenever a window is full.
    fn feed_windows(&mut self, part: &[u8], room: &mut usize, out: &mut Vec<u8>) {
        let mut rest = part;
        while !rest.is_empty() {
            if *room == 0 {
                self.feed(&[], TDEFLFlush::Full, out);
                *room = self.window_room();
            }
            let (piece, after) = rest.split_at(rest.len().min(*room));
            self.feed(piece, TDEFLFlush::None, out);
            *room -= piece.len();
            rest = after;
        }
    }

    fn end_message(&mut self, out: &mut Vec<u8>) {
        self.feed(&[], TDEFLFlush::Sync, out);
        debug_assert!(out.ends_with(&TAIL), "a flush ends with an empty stored block");
        out.truncate(out.len() - TAIL.len());
    }

    fn feed(&mut self, input: &[u8], flush: TDEFLFlush, out: &mut Vec<u8>) {
        compress_to_output(&mut self.compressor, input, flush, |piece| {
            out.extend_from_slice(piece);
            true
        });
    }
}

/// One long message that is compressed piece by piece, with a compressor of its own.
#[derive(Debug)]
pub struct Deflation {
    deflater: Deflater,
    room: usize,
    message_len: usize,
    out: Vec<u8>,
}

impl Deflation {
    /// A new message.
    #[must_use]
    pub fn new(deflater: Deflater) -> Self {
        let room = deflater.window_room();
        Self { deflater, room, message_len: 0, out: alloc::vec![0; HEADER_ROOM_BYTES] }
    }

    /// Bytes of the message so far.
    #[must_use]
    pub fn message_len(&self) -> usize {
        self.message_len
    }

    /// Adds bytes to the message.
    pub fn feed(&mut self, piece: &[u8]) {
        self.message_len += piece.len();
        self.deflater.feed_windows(piece, &mut self.room, &mut self.out);
    }

    /// Ends the message: the frame, as from [`Deflater::frame`].
    #[must_use]
    pub fn frame(mut self, opcode: Opcode) -> Option<Bytes> {
        self.deflater.end_message(&mut self.out);
        frame_around(opcode, self.message_len, self.out)
    }
}

/// Writes the header into the room at the beginning of `out`.
fn frame_around(opcode: Opcode, message_len: usize, mut out: Vec<u8>) -> Option<Bytes> {
    let payload_len = out.len() - HEADER_ROOM_BYTES;
    if payload_len >= message_len {
        return None;
    }
    let mut header = [0; FRAME_HEADER_BYTES_MAX];
    let header_len = write_header(true, opcode, payload_len, &mut header, None);
    let start = HEADER_ROOM_BYTES - header_len;
    out[start..HEADER_ROOM_BYTES].copy_from_slice(&header[..header_len]);
    out.shrink_to_fit();
    Some(Bytes::from(out).slice(start..))
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("window_bits", &self.window_bits).finish_non_exhaustive()
    }
}
