//! permessage-deflate: a message is compressed once for all sessions, and only where it is allowed.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_engineio::{
    AgreedDeflate, Burst, Config, Deflate, Delivery, Outgoing, PollKey, Protocol, Sent, Session,
    Timestamp, Transmit, TransportKind,
};
use trunkline_websocket::deflate::ServerSettings;
use trunkline_websocket::{Decoder, Incoming, Role, Rules};

const NOW: Timestamp = Timestamp::ORIGIN;
/// The first reserved bit of RFC 6455: this message is compressed.
const RSV1: u8 = 0x40;

fn agreed(settings: ServerSettings, window_bits: u8) -> AgreedDeflate {
    AgreedDeflate { deflate: Deflate::new(settings), window_bits }
}

fn by_default() -> AgreedDeflate {
    agreed(ServerSettings::default(), 15)
}

fn without_threshold() -> ServerSettings {
    ServerSettings { threshold_bytes: 0, ..ServerSettings::default() }
}

fn websocket(protocol: Protocol, deflate: Option<&AgreedDeflate>) -> Session {
    let config = Rc::new(Config::default());
    let mut session = Session::new(NOW, config, protocol, TransportKind::WebSocket, "SID");
    session.poll_transmit().expect("the open packet");
    session.set_deflate(deflate.cloned());
    session
}

fn text(len: usize) -> Bytes {
    Bytes::from("2[\"news\"]".repeat(len).into_bytes()).slice(..len)
}

