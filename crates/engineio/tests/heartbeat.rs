//! Heartbeats: which side pings, when silence ends a session, and which packets prove life.

mod common;

use std::time::Duration;

use common::World;
use trunkline_engineio::{Config, PeerMisbehaved, Protocol};

#[test]
fn a_silent_client_is_closed_after_interval_and_timeout() {
    let mut world = World::websocket();
    world.advance(24_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["ws <- 2"]);
    world.advance(19_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["ws close 1005", "closed: ping timeout"]);
    assert_eq!(world.session.poll_deadline(), None);
}

#[test]
fn over_polling_the_ping_waits_for_a_poll_but_its_timeout_does_not() {
    let mut world = World::polling();
    world.advance(25_000);
    assert_eq!(world.take(), [""; 0]);
    world.advance(19_000);
    world.poll(1).unwrap();
    assert_eq!(world.take(), ["poll 1 <- 2"]);
    world.poll(2).unwrap();
    world.advance(1_000);
    assert_eq!(world.take(), ["poll 2 <- 1", "closed: ping timeout"]);
}

#[test]
fn a_pong_starts_the_interval_anew() {
    let mut world = World::websocket();
    for _ in 0..3 {
        world.advance(25_000);
        assert_eq!(world.take(), ["ws <- 2"]);
        world.advance(19_999);
        world.message("3").unwrap();
    }
    world.advance(24_999);
    assert_eq!(world.take(), [""; 0]);
}

#[test]
fn a_pong_that_nobody_asked_for_delays_the_next_ping() {
    let mut world = World::websocket();
    world.advance(20_000);
    world.message("3").unwrap();
    world.advance(24_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["ws <- 2"]);
}

#[test]
fn the_first_packet_while_a_pong_is_awaited_moves_the_deadline_once() {
    let mut world = World::websocket();
    world.advance(25_000);
    world.advance(15_000);
    world.message("4a").unwrap();
    world.advance(15_000);
    assert_eq!(world.take(), ["ws <- 2", "app hears \"a\""], "alive beyond the first deadline");
    world.message("4b").unwrap();
    world.advance(4_999);
    assert_eq!(world.take(), ["app hears \"b\""]);
    world.advance(1);
    assert_eq!(world.take(), ["ws close 1005", "closed: ping timeout"]);
}

#[test]
fn the_next_ping_may_be_extended_again() {
    let mut world = World::websocket();
    for _ in 0..2 {
        world.advance(25_000);
        world.advance(10_000);
        world.message("6").unwrap();
        world.advance(15_000);
        assert_eq!(world.take(), ["ws <- 2"]);
        world.message("3").unwrap();
    }
}

#[test]
fn a_ping_from_a_client_of_protocol_4_ends_the_session() {
    let mut world = World::websocket();
    assert_eq!(world.message("2"), Err(PeerMisbehaved::PingFromClient));
    assert_eq!(
        world.take(),
        ["ws close 1005", "closed: transport error (invalid heartbeat direction)"]
    );
    let mut world = World::polling();
    world.poll(1).unwrap();
    assert_eq!(world.post(b"4a\x1e2probe\x1e4b"), Err(PeerMisbehaved::PingFromClient));
    assert_eq!(
        world.take(),
        ["app hears \"a\"", "poll 1 <- 1", "closed: transport error (invalid heartbeat direction)"]
    );
    assert_eq!(PeerMisbehaved::PingFromClient.answer(), Ok(()));
}

#[test]
fn in_protocol_3_the_client_pings() {
    let mut world = World::websocket_with(Protocol::V3, Config::default());
    world.advance(44_999);
    world.message("2").unwrap();
    assert_eq!(world.take(), ["ws <- 3"]);
    world.message("2anything").unwrap();
    assert_eq!(world.take(), ["ws <- 3"], "the pong carries nothing");
    world.advance(44_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["ws close 1005", "closed: ping timeout"]);
}

#[test]
fn in_protocol_3_other_packets_are_no_sign_of_life() {
    let mut world = World::websocket_with(Protocol::V3, Config::default());
    world.advance(44_000);
    world.message("4a").unwrap();
    world.advance(1_000);
    assert_eq!(world.take(), ["app hears \"a\"", "ws close 1005", "closed: ping timeout"]);
}

#[test]
fn a_pong_from_a_client_of_protocol_3_ends_the_session() {
    let mut world = World::websocket_with(Protocol::V3, Config::default());
    assert_eq!(world.message("3"), Err(PeerMisbehaved::PongFromClient));
    assert_eq!(
        world.take(),
        ["ws close 1005", "closed: transport error (invalid heartbeat direction)"]
    );
}

/// npm drops the awaited pong when the transport changes, and then never pings again.
#[test]
fn a_client_that_falls_silent_while_it_upgrades_is_noticed() {
    let mut world = World::polling();
    world.advance(25_000);
    world.poll(1).unwrap();
    world.session.handle_probe_opened(world.now).unwrap();
    world.probe("5");
    assert_eq!(world.take(), ["poll 1 <- 2", "promote", "upgraded"]);
    world.advance(25_000);
    assert_eq!(world.take(), ["ws <- 2"]);
    world.advance(20_000);
    assert_eq!(world.take(), ["ws close 1005", "closed: ping timeout"]);
}

#[test]
fn an_early_timeout_does_nothing() {
    let mut world = World::websocket();
    world.session.handle_timeout(world.now);
    world.drain();
    assert_eq!(world.take(), [""; 0]);
}

#[test]
fn a_client_of_protocol_3_that_pings_without_reading_is_not_answered_without_end() {
    let config = Config { outbox_bytes_max: 1_000, ..Config::default() };
    let mut world = World::websocket_with(Protocol::V3, config);
    world.stream_writable = false;
    for _ in 0..1_000 {
        world.message("2").unwrap();
    }
    assert!(world.session.outbox_bytes() <= 1_100, "{}", world.session.outbox_bytes());
    assert!(!world.session.is_closed());
    // A client that reads again goes on, with an answer to its last ping.
    world.stream_writable = true;
    world.drain();
    assert_eq!(world.take().last().map(String::as_str), Some("ws <- 3"));
    world.message("2").unwrap();
    assert_eq!(world.take(), ["ws <- 3"]);
}

#[test]
fn the_roundings_of_ping_and_answer_do_not_add_up() {
    let mut world = World::websocket();
    let due = world.session.poll_deadline().unwrap();
    world.session.handle_timeout(due + Duration::from_millis(30));
    world.drain();
    assert_eq!(world.take(), ["ws <- 2"]);
    assert_eq!(world.session.poll_deadline(), Some(due + Duration::from_secs(20)));
}

#[test]
fn a_caller_that_was_busy_gives_the_client_its_whole_time() {
    let mut world = World::websocket();
    let late = world.session.poll_deadline().unwrap() + Duration::from_secs(3);
    world.session.handle_timeout(late);
    world.drain();
    assert_eq!(world.session.poll_deadline(), Some(late + Duration::from_secs(20)));
}
