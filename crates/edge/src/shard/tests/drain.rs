//! Drains: all sessions are closed, evenly over the given time.

use std::time::Duration;

use trunkline_engineio::{CloseReason, TransportKind};

use super::world::World;
use crate::shard::command::Command;

#[test]
fn sessions_are_closed_evenly_over_nine_tenths_of_the_time() {
    let mut world = World::new();
    let app = world.app("a");
    world.many(&app, 90);
    world.tell(Command::Drain(Duration::from_secs(10)));
    let mut open = vec![world.sessions("websocket")];
    for _ in 0..9 {
        world.pass(Duration::from_secs(1));
        open.push(world.sessions("websocket"));
    }
    for (second, open) in open.iter().enumerate() {
        let even = 90 - 10 * i64::try_from(second).expect("small");
        assert!((even - open).abs() <= 2, "after {second} s: {open} of {even}");
    }
    assert_eq!(open[9], 0, "the last ones have a tenth of the time for their goodbyes");
    assert_eq!(world.closed(CloseReason::NodeShutdown), 90);
    assert!(app.hears().iter().all(|said| said.ends_with("NodeShutdown")));
}

#[test]
fn few_sessions_are_not_closed_all_at_once() {
    let mut world = World::new();
    let app = world.app("a");
    world.many(&app, 2);
    world.tell(Command::Drain(Duration::from_secs(10)));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.sessions("websocket"), 2);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.sessions("websocket"), 1);
    world.pass(Duration::from_secs(4));
    assert_eq!(world.sessions("websocket"), 0);
}

#[test]
fn handshakes_that_were_under_way_are_closed_too() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(TransportKind::WebSocket);
    let (number, sid) = app.newcomer();
    world.tell(Command::Drain(Duration::from_secs(1)));
    world.app_accepts(&app, number);
    let client = world.adopt(&mut handshake, number, sid);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.sessions("websocket"), 0);
    assert_eq!(client.reads().last().map(String::as_str), Some("close"));
}

#[test]
fn a_node_that_drains_opens_nothing() {
    let mut world = World::new();
    let app = world.app("a");
    world.env.directory.draining.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.handshake(TransportKind::Polling).said(), "draining");
    assert!(app.hears().is_empty());
}

#[test]
fn what_an_app_said_before_leaves_before_the_close() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_sends(&app, &client, "first");
    world.tell(Command::Drain(Duration::ZERO));
    world.pass(Duration::from_secs(1));
    assert!(client.reads().is_empty());
    world.client_takes(&client, None);
    assert_eq!(client.reads(), ["4first", "close"]);
    world.app_closes(&app, client.number);
    assert_eq!(world.slots(), 0);
}
