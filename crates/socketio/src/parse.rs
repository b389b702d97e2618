//! Parses text into packets, as leniently as `socket.io-parser`.

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use crate::json::{self, First, Shape};
use crate::{Packet, PacketKind};

/// More attachments than this are refused: `socket.io-parser`'s default.
pub const ATTACHMENTS_MAX: u32 = 10;

/// The largest integer that JavaScript holds exactly.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// Event names that have a special meaning at one of the ends.
const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// One variant per rule of the packet format that a peer can break. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// The data of an acknowledgement must be an array.
    #[error("an acknowledgement's data is not an array")]
    AckNotArray,
    /// A binary packet must state its number of attachments, at least one, before a hyphen.
    #[error("a binary packet without a positive number of attachments")]
    AttachmentsMalformed,
    /// At most [`ATTACHMENTS_MAX`].
    #[error("more than {ATTACHMENTS_MAX} attachments")]
    AttachmentsTooMany,
    /// The data of a connect packet must be an object.
    #[error("a connect packet's data is not an object")]
    AuthNotObject,
    /// The data of a connect error must be an object or a string.
    #[error("a connect error's data is neither object nor string")]
    ConnectErrorNotObject,
    /// A disconnect packet has no data.
    #[error("a disconnect packet with data")]
    DisconnectWithData,
    /// The first of an event's data must be a string or a number.
    #[error("an event without a name")]
    EventNameMissing,
    /// Socket.IO itself emits some event names, so they must not come from a peer.
    #[error("an event with a reserved name")]
    EventNameReserved,
    /// The data of an event must be an array.
    #[error("an event's data is not an array")]
    EventNotArray,
    /// Stricter than `socket.io-parser`, which reads `NaN`: see the crate's page.
    #[error("an acknowledgement id with a space inside")]
    IdMalformed,
    /// Stricter than `socket.io-parser`, which rounds: see the crate's page.
    #[error("an acknowledgement id above {ID_MAX}")]
    IdTooLarge,
    /// The data must be JSON.
    #[error("data that is not JSON")]
    JsonMalformed,
    /// Types are 0 to 6.
    #[error("an unknown packet type")]
    KindUnknown,
}

/// Parses one packet from the text of an Engine.IO message.
///
/// Odd rules come from JavaScript: an empty text is a connect packet because `Number("")` is 0, and
/// white space counts as a digit in an id.
pub fn parse(text: &str) -> Result<Packet<'_>, ParseError> {
    let packet = parse_head(text)?;
    if !packet.data.is_empty() {
        check_data(packet.kind, packet.data)?;
    }
    Ok(packet)
}

/// Like [`parse`], but does not check the data: for callers that pass it on and only need the
/// header.
pub fn parse_head(text: &str) -> Result<Packet<'_>, ParseError> {
    let (kind, rest) = parse_kind(text)?;
    let (attachments, rest) = if kind.is_binary() { parse_attachments(rest)? } else { (0, rest) };
    let (nsp, rest) = parse_nsp(rest);
    let (id, data) = parse_id(rest)?;
    Ok(Packet { kind, attachments, nsp, id, data })
}

/// The name of an event by its data, which [`parse`] has checked; a number as it is written. `None` when there is no
/// data.
pub fn event_name(data: &str) -> Option<String> {
    match json::shape(data)? {
        Shape::Array(First::String(raw)) => Some(json::decode_string(raw)),
        Shape::Array(First::Number) => {
            let number = data.trim_start_matches(|c: char| c == '[' || c.is_ascii_whitespace());
            let end = number.find([',', ']', ' ', '\t', '\r', '\n']).unwrap_or(number.len());
            Some(number[..end].to_owned())
        }
        Shape::Array(First::Other) | Shape::Object | Shape::Other | Shape::String => None,
    }
}

fn parse_kind(text: &str) -> Result<(PacketKind, &str), ParseError> {
    let mut chars = text.chars();
    let kind = match chars.next() {
        None | Some('0') => PacketKind::Connect,
        Some('1') => PacketKind::Disconnect,
        Some('2') => PacketKind::Event,
        Some('3') => PacketKind::Ack,
        Some('4') => PacketKind::ConnectError,
        Some('5') => PacketKind::BinaryEvent,
        Some('6') => PacketKind::BinaryAck,
        Some(c) if is_js_space(c) => PacketKind::Connect,
        Some(_) => return Err(ParseError::KindUnknown),
    };
    Ok((kind, chars.as_str()))
}

