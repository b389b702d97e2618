//! Payloads from and to clients, on the wire, in both revisions.

mod common;

use std::rc::Rc;

use bytes::Bytes;
use common::World;
use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_engineio::{
    Body, Config, ContentType, Delivery, Outgoing, PeerMisbehaved, Protocol, Session, Timestamp,
    Transmit, TransportKind,
};

#[test]
fn a_payload_of_protocol_4_is_packets_with_separators() {
    for (body, heard) in [
        (&b"4a"[..], &["app hears \"a\""][..]),
        (b"4a\x1e4\xe2\x82\xac\x1e4", &["app hears \"a\"", "app hears \"€\"", "app hears \"\""]),
        (b"bAQID", &["app hears [1, 2, 3]"]),
        (b"bAQI=\x1e4x", &["app hears [1, 2]", "app hears \"x\""]),
        (b"b-_ *&", &["app hears [251]"]),
        (b"b", &["app hears []"]),
        (b"0\x1e5\x1e6\x1e3\x1e3probe", &[]),
        // Node.js replaces bytes that are not UTF-8.
        (b"4a\xffb", &["app hears \"a\u{fffd}b\""]),
    ] {
        let mut world = World::polling();
        assert_eq!(world.post(body), Ok(()), "{body:?}");
        assert_eq!(world.take(), heard, "{body:?}");
    }
}

#[test]
fn a_broken_payload_ends_the_session_after_what_came_before() {
    for (body, heard) in [
        (&b""[..], None),
        (b"9", None),
        (b"x", None),
        (b"\x1e4a", None),
        (b"4a\x1e", Some("app hears \"a\"")),
        (b"4a\x1e7\x1e4b", Some("app hears \"a\"")),
    ] {
        let mut world = World::polling();
        world.poll(1).unwrap();
        assert_eq!(world.post(body), Err(PeerMisbehaved::PacketTypeUnknown), "{body:?}");
        let expected = heard.into_iter().chain(["poll 1 <- 1", "closed: parse error"]);
        assert_eq!(world.take(), expected.collect::<Vec<_>>(), "{body:?}");
    }
    assert_eq!(PeerMisbehaved::PacketTypeUnknown.answer(), Ok(()), "npm says ok all the same");
}

#[test]
fn protocol_4_has_no_binary_payloads() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    assert_eq!(world.post_as(true, b"4a"), Err(PeerMisbehaved::BinaryPayload));
    assert_eq!(world.take(), ["poll 1 <- 1", "closed: transport error (invalid content)"]);
    assert_eq!(PeerMisbehaved::BinaryPayload.answer(), Err(400));
}

#[test]
fn a_payload_of_protocol_3_is_packets_with_lengths() {
    let mut world = World::polling_with(Protocol::V3, Config::default());
    world.post("6:4hello2:4€3:4😀6:b4AQID".as_bytes()).unwrap();
    assert_eq!(
        world.take(),
        ["app hears \"hello\"", "app hears \"€\"", "app hears \"😀\"", "app hears [1, 2, 3]"]
    );
    world.post_as(true, b"\x00\x02\xff4a\x01\x04\xff\x04\x01\x02\x03").unwrap();
    assert_eq!(world.take(), ["app hears \"a\"", "app hears [1, 2, 3]"]);
    world.post(b"1:12:4a").unwrap();
    assert_eq!(world.take(), ["closed: transport close"]);
}

#[test]
fn a_broken_payload_of_protocol_3_is_a_parse_error() {
    for (binary, body, heard) in [
        (false, &b""[..], None),
        (false, b"2:4a5:4", Some("app hears \"a\"")),
        (false, b"2:4ax", Some("app hears \"a\"")),
        (false, b"2:4a1:9", Some("app hears \"a\"")),
        (true, b"\x00\x02\xff4a\x00\x09\xff4", None),
        (true, b"\x00\x01\xff9", None),
    ] {
        let mut world = World::polling_with(Protocol::V3, Config::default());
        assert!(world.post_as(binary, body).is_err(), "{body:?}");
        let expected = heard.into_iter().chain(["closed: parse error"]);
        assert_eq!(world.take(), expected.collect::<Vec<_>>(), "{body:?}");
    }
}

