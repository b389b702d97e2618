//! Every rule of RFC 6455 that a peer can break has a name and a close code, and messages before a
//! violation are still delivered.

use std::ops::ControlFlow;

use trunkline_websocket::{Decoder, Incoming, PeerMisbehaved, Role};

const MESSAGE_BYTES_MAX: usize = 100;

/// What the callback saw, as owned text: enough to compare.
fn decode(role: Role, stream: &[u8]) -> (Vec<String>, Result<(), PeerMisbehaved>) {
    let mut seen = Vec::new();
    let mut input = stream.to_vec();
    let result = Decoder::new().decode(role, MESSAGE_BYTES_MAX, &mut input, &mut |incoming| {
        seen.push(format!("{incoming:?}"));
        ControlFlow::Continue(())
    });
    (seen, result)
}

/// A server's frame: no mask, so that the tables are readable.
fn client_end(stream: &[u8]) -> (Vec<String>, Result<(), PeerMisbehaved>) {
    decode(Role::Client, stream)
}

#[test]
fn each_broken_rule_is_named() {
    let too_long = [&[0x82, 126, 0, 101][..], &[0; 101]].concat();
    let control_too_long = [&[0x89, 126, 0, 126][..], &[0; 126]].concat();
    for (stream, expected, close_code) in [
        (&b"\xc1\x00"[..], PeerMisbehaved::ReservedBits, 1002),
        (b"\xa1\x00", PeerMisbehaved::ReservedBits, 1002),
        (b"\x91\x00", PeerMisbehaved::ReservedBits, 1002),
        (b"\x83\x00", PeerMisbehaved::ReservedOpcode, 1002),
        (b"\x87\x00", PeerMisbehaved::ReservedOpcode, 1002),
        (b"\x8b\x00", PeerMisbehaved::ReservedOpcode, 1002),
        (b"\x8f\x00", PeerMisbehaved::ReservedOpcode, 1002),
        (b"\x81\x80\0\0\0\0", PeerMisbehaved::MaskUnexpected, 1002),
        (&control_too_long, PeerMisbehaved::ControlTooLong, 1002),
        (b"\x89\x7f\0\0\0\0\0\0\0\0", PeerMisbehaved::ControlTooLong, 1002),
        (b"\x09\x00", PeerMisbehaved::ControlFragmented, 1002),
        (b"\x08\x00", PeerMisbehaved::ControlFragmented, 1002),
        (b"\x80\x00", PeerMisbehaved::ContinuationWithoutStart, 1002),
        (b"\x01\x01a\x80\x01b\x80\x00", PeerMisbehaved::ContinuationWithoutStart, 1002),
        (b"\x01\x01a\x81\x01b", PeerMisbehaved::DataInsideMessage, 1002),
        (b"\x01\x00\x82\x00", PeerMisbehaved::DataInsideMessage, 1002),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", PeerMisbehaved::LengthOutOfRange, 1009),
        (b"\x82\x7f\0\x20\0\0\0\0\0\0", PeerMisbehaved::LengthOutOfRange, 1009),
        (&too_long, PeerMisbehaved::MessageTooBig, 1009),
        (b"\x82\x7f\0\x1f\xff\xff\xff\xff\xff\xff", PeerMisbehaved::MessageTooBig, 1009),
        (b"\x81\x01\xff", PeerMisbehaved::TextNotUtf8, 1007),
        (b"\x81\x03\xed\xa0\x80", PeerMisbehaved::TextNotUtf8, 1007),
        (b"\x01\x01\xc3\x80\x01a", PeerMisbehaved::TextNotUtf8, 1007),
        (b"\x88\x01\x03", PeerMisbehaved::CloseBodyTooShort, 1002),
        (b"\x88\x02\x03\xec", PeerMisbehaved::CloseCodeInvalid, 1002),
        (b"\x88\x03\x03\xe8\xff", PeerMisbehaved::CloseReasonNotUtf8, 1007),
    ] {
        let (seen, result) = client_end(&[b"\x81\x02ok", stream].concat());
        assert_eq!(result, Err(expected), "{stream:02x?}");
        assert_eq!(seen[0], "Text(\"ok\")", "{stream:02x?}");
        assert_eq!(expected.close_code(), close_code, "{expected:?}");
    }
}

#[test]
fn a_server_insists_on_masks() {
    let (seen, result) = decode(Role::Server, b"\x81\x02ok");
    assert_eq!((seen.len(), result), (0, Err(PeerMisbehaved::MaskMissing)));
    let (seen, result) = decode(Role::Server, b"\x81\x83\x01\x02\x03\x04\x60\x60\x60");
    assert_eq!((seen, result), (vec!["Text(\"abc\")".to_owned()], Ok(())));
}

