//! permessage-deflate: what is negotiated and inflated is what npm `ws` negotiates and inflates,
//! and what one end compresses the other reads.

use std::ops::ControlFlow;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_websocket::deflate::{
    Deflater, Offer, OfferRefused, ServerSettings, inflate, negotiate,
};
use trunkline_websocket::{
    Decoder, FRAME_HEADER_BYTES_MAX, Incoming, Opcode, PeerMisbehaved, Role, Rules, encode,
    encode_deflated, encode_header,
};

const MESSAGE_BYTES_MAX: usize = 5000;
const RULES: Rules =
    Rules { role: Role::Client, message_bytes_max: MESSAGE_BYTES_MAX, deflate: true };

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    digits.map(byte).collect()
}

/// Each line: the server's and the client's window setting (0 is none), the header, the answer.
#[test]
fn offers_are_answered_as_ws_answers_them() {
    let mut lines = 0;
    for line in include_str!("vectors/negotiate.txt").lines() {
        let [server, client, header, expected] =
            line.split('|').collect::<Vec<_>>().try_into().unwrap();
        let bits = |text: &str| Some(text.parse().unwrap()).filter(|bits| *bits != 0);
        let settings = ServerSettings {
            server_max_window_bits: bits(server),
            client_max_window_bits: bits(client),
            ..ServerSettings::default()
        };
        let answer = match negotiate(header.as_bytes(), &settings) {
            Err(_) => "400".to_owned(),
            Ok(None) => "none".to_owned(),
            Ok(Some(agreed)) => {
                let told = agreed.header_value.split("server_max_window_bits=").nth(1);
                let told = told.and_then(|rest| rest.split(';').next());
                assert_eq!(agreed.window_bits, told.map_or(15, |bits| bits.parse().unwrap()));
                agreed.header_value
            }
        };
        assert_eq!(answer, expected, "{line}");
        lines += 1;
    }
    assert!(lines > 400);
}

#[test]
fn what_is_wrong_with_an_offer_is_named() {
    let twelve = ServerSettings { server_max_window_bits: Some(12), ..ServerSettings::default() };
    for (header, expected) in [
        ("permessage-deflate,", OfferRefused::Malformed),
        ("permessage-deflate; mux, ;", OfferRefused::Malformed),
        ("permessage-deflate; server_max_window_bits=10", OfferRefused::NoneAcceptable),
        ("permessage-deflate; a; a", OfferRefused::ParameterUnknown),
        (
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            OfferRefused::ParameterRepeated,
        ),
        ("permessage-deflate; mux", OfferRefused::ParameterUnknown),
        ("permessage-deflate; server_max_window_bits", OfferRefused::ValueInvalid),
    ] {
        assert_eq!(negotiate(header.as_bytes(), &twelve), Err(expected), "{header}");
    }
}

/// Each line: a payload, what `ws` made of it, what it inflated to.
#[test]
fn payloads_inflate_as_ws_inflates_them() {
    let mut lines = 0;
    for line in include_str!("vectors/inflate.txt").lines() {
        let [payload, outcome, inflated] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
        let expected = match outcome {
            "1007" => Err(PeerMisbehaved::DeflateInvalid),
            "1009" => Err(PeerMisbehaved::MessageTooBig),
            _ => Ok(from_hex(inflated)),
        };
        assert_eq!(inflate(&from_hex(payload), MESSAGE_BYTES_MAX), expected, "{payload}");
        if let Err(rule) = expected {
            assert_eq!(rule.close_code().to_string(), outcome);
        }
        lines += 1;
    }
    assert!(lines > 900);
}

/// The examples of RFC 7692, section 7.2.3.
#[test]
fn the_messages_of_the_rfc() {
    for payload in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x00\x05\x00\xfa\xffHello\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        assert_eq!(inflate(payload, 5), Ok(b"Hello".to_vec()), "{payload:02x?}");
        assert_eq!(inflate(payload, 4), Err(PeerMisbehaved::MessageTooBig), "{payload:02x?}");
    }
    // The second message of section 7.2.3.2 refers to the first, which is not kept.
    assert_eq!(inflate(b"\xf2\x00\x11\x00\x00", 5), Err(PeerMisbehaved::DeflateInvalid));
    let mut deflater = ServerSettings::default().deflater();
    assert_eq!(&deflater.compress(&[b"Hello"])[..], b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_eq!(&deflater.compress(&[])[..], b"\x00");
}

fn decode(rules: Rules, stream: &[u8]) -> (Vec<String>, Result<(), PeerMisbehaved>) {
    let mut seen = Vec::new();
    let result = Decoder::new().decode_with(rules, &mut stream.to_vec(), &mut |incoming| {
        seen.push(format!("{incoming:?}"));
        ControlFlow::Continue(())
    });
    (seen, result)
}