#[test]
fn polls_of_protocol_3_turn_binary_with_their_content() {
    let mut world = World::polling_with(Protocol::V3, Config::default());
    world.send("a😀");
    world.poll(1).unwrap();
    assert_eq!(world.take(), ["poll 1 <- 4:4a😀"]);
    world.send("é");
    world.queue_bytes(&[7; 11]);
    world.poll(2).unwrap();
    let expected =
        [&[0, 3, 255, b'4', 0xc3, 0xa9][..], &[1, 1, 2, 255, 4, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]]
            .concat();
    assert_eq!(world.take(), [format!("poll 2 <- {expected:?}")]);
    world.session.set_base64_only(true);
    world.send("é");
    world.queue_bytes(&[1, 2, 3]);
    world.poll(3).unwrap();
    assert_eq!(world.take(), ["poll 3 <- 2:4é6:b4AQID"]);
    world.close();
    world.poll(4).unwrap();
    assert_eq!(world.take(), ["poll 4 <- 1:61:1", "closed: forced close"]);
}

#[test]
fn websocket_messages_are_packets() {
    let mut world = World::websocket();
    world.message("4a").unwrap();
    world.message("bAQID").unwrap();
    world.message_body(Body::Binary(b"\x04a")).unwrap();
    world.message_body(Body::Binary(b"")).unwrap();
    for ignored in ["0", "1", "5", "6", "3probe"] {
        world.message(ignored).unwrap();
    }
    assert_eq!(
        world.take(),
        ["app hears \"a\"", "app hears [1, 2, 3]", "app hears [4, 97]", "app hears []"]
    );
    assert_eq!(world.message(""), Err(PeerMisbehaved::PacketTypeUnknown));
    assert_eq!(world.take(), ["ws close 1005", "closed: parse error"]);
    world.message("4late").unwrap();
    assert_eq!(world.take(), [""; 0]);
}

#[test]
fn websocket_messages_of_protocol_3_have_a_type_in_binary_too() {
    let mut world = World::websocket_with(Protocol::V3, Config::default());
    world.message_body(Body::Binary(b"\x04a")).unwrap();
    world.message_body(Body::Binary(b"\x63unknown")).unwrap();
    world.message_body(Body::Binary(b"")).unwrap();
    world.message("b4AQID").unwrap();
    world.queue_bytes(b"a");
    world.drain();
    assert_eq!(world.take(), ["app hears [97]", "app hears [1, 2, 3]", "ws <- [4, 97]"]);
}

#[test]
fn clients_that_cannot_take_bytes_get_base64() {
    for (protocol, expected) in [(Protocol::V4, "ws <- bAQID"), (Protocol::V3, "ws <- b4AQID")] {
        let mut world = World::websocket_with(protocol, Config::default());
        world.session.set_base64_only(true);
        world.queue_bytes(&[1, 2, 3]);
        world.send("text");
        assert_eq!(world.take(), [expected, "ws <- 4text"]);
    }
}

#[test]
fn answers_are_compressible_when_a_packet_in_them_is() {
    let respond = |world: &mut World, key| {
        world.session.handle_poll(world.now, trunkline_engineio::PollKey(key)).unwrap();
        match world.session.poll_transmit() {
            Some(Transmit::Respond { compress, content_type, .. }) => {
                assert_eq!(content_type, ContentType::Text);
                compress
            }
            other => panic!("{other:?}"),
        }
    };
    let mut world = World::polling();
    let plain = Outgoing::uncompressed(false, Bytes::from_static(b"plain"));
    let _ = world.session.send(world.now, &plain, Delivery::Reliable);
    assert!(!respond(&mut world, 1));
    let _ = world.session.send(world.now, &plain, Delivery::Reliable);
    world.queue("usual", Delivery::Reliable);
    assert!(respond(&mut world, 2));
    world.advance(25_000);
    assert!(respond(&mut world, 3), "a ping");
    world.close();
    assert!(!respond(&mut world, 4), "noop and close");
}

fn message() -> impl Strategy<Value = (bool, Vec<u8>)> {
    prop_oneof![
        "[^\u{1e}]{0,20}".prop_map(|text| (false, text.into_bytes())),
        vec(any::<u8>(), 0..40).prop_map(|bytes| (true, bytes)),
    ]
}

fn heard(messages: &[(bool, Vec<u8>)]) -> Vec<String> {
    let line = |(binary, bytes): &(bool, Vec<u8>)| match binary {
        true => format!("app hears {bytes:?}"),
        false => format!("app hears {:?}", String::from_utf8_lossy(bytes)),
    };
    messages.iter().map(line).collect()
}

