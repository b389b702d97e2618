//! Sessions whose app server has gone: each ends once, at a limited rate, and its number is free
//! again.

use std::time::Duration;

use trunkline_engineio::{CloseReason, TransportKind};
use trunkline_trunk::{CloseReason as WireReason, Frame, NamespaceNumber};

use super::app::{broadcast, close, send};
use super::world::World;

#[test]
fn sessions_are_closed_at_the_pace_that_was_set() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 40);
    let app = world.app("a");
    let clients = world.many(&app, 30);
    world.app_goes(&app);
    let open = |world: &World| world.sessions("websocket");
    assert_eq!(open(&world), 28, "the first step closes as many as a step may");
    world.pass(Duration::from_millis(100));
    assert_eq!(open(&world), 24);
    world.pass(Duration::from_millis(400));
    assert_eq!(open(&world), 8);
    world.pass(Duration::from_secs(1));
    assert_eq!((open(&world), world.slots()), (0, 0));
    assert_eq!(world.closed(CloseReason::AppServerLost), 30);
    assert!(clients.iter().all(|client| client.reads().last().is_some_and(|said| said == "close")));
}

#[test]
fn a_slow_pace_is_kept_over_many_steps() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 5);
    let app = world.app("a");
    world.many(&app, 10);
    world.app_goes(&app);
    world.pass(Duration::from_secs(1));
    let open = world.sessions("websocket");
    assert!((4..=6).contains(&open), "{open}");
}

#[test]
fn an_app_server_that_said_before_that_it_leaves_left_on_purpose() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    app.trunk.set_draining();
    world.app_goes(&app);
    assert_eq!(world.closed(CloseReason::ServerShuttingDown), 1);
    assert!(!client.reads().is_empty());
}

#[test]
fn orphans_get_no_more_of_what_others_broadcast() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 1);
    let (app, other) = (world.app("a"), world.app("b"));
    let mut handshake = world.handshake(TransportKind::WebSocket);
    let (of, rest) = if app.trunk.pending() == 1 { (app, other) } else { (other, app) };
    let (number, sid) = of.newcomer();
    world.app_accepts(&of, number);
    let client = world.adopt(&mut handshake, number, sid);
    world.app_attaches(&of, &client, "s", &[]);
    world.app_says(&rest, [broadcast(&[], "before")]);
    assert!(client.reads().contains(&"4before".to_owned()));
    world.app_goes(&of);
    world.app_says(&rest, [broadcast(&[], "half a conversation")]);
    assert!(!client.reads().contains(&"4half a conversation".to_owned()));
}

#[test]
fn frames_of_an_app_server_that_has_gone_do_nothing() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 1);
    let app = world.app("a");
    let (first, second) = (world.websocket(&app), world.websocket(&app));
    world.app_goes(&app);
    world.app_says(&app, [send(first.number, "late"), send(second.number, "late")]);
    world.app_accepts(&app, first.number);
    assert!(!first.reads().contains(&"4late".to_owned()));
    assert!(!second.reads().contains(&"4late".to_owned()));
}

#[test]
fn a_number_of_one_app_server_is_not_anothers() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    let other = world.app("b");
    world.app_says(&other, [send(client.number, "not yours")]);
    world.app_closes(&other, client.number);
    assert!(client.reads().is_empty());
    assert_eq!(world.sessions("websocket"), 1);
    assert!(app.hears().is_empty() && other.hears().is_empty());
}

#[test]
fn a_session_that_had_ended_before_leaves_with_its_app_server() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.client_ends(&client);
    assert_eq!(world.slots(), 1, "the app server has not answered the end");
    world.app_goes(&app);
    assert_eq!(world.slots(), 0);
}

#[test]
fn orphans_with_something_held_do_not_wait_for_credit_that_never_comes() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let (ended, lives) = (world.websocket(&app), world.websocket(&app));
    for client in [&ended, &lives] {
        client.writes("4one");
        client.writes("4two");
    }
    world.run();
    ended.wire.breaks();
    world.app_sends(&app, &ended, "x");
    assert_eq!(world.sessions("websocket"), 2);
    world.app_goes(&app);
    world.pass(Duration::from_secs(1));
    assert_eq!((world.sessions("websocket"), world.slots()), (0, 0));
    assert_eq!(world.closed(CloseReason::TransportError), 1, "why it had ended is not forgotten");
}

#[test]
fn a_client_that_polls_hears_of_it_with_its_next_poll() {
    let mut world = World::new();
    let app = world.app("a");
    let (waiting, away) = (world.polling(&app), world.polling(&app));
    let mut poll = world.poll(&waiting);
    world.app_goes(&app);
    world.pass(Duration::from_secs(1));
    assert_eq!(poll.said(), "1");
    assert_eq!(world.poll(&away).said(), "6|1");
    assert_eq!(world.slots(), 0);
}

#[test]
fn why_an_app_closed_a_session_is_counted_as_it_said() {
    let mut world = World::new();
    let app = world.app("a");
    let (first, second) = (world.websocket(&app), world.websocket(&app));
    world.app_says(&app, [close(first.number, WireReason::AppShutdown)]);
    assert_eq!(world.closed(CloseReason::ServerShuttingDown), 1);
    world.app_says(&app, [close(second.number, WireReason::AppClosed)]);
    assert_eq!(world.closed(CloseReason::Forced), 1);
}

#[test]
fn an_app_server_that_goes_takes_its_namespaces_along() {
    let mut world = World::new();
    let app = world.app("a");
    let before = world.shard.boards[0].counts().namespaces;
    let nsp = NamespaceNumber(2);
    world.app_says(&app, [Frame::Namespace { nsp, name: "/admin".into() }]);
    assert_eq!(world.shard.boards[0].counts().namespaces, before + 1);
    world.app_goes(&app);
    assert_eq!(world.shard.boards[0].counts().namespaces, before);
}
