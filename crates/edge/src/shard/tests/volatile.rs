//! Volatile messages: dropped when they cannot be sent at once, always as whole packets.

use bytes::Bytes;
use trunkline_trunk::{Frame, SendFlags, SessionNumber};

use super::app::{broadcast_of, send, send_volatile};
use super::world::World;

fn attached(session: SessionNumber, data: &'static str) -> Frame {
    let flags = SendFlags { attached: true, binary: true, ..SendFlags::default() };
    Frame::Send { session, flags, payload: Bytes::from_static(data.as_bytes()) }
}

fn dropped(world: &World) -> u64 {
    world.env.metrics.volatile_dropped.get()
}

#[test]
fn a_stream_with_room_gets_it() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_says(&app, [send_volatile(client.number, "now"), attached(client.number, "blob")]);
    assert_eq!(client.reads(), ["4now", "binary blob"]);
    assert_eq!(dropped(&world), 0);
}

#[test]
fn a_stream_that_takes_nothing_does_not_and_neither_what_is_attached_to_it() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_sends(&app, &client, "must arrive");
    world.app_says(&app, [send_volatile(client.number, "now"), attached(client.number, "blob")]);
    assert_eq!(dropped(&world), 2);
    world.client_takes(&client, None);
    assert_eq!(client.reads(), ["4must arrive"]);
    world.app_says(&app, [send_volatile(client.number, "again")]);
    assert_eq!(client.reads(), ["4again"]);
}

#[test]
fn what_stands_in_the_same_batch_before_it_does_not_count() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_says(&app, [send(client.number, "first"), send_volatile(client.number, "maybe")]);
    let said = client.reads();
    assert_eq!(said[0], "4first");
    assert_eq!(u64::try_from(said.len()).expect("few") + dropped(&world), 2, "sent or dropped");
}

#[test]
fn a_client_that_polls_gets_it_only_while_a_poll_is_held() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.app_says(&app, [send_volatile(client.number, "nobody asks")]);
    assert_eq!(dropped(&world), 1);
    let mut poll = world.poll(&client);
    assert_eq!(poll.said(), "waits");
    world.app_says(&app, [send_volatile(client.number, "asked")]);
    assert_eq!(poll.said(), "4asked");
}

#[test]
fn a_volatile_broadcast_is_dropped_for_those_who_are_slow_only() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, 2);
    clients[0].wire.set_room(Some(0));
    world.app_sends(&app, &clients[0], "stuck");
    let mut news = broadcast_of(&[], &[], "news");
    news.flags.volatile = true;
    news.parts.push(trunkline_trunk::Part { binary: true, data: "blob".into() });
    world.app_says(&app, [Frame::Broadcast(news)]);
    assert_eq!(clients[1].reads(), ["4news", "binary blob"]);
    assert_eq!(dropped(&world), 2);
    world.client_takes(&clients[0], None);
    assert_eq!(clients[0].reads(), ["4stuck"]);
}
