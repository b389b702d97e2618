//! The upgrade from polling to WebSocket, and its failures.

mod common;

use common::World;
use trunkline_engineio::{Body, Config, Delivery, ProbeRefused, Protocol, TransportKind};

fn probing() -> World {
    let mut world = World::polling();
    world.session.handle_probe_opened(world.now).expect("a first probe");
    world.probe("2probe");
    assert_eq!(world.take(), ["probe <- 3probe"]);
    world
}

#[test]
fn a_held_poll_gets_a_noop_every_100_ms_while_probing() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.session.handle_probe_opened(world.now).unwrap();
    world.advance(1_000);
    assert_eq!(world.take(), [""; 0], "not before the probe's ping");
    world.probe("2probe");
    world.advance(99);
    assert_eq!(world.take(), ["probe <- 3probe"]);
    world.advance(1);
    assert_eq!(world.take(), ["poll 1 <- 6"]);
    world.poll(2).unwrap();
    world.advance(99);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["poll 2 <- 6"]);
    world.advance(100);
    assert_eq!(world.take(), [""; 0], "no poll is held");
    world.probe("5");
    assert_eq!(world.take(), ["promote", "upgraded"]);
    world.advance(10_000);
    assert_eq!(world.take(), [""; 0], "the cycle and the upgrade's timeout are over");
}

#[test]
fn messages_are_sent_over_polling_until_the_upgrade_and_over_the_stream_after_it() {
    let mut world = probing();
    world.poll(1).unwrap();
    world.send("a");
    world.send("b");
    assert_eq!(world.take(), ["poll 1 <- 4a"]);
    world.probe("5");
    assert_eq!(world.take(), ["promote", "ws <- 4b", "upgraded"]);
    assert_eq!(world.session.transport(), TransportKind::WebSocket);
    world.send("c");
    assert_eq!(world.take(), ["ws <- 4c"]);
    world.message("4d").unwrap();
    assert_eq!(world.take(), ["app hears \"d\""]);
}

#[test]
fn a_poll_still_held_is_closed_by_the_upgrade() {
    let mut world = probing();
    world.poll(1).unwrap();
    world.queue("a", Delivery::Reliable);
    world.probe("5");
    assert_eq!(world.take(), ["poll 1 <- 1", "promote", "ws <- 4a", "upgraded"]);
}

#[test]
fn messages_are_heard_over_polling_while_probing() {
    let mut world = probing();
    world.post(b"4a").unwrap();
    assert_eq!(world.take(), ["app hears \"a\""]);
}

#[test]
fn the_upgrade_needs_no_probe() {
    let mut world = World::polling();
    world.session.handle_probe_opened(world.now).unwrap();
    assert!(world.session.handle_probe_message(world.now, Body::Text("5")));
    world.drain();
    assert_eq!(world.take(), ["promote", "upgraded"]);
}

#[test]
fn anything_else_ends_the_attempt_and_not_the_session() {
    for text in ["4a", "2", "2other", "3probe", "1", "6", "9", ""] {
        let mut world = World::polling();
        world.session.handle_probe_opened(world.now).unwrap();
        assert!(!world.session.handle_probe_message(world.now, Body::Text(text)));
        world.drain();
        assert_eq!(world.take(), ["probe closed"], "{text:?}");
        assert!(!world.session.is_probing());
        world.probe("5");
        world.poll(1).unwrap();
        world.send("alive");
        assert_eq!(world.take(), ["poll 1 <- 4alive"], "{text:?}");
        assert_eq!(world.session.handle_probe_opened(world.now), Ok(()), "may try again");
    }
    let mut world = World::polling();
    world.session.handle_probe_opened(world.now).unwrap();
    assert!(!world.session.handle_probe_message(world.now, Body::Binary(b"5")));
    world.drain();
    assert_eq!(world.take(), ["probe closed"]);
}

