//! App servers that never take a session over: their SDK is older, or the app does not want it.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::Found;

use super::super::client::Client;
use super::super::world::World;
use super::{App, world, world_with};

const SECOND: Duration = Duration::from_secs(1);
/// The longest time until the node sees which app servers are there.
const LOOK: Duration = Duration::from_millis(250);

fn older_app(world: &mut World, name: &str) -> App {
    world.own.rehome = false;
    let app = world.numbering_app(name);
    world.own.rehome = true;
    app
}

/// Four clients of one app server; two in each twentieth of a second are closed.
fn world_of_four() -> (World, App, Vec<Client>) {
    let mut world = world_with(|limits| limits.orphan_close_per_second = 40);
    let old = world.numbering_app("old");
    let clients: Vec<_> = (0..4).map(|n| world.settled(&old, &format!("s{n}"), &[])).collect();
    world.app_records(&old, "o1", &[], "seen");
    (world, old, clients)
}

#[test]
fn a_lost_session_does_not_wait_beside_app_servers_that_never_take_one() {
    let (mut world, old, clients) = world_of_four();
    let older = older_app(&mut world, "older");
    world.app_goes(&old);
    assert_eq!((world.waiting(), world.sessions("websocket")), (0, 2), "paced");
    world.pass(Duration::from_millis(60));
    assert_eq!((world.sessions("websocket"), world.slots()), (0, 0));
    assert_eq!(world.closed(CloseReason::AppServerLost), 4);
    assert_eq!(clients[3].reads().last().map(String::as_str), Some("close"));
    assert_eq!(world.restore(&older, "p-s3", "o1").found, Found::Yes, "its client can return");
}

#[test]
fn a_lost_session_waits_as_long_as_some_app_server_may_take_it_again() {
    // That one has much to read.
    let (mut world, old, _) = world_of_four();
    let _older = older_app(&mut world, "older");
    let busy = world.numbering_app("busy");
    busy.trunk.push(&vec![0; world.env.limits.trunk_unread_bytes_max], 0);
    world.app_goes(&old);
    world.pass(10 * SECOND);
    assert_eq!((world.waiting(), world.sessions("websocket")), (4, 4));
    // The other one has, so its client could not reconnect either.
    let (mut world, old, _) = world_of_four();
    let older = older_app(&mut world, "older");
    older.trunk.push(&vec![0; world.env.limits.trunk_unread_bytes_max], 0);
    world.app_goes(&old);
    world.pass(10 * SECOND);
    assert_eq!((world.waiting(), world.sessions("websocket")), (4, 4));
    // The other one is about to leave.
    let (mut world, old, _) = world_of_four();
    older_app(&mut world, "older").trunk.set_draining();
    world.app_goes(&old);
    world.pass(10 * SECOND);
    assert_eq!((world.waiting(), world.sessions("websocket")), (4, 4));
    // It is the one that leaves which could.
    let (mut world, old, _) = world_of_four();
    let _older = older_app(&mut world, "older");
    world.numbering_app("leaving").trunk.set_draining();
    world.app_goes(&old);
    assert_eq!(world.waiting(), 0);
}

#[test]
fn sessions_that_wait_are_closed_when_only_such_an_app_server_comes() {
    let (mut world, old, _) = world_of_four();
    world.app_goes(&old);
    world.pass(5 * SECOND);
    let older = older_app(&mut world, "older");
    world.pass(2 * SECOND - Duration::from_millis(1));
    assert_eq!(world.waiting(), 4, "another one may come");
    world.pass(LOOK + Duration::from_millis(60));
    assert_eq!((world.waiting(), world.slots()), (0, 0));
    assert_eq!(world.closed(CloseReason::AppServerLost), 4);
    assert_eq!(world.rehomed("orphan", "no_home"), 4);
    assert_eq!(world.restore(&older, "p-s3", "o1").found, Found::Yes);
}

#[test]
fn of_two_app_servers_that_come_at_once_one_is_enough() {
    let (mut world, old, _) = world_of_four();
    world.app_goes(&old);
    world.pass(SECOND);
    let _older = older_app(&mut world, "older");
    world.pass(Duration::from_millis(1_900));
    let new = world.numbering_app("new");
    world.pass(20 * SECOND);
    assert_eq!((world.waiting(), new.trunk.sessions()), (4, 4));
    for adopt in new.adopts() {
        world.takes_over(&new, &adopt);
    }
    assert_eq!((world.waiting(), world.rehomed("orphan", "adopted")), (0, 4));
}

#[test]
fn each_time_that_such_app_servers_are_alone_is_one_of_its_own() {
    let mut world = world();
    let old = world.numbering_app("old");
    world.settled(&old, "s", &[]);
    world.app_goes(&old);
    for _ in 0..4 {
        let older = older_app(&mut world, "older");
        world.pass(Duration::from_millis(1_500));
        world.app_goes(&older);
        world.pass(SECOND);
    }
    assert_eq!((world.waiting(), world.sessions("websocket")), (1, 1));
}

#[test]
fn who_is_about_to_be_closed_goes_to_an_app_server_that_comes_in_time() {
    let mut world = world_with(|limits| {
        limits.orphan_close_per_second = 1;
        limits.rehome_per_second = 1;
    });
    let old = world.numbering_app("old");
    for n in 0..10 {
        world.settled(&old, &format!("s{n}"), &[]);
    }
    world.app_goes(&old);
    let _older = older_app(&mut world, "older");
    world.pass(5 * SECOND);
    let closed = world.rehomed("orphan", "no_home");
    assert!((1..6).contains(&closed), "{closed}");
    let new = world.numbering_app("new");
    for _ in 0..300 {
        world.pass(Duration::from_millis(50));
        for adopt in new.adopts() {
            world.takes_over(&new, &adopt);
        }
    }
    let adopted = world.rehomed("orphan", "adopted");
    assert_eq!(
        (world.rehomed("orphan", "no_home"), closed + adopted, world.waiting()),
        (closed, 10, 0)
    );
}
