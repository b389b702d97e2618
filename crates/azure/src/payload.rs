//! Engine.IO payloads: packets as text, one after another, with a separator between them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The separator between the packets of a payload.
pub(crate) const SEPARATOR: char = '\u{1e}';
/// [`SEPARATOR`] as a byte.
pub(crate) const SEPARATOR_BYTE: u8 = 0x1e;

/// One packet of Engine.IO 4.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Packet<'a> {
    /// `4`: a message, without its type.
    Message(&'a str),
    /// `b`: bytes, decoded from base64.
    Binary(Bytes),
    /// `1`.
    Close,
    /// `2`.
    Ping,
    /// `3`.
    Pong,
    /// `6`.
    Noop,
}

/// The parts of a payload that are no packet for a client, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadPayload {
    #[error("a binary packet that is not base64")]
    Base64,
    #[error(
        "packet {0} is no packet of Engine.IO that a client can get; the body is one such as 42[\"event\",\"argument\"]"
    )]
    Kind(usize),
    #[error("the payload is not UTF-8")]
    Utf8,
}

/// All packets of a payload.
pub(crate) fn parse(payload: &[u8]) -> Result<Vec<Packet<'_>>, BadPayload> {
    let text = std::str::from_utf8(payload).map_err(|_| BadPayload::Utf8)?;
    text.split(SEPARATOR).enumerate().map(|(at, packet)| parse_packet(at, packet)).collect()
}

fn parse_packet(at: usize, packet: &str) -> Result<Packet<'_>, BadPayload> {
    let mut chars = packet.chars();
    Ok(match chars.next() {
        Some('4') => Packet::Message(chars.as_str()),
        Some('b') => {
            let bytes = STANDARD.decode(chars.as_str()).map_err(|_| BadPayload::Base64)?;
            Packet::Binary(Bytes::from(bytes))
        }
        Some('1') => Packet::Close,
        Some('2') => Packet::Ping,
        Some('3') => Packet::Pong,
        Some('6') => Packet::Noop,
        Some(_) | None => return Err(BadPayload::Kind(at + 1)),
    })
}

/// Appends one message of a client.
pub(crate) fn append(payload: &mut String, binary: bool, message: &[u8]) {
    if !payload.is_empty() {
        payload.push(SEPARATOR);
    }
    if binary {
        payload.push('b');
        STANDARD.encode_string(message, payload);
    } else {
        payload.push('4');
        payload.push_str(&String::from_utf8_lossy(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_payload() {
        let mut payload = String::new();
        append(&mut payload, false, b"51-[\"x\",{\"_placeholder\":true,\"num\":0}]");
        append(&mut payload, true, &[0, 1, 255]);
        payload.push_str("\u{1e}2\u{1e}1");
        assert_eq!(
            parse(payload.as_bytes()),
            Ok(vec![
                Packet::Message("51-[\"x\",{\"_placeholder\":true,\"num\":0}]"),
                Packet::Binary(Bytes::from_static(&[0, 1, 255])),
                Packet::Ping,
                Packet::Close,
            ])
        );
    }

    #[test]
    fn what_is_no_payload() {
        for (payload, expected) in [
            (&b"hello"[..], BadPayload::Kind(1)),
            (b"", BadPayload::Kind(1)),
            (b"42[]\x1e", BadPayload::Kind(2)),
            (b"b*", BadPayload::Base64),
            (b"4\xff", BadPayload::Utf8),
        ] {
            assert_eq!(parse(payload), Err(expected));
        }
    }
}
