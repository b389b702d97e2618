//! The answer to a poll.

use alloc::vec::Vec;

use bytes::Bytes;

use super::SEPARATOR_V4;
use crate::packet::Control;
use crate::protocol::Protocol;
use crate::session::{ContentType, Item};

/// The body of a poll's answer.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) content_type: ContentType,
    pub(crate) body: Bytes,
    pub(crate) may_compress: bool,
}

/// Encodes packets as one payload. `base64_only` means that the client cannot take bytes; revision
/// 4 never sends bytes in a payload.
pub(crate) fn encode<'a>(
    protocol: Protocol,
    base64_only: bool,
    items: impl Iterator<Item = &'a Item> + Clone,
) -> Encoded {
    let may_compress = items.clone().any(Item::may_compress);
    let (content_type, body) = match protocol {
        Protocol::V4 => (ContentType::Text, encode_v4(items)),
        Protocol::V3 if !base64_only && items.clone().any(Item::is_binary) => {
            (ContentType::Binary, join(items.map(binary_record_v3), &[]))
        }
        Protocol::V3 => (ContentType::Text, join(items.map(text_record_v3), &[])),
    };
    Encoded { content_type, body, may_compress }
}

fn encode_v4<'a>(items: impl Iterator<Item = &'a Item> + Clone) -> Bytes {
    let mut separator = [0; 4];
    let separator = SEPARATOR_V4.encode_utf8(&mut separator).as_bytes();
    join(items.map(packet_v4), separator)
}

fn packet_v4(item: &Item) -> Bytes {
    match item {
        Item::Control(control) => Bytes::from_static(control.packet()),
        Item::Packet(outgoing) => outgoing.polling_packet(Protocol::V4),
    }
}

fn text_record_v3(item: &Item) -> Bytes {
    match item {
        Item::Control(control) => Bytes::from_static(match control {
            Control::Close => b"1:1",
            Control::Noop => b"1:6",
            Control::Ping => b"1:2",
            Control::Pong => b"1:3",
        }),
        Item::Packet(outgoing) => outgoing.record_text_v3().clone(),
    }
}

fn binary_record_v3(item: &Item) -> Bytes {
    match item {
        Item::Control(control) => Bytes::from_static(match control {
            Control::Close => b"\x00\x01\xff1",
            Control::Noop => b"\x00\x01\xff6",
            Control::Ping => b"\x00\x01\xff2",
            Control::Pong => b"\x00\x01\xff3",
        }),
        Item::Packet(outgoing) => outgoing.record_binary_v3().clone(),
    }
}

/// Joins the pieces. A single piece is returned without a copy.
fn join(mut pieces: impl Iterator<Item = Bytes> + Clone, separator: &[u8]) -> Bytes {
    let lookahead = pieces.clone();
    let Some(first) = pieces.next() else { return Bytes::new() };
    let len: usize = lookahead.map(|piece| piece.len() + separator.len()).sum();
    if len == first.len() + separator.len() && pieces.clone().next().is_none() {
        return first;
    }
    let mut body = Vec::with_capacity(len);
    body.extend_from_slice(&first);
    for piece in pieces {
        body.extend_from_slice(separator);
        body.extend_from_slice(&piece);
    }
    Bytes::from(body)
}