#[test]
fn the_first_reserved_bit_is_for_the_start_of_a_message() {
    const HELLO: &[u8] = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
    assert_eq!(decode(RULES, HELLO), (vec!["Text(\"Hello\")".to_owned()], Ok(())));
    let plain = Rules { deflate: false, ..RULES };
    assert_eq!(decode(plain, HELLO), (vec![], Err(PeerMisbehaved::ReservedBits)));
    for (stream, expected) in [
        (&b"\xc9\x00"[..], PeerMisbehaved::ReservedBits),
        (b"\xca\x00", PeerMisbehaved::ReservedBits),
        (b"\xc8\x00", PeerMisbehaved::ReservedBits),
        (b"\x41\x03\xf2\x48\xcd\xc0\x04\xc9\xc9\x07\x00", PeerMisbehaved::ReservedBits),
        (b"\x01\x01a\xc0\x01b", PeerMisbehaved::ReservedBits),
        (b"\xe1\x00", PeerMisbehaved::ReservedBits),
        (b"\xd1\x00", PeerMisbehaved::ReservedBits),
        (b"\xc3\x00", PeerMisbehaved::ReservedOpcode),
        (b"\x49\x00", PeerMisbehaved::ControlFragmented),
        (b"\xc1\x01\xff", PeerMisbehaved::DeflateInvalid),
        (b"\xc1\x07\x00\x01\x00\xfe\xff\xff\x00", PeerMisbehaved::TextNotUtf8),
    ] {
        let (seen, result) = decode(RULES, &[HELLO, stream].concat());
        assert_eq!((seen.len(), result), (1, Err(expected)), "{stream:02x?}");
    }
}

#[test]
fn compressed_and_plain_messages_alternate() {
    let stream = b"\x41\x03\xf2\x48\xcd\x89\x01p\x80\x04\xc9\xc9\x07\x00\
        \x01\x01a\x80\x01b\xc2\x01\x00\x82\x00\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
    let (seen, result) = decode(RULES, stream);
    assert_eq!(result, Ok(()));
    let (hello, empty) = ("Text(\"Hello\")", "Binary([])");
    assert_eq!(seen, ["Ping([112])", hello, "Text(\"ab\")", empty, empty, hello]);
}

