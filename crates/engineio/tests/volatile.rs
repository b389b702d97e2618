//! What a volatile message is worth, and how much may wait.

mod common;

use common::World;
use trunkline_engineio::{Config, Delivery, Overflow, Protocol};

const VOLATILE: Delivery = Delivery::Volatile { stream_idle: true };

#[test]
fn volatile_is_dropped_when_no_poll_is_held() {
    let mut world = World::polling();
    assert!(!world.queue("v", VOLATILE).unwrap());
    world.poll(1).unwrap();
    assert_eq!(world.take(), [""; 0]);
    assert!(world.queue("v", VOLATILE).unwrap());
    assert!(!world.queue("w", VOLATILE).unwrap(), "the poll is spoken for");
    world.drain();
    assert_eq!(world.take(), ["poll 1 <- 4v"]);
}

#[test]
fn volatile_is_dropped_when_anything_is_unsent() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.queue("r", Delivery::Reliable).unwrap();
    assert!(!world.queue("v", VOLATILE).unwrap());
    world.drain();

    let mut world = World::websocket();
    world.queue("r", Delivery::Reliable).unwrap();
    assert!(!world.queue("v", VOLATILE).unwrap());
    world.drain();
    assert_eq!(world.take(), ["ws <- 4r"]);
    assert!(!world.queue("v", Delivery::Volatile { stream_idle: false }).unwrap());
    assert!(world.queue("v", VOLATILE).unwrap());
}

#[test]
fn attachments_share_the_fate_of_their_packet() {
    let mut world = World::websocket();
    assert!(world.queue("v", VOLATILE).unwrap());
    assert!(world.queue("1", Delivery::Attached).unwrap());
    assert!(world.queue("2", Delivery::Attached).unwrap());
    assert!(!world.queue("w", VOLATILE).unwrap());
    assert!(!world.queue("3", Delivery::Attached).unwrap());
    world.drain();
    assert_eq!(world.take(), ["ws <- 4v", "ws <- 41", "ws <- 42"]);
    assert!(!world.queue("3", Delivery::Attached).unwrap(), "its packet was dropped");
}

#[test]
fn a_poll_about_to_be_answered_is_not_writable() {
    let mut world = World::polling();
    world.session.handle_probe_opened(world.now).unwrap();
    world.probe("2probe");
    world.poll(1).unwrap();
    let noop_at = world.session.poll_deadline().unwrap();
    world.session.handle_timeout(noop_at);
    assert!(!world.queue("v", VOLATILE).unwrap());
    world.drain();
    assert_eq!(world.take(), ["probe <- 3probe", "poll 1 <- 6"]);
}

#[test]
fn the_outbox_is_bounded_and_one_message_may_overdraw_it() {
    let config = Config { outbox_bytes_max: 1_000, ..Config::default() };
    let mut world = World::websocket_with(Protocol::V4, config);
    world.stream_writable = false;
    let big = "x".repeat(5_000);
    assert_eq!(world.queue(&big, Delivery::Reliable), Ok(true));
    assert_eq!(world.queue("y", Delivery::Reliable), Err(Overflow));
    assert_eq!(world.queue("v", VOLATILE), Ok(false), "volatile never overflows");
    world.stream_writable = true;
    world.drain();
    assert_eq!(world.take(), [format!("ws <- 4{big}")]);
    assert_eq!(world.session.outbox_bytes(), 0);
    assert_eq!(world.queue("y", Delivery::Reliable), Ok(true));
}

#[test]
fn empty_messages_fill_an_outbox_too() {
    let config = Config { outbox_bytes_max: 1_000, ..Config::default() };
    let mut world = World::polling_with(Protocol::V4, config);
    let queued = (0..1_000).take_while(|_| world.queue("", Delivery::Reliable).is_ok()).count();
    assert!((10..1_000).contains(&queued), "{queued}");
}
