//! Compression of WebSocket messages: only where it was agreed, and limited in each turn.

use bytes::Bytes;
use trunkline_trunk::settings::PerMessageDeflate;
use trunkline_trunk::{Frame, SendFlags, SessionNumber};

use super::client::Client;
use super::world::World;

/// The first byte of a text frame, and of one that is compressed.
const PLAIN: u8 = 0x81;
const DEFLATED: u8 = 0xc1;

/// The app wants compression, and clients agree to it.
fn world() -> World {
    let mut world = World::with(|_, settings| {
        settings.per_message_deflate = Some(PerMessageDeflate::default());
    });
    world.deflate_window = Some(15);
    world
}

fn compressible(session: SessionNumber, bytes: usize) -> Frame {
    let flags = SendFlags { compressible: true, ..SendFlags::default() };
    Frame::Send { session, flags, payload: Bytes::from(vec![b'x'; bytes]) }
}

fn first_byte(client: &Client) -> Option<u8> {
    client.wire.client_reads().first().copied()
}

#[test]
fn a_long_message_is_compressed_for_a_client_that_agreed() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_says(&app, [compressible(client.number, 10_000)]);
    let bytes = client.wire.client_reads();
    assert_eq!(bytes.first(), Some(&DEFLATED));
    assert!(bytes.len() < 1_000, "{}", bytes.len());
}

#[test]
fn a_short_message_and_one_that_the_app_wants_plain_are_not() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_says(&app, [compressible(client.number, 100)]);
    assert_eq!(first_byte(&client), Some(PLAIN));
    world.app_sends(&app, &client, &"x".repeat(10_000));
    assert_eq!(first_byte(&client), Some(PLAIN));
}

#[test]
fn a_client_that_did_not_agree_gets_plain_messages() {
    let mut world = world();
    world.deflate_window = None;
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_says(&app, [compressible(client.number, 10_000)]);
    assert_eq!(first_byte(&client), Some(PLAIN));
}

#[test]
fn an_upgraded_session_has_what_its_new_stream_agreed_to() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    for text in ["2probe", "5"] {
        world.client_says(&client, text);
    }
    client.wire.client_reads();
    world.app_says(&app, [compressible(client.number, 10_000)]);
    assert_eq!(first_byte(&client), Some(DEFLATED));
}

#[test]
fn a_turn_compresses_its_share_and_the_rest_comes_in_later_ones() {
    let mut world = world();
    let app = world.app("a");
    let clients: Vec<_> = (0..20).map(|_| world.websocket(&app)).collect();
    let frames = clients.iter().map(|client| compressible(client.number, 20_000)).collect();
    world.app_says_first(&app, frames);
    let reached = clients.iter().filter(|client| client.wire.peeks() > 0).count();
    assert!((1..20).contains(&reached), "{reached} of 20 in the first turn");
    world.run();
    assert!(clients.iter().all(|client| first_byte(client) == Some(DEFLATED)));
}

#[test]
fn a_session_that_ends_meanwhile_gets_the_rest_plain() {
    let mut world = world();
    let app = world.app("a");
    let clients: Vec<_> = (0..20).map(|_| world.websocket(&app)).collect();
    let frames = clients.iter().map(|client| compressible(client.number, 20_000)).collect();
    world.app_says_first(&app, frames);
    let last = clients.last().expect("twenty");
    world.app_closes(&app, last.number);
    let bytes = last.wire.client_reads();
    assert!(matches!(bytes.first(), Some(&PLAIN | &DEFLATED)));
    assert_eq!(bytes[bytes.len() - 2..], [0x88, 0], "and the close frame is the last of it");
}