#[test]
fn what_the_rules_allow_is_delivered() {
    for (stream, expected) in [
        (&b"\x81\x00"[..], &["Text(\"\")"][..]),
        (b"\x82\x00", &["Binary([])"]),
        (b"\x89\x01a\x8a\x01b", &["Ping([97])", "Pong([98])"]),
        // ws accepts a length in more bytes than it needs.
        (b"\x81\x7e\x00\x01a", &["Text(\"a\")"]),
        (b"\x81\x7f\0\0\0\0\0\0\0\x01a", &["Text(\"a\")"]),
        (b"\x01\x01a\x00\x00\x80\x01b", &["Text(\"ab\")"]),
        (b"\x01\x00\x80\x00", &["Text(\"\")"]),
        (
            b"\x02\x01a\x89\x01p\x80\x01b\x81\x01c",
            &["Ping([112])", "Binary([97, 98])", "Text(\"c\")"],
        ),
        // A character may be torn between fragments.
        (b"\x01\x01\xc3\x80\x01\xa9", &["Text(\"é\")"]),
        (b"\x88\x00", &["Close { code: None, reason: \"\" }"]),
        (b"\x88\x05\x03\xe8bye", &["Close { code: Some(1000), reason: \"bye\" }"]),
    ] {
        let (seen, result) = client_end(stream);
        assert_eq!(result, Ok(()), "{stream:02x?}");
        assert_eq!(seen, expected, "{stream:02x?}");
    }
}

#[test]
fn close_codes_are_those_of_ws() {
    for code in 0..=u16::MAX {
        let valid = matches!(code, 1000..=1014 if !(1004..=1006).contains(&code))
            || (3000..=4999).contains(&code);
        let (_, result) = client_end(&[&[0x88, 2][..], &code.to_be_bytes()].concat());
        assert_eq!(result.is_ok(), valid, "{code}");
    }
}

#[test]
fn the_limit_counts_all_fragments_and_no_control_frames() {
    let piece = |first: u8| [&[first, 60][..], &[b'a'; 60]].concat();
    let ping = [&[0x89, 125][..], &[b'p'; 125]].concat();
    let (seen, result) = client_end(&[piece(0x01), ping.clone(), ping, piece(0x80)].concat());
    assert_eq!(result, Err(PeerMisbehaved::MessageTooBig));
    assert_eq!(seen.len(), 2, "both pings, no message");
    let exact = [&[0x82, 100][..], &[0; 100]].concat();
    assert_eq!(client_end(&[exact.clone(), exact].concat()).0.len(), 2);
}

#[test]
fn nothing_is_decoded_after_the_end() {
    for ending in [&b"\x88\x00"[..], b"\xff\xff"] {
        let mut decoder = Decoder::new();
        let mut seen = 0;
        let mut count = |_: Incoming<'_>| {
            seen += 1;
            ControlFlow::Continue(())
        };
        let mut input = [ending, b"\x81\x00"].concat();
        let first = decoder.decode(Role::Client, MESSAGE_BYTES_MAX, &mut input, &mut count);
        assert_eq!(first.is_ok(), ending[0] == 0x88);
        let later =
            decoder.decode(Role::Client, MESSAGE_BYTES_MAX, &mut b"\x81\x00".to_vec(), &mut count);
        assert_eq!(later, Ok(()));
        assert_eq!(seen, usize::from(ending[0] == 0x88), "the close itself, and nothing after it");
        assert!(decoder.is_idle());
    }
}

#[test]
fn the_callback_can_stop_the_decoder() {
    let mut decoder = Decoder::new();
    let mut seen = 0;
    let mut stop = |_: Incoming<'_>| {
        seen += 1;
        ControlFlow::Break(())
    };
    let mut input = b"\x81\x00\x81\x00".to_vec();
    assert_eq!(decoder.decode(Role::Client, MESSAGE_BYTES_MAX, &mut input, &mut stop), Ok(()));
    assert_eq!(decoder.decode(Role::Client, MESSAGE_BYTES_MAX, &mut input, &mut stop), Ok(()));
    assert_eq!(seen, 1);
}

#[test]
fn slugs_are_distinct_metric_labels() {
    use PeerMisbehaved as P;
    let all = [
        P::CloseBodyTooShort,
        P::CloseCodeInvalid,
        P::CloseReasonNotUtf8,
        P::ContinuationWithoutStart,
        P::ControlFragmented,
        P::ControlTooLong,
        P::DataInsideMessage,
        P::DeflateInvalid,
        P::LengthOutOfRange,
        P::MaskMissing,
        P::MaskUnexpected,
        P::MessageTooBig,
        P::ReservedBits,
        P::ReservedOpcode,
        P::TextNotUtf8,
    ];
    let slugs: std::collections::HashSet<_> = all.iter().map(|rule| rule.slug()).collect();
    assert_eq!(slugs.len(), all.len());
    assert!(slugs.iter().all(|slug| slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')));
}