#[test]
fn a_frame_that_would_not_be_shorter_is_not_made() {
    let mut deflater = Deflater::new(6, 15);
    assert_eq!(deflater.frame(Opcode::Text, &[b"4", b"hi"]), None);
    let noise: Vec<u8> =
        (0..2000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(Deflater::new(0, 15).frame(Opcode::Binary, &[&noise]), None);
    let text = "all work and no play ".repeat(100);
    let frame = deflater.frame(Opcode::Text, &[b"4", text.as_bytes()]).unwrap();
    let payload = deflater.compress(&[b"4", text.as_bytes()]);
    assert_eq!(frame, encode_deflated(Opcode::Text, &payload, None));
    assert!(frame.len() < 100, "{} bytes", frame.len());
    assert_eq!(decode(RULES, &frame).0, [format!("Text({:?})", "4".to_owned() + &text)]);
}

/// What a client sees that keeps 2^`window_bits` bytes and no more; none when a reference goes
/// further back.
fn inflate_in_window(payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
    let mut ring = vec![0; 1 << window_bits];
    let mut state = Box::<DecompressorOxide>::default();
    let mut out = Vec::new();
    let payload = [payload, b"\x00\x00\xff\xff"].concat();
    let (mut rest, mut at) = (&payload[..], 0);
    loop {
        let (status, taken, written) =
            decompress(&mut state, rest, &mut ring, at, TINFL_FLAG_HAS_MORE_INPUT);
        out.extend_from_slice(&ring[at..at + written]);
        at = (at + written) % ring.len();
        rest = &rest[taken..];
        if status != TINFLStatus::HasMoreOutput {
            return (status == TINFLStatus::NeedsMoreInput).then_some(out);
        }
    }
}

#[test]
fn the_window_is_kept() {
    let line = (0..700).map(|n| format!("{n}/")).collect::<String>();
    let text = line.repeat(30);
    for window_bits in 8..=15 {
        let mut deflater = Deflater::new(9, window_bits);
        let payload = deflater.compress(&[&text.as_bytes()[..5], &text.as_bytes()[5..]]);
        assert!(
            inflate_in_window(&payload, window_bits).unwrap() == text.as_bytes(),
            "{window_bits} bits"
        );
        assert!(inflate(&payload, text.len()).unwrap() == text.as_bytes(), "{window_bits} bits");
    }
    let wide = Deflater::new(9, 15).compress(&[text.as_bytes()]);
    assert_eq!(inflate_in_window(&wide, 14).map(|out| out == text.as_bytes()), Some(true));
    assert_eq!(inflate_in_window(&wide, 8), None, "the check sees a wide reference");
}

/// A message, compressed, in fragments of these lengths.
fn fragmented(payload: &[u8], lens: &[usize]) -> Vec<u8> {
    let mut stream = Vec::new();
    let (mut rest, mut first_byte) = (payload, 0x42);
    for len in lens {
        let (piece, after) = rest.split_at((*len).min(rest.len()));
        push_frame(&mut stream, first_byte, piece);
        stream.extend(encode(Opcode::Ping, b"between", None));
        (rest, first_byte) = (after, 0x00);
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

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..3000),
        vec(0..4_u8, 0..MESSAGE_BYTES_MAX),
        ("[a-z]{1,40}", 1..100_usize).prop_map(|(word, times)| word.repeat(times).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_is_compressed_is_inflated(
        messages in vec(message(), 1..4),
        level in 0..=9_u8,
        window_bits in 8..=15_u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut deflater = Deflater::new(level, window_bits);
        for message in messages {
            let (head, tail) = message.split_at(cut.index(message.len() + 1));
            let payload = deflater.compress(&[head, tail]);
            prop_assert_eq!(inflate(&payload, message.len()), Ok(message.clone()));
            prop_assert_eq!(inflate_in_window(&payload, window_bits), Some(message.clone()));
            prop_assert_eq!(deflater.compress(&[&message]), payload, "no message leaves a trace");
            if !message.is_empty() {
                let too_big = inflate(&deflater.compress(&[&message]), message.len() - 1);
                prop_assert_eq!(too_big, Err(PeerMisbehaved::MessageTooBig));
            }
        }
    }

    #[test]
    fn compressed_messages_decode_in_any_split(
        message in message(),
        lens in vec(0..400_usize, 0..6),
        mask in any::<Option<[u8; 4]>>(),
        read_lens in vec(1..700_usize, 1..6),
    ) {
        let payload = Deflater::new(6, 15).compress(&[&message]);
        let (role, stream) = match mask {
            None => (Role::Client, fragmented(&payload, &lens)),
            Some(_) => (Role::Server, encode_deflated(Opcode::Binary, &payload, mask).to_vec()),
        };
        let rules = Rules { role, ..RULES };
        let mut decoder = Decoder::new();
        let (mut seen, mut pings) = (Vec::new(), 0);
        let (mut rest, mut lens_of_reads) = (&stream[..], read_lens.iter().cycle());
        while !rest.is_empty() {
            let len = lens_of_reads.next().map_or(rest.len(), |len| (*len).min(rest.len()));
            let (read, after) = rest.split_at(len);
            let result = decoder.decode_with(rules, &mut read.to_vec(), &mut |incoming| {
                match incoming {
                    Incoming::Binary(bytes) => seen.push(bytes.to_vec()),
                    Incoming::Ping(_) => pings += 1,
                    Incoming::Close { .. } | Incoming::Pong(_) | Incoming::Text(_) => {
 panic!("{incoming:?}")
},
                }
                ControlFlow::Continue(())
            });
            prop_assert_eq!(result, Ok(()));
            rest = after;
        }
        prop_assert_eq!(seen, vec![message]);
        prop_assert_eq!(pings, if mask.is_none() { lens.len() } else { 0 });
        prop_assert!(decoder.is_idle());
    }

    #[test]
    fn any_bytes_inflate_within_the_limit(
        payload in vec(any::<u8>(), 0..300),
        message_bytes_max in 0..2000_usize,
    ) {
        if let Ok(message) = inflate(&payload, message_bytes_max) {
            prop_assert!(message.len() <= message_bytes_max);
        }
    }

    #[test]
    fn an_answer_is_itself_an_offer_that_is_answered_alike(
        header in "permessage-deflate(; (client|server)_(max_window_bits(=[0-9]{1,2})?|no_context_takeover)){0,4}",
    ) {
        let settings = ServerSettings::default();
        if let Ok(Some(agreed)) = negotiate(header.as_bytes(), &settings) {
            prop_assert!(Offer::parse_all(header.as_bytes()).is_ok());
            let again = negotiate(agreed.header_value.as_bytes(), &settings);
            prop_assert_eq!(again, Ok(Some(agreed)));
        }
    }
}