fn parse_attachments(text: &str) -> Result<(u32, &str), ParseError> {
    let (number, rest) = text.split_once('-').ok_or(ParseError::AttachmentsMalformed)?;
    let number = js_number(number).ok_or(ParseError::AttachmentsMalformed)?;
    // The remainder of an infinity is not a number, hence not zero.
    if number < 1.0 || number % 1.0 != 0.0 {
        return Err(ParseError::AttachmentsMalformed);
    }
    let counts = 1..=ATTACHMENTS_MAX;
    let count = counts.into_iter().find(|&count| f64::from(count) == number);
    Ok((count.ok_or(ParseError::AttachmentsTooMany)?, rest))
}

fn parse_nsp(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return ("/", text);
    }
    text.split_once(',').unwrap_or((text, ""))
}

fn parse_id(text: &str) -> Result<(Option<u64>, &str), ParseError> {
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit() || is_js_space(c));
    let id = &text[..text.len() - after.len()];
    if id.is_empty() {
        return Ok((None, after));
    }
    let mut number: u64 = 0;
    for c in id.trim_matches(is_js_space).chars() {
        let digit = c.to_digit(10).ok_or(ParseError::IdMalformed)?;
        number = number.saturating_mul(10).saturating_add(digit.into());
    }
    if number > ID_MAX { Err(ParseError::IdTooLarge) } else { Ok((Some(number), after)) }
}

fn check_data(kind: PacketKind, data: &str) -> Result<(), ParseError> {
    let shape = json::shape(data).ok_or(ParseError::JsonMalformed)?;
    match (kind, shape) {
        (PacketKind::Connect, Shape::Object)
        | (PacketKind::ConnectError, Shape::Object | Shape::String)
        | (PacketKind::Ack | PacketKind::BinaryAck, Shape::Array(_))
        | (PacketKind::Event | PacketKind::BinaryEvent, Shape::Array(First::Number)) => Ok(()),
        (PacketKind::Event | PacketKind::BinaryEvent, Shape::Array(First::String(name))) => {
            let reserved = RESERVED_EVENTS.iter().any(|event| json::string_is(name, event));
            if reserved { Err(ParseError::EventNameReserved) } else { Ok(()) }
        }
        (PacketKind::Event | PacketKind::BinaryEvent, Shape::Array(First::Other)) => {
            Err(ParseError::EventNameMissing)
        }
        (PacketKind::Event | PacketKind::BinaryEvent, _) => Err(ParseError::EventNotArray),
        (PacketKind::Ack | PacketKind::BinaryAck, _) => Err(ParseError::AckNotArray),
        (PacketKind::Connect, _) => Err(ParseError::AuthNotObject),
        (PacketKind::ConnectError, _) => Err(ParseError::ConnectErrorNotObject),
        (PacketKind::Disconnect, _) => Err(ParseError::DisconnectWithData),
    }
}

/// Characters that `Number(text)` skips at both ends, and reads as 0 when they are alone.
fn is_js_space(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// `Number(text)` without its infinities; `None` is `NaN`.
fn js_number(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_js_space);
    let (prefix, digits) = text.split_at_checked(2).unwrap_or(("", text));
    let radix = match prefix {
        "0x" | "0X" => 16,
        "0o" | "0O" => 8,
        "0b" | "0B" => 2,
        _ if text.is_empty() => return Some(0.0),
        // Rust reads the same decimals, and the words `inf` and `nan`, which have other characters.
        _ if text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) => {
            return text.parse().ok();
        }
        _ => return None,
    };
    let mut number = None;
    for c in digits.chars() {
        let digit = c.to_digit(radix)?;
        number = Some(number.unwrap_or(0.0) * f64::from(radix) + f64::from(digit));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_javascript_reads_them() {
        let cases = [
            ("", Some(0.0)),
            (" \u{feff}\n", Some(0.0)),
            ("\u{85}", None),
            ("1", Some(1.0)),
            (" 010 ", Some(10.0)),
            ("+1.e0", Some(1.0)),
            (".5", Some(0.5)),
            (".", None),
            ("1e", None),
            ("0x0A", Some(10.0)),
            ("0b11", Some(3.0)),
            ("0O7", Some(7.0)),
            ("0x", None),
            ("+0x1", None),
            ("0b2", None),
            ("1_0", None),
            ("inf", None),
            ("nan", None),
            ("é1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(js_number(text), expected, "{text:?}");
        }
    }
}
