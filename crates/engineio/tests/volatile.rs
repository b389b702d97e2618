//! Which volatile messages are dropped, and how much may wait.

mod common;

use common::World;
use trunkline_engineio::{Delivery, Protocol};

const VOLATILE: Delivery = Delivery::Volatile { stream_idle: true };

#[test]
fn volatile_is_dropped_when_no_poll_is_held() {
    let mut world = World::polling();
    assert!(!world.queue("v", VOLATILE));
    world.poll(1).unwrap();
    assert_eq!(world.take(), [""; 0]);
    assert!(world.queue("v", VOLATILE));
    assert!(!world.queue("w", VOLATILE), "the poll is spoken for");
    world.drain();
    assert_eq!(world.take(), ["poll 1 <- 4v"]);
}

#[test]
fn volatile_is_dropped_when_anything_is_unsent() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.queue("r", Delivery::Reliable);
    assert!(!world.queue("v", VOLATILE));
    world.drain();

    let mut world = World::websocket();
    world.queue("r", Delivery::Reliable);
    assert!(!world.queue("v", VOLATILE));
    world.drain();
    assert_eq!(world.take(), ["ws <- 4r"]);
    assert!(!world.queue("v", Delivery::Volatile { stream_idle: false }));
    assert!(world.queue("v", VOLATILE));
}

#[test]
fn attachments_share_the_fate_of_their_packet() {
    let mut world = World::websocket();
    assert!(world.queue("v", VOLATILE));
    assert!(world.queue("1", Delivery::Attached));
    assert!(world.queue("2", Delivery::Attached));
    assert!(!world.queue("w", VOLATILE));
    assert!(!world.queue("3", Delivery::Attached));
    world.drain();
    assert_eq!(world.take(), ["ws <- 4v", "ws <- 41", "ws <- 42"]);
    assert!(!world.queue("3", Delivery::Attached), "its packet was dropped");
}

#[test]
fn a_poll_about_to_be_answered_is_not_writable() {
    let mut world = World::polling();
    world.session.handle_probe_opened(world.now).unwrap();
    world.probe("2probe");
    world.poll(1).unwrap();
    let noop_at = world.session.poll_deadline().unwrap();
    world.session.handle_timeout(noop_at);
    assert!(!world.queue("v", VOLATILE));
    world.drain();
    assert_eq!(world.take(), ["probe <- 3probe", "poll 1 <- 6"]);
}

#[test]
fn what_waits_is_counted_and_volatile_messages_are_not_added_to_it() {
    let mut world = World::websocket();
    world.stream_writable = false;
    let big = "x".repeat(5_000);
    assert!(world.queue(&big, Delivery::Reliable));
    let waiting = world.session.outbox_bytes();
    assert!((5_000..5_100).contains(&waiting), "{waiting}");
    assert!(!world.queue("v", VOLATILE));
    assert_eq!(world.session.outbox_bytes(), waiting);
    world.stream_writable = true;
    world.drain();
    assert_eq!(world.take(), [format!("ws <- 4{big}")]);
    assert_eq!(world.session.outbox_bytes(), 0);
}

#[test]
fn empty_messages_count_too() {
    let mut world = World::polling_with(Protocol::V4, trunkline_engineio::Config::default());
    for _ in 0..1_000 {
        assert!(world.queue("", Delivery::Reliable));
    }
    assert!(world.session.outbox_bytes() >= 10_000);
}
