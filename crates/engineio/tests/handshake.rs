//! The open packet, byte for byte, and the errors of a refused handshake.

mod common;

use std::time::Duration;

use common::World;
use trunkline_engineio::{Config, HandshakeError, Protocol, Session, Timestamp, TransportKind};

const OPEN: &str = r#"0{"sid":"SID","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

#[test]
fn the_open_packet_is_npms() {
    let mut world = World::new(Config::default(), Protocol::V4, TransportKind::Polling);
    world.poll(7).unwrap();
    assert_eq!(world.take(), [format!("poll 7 <- {OPEN}")]);

    let mut world = World::new(Config::default(), Protocol::V3, TransportKind::Polling);
    world.poll(7).unwrap();
    assert_eq!(world.take(), [format!("poll 7 <- {}:{OPEN}", OPEN.len())]);

    for protocol in [Protocol::V3, Protocol::V4] {
        let mut world = World::new(Config::default(), protocol, TransportKind::WebSocket);
        assert_eq!(world.take(), [format!("ws <- {}", OPEN.replace("\"websocket\"", ""))]);
    }
}

#[test]
fn upgrades_follow_the_options() {
    for (allow_upgrades, websocket, expected) in [
        (true, true, r#""upgrades":["websocket"]"#),
        (false, true, r#""upgrades":[]"#),
        (true, false, r#""upgrades":[]"#),
    ] {
        let config = Config { allow_upgrades, websocket, ..Config::default() };
        let mut world = World::new(config, Protocol::V4, TransportKind::Polling);
        world.poll(1).unwrap();
        assert!(world.take().concat().contains(expected), "{allow_upgrades} {websocket}");
    }
}

#[test]
fn options_and_sid_are_written_as_json() {
    let config = Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        payload_bytes_max: 42,
        ..Config::default()
    };
    let mut session = Session::new(
        Timestamp::ORIGIN,
        config.into(),
        Protocol::V4,
        TransportKind::WebSocket,
        "a\"\\\n",
    );
    let transmit = format!("{:?}", session.poll_transmit());
    let expected =
        r#"{"sid":"a\"\\\n","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":42}"#;
    assert!(transmit.contains(&expected.replace('\\', "\\\\").replace('"', "\\\"")), "{transmit}");
}

#[test]
fn handshake_errors_are_engine_ios() {
    for (error, code, status, json) in [
        (HandshakeError::UnknownTransport, 0, 400, r#"{"code":0,"message":"Transport unknown"}"#),
        (HandshakeError::UnknownSid, 1, 400, r#"{"code":1,"message":"Session ID unknown"}"#),
        (
            HandshakeError::BadHandshakeMethod,
            2,
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (HandshakeError::BadRequest, 3, 400, r#"{"code":3,"message":"Bad request"}"#),
        (HandshakeError::Forbidden, 4, 403, r#"{"code":4,"message":"Forbidden"}"#),
        (
            HandshakeError::UnsupportedProtocolVersion,
            5,
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ] {
        assert_eq!(error.code(), code);
        assert_eq!(error.http_status(), status);
        assert_eq!(error.json_body(), json);
        assert_eq!(error.json_body_with(""), json);
        assert_eq!(error.to_string(), error.message());
    }
    assert_eq!(
        HandshakeError::Forbidden.json_body_with("no \"entry\""),
        r#"{"code":4,"message":"no \"entry\""}"#
    );
}
