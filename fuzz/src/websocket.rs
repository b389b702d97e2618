//! Targets of the crate `websocket`.

use std::ops::ControlFlow;

use trunkline_websocket::{Decoder, Incoming, Opcode, PeerMisbehaved, Role, encode, encode_close};

/// The first byte chooses the role and the length of a read; frames follow: a text, a ping, a
/// close, a fragmented message; masked and unmasked.
pub const DECODE_SEEDS: &[&[u8]] = &[
    b"\x03\x81\x83\x01\x02\x03\x04abc",
    b"\x01\x89\x80\x00\x00\x00\x00\x81\x80\x00\x00\x00\x00",
    b"\x05\x88\x82\x00\x00\x00\x00\x03\xe8",
    b"\x07\x01\x81\x00\x00\x00\x00a\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00b",
    b"\x02\x81\x03abc\x89\x01p\x8a\x01p",
    b"\x04\x01\x01\xc3\x80\x01\xa9\x82\x7e\x00\x7e",
    b"\x06\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x02ab\x88\x05\x03\xe8bye",
];

const MESSAGE_BYTES_MAX: usize = 200;

#[derive(Debug, PartialEq)]
enum Owned {
    Close(Option<u16>, String),
    Frame(Opcode, Vec<u8>),
}

type Decoded = (Vec<Owned>, Result<(), PeerMisbehaved>, bool);

/// Any bytes, in any split, decode to the same messages; what was decoded and is encoded again
/// decodes to itself.
pub fn decode(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let role = if first & 1 == 0 { Role::Client } else { Role::Server };
    let read_bytes = usize::from(first >> 1).max(1);
    let whole = decode_in_reads(role, stream, stream.len().max(1));
    let torn = decode_in_reads(role, stream, read_bytes);
    assert_eq!(whole, torn, "reads of {read_bytes} bytes");

    let mask = (role == Role::Server).then_some([1, 2, 3, *first]);
    let again: Vec<u8> = whole.0.iter().flat_map(|message| encode_owned(message, mask)).collect();
    let (messages, result, idle) = decode_in_reads(role, &again, read_bytes);
    assert_eq!((messages, result, idle), (whole.0, Ok(()), true));
}

fn decode_in_reads(role: Role, stream: &[u8], read_bytes: usize) -> Decoded {
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    let mut result = Ok(());
    for read in stream.chunks(read_bytes) {
        let decoded =
            decoder.decode(role, MESSAGE_BYTES_MAX, &mut read.to_vec(), &mut |incoming| {
                seen.push(own(incoming));
                ControlFlow::Continue(())
            });
        result = result.and(decoded);
    }
    (seen, result, decoder.is_idle())
}

fn own(incoming: Incoming<'_>) -> Owned {
    match incoming {
        Incoming::Binary(bytes) => Owned::Frame(Opcode::Binary, bytes.to_vec()),
        Incoming::Close { code, reason } => Owned::Close(code, reason.to_owned()),
        Incoming::Ping(bytes) => Owned::Frame(Opcode::Ping, bytes.to_vec()),
        Incoming::Pong(bytes) => Owned::Frame(Opcode::Pong, bytes.to_vec()),
        Incoming::Text(text) => Owned::Frame(Opcode::Text, text.as_bytes().to_vec()),
    }
}

fn encode_owned(message: &Owned, mask: Option<[u8; 4]>) -> Vec<u8> {
    let frame = match message {
        Owned::Close(code, reason) => encode_close(code.unwrap_or(1005), reason, mask),
        Owned::Frame(opcode, payload) => encode(*opcode, payload, mask),
    };
    frame.to_vec()
}
