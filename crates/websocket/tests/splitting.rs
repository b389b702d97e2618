//! The messages do not depend on how a stream is split into reads; and each end decodes what the
//! other encodes.

use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_websocket::{
    Decoder, FRAME_HEADER_BYTES_MAX, Incoming, Opcode, PeerMisbehaved, Role, encode, encode_close,
    encode_header,
};

#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Binary(Vec<u8>),
    Close(Option<u16>, String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Text(String),
}

impl From<Incoming<'_>> for Owned {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Incoming::Close { code, reason } => Self::Close(code, reason.to_owned()),
            Incoming::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Incoming::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Incoming::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

const MESSAGE_BYTES_MAX: usize = 70_000;

fn decode(
    role: Role,
    stream: &[u8],
    read_lens: &[usize],
) -> (Vec<Owned>, Result<(), PeerMisbehaved>, bool) {
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    let mut rest = stream;
    let mut lens = read_lens.iter().cycle();
    while !rest.is_empty() {
        let len = lens.next().map_or(rest.len(), |len| (*len).min(rest.len()));
        let (read, after) = rest.split_at(len);
        let result = decoder.decode(role, MESSAGE_BYTES_MAX, &mut read.to_vec(), &mut |incoming| {
            seen.push(incoming.into());
            ControlFlow::Continue(())
        });
        if result.is_err() {
            return (seen, result, true);
        }
        rest = after;
    }
    (seen, Ok(()), decoder.is_idle())
}

fn message() -> impl Strategy<Value = Owned> {
    prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(Owned::Binary),
        (65_000..67_000_usize).prop_map(|len| Owned::Binary(vec![7; len])),
        vec(any::<u8>(), 0..=125).prop_map(Owned::Ping),
        vec(any::<u8>(), 0..=125).prop_map(Owned::Pong),
        ".{0,80}".prop_map(Owned::Text),
    ]
}

fn encode_owned(message: &Owned, mask: Option<[u8; 4]>) -> Vec<u8> {
    match message {
        Owned::Binary(bytes) => encode(Opcode::Binary, bytes, mask),
        Owned::Close(code, reason) => encode_close(code.unwrap_or(1005), reason, mask),
        Owned::Ping(bytes) => encode(Opcode::Ping, bytes, mask),
        Owned::Pong(bytes) => encode(Opcode::Pong, bytes, mask),
        Owned::Text(text) => encode(Opcode::Text, text.as_bytes(), mask),
    }
    .to_vec()
}

/// A text message in fragments of these lengths, torn anywhere, with a ping after each.
fn fragmented(text: &str, lens: &[usize]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut rest = text.as_bytes();
    let mut first_byte = 0x01;
    for len in lens {
        let (piece, after) = rest.split_at((*len).min(rest.len()));
        push_frame(&mut stream, first_byte, piece);
        stream.extend(encode(Opcode::Ping, b"between", None));
        (first_byte, rest) = (0x00, after);
    }
    push_frame(&mut stream, first_byte | 0x80, rest);
    stream
}

fn push_frame(stream: &mut Vec<u8>, first_byte: u8, payload: &[u8]) {
    let mut header = [0; FRAME_HEADER_BYTES_MAX];
    let len = encode_header(Opcode::Binary, payload.len(), &mut header, None);
    header[0] = first_byte;
    stream.extend(&header[..len]);
    stream.extend(payload);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_one_end_encodes_the_other_decodes(
        messages in vec(message(), 0..6),
        mask in any::<Option<[u8; 4]>>(),
        close in any::<bool>(),
        read_lens in vec(1..2000_usize, 1..8),
    ) {
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        let mut messages = messages;
        if close {
            messages.push(Owned::Close(Some(1001), "going away".to_owned()));
        }
        let stream: Vec<u8> =
            messages.iter().flat_map(|message| encode_owned(message, mask)).collect();
        let (seen, result, idle) = decode(role, &stream, &read_lens);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(seen, messages);
        prop_assert!(idle);
    }

    #[test]
    fn fragments_make_one_message(
        text in ".{0,60}",
        lens in vec(0..40_usize, 0..6),
        read_lens in vec(1..30_usize, 1..6),
    ) {
        let (mut seen, result, idle) = decode(Role::Client, &fragmented(&text, &lens), &read_lens);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(seen.pop(), Some(Owned::Text(text)));
        prop_assert_eq!(seen, vec![Owned::Ping(b"between".to_vec()); lens.len()]);
        prop_assert!(idle);
    }

    #[test]
    fn any_bytes_decode_alike_in_any_split(
        stream in vec(prop_oneof![any::<u8>(), Just(0x81), Just(0x01), Just(0x80), 0..6_u8], 0..200),
        server in any::<bool>(),
        read_lens in vec(1..9_usize, 1..6),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        prop_assert_eq!(decode(role, &stream, &[]), decode(role, &stream, &read_lens));
    }
}
