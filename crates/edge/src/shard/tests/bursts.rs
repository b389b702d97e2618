//! Broadcasts of one batch that go to the same sockets: each client gets all of them, in order,
//! whatever frames it takes, and sees nothing of how they were put together.

use trunkline_engineio::{CloseReason, Protocol};
use trunkline_trunk::settings::PerMessageDeflate;
use trunkline_trunk::{Frame, Part};

use super::app::{MAIN, broadcast, broadcast_of, send};
use super::client::ClientKind;
use super::world::World;
use crate::shard::backlog::SLICE;

fn news() -> Vec<Frame> {
    ["1", "2", "3"].map(|text| broadcast(&[], text)).into()
}

#[test]
fn a_session_holds_them_as_one_piece() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, SLICE + 1);
    world.app_says_first(&app, news());
    let last = clients.last().expect("many");
    assert!(world.live(last).expect("it waits").session.has_one_piece());
    world.run();
    assert!(clients.iter().all(|client| client.reads() == ["41", "42", "43"]));
    let deliveries = 3 * (SLICE + 1) as u64;
    assert_eq!(world.env.metrics.broadcast_deliveries.get(), deliveries);
    assert_eq!(world.env.metrics.messages_sent.get(), deliveries);
    assert_eq!(world.env.metrics.sent_bytes.get(), deliveries);
}

#[test]
fn clients_get_the_frames_that_they_take() {
    let mut world = World::with(|_, settings| {
        settings.per_message_deflate = Some(PerMessageDeflate::default());
    });
    let app = world.app("a");
    let plain = world.websocket(&app);
    world.deflate_window = Some(15);
    let deflating = world.websocket(&app);
    world.deflate_window = None;
    world.kind = ClientKind { base64_only: true, ..ClientKind::default() };
    let base64 = world.websocket(&app);
    world.kind = ClientKind { protocol: Protocol::V3, ..ClientKind::default() };
    let third = world.websocket(&app).speaking(Protocol::V3);
    world.kind = ClientKind::default();
    let polling = world.polling(&app);
    for (place, client) in [&plain, &deflating, &base64, &third, &polling].into_iter().enumerate() {
        world.app_attaches(&app, client, &format!("s{place}"), &[]);
    }
    let text = "x".repeat(2_000);
    let mut first = broadcast_of(&[], &[], &text);
    first.flags.compressible = true;
    first.parts.push(Part { binary: true, data: "blob".into() });
    let mut second = broadcast_of(&[], &[], "2");
    second.flags.compressible = true;
    world.app_says(&app, [Frame::Broadcast(first), Frame::Broadcast(second)]);

    let expected = [format!("4{text}"), "binary blob".into(), "42".into()];
    assert_eq!(plain.reads(), expected);
    let compressed = deflating.wire.client_reads();
    assert!(compressed.len() < 200, "{} bytes", compressed.len());
    assert!(compressed.ends_with(b"\x82\x04blob\x81\x0242"));
    assert_eq!(base64.reads(), [format!("4{text}"), "bYmxvYg==".into(), "42".into()]);
    assert_eq!(third.reads(), [format!("4{text}"), "binary \u{4}blob".into(), "42".into()]);
    assert_eq!(world.poll(&polling).said(), format!("4{text}|bYmxvYg==|42"));
}

#[test]
fn what_comes_between_keeps_its_place() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, 2);
    let join = Frame::Join { session: clients[1].number, nsp: MAIN, rooms: vec!["r".into()] };
    world.app_says_all(
        &app,
        vec![
            broadcast(&[], "1"),
            broadcast(&[], "2"),
            send(clients[0].number, "you"),
            broadcast(&["r"], "nobody is there yet"),
            join,
            broadcast(&["r"], "3"),
            broadcast(&["r"], "4"),
            Frame::Broadcast(broadcast_of(&[], &["r"], "5")),
            broadcast(&[], "6"),
        ],
    );
    assert_eq!(clients[0].reads(), ["41", "42", "4you", "45", "46"]);
    assert_eq!(clients[1].reads(), ["41", "42", "43", "44", "46"]);
}

#[test]
fn very_long_ones_stay_apart() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, SLICE + 1);
    let text = "x".repeat(50_000);
    world.app_says_first(&app, vec![broadcast(&[], &text), broadcast(&[], &text)]);
    let last = clients.last().expect("many");
    assert!(!world.live(last).expect("it waits").session.has_one_piece());
    world.run();
    assert!(clients.iter().all(|client| client.reads().len() == 2));
}

#[test]
fn a_volatile_one_is_dropped_by_itself() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    let maybe = |text: &str| {
        let mut maybe = broadcast_of(&[], &[], text);
        maybe.flags.volatile = true;
        Frame::Broadcast(maybe)
    };
    world.app_says(&app, [maybe("1"), maybe("2"), broadcast(&[], "3")]);
    assert_eq!(client.reads(), ["41", "43"], "the second finds the first unsent, as in npm");
    assert_eq!(world.env.metrics.volatile_dropped.get(), 1);
}

#[test]
fn a_client_that_reads_part_of_them_gets_the_rest_later() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    client.wire.set_room(Some(5));
    world.app_says_all(&app, news());
    assert_eq!(client.reads(), ["41"]);
    world.app_sends(&app, &client, "4");
    world.client_takes(&client, None);
    assert_eq!(client.reads(), ["42", "43", "44"]);
}

#[test]
fn a_client_that_takes_nothing_is_closed_when_its_outbox_is_full() {
    let mut world = World::with(|limits, _| limits.outbox_bytes_max = 100_000);
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    client.wire.set_room(Some(0));
    let text = "x".repeat(10_000);
    let many = || (0..60).map(|_| broadcast(&[], &text)).collect();
    world.app_says_all(&app, many());
    world.pass(std::time::Duration::from_secs(3));
    world.app_says_all(&app, many());
    assert_eq!(world.closed(CloseReason::OutboxFull), 1);
}
