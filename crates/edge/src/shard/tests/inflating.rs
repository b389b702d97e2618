//! Clients' compressed messages: they arrive unchanged, and a client that sends much data in few
//! bytes waits for the others.

use bytes::Bytes;
use trunkline_engineio::CloseReason;
use trunkline_trunk::Frame;
use trunkline_trunk::settings::PerMessageDeflate;
use trunkline_websocket::Opcode;
use trunkline_websocket::deflate::{Deflater, WINDOW_BITS_MAX};

use super::app::App;
use super::client::{Client, frame};
use super::world::World;

/// More than one stream may inflate in one read before others have their turn.
const MUCH: usize = 100 * 1024;

fn world() -> World {
    let mut world = World::with(|_, settings| {
        settings.per_message_deflate = Some(PerMessageDeflate::default());
        settings.max_http_buffer_bytes = 1_000_000;
    });
    world.deflate_window = Some(WINDOW_BITS_MAX);
    world
}

/// A compressed text message, masked as by a client.
fn deflated(text: &str) -> Bytes {
    let payload = Deflater::new(6, WINDOW_BITS_MAX).compress(&[text.as_bytes()]);
    let mut bytes = frame(Opcode::Text, &payload).to_vec();
    bytes[0] |= 0x40;
    Bytes::from(bytes)
}

/// A message of this many bytes that begins with its number.
fn numbered(number: usize, bytes: usize) -> String {
    format!("4{number:03}{}", "x".repeat(bytes))
}

/// The numbers of the messages of one session that arrived at the app server.
fn numbers(app: &App, client: &Client) -> Vec<usize> {
    let of_client = |frame: &Frame| {
        let Frame::Message { session, payload, .. } = frame else { return None };
        let number = String::from_utf8_lossy(payload.get(..3)?).parse().ok();
        number.filter(|_| *session == client.number)
    };
    app.frames().iter().filter_map(of_client).collect()
}

#[test]
fn a_compressed_message_is_heard_as_it_is_meant() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.client_writes(&deflated("4hello hello hello hello"));
    client.writes("4plain");
    world.run();
    assert_eq!(app.hears(), ["0: hello hello hello hello", "0: plain"]);
    assert!(world.env.metrics.inflated_bytes.get() <= 25, "plain bytes are not counted");
}

#[test]
fn a_compressed_message_from_a_client_that_did_not_agree_ends_the_session() {
    let mut world = world();
    world.deflate_window = None;
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.client_writes(&deflated("4hello"));
    world.run();
    assert_eq!(world.closed(CloseReason::TransportError), 1);
    assert_eq!(app.hears().len(), 1);
}

#[test]
fn a_message_that_inflates_beyond_the_apps_limit_is_not_heard() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.client_writes(&deflated(&numbered(1, 999_000)));
    world.run();
    assert_eq!(numbers(&app, &client), [1], "as much as the app takes");
    client.wire.client_writes(&deflated(&numbered(2, 1_000_000)));
    world.run();
    let heard = app.hears();
    assert!(heard.len() == 1 && heard[0].starts_with("close 0"), "{heard:?}");
    assert_eq!(world.slots(), 1, "and its number waits for the app server's close");
}

#[test]
fn what_comes_in_one_read_and_inflates_to_much_is_heard_whole_and_in_order() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    for number in 0..20 {
        client.wire.client_writes(&deflated(&numbered(number, MUCH)));
    }
    world.run();
    assert_eq!(numbers(&app, &client), (0..20).collect::<Vec<_>>());
}

#[test]
fn who_brings_much_in_little_waits_until_the_others_have_been_heard() {
    let mut world = world();
    let app = world.app("a");
    let heavy = world.websocket(&app);
    let light = world.websocket(&app);
    for number in 0..20 {
        heavy.wire.client_writes(&deflated(&numbered(number, MUCH)));
    }
    light.writes("4999");
    world.take_one_turn();
    let frames = app.frames();
    let messages = frames.iter().filter(|frame| matches!(frame, Frame::Message { .. })).count();
    let of_light = |frame: &&Frame| matches!(frame, Frame::Message { session, .. } if *session == light.number);
    assert_eq!(frames.iter().filter(of_light).count(), 1, "the other one is heard at once");
    assert!(messages < 20, "{messages}: the heavy one has the rest to come");
    world.run();
    assert!(!numbers(&app, &heavy).is_empty());
    assert!(world.shard.heavy.is_empty());
}

#[test]
fn a_turn_inflates_its_share_and_the_rest_comes_in_later_ones() {
    let mut world = world();
    let app = world.app("a");
    let clients: Vec<_> = (0..20).map(|_| world.websocket(&app)).collect();
    for client in &clients {
        client.wire.client_writes(&deflated(&numbered(1, 200_000)));
    }
    world.take_one_turn();
    let first = app.frames().iter().filter(|one| matches!(one, Frame::Message { .. })).count();
    assert!((1..20).contains(&first), "{first} of 20 in the first turn");
    world.run();
    let later = app.frames().iter().filter(|one| matches!(one, Frame::Message { .. })).count();
    assert_eq!(first + later, 20);
}

#[test]
fn without_credit_compressed_messages_wait_as_they_came() {
    let mut world = world();
    let app = world.app_with_credit("a", 1);
    let client = world.websocket(&app);
    for number in 0..5 {
        client.wire.client_writes(&deflated(&numbered(number, 50_000)));
    }
    world.run();
    assert_eq!(numbers(&app, &client), [0], "the credit is used up");
    let held = world.live(&client).and_then(|live| live.held.as_ref());
    let undecoded = held.map_or(0, |held| held.undecoded_bytes());
    assert!((1..10_000).contains(&undecoded), "{undecoded}: four messages, compressed");
    world.app_grants(&app, 1 << 20);
    world.run();
    assert_eq!(numbers(&app, &client), [1, 2, 3, 4]);
}