#[test]
fn an_upgrade_has_ten_seconds() {
    let mut world = probing();
    world.advance(9_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["probe closed"]);
    world.poll(1).unwrap();
    world.advance(1_000);
    assert_eq!(world.take(), [""; 0], "no more noops");
    assert!(!world.session.is_closed());
}

#[test]
fn a_probing_stream_may_end() {
    let mut world = probing();
    world.session.handle_probe_closed(world.now);
    world.drain();
    assert_eq!(world.take(), [""; 0]);
    assert_eq!(world.session.handle_probe_opened(world.now), Ok(()));
}

#[test]
fn a_second_probe_is_refused() {
    let mut world = probing();
    assert_eq!(world.session.handle_probe_opened(world.now), Err(ProbeRefused::AlreadyUpgrading));
    world.probe("5");
    assert_eq!(world.session.handle_probe_opened(world.now), Err(ProbeRefused::AlreadyUpgraded));
    world.session.handle_stream_closed(world.now);
    assert_eq!(world.session.handle_probe_opened(world.now), Err(ProbeRefused::SessionClosed));
}

/// npm serves a probe even when the list of upgrades was empty, and even from WebSocket to
/// WebSocket.
#[test]
fn a_probe_is_served_whatever_was_offered() {
    let config = Config { allow_upgrades: false, ..Config::default() };
    for mut world in [
        World::polling_with(Protocol::V4, config.clone()),
        World::websocket_with(Protocol::V4, config),
    ] {
        world.session.handle_probe_opened(world.now).unwrap();
        world.probe("2probe");
        world.probe("5");
        assert_eq!(world.take(), ["probe <- 3probe", "promote", "upgraded"]);
    }
}

#[test]
fn every_probe_of_one_read_is_answered() {
    let mut world = World::polling();
    world.session.handle_probe_opened(world.now).unwrap();
    world.session.handle_probe_message(world.now, Body::Text("2probe"));
    world.session.handle_probe_message(world.now, Body::Text("2probe"));
    world.session.handle_probe_message(world.now, Body::Text("5"));
    world.drain();
    assert_eq!(world.take(), ["probe <- 3probe", "probe <- 3probe", "promote", "upgraded"]);
}

#[test]
fn the_end_of_the_session_closes_the_probe() {
    let mut world = probing();
    world.poll(1).unwrap();
    world.close();
    assert_eq!(world.take(), ["poll 1 <- 1", "probe closed", "closed: forced close"]);

    let mut world = probing();
    world.poll(1).unwrap();
    world.post(b"1").unwrap();
    assert_eq!(world.take(), ["poll 1 <- 6", "probe closed", "closed: transport close"]);
}

#[test]
fn a_close_during_the_upgrade_is_completed_by_it() {
    let mut world = probing();
    world.close();
    assert_eq!(world.take(), [""; 0], "no poll is held, so the close waits");
    world.probe("5");
    assert_eq!(world.take(), ["promote", "ws close 1005", "upgraded", "closed: forced close"]);
}

#[test]
fn what_was_sent_before_a_close_during_the_upgrade_arrives() {
    let mut world = probing();
    world.send("last words");
    world.close();
    assert!(!world.queue("too late", Delivery::Reliable));
    world.probe("5");
    assert_eq!(
        world.take(),
        ["promote", "ws <- 4last words", "ws close 1005", "upgraded", "closed: forced close"]
    );
}

#[test]
fn protocol_3_upgrades_alike() {
    let mut world = World::polling_with(Protocol::V3, Config::default());
    world.session.handle_probe_opened(world.now).unwrap();
    world.poll(1).unwrap();
    world.probe("2probe");
    world.advance(100);
    world.session.handle_probe_message(world.now, Body::Binary(&[5]));
    world.drain();
    assert_eq!(world.take(), ["probe <- 3probe", "poll 1 <- 1:6", "promote", "upgraded"]);
    world.queue_bytes(b"a");
    world.drain();
    assert_eq!(world.take(), ["ws <- [4, 97]"]);
}
