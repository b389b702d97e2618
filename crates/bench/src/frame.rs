//! RFC 6455 frames as a client sees them, without copies: only what the load generator's hot path
//! needs.
//!
//! Frames to the server are masked with a fixed key. The key has no zero byte, so unmasking costs
//! the server as much as with a random key.

/// The largest frame a server may send us; anything longer is treated as a broken stream.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;

const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0xe8];

/// The frame types of RFC 6455 section 5.2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opcode {
    Binary,
    Close,
    Continuation,
    Ping,
    Pong,
    Text,
}

/// One frame, borrowed from the read buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    pub(crate) payload: &'a [u8],
}

/// A rule of RFC 6455 that the server broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("frame from the server is masked")]
    Masked,
    #[error("reserved bits are set although no extension was offered")]
    ReservedBits,
    #[error("frame is larger than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    #[error("opcode is not one of RFC 6455's")]
    UnknownOpcode,
}

/// Takes the first frame of `input`: the frame and how many bytes it used, or `None` when more bytes are needed.
pub(crate) fn decode(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let [first, second, rest @ ..] = input else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(FrameError::ReservedBits);
    }
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let opcode = match first & 0x0f {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => return Err(FrameError::UnknownOpcode),
    };
    let Some((length, length_bytes)) = payload_length(second & 0x7f, rest) else {
        return Ok(None);
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge);
    }
    let start = 2 + length_bytes;
    let Some(payload) = input.get(start..start + length) else { return Ok(None) };
    Ok(Some((Frame { fin: first & 0x80 != 0, opcode, payload }, start + length)))
}

/// The payload's length and how many extra bytes said so.
fn payload_length(short: u8, rest: &[u8]) -> Option<(u64, usize)> {
    match short {
        126 => rest.first_chunk::<2>().map(|b| (u64::from(u16::from_be_bytes(*b)), 2)),
        127 => rest.first_chunk::<8>().map(|b| (u64::from_be_bytes(*b), 8)),
        short => Some((u64::from(short), 0)),
    }
}

/// Appends one masked, final frame whose payload is all `parts` in order.
pub(crate) fn encode(out: &mut Vec<u8>, opcode: Opcode, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(0x80 | opcode_bits(opcode));
    if length < 126 {
        out.push(0x80 | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(0x80 | 126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(0x80 | 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    for part in parts {
        out.extend_from_slice(part);
    }
    for (byte, key) in out[start..].iter_mut().zip(MASK.iter().cycle()) {
        *byte ^= key;
    }
}

fn opcode_bits(opcode: Opcode) -> u8 {
    match opcode {
        Opcode::Continuation => 0x0,
        Opcode::Text => 0x1,
        Opcode::Binary => 0x2,
        Opcode::Close => 0x8,
        Opcode::Ping => 0x9,
        Opcode::Pong => 0xa,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(length: usize) -> Vec<u8> {
        let mut bytes = vec![0x81];
        match length {
            0..126 => bytes.push(length as u8),
            126..65_536 => {
                bytes.push(126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.resize(bytes.len() + length, b'x');
        bytes
    }

    #[test]
    fn every_length_form_is_decoded_only_when_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes = server_frame(length);
            for cut in [0, 1, 2, 3, bytes.len().saturating_sub(1)] {
                if cut < bytes.len() {
                    assert_eq!(decode(&bytes[..cut]), Ok(None), "length {length} cut at {cut}");
                }
            }
            let (frame, used) = decode(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.fin), (Opcode::Text, true));
            assert_eq!((frame.payload.len(), used), (length, bytes.len()));
        }
    }

    #[test]
    fn broken_frames_are_named() {
        for (bytes, error) in [
            (&[0x81, 0x80][..], FrameError::Masked),
            (&[0xc1, 0x00], FrameError::ReservedBits),
            (&[0x83, 0x00], FrameError::UnknownOpcode),
            (&[0x82, 127, 0xff, 0xff, 0, 0, 0, 0, 0, 0], FrameError::TooLarge),
        ] {
            assert_eq!(decode(bytes), Err(error));
        }
    }

    #[test]
    fn encoded_frames_unmask_to_the_parts() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let body = vec![b'y'; length];
            let mut out = Vec::new();
            encode(&mut out, Opcode::Text, &[b"42", &body]);
            assert_eq!(out[0], 0x81);
            assert_ne!(out[1] & 0x80, 0, "client frames are masked");
            let header = match out[1] & 0x7f {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            let payload: Vec<u8> = out[header + 4..]
                .iter()
                .zip(out[header..header + 4].iter().cycle())
                .map(|(byte, key)| byte ^ key)
                .collect();
            assert_eq!(payload, [b"42", &body[..]].concat());
        }
    }
}