fn frame_of(session: &mut Session, message: &Rc<Outgoing>) -> Bytes {
    assert_eq!(session.send(NOW, message, Delivery::Reliable), Sent::Queued);
    match session.poll_transmit() {
        Some(Transmit::Frame(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

/// Reads a frame as a client with compression does: whether it is text, and its bytes.
fn read(frame: &[u8]) -> (bool, Vec<u8>) {
    let rules = Rules { role: Role::Client, message_bytes_max: usize::MAX, deflate: true };
    let mut heard = None;
    let result = Decoder::new().decode_with(rules, &mut frame.to_vec(), &mut |incoming| {
        heard = match incoming {
            Incoming::Text(text) => Some((true, text.as_bytes().to_vec())),
            Incoming::Binary(bytes) => Some((false, bytes.to_vec())),
            Incoming::Close { .. } | Incoming::Ping(_) | Incoming::Pong(_) => None,
        };
        ControlFlow::Continue(())
    });
    assert_eq!(result, Ok(()));
    heard.expect("a data message")
}

fn is_deflated(frame: &[u8]) -> bool {
    frame[0] & RSV1 != 0
}

#[test]
fn a_broadcast_is_compressed_once() {
    let shared = by_default();
    for binary in [false, true] {
        let message = Outgoing::new(binary, text(5000));
        let frames: Vec<Bytes> = [Protocol::V4, Protocol::V4]
            .into_iter()
            .map(|protocol| frame_of(&mut websocket(protocol, Some(&shared)), &message))
            .collect();
        assert!(is_deflated(&frames[0]));
        assert_eq!(frames[0].as_ptr(), frames[1].as_ptr());
        assert_eq!(frames[0].len(), frames[1].len());
        // Text is the same in both revisions; bytes are not.
        let v3 = frame_of(&mut websocket(Protocol::V3, Some(&shared)), &message);
        assert_eq!(v3.as_ptr() == frames[0].as_ptr(), !binary);
        // A session without compression gets the plain frame of the same message.
        let plain = frame_of(&mut websocket(Protocol::V4, None), &message);
        assert!(!is_deflated(&plain));
        assert_eq!(read(&plain), read(&frames[0]));
    }
}

#[test]
fn the_threshold_counts_the_whole_websocket_message() {
    // The packet type adds one byte to text and to the bytes of revision 3.
    for (binary, protocol, len, deflated) in [
        (false, Protocol::V4, 1022, false),
        (false, Protocol::V4, 1023, true),
        (true, Protocol::V4, 1023, false),
        (true, Protocol::V4, 1024, true),
        (true, Protocol::V3, 1022, false),
        (true, Protocol::V3, 1023, true),
    ] {
        let mut session = websocket(protocol, Some(&by_default()));
        let frame = frame_of(&mut session, &Outgoing::new(binary, text(len)));
        assert_eq!(is_deflated(&frame), deflated, "binary {binary}, {protocol:?}, {len} bytes");
    }
    // In base64 they are 1 + 4/3 of their length.
    for (len, deflated) in [(765, false), (768, true)] {
        let mut session = websocket(Protocol::V4, Some(&by_default()));
        session.set_base64_only(true);
        let frame = frame_of(&mut session, &Outgoing::new(true, text(len)));
        assert_eq!(is_deflated(&frame), deflated, "{len} bytes");
    }
}

#[test]
fn what_must_not_or_need_not_be_compressed_is_not() {
    let mut session = websocket(Protocol::V4, Some(&agreed(without_threshold(), 15)));
    let forbidden = frame_of(&mut session, &Outgoing::uncompressed(false, text(5000)));
    assert!(!is_deflated(&forbidden), "compress(false)");
    let short = Outgoing::new(false, Bytes::from_static(b"x"));
    let gains_nothing = frame_of(&mut session, &short);
    assert_eq!(gains_nothing.as_ptr(), short.websocket_frame(Protocol::V4).as_ptr());
    session.handle_timeout(session.poll_deadline().expect("a heartbeat"));
    assert_eq!(session.poll_transmit(), Some(Transmit::Frame(Bytes::from_static(b"\x81\x012"))));
}

#[test]
fn a_small_window_is_respected() {
    // The client asked for a window of 2^10 bytes, which the app's compressor does not know.
    let narrow = agreed(ServerSettings::default(), 10);
    let mut session = websocket(Protocol::V4, Some(&narrow));
    let fits = frame_of(&mut session, &Outgoing::new(true, text(1024)));
    assert!(is_deflated(&fits));
    let long = Outgoing::new(true, text(1025));
    assert!(!is_deflated(&frame_of(&mut session, &long)));
    // Clients with a large window get the compressed frame, before or after.
    let wide = AgreedDeflate { window_bits: 15, ..narrow.clone() };
    assert!(is_deflated(&frame_of(&mut websocket(Protocol::V4, Some(&wide)), &long)));
    assert!(!is_deflated(&frame_of(&mut session, &long)));
    // The app asked for a small window: its compressor keeps to it, so every message can be
    // compressed.
    let settings = ServerSettings { server_max_window_bits: Some(10), ..ServerSettings::default() };
    let mut session = websocket(Protocol::V4, Some(&agreed(settings, 10)));
    assert!(is_deflated(&frame_of(&mut session, &Outgoing::new(true, text(5000)))));
    // The frame of another app's compressor is not compressed.
    assert!(!is_deflated(&frame_of(&mut session, &long)));
}

#[test]
fn the_open_packet_is_a_message_like_others() {
    let config = Rc::new(Config::default());
    for (settings, deflated) in [(ServerSettings::default(), false), (without_threshold(), true)] {
        let config = Rc::clone(&config);
        let sid = "A".repeat(60);
        let mut session = Session::new(NOW, config, Protocol::V4, TransportKind::WebSocket, &sid);
        session.set_deflate(Some(agreed(settings, 15)));
        let Some(Transmit::Frame(frame)) = session.poll_transmit() else { panic!("no frame") };
        assert_eq!(is_deflated(&frame), deflated);
        assert!(read(&frame).1.starts_with(b"0{\"sid\":\"AAA"));
    }
}

#[test]
fn a_stream_that_takes_over_brings_its_own_agreement() {
    let deflate = by_default();
    for (transport, agreed_again) in [
        (TransportKind::Polling, true),
        (TransportKind::Polling, false),
        (TransportKind::WebSocket, true),
        (TransportKind::WebSocket, false),
    ] {
        let config = Rc::new(Config::default());
        let mut session = Session::new(NOW, config, Protocol::V4, transport, "SID");
        match transport {
            TransportKind::Polling => session.handle_poll(NOW, PollKey(0)).expect("a first poll"),
            TransportKind::WebSocket => session.set_deflate(Some(deflate.clone())),
        }
        while session.poll_transmit().is_some() {}
        session.handle_probe_opened(NOW).expect("a first probe");
        session.handle_probe_message(NOW, trunkline_engineio::Body::Text("2probe"));
        assert_eq!(
            session.poll_transmit(),
            Some(Transmit::ProbeFrame(Bytes::from_static(b"\x81\x063probe")))
        );
        let message = Outgoing::new(false, text(5000));
        session.handle_probe_message(NOW, trunkline_engineio::Body::Text("5"));
        assert_eq!(session.send(NOW, &message, Delivery::Reliable), Sent::Queued);
        assert_eq!(session.poll_transmit(), Some(Transmit::PromoteProbe));
        assert!(session.deflate().is_none());
        if agreed_again {
            session.set_deflate(Some(deflate.clone()));
        }
        let Some(Transmit::Frame(frame)) = session.poll_transmit() else { panic!("no frame") };
        assert_eq!(is_deflated(&frame), agreed_again, "{transport:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn every_flavour_reads_as_the_plain_one_does(
        payload in vec(prop_oneof![0x20..0x23_u8, 0x20..0x7f_u8], 0..3000),
        binary in any::<bool>(),
        v3 in any::<bool>(),
        base64_only in any::<bool>(),
        threshold_bytes in 0..2000_usize,
        level in 0..=9_u8,
        window_bits in 8..=15_u8,
    ) {
        let protocol = if v3 { Protocol::V3 } else { Protocol::V4 };
        let settings = ServerSettings { threshold_bytes, level, ..ServerSettings::default() };
        let agreed = agreed(settings, window_bits);
        let message = Outgoing::new(binary, Bytes::from(payload));
        let plain = if base64_only {
            message.websocket_frame_base64(protocol)
        } else {
            message.websocket_frame(protocol)
        };
        let deflated = message.websocket_frame_deflated(protocol, base64_only, &agreed);
        prop_assert_eq!(read(deflated), read(plain));
        prop_assert!(deflated.len() <= plain.len());
        let (_, content) = read(plain);
        if content.len() < threshold_bytes || content.len() > 1 << window_bits {
            prop_assert!(!is_deflated(deflated));
        }
    }
}

#[test]
fn a_budget_makes_long_messages_wait_and_changes_nothing_in_them() {
    let text: String = (0..40_000).map(|number: u32| format!("{number:x} ")).collect();
    for window_bits in [9, 15] {
        let settings = ServerSettings {
            server_max_window_bits: Some(window_bits),
            ..ServerSettings::default()
        };
        let at_once = {
            let agreed = AgreedDeflate { deflate: Deflate::new(settings), window_bits };
            Outgoing::new(false, Bytes::from(text.clone()))
                .websocket_frame_deflated(Protocol::V4, false, &agreed)
                .clone()
        };
        let budget = Rc::new(Cell::new(0));
        let deflate = Deflate::within(settings, Rc::clone(&budget));
        let mut session = Session::new(
            Timestamp::ORIGIN,
            Rc::new(Config::default()),
            Protocol::V4,
            TransportKind::WebSocket,
            "sid",
        );
        let _open = session.poll_transmit();
        session.set_deflate(Some(AgreedDeflate { deflate, window_bits }));
        for message in [text.clone(), "short".to_owned()] {
            let message = Outgoing::new(false, Bytes::from(message));
            let sent = session.send(Timestamp::ORIGIN, &message, Delivery::Reliable);
            assert_eq!(sent, Sent::Queued);
        }
        assert_eq!(session.poll_transmit(), Some(Transmit::Later), "there is no budget");
        let mut turns = 0;
        let frame = loop {
            budget.set(10_000);
            match session.poll_transmit() {
                Some(Transmit::Later) => turns += 1,
                Some(Transmit::Frame(frame)) => break frame,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(turns, (text.len() + 1).div_ceil(10_000) - 1, "a part in each turn");
        // The flush points of a small window do not depend on the pieces.
        assert_eq!(frame, at_once);
        budget.set(0);
        assert!(
            matches!(session.poll_transmit(), Some(Transmit::Frame(_))),
            "too short to compress"
        );
    }
}

#[test]
fn a_burst_spreads_when_its_session_changes_to_other_frames() {
    let long = Outgoing::new(false, text(5_000));
    let bytes = Outgoing::new(true, Bytes::from_static(b"blob"));
    let burst = Burst::new(&[Rc::clone(&long), bytes]);
    let frames = |change: fn(&mut Session)| {
        let mut session = websocket(Protocol::V4, None);
        assert_eq!(session.send_burst(NOW, &burst), Sent::Queued);
        assert!(session.has_one_piece());
        let waiting = session.outbox_bytes();
        change(&mut session);
        assert_eq!(session.outbox_bytes(), waiting);
        let mut frames = Vec::new();
        while let Some(Transmit::Frame(frame)) = session.poll_transmit() {
            frames.push(frame);
        }
        assert_eq!(session.outbox_bytes(), 0);
        frames
    };
    let plain = long.websocket_frame(Protocol::V4);
    assert_eq!(frames(|_| ()), [[&plain[..], b"\x82\x04blob"].concat()]);
    let base64 = frames(|session| session.set_base64_only(true));
    assert_eq!(base64, [&plain[..], b"\x81\x09bYmxvYg=="]);
    let deflated = frames(|session| session.set_deflate(Some(by_default())));
    assert_eq!(deflated.len(), 2);
    assert_eq!(read(&deflated[0]), (true, [b"4", &text(5_000)[..]].concat()));
    assert!(deflated[0].len() < 200 && deflated[1] == b"\x82\x04blob"[..]);
}
