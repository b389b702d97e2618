//! Rooms and namespaces: which sockets a broadcast reaches.

use trunkline_trunk::{Frame, NamespaceNumber, SessionNumber, Str};

use super::app::{App, MAIN, broadcast, broadcast_of};
use super::client::Client;
use super::world::World;

fn rooms(names: &[&str]) -> Vec<Str> {
    names.iter().map(|name| Str::from(*name)).collect()
}

/// Two clients with the sockets `s0` and `s1`.
fn two() -> (World, App, Vec<Client>) {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, 2);
    (world, app, clients)
}

fn reached(clients: &[Client]) -> Vec<usize> {
    clients.iter().map(|client| client.reads().len()).collect()
}

#[test]
fn a_broadcast_to_a_room_reaches_those_who_are_in_it() {
    let (mut world, app, clients) = two();
    let join = Frame::Join { session: clients[1].number, nsp: MAIN, rooms: rooms(&["x", "y"]) };
    world.app_says(&app, [join, broadcast(&["x"], "to x")]);
    assert_eq!(reached(&clients), [0, 1]);
    world.app_says(&app, [broadcast(&["x", "y"], "to both")]);
    assert_eq!(reached(&clients), [0, 1], "once, however many rooms");
    let leave = Frame::Leave { session: clients[1].number, nsp: MAIN, rooms: rooms(&["x"]) };
    world.app_says(&app, [leave, broadcast(&["x"], "to x"), broadcast(&["y"], "to y")]);
    assert_eq!(clients[1].reads(), ["4to y"]);
}

#[test]
fn a_sockets_own_id_is_a_room() {
    let (mut world, app, clients) = two();
    world.app_says(&app, [broadcast(&["s1"], "to one")]);
    assert_eq!(reached(&clients), [0, 1]);
}

#[test]
fn a_socket_that_is_detached_is_reached_no_more() {
    let (mut world, app, clients) = two();
    world.app_says(&app, [Frame::Detach { session: clients[0].number, nsp: MAIN }]);
    world.app_says(&app, [broadcast(&[], "news")]);
    assert_eq!(reached(&clients), [0, 1]);
    assert_eq!(world.sessions("websocket"), 2);
}

#[test]
fn namespaces_are_worlds_of_their_own() {
    let (mut world, app, clients) = two();
    let admin = NamespaceNumber(2);
    let mut to_admins = broadcast_of(&[], &[], "to admins");
    to_admins.nsp = admin;
    world.app_says(
        &app,
        [
            Frame::Namespace { nsp: admin, name: "/admin".into() },
            Frame::Attach {
                session: clients[0].number,
                nsp: admin,
                socket: "a0".into(),
                rooms: Vec::new(),
            },
            Frame::Broadcast(to_admins.clone()),
        ],
    );
    assert_eq!(reached(&clients), [1, 0]);
    world.app_says(&app, [Frame::Release { nsp: admin }, Frame::Broadcast(to_admins)]);
    assert_eq!(reached(&clients), [0, 0], "the number means nothing any more");
}

#[test]
fn app_servers_have_numbers_of_their_own_for_the_same_namespace() {
    let (mut world, _app, clients) = two();
    let other = world.app("b");
    let seven = NamespaceNumber(7);
    let mut news = broadcast_of(&[], &[], "from the other");
    news.nsp = seven;
    world.app_says(
        &other,
        [Frame::Namespace { nsp: seven, name: "/".into() }, Frame::Broadcast(news)],
    );
    assert_eq!(reached(&clients), [1, 1]);
}

#[test]
fn a_local_broadcast_reaches_only_sockets_of_its_own_app_server() {
    let (mut world, app, clients) = two();
    let other = world.app("b");
    let mut local = broadcast_of(&[], &[], "local");
    local.flags.local = true;
    world.app_says(&other, [Frame::Broadcast(local.clone())]);
    assert_eq!(reached(&clients), [0, 0]);
    world.app_says(&app, [Frame::Broadcast(local)]);
    assert_eq!(reached(&clients), [1, 1]);
}

#[test]
fn an_app_server_is_the_same_over_its_next_trunk() {
    let (mut world, _, clients) = two();
    let again = world.app("a");
    let mut local = broadcast_of(&[], &[], "local");
    local.flags.local = true;
    world.app_says(&again, [Frame::Broadcast(local)]);
    assert_eq!(reached(&clients), [1, 1]);
}

#[test]
fn a_broadcast_of_several_parts_stays_together() {
    let (mut world, app, clients) = two();
    let mut two = broadcast_of(&["s0"], &[], "451-head");
    two.parts.push(trunkline_trunk::Part { binary: true, data: "blob".into() });
    world.app_says(&app, [Frame::Broadcast(two)]);
    assert_eq!(clients[0].reads(), ["4451-head", "binary blob"]);
}

#[test]
fn a_session_that_has_ended_is_in_no_room() {
    let (mut world, app, clients) = two();
    world.client_ends(&clients[0]);
    world.app_says(&app, [broadcast(&[], "news")]);
    assert_eq!(world.env.metrics.broadcast_deliveries.get(), 1);
}

#[test]
fn frames_for_sessions_that_were_never_there_do_nothing() {
    let (mut world, app, clients) = two();
    let nobody = SessionNumber(77);
    let late = Frame::Attach { session: nobody, nsp: MAIN, socket: "s".into(), rooms: Vec::new() };
    world.app_says(&app, [late, broadcast(&[], "news")]);
    assert_eq!(reached(&clients), [1, 1]);
}

#[test]
fn a_second_socket_of_a_session_beside_the_first_gets_a_copy_of_its_own() {
    let (mut world, app, clients) = two();
    let session = clients[0].number;
    let beside = Frame::Beside { session, nsp: MAIN, socket: "second".into(), rooms: Vec::new() };
    world.app_says(&app, [beside, broadcast(&[], "news")]);
    assert_eq!(reached(&clients), [2, 1]);
    let join = |room: &str| Frame::Join { session, nsp: MAIN, rooms: rooms(&[room]) };
    let choose = Frame::Choose { session, nsp: MAIN, socket: "s0".into() };
    world.app_says(&app, [join("of the second"), choose, join("of the first")]);
    let but_second = Frame::Broadcast(broadcast_of(&["of the second"], &["second"], "x"));
    let but_first = Frame::Broadcast(broadcast_of(&["of the first"], &["s0"], "y"));
    world.app_says(&app, [but_second, but_first]);
    assert_eq!(reached(&clients), [0, 0], "each room has the socket that was chosen then");
}

#[test]
fn a_number_that_names_another_namespace_lets_go_of_the_one_before() {
    let mut world = World::new();
    let app = world.app("a");
    for name in ["/one", "/two", "/three"] {
        world.app_says(&app, [Frame::Namespace { nsp: NamespaceNumber(7), name: name.into() }]);
    }
    assert_eq!(world.shard.boards[0].counts().namespaces, 2, "`/` and the last");
}
