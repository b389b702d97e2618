//! How many namespaces and rooms one session may be in, and packets in one post.

use trunkline_engineio::CloseReason;
use trunkline_trunk::{Frame, NamespaceNumber, Str};

use super::app::{App, MAIN, broadcast};
use super::client::Client;
use super::world::World;
use crate::limits::Limits;

fn world(change: impl FnOnce(&mut Limits)) -> (World, App, Vec<Client>) {
    let mut world = World::with(|limits, _| change(limits));
    let app = world.app("a");
    let clients = world.many(&app, 2);
    (world, app, clients)
}

fn join(client: &Client, names: std::ops::Range<usize>) -> Frame {
    let rooms = names.map(|name| Str::from(format!("r{name}"))).collect();
    Frame::Join { session: client.number, nsp: MAIN, rooms }
}

fn counts(world: &World) -> (usize, usize) {
    let counts = world.shard.boards[0].counts();
    (counts.sockets, counts.memberships)
}

#[test]
fn a_session_in_more_rooms_than_it_may_be_is_closed_and_no_other() {
    let (mut world, app, clients) = world(|limits| limits.session_rooms_max = Some(3));
    world.app_says(&app, [join(&clients[0], 0..3), join(&clients[0], 0..3)]);
    world.app_says(&app, [join(&clients[1], 0..1)]);
    assert_eq!(world.sessions("websocket"), 2, "a room that it is in already is no further one");
    let leave = Frame::Leave { session: clients[0].number, nsp: MAIN, rooms: vec!["r0".into()] };
    world.app_says(&app, [leave, join(&clients[0], 7..8)]);
    assert_eq!(world.sessions("websocket"), 2, "one that it has left does not count");
    app.hears();
    // What comes in the same batch is for a session that has ended.
    world.app_says(&app, [join(&clients[0], 8..9), join(&clients[0], 9..99)]);
    assert_eq!(world.closed(CloseReason::RoomsFull), 1);
    assert_eq!(app.hears(), [format!("close {} NodeShutdown", clients[0].number.0)]);
    assert_eq!((world.sessions("websocket"), counts(&world)), (1, (1, 1)));
    world.app_says(&app, [broadcast(&["r0"], "news")]);
    assert_eq!(clients[1].reads(), ["4news"]);
}

#[test]
fn one_frame_with_rooms_without_end_leaves_nothing_behind() {
    let (mut world, app, clients) = world(|limits| limits.session_rooms_max = Some(3));
    world.app_says_first(&app, vec![join(&clients[0], 0..50_000)]);
    world.run();
    world.app_attaches(&app, &clients[1], "again", &["a", "b", "c", "again"]);
    assert_eq!(world.sessions("websocket"), 1, "its own room does not count");
    world.app_attaches(&app, &clients[1], "again", &["a", "b", "c", "d", "again"]);
    assert_eq!(world.closed(CloseReason::RoomsFull), 2);
    assert_eq!(counts(&world), (0, 0));
}

#[test]
fn a_session_connected_to_more_namespaces_than_it_may_be_is_closed() {
    let (mut world, app, clients) = world(|limits| limits.session_namespaces_max = Some(3));
    let attach = |client: &Client, number: u32| {
        let nsp = NamespaceNumber(number);
        let socket = format!("n{number} of {}", client.number.0).into();
        Frame::Attach { session: client.number, nsp, socket, rooms: Vec::new() }
    };
    for number in 2..9 {
        let name = format!("/{number}").into();
        world.app_says(&app, [Frame::Namespace { nsp: NamespaceNumber(number), name }]);
    }
    for client in &clients {
        world.app_says(&app, [attach(client, 2), attach(client, 3), attach(client, 3)]);
    }
    let detach = Frame::Detach { session: clients[0].number, nsp: NamespaceNumber(2) };
    world.app_says(&app, [detach, attach(&clients[0], 4)]);
    assert_eq!(world.sessions("websocket"), 2, "at most three at once");
    world.app_says(&app, [attach(&clients[0], 5), attach(&clients[0], 6)]);
    assert_eq!(world.closed(CloseReason::NamespacesFull), 1);
    assert_eq!((world.sessions("websocket"), counts(&world).0), (1, 3));
    // The second socket of a namespace is one more, too.
    let (session, nsp) = (clients[1].number, MAIN);
    world.app_says(&app, [Frame::Beside { session, nsp, socket: "x".into(), rooms: Vec::new() }]);
    assert_eq!(world.closed(CloseReason::NamespacesFull), 2);
}

#[test]
fn a_post_of_more_packets_than_it_may_have_ends_its_session_and_no_other() {
    let (mut world, app, _) = world(|limits| limits.payload_packets_max = Some(3));
    let (sender, other) = (world.polling(&app), world.polling(&app));
    app.hears();
    assert_eq!(world.post(&sender, "4a\x1e4b\x1e4c"), "ok");
    assert_eq!(app.hears().len(), 3);
    assert_eq!(world.post(&sender, "4a\x1e4b\x1e4c\x1e4d"), "status 413");
    assert_eq!(world.closed(CloseReason::ParseError), 1);
    let heard = app.hears();
    assert_eq!(heard.len(), 4, "those within the limit, and the end: {heard:?}");
    assert_eq!(world.post(&other, "4a"), "ok");
}
