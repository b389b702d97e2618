//! Frames out: RFC 6455, section 5.2. Never fragmented, lengths always in the shortest form.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::frame::{CLOSE_CODE_ABSENT, CONTROL_PAYLOAD_BYTES_MAX, Opcode, RSV1};
use crate::mask;

/// The longest header, in bytes: a 64-bit length and a mask. Without a mask it is at most 10.
pub const FRAME_HEADER_BYTES_MAX: usize = 14;

/// Writes the header of a frame whose payload is `payload_len` bytes long, and returns the header's
/// length: at most 10 bytes without a mask. The caller masks the payload.
pub fn encode_header(
    opcode: Opcode,
    payload_len: usize,
    out: &mut [u8; FRAME_HEADER_BYTES_MAX],
    mask: Option<[u8; 4]>,
) -> usize {
    write_header(false, opcode, payload_len, out, mask)
}

/// Like [`encode_header`]; the first reserved bit is set when the payload is `deflated`.
pub(crate) fn write_header(
    deflated: bool,
    opcode: Opcode,
    payload_len: usize,
    out: &mut [u8; FRAME_HEADER_BYTES_MAX],
    mask: Option<[u8; 4]>,
) -> usize {
    out[0] = 0x80 | if deflated { RSV1 } else { 0 } | opcode.to_wire();
    let mut len = if let Some(short) = u8::try_from(payload_len).ok().filter(|len| *len < 126) {
        out[1] = short;
        2
    } else if let Ok(medium) = u16::try_from(payload_len) {
        out[1] = 126;
        out[2..4].copy_from_slice(&medium.to_be_bytes());
        4
    } else {
        out[1] = 127;
        out[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        10
    };
    if let Some(key) = mask {
        out[1] |= 0x80;
        out[len..len + 4].copy_from_slice(&key);
        len += 4;
    }
    len
}

/// A complete frame, header and payload, in one buffer. `mask` is none for a server, a random key
/// for a client.
#[must_use]
pub fn encode(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Bytes {
    encode_parts(false, opcode, &[payload], mask)
}

/// Like [`encode`], with a data message's payload that [`Deflater::compress`](crate::deflate) made:
/// only for a peer that agreed to permessage-deflate.
#[must_use]
pub fn encode_deflated(opcode: Opcode, deflated: &[u8], mask: Option<[u8; 4]>) -> Bytes {
    encode_parts(true, opcode, &[deflated], mask)
}

/// A close frame. [`CLOSE_CODE_ABSENT`] gives an empty body. A reason that does not fit is cut at a
/// character's edge.
#[must_use]
pub fn encode_close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Bytes {
    if code == CLOSE_CODE_ABSENT {
        return encode_parts(false, Opcode::Close, &[], mask);
    }
    let reason = cut(reason, CONTROL_PAYLOAD_BYTES_MAX as usize - 2);
    encode_parts(false, Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()], mask)
}

fn encode_parts(deflated: bool, opcode: Opcode, parts: &[&[u8]], mask: Option<[u8; 4]>) -> Bytes {
    let payload_len = parts.iter().map(|part| part.len()).sum();
    let mut header = [0; FRAME_HEADER_BYTES_MAX];
    let header_len = write_header(deflated, opcode, payload_len, &mut header, mask);
    let mut frame = Vec::with_capacity(header_len + payload_len);
    frame.extend_from_slice(&header[..header_len]);
    for part in parts {
        frame.extend_from_slice(part);
    }
    if let Some(key) = mask {
        mask::apply(&mut frame[header_len..], key);
    }
    Bytes::from(frame)
}

/// The longest prefix of `text` that is at most `bytes_max` long and still text.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let edge = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..edge]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (payload_len, expected) in [
            (0_usize, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = [0; FRAME_HEADER_BYTES_MAX];
            let len = encode_header(Opcode::Binary, payload_len, &mut out, None);
            assert_eq!(&out[..len], expected, "payload of {payload_len} bytes");
        }
    }

    /// The examples of RFC 6455, section 5.7.
    #[test]
    fn the_frames_of_the_rfc() {
        assert_eq!(&encode(Opcode::Text, b"Hello", None)[..], b"\x81\x05Hello");
        assert_eq!(
            &encode(Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]))[..],
            &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        );
        assert_eq!(&encode(Opcode::Ping, b"Hello", None)[..], b"\x89\x05Hello");
        assert_eq!(&encode(Opcode::Pong, b"", None)[..], b"\x8a\x00");
    }

    #[test]
    fn a_close_frame_always_fits() {
        assert_eq!(&encode_close(1000, "bye", None)[..], b"\x88\x05\x03\xe8bye");
        assert_eq!(&encode_close(CLOSE_CODE_ABSENT, "dropped", None)[..], b"\x88\x00");
        let long = "é".repeat(100);
        let frame = encode_close(1001, &long, None);
        assert_eq!(frame[1], 124, "123 bytes would cut a two-byte character in half");
        assert!(core::str::from_utf8(&frame[4..]).is_ok());
    }
}
