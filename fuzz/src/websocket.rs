//! Targets of the crate `websocket`.

use std::ops::ControlFlow;

use trunkline_websocket::deflate::{self, Deflater, ServerSettings};
use trunkline_websocket::{
    Decoder, Incoming, Opcode, PeerMisbehaved, Role, Rules, encode, encode_close, encode_deflated,
};

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

/// The first two bytes choose the limit, and the level and window that the rest is compressed with;
/// compressed messages follow: fixed codes, dynamic codes, stored, several blocks, a final block.
pub const INFLATE_SEEDS: &[&[u8]] = &[
    b"\x10\x06\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\x10\x16\x00\x05\x00\xfa\xffHello\x00",
    b"\x10\x26\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    b"\x10\x36\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    b"\xff\x49\xec\xc0\x81\x00\x00\x00\x00\x80\x20\xd6\xfd\x25\x16\xa9\x0a\x00",
    b"\xff\x79\x4c\x1c\x05\x00\x00",
];

/// The first byte chooses the server's windows; a header follows.
pub const NEGOTIATE_SEEDS: &[&[u8]] = &[
    b"\x00permessage-deflate; client_max_window_bits",
    b"\x90permessage-deflate; server_max_window_bits=9, permessage-deflate",
    b"\x0apermessage-deflate; client_max_window_bits=\"1\\0\" ; server_no_context_takeover",
    b"\xffx-webkit-deflate-frame;a=b, permessage-deflate;client_no_context_takeover",
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

/// Whatever a client says is compressed inflates within the limit or is refused, alone as in a
/// frame; and any bytes survive being compressed.
pub fn inflate(data: &[u8]) {
    let &[limit, options, ref payload @ ..] = data else { return };
    let message_bytes_max = usize::from(limit) * 16;
    let inflated = deflate::inflate(payload, message_bytes_max);
    assert!(
        inflated.as_ref().is_ok_and(|message| message.len() <= message_bytes_max)
            || inflated.is_err()
    );

    let rules = Rules { role: Role::Client, message_bytes_max, deflate: true };
    let mut seen = None;
    let mut frame = encode_deflated(Opcode::Binary, payload, None).to_vec();
    let decoded = Decoder::new().decode_with(rules, &mut frame, &mut |incoming| {
        seen = Some(own(incoming));
        ControlFlow::Continue(())
    });
    if payload.len() <= message_bytes_max {
        let alone = inflated.map(|message| Owned::Frame(Opcode::Binary, message));
        assert_eq!(decoded.map(|()| seen.expect("a message")), alone);
    } else {
        assert_eq!(decoded, Err(PeerMisbehaved::MessageTooBig));
    }

    let compressed = Deflater::new(options & 0xf, options >> 4).compress(&[payload]);
    assert_eq!(deflate::inflate(&compressed, payload.len()).as_deref(), Ok(payload));
}

/// Any header is answered or refused; an answer keeps to the server's own windows, and is what the
/// same server would answer to it.
pub fn negotiate(data: &[u8]) {
    let Some((windows, header)) = data.split_first() else { return };
    let window = |bits: u8| Some(bits).filter(|bits| (8..=15).contains(bits));
    let settings = ServerSettings {
        server_max_window_bits: window(windows >> 4),
        client_max_window_bits: window(windows & 0xf),
        ..ServerSettings::default()
    };
    let Ok(Some(agreed)) = deflate::negotiate(header, &settings) else { return };
    assert!((8..=15).contains(&agreed.window_bits));
    assert!(settings.server_max_window_bits.is_none_or(|ours| ours == agreed.window_bits));
    let again = deflate::negotiate(agreed.header_value.as_bytes(), &settings);
    assert_eq!(again, Ok(Some(agreed)));
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