/// Sends the messages, polls once, and posts the answer back.
fn echo(protocol: Protocol, base64_only: bool, messages: &[(bool, Vec<u8>)]) -> Vec<String> {
    let mut world = World::polling_with(protocol, Config::default());
    world.session.set_base64_only(base64_only);
    for (binary, bytes) in messages {
        let message = Outgoing::new(*binary, Bytes::copy_from_slice(bytes));
        let _ = world.session.send(world.now, &message, Delivery::Reliable);
    }
    world.session.handle_poll(world.now, trunkline_engineio::PollKey(1)).expect("a first poll");
    let Some(Transmit::Respond { content_type, body, .. }) = world.session.poll_transmit() else {
        panic!("something was sent");
    };
    world.post_as(content_type == ContentType::Binary, &body).expect("our own encoding");
    world.take()
}

proptest! {
    #[test]
    fn what_a_poll_gets_a_post_can_bring_back(
        messages in vec(message(), 1..6),
        v3 in any::<bool>(),
        base64_only in any::<bool>(),
    ) {
        let protocol = if v3 { Protocol::V3 } else { Protocol::V4 };
        prop_assert_eq!(echo(protocol, base64_only, &messages), heard(&messages));
    }

    #[test]
    fn any_body_is_survived(
        body in vec(prop_oneof![any::<u8>(), Just(0x1e), Just(b':'), b'0'..=b'9', Just(255), 0..4_u8], 0..60),
        v3 in any::<bool>(),
        binary in any::<bool>(),
    ) {
        let protocol = if v3 { Protocol::V3 } else { Protocol::V4 };
        let mut world = World::polling_with(protocol, Config::default());
        let result = world.post_as(binary, &body);
        prop_assert!(result.is_ok() || world.session.is_closed());
    }
}

/// Decodes a post in slices of `slice` packets; returns its output and its end.
fn in_slices(protocol: Protocol, binary: bool, body: &[u8], slice: usize) -> (Vec<String>, bool) {
    let mut session = Session::new(
        Timestamp::ORIGIN,
        Rc::new(Config::default()),
        protocol,
        TransportKind::Polling,
        "sid",
    );
    let mut heard = Vec::new();
    let mut on = |body: Body<'_>| heard.push(format!("{body:?}"));
    let body = Bytes::copy_from_slice(body);
    let mut outcome = Ok(());
    match session.begin_post(Timestamp::ORIGIN, binary, body) {
        Err(rule) => outcome = Err(rule),
        Ok(mut post) => {
            while outcome.is_ok() && !post.is_over() {
                let before = post.bytes();
                outcome = session.go_on_with_post(Timestamp::ORIGIN, &mut post, slice, &mut on);
                assert!(post.bytes() < before || before == 0 || post.is_over(), "it goes on");
            }
        }
    }
    (heard, outcome.is_ok())
}

#[test]
fn a_post_in_slices_brings_what_it_brings_at_once() {
    for (protocol, binary, body) in [
        (Protocol::V4, false, &b"4a\x1e4\xe2\x82\xac\x1e4\x1e3\x1ebAQID\x1e6"[..]),
        (Protocol::V4, false, b"4a\x1e4b\x1e1\x1e4c"),
        (Protocol::V4, false, b"4a\x1e7\x1e4b"),
        (Protocol::V4, false, b"4a\xff\x1e4\xe2\x82"),
        (Protocol::V4, false, b"4a\x1e"),
        (Protocol::V4, false, b""),
        (Protocol::V3, false, "1:22:4a5:4€bcd0:1:6".as_bytes()),
        (Protocol::V3, false, b"2:4a1:12:4b"),
        (Protocol::V3, false, b"2:4a3:4"),
        (Protocol::V3, true, b"\x00\x03\xff4\xc3\xa9\x01\x01\x00\xff\x04123456789"),
        (Protocol::V3, true, b"\x00\x01"),
    ] {
        let whole = in_slices(protocol, binary, body, usize::MAX);
        for slice in 1..4 {
            assert_eq!(in_slices(protocol, binary, body, slice), whole, "{body:?}");
        }
    }
}

#[test]
fn a_payload_of_more_packets_than_socket_io_could_send_ends_the_session() {
    let many = |packets: usize| {
        let body = vec!["4"; packets].join("\u{1e}");
        in_slices(Protocol::V4, false, body.as_bytes(), 1_000)
    };
    let (heard, whole) = many(128 * 1024);
    assert_eq!((heard.len(), whole), (128 * 1024, true));
    let (heard, whole) = many(128 * 1024 + 1);
    assert_eq!((heard.len(), whole), (128 * 1024, false));
    assert_eq!(PeerMisbehaved::PacketsTooMany.answer(), Err(413));
}
