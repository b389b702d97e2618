//! Handshakes: an app server accepts, refuses, does not answer, or has gone; or the client has
//! gone.

use std::time::Duration;

use trunkline_engineio::TransportKind;
use trunkline_trunk::{CloseReason, Frame};

use super::app::{accept, accept_as, close, send};
use super::world::World;
use crate::shard::command::Command;

const POLLING: TransportKind = TransportKind::Polling;
const WEBSOCKET: TransportKind = TransportKind::WebSocket;

#[test]
fn an_accepted_client_that_polls_gets_its_open_packet_and_what_follows() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(POLLING);
    assert_eq!(handshake.said(), "waits");
    let (number, sid) = app.newcomer();
    world.app_says(&app, [accept(number), send(number, "hello")]);
    let open = handshake.said();
    assert!(open.contains(&format!("\"sid\":\"{}\"", sid.encode())), "{open}");
    assert!(!open.contains("hello"), "the open packet is an answer of its own");
    assert_eq!((world.sessions("polling"), world.handshakes("accepted")), (1, 1));
    assert_eq!((app.trunk.pending(), app.trunk.sessions()), (0, 1));
}

#[test]
fn an_accepted_websocket_is_adopted_with_what_the_app_said_meanwhile() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(WEBSOCKET);
    let (number, sid) = app.newcomer();
    world.app_says(&app, [accept(number), send(number, "early")]);
    let client = world.adopt(&mut handshake, number, sid);
    let said = client.reads();
    assert!(said[0].starts_with("0{\"sid\":"), "{said:?}");
    assert_eq!(said[1..], ["4early"]);
    assert_eq!(world.sessions("websocket"), 1);
}

#[test]
fn a_rejected_client_gets_the_apps_own_answer_and_leaves_nothing() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    world.app_rejects(&app, number, 403);
    assert_eq!(handshake.said(), "relayed 403");
    assert_eq!((world.slots(), world.handshakes("rejected")), (0, 1));
    assert!(app.hears().is_empty(), "a rejected number needs no word");
}

#[test]
fn the_next_trunk_of_an_app_server_gets_its_newcomers() {
    let mut world = World::new();
    let before = world.app("a");
    let again = world.app("a");
    let _handshakes = [world.handshake(POLLING), world.handshake(POLLING)];
    assert_eq!((before.trunk.pending(), again.trunk.pending()), (0, 2));
}

#[test]
fn without_an_app_server_the_answer_comes_at_once() {
    let mut world = World::new();
    assert_eq!(world.handshake(POLLING).said(), "no_app_server");
    assert_eq!(world.slots(), 0);
}

#[test]
fn a_node_that_is_full_opens_nothing() {
    let mut world = World::with(|limits, _| {
        limits.sessions_max = 1;
        limits.memory_bytes_max = Some(1_000);
    });
    let app = world.app("a");
    world.polling(&app);
    assert_eq!(world.handshake(POLLING).said(), "sessions_full");
    world.set_heap_bytes(1_000);
    assert_eq!(world.handshake(POLLING).said(), "memory_full");
    assert!(app.hears().is_empty());
}

#[test]
fn an_app_server_with_as_many_unanswered_handshakes_as_it_may_have_gets_no_more() {
    let mut world = World::with(|limits, _| limits.handshakes_pending_max = 1);
    let app = world.app("a");
    let _first = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    assert_eq!(world.handshake(POLLING).said(), "handshakes_full");
    world.app_accepts(&app, number);
    assert_eq!(world.handshake(POLLING).said(), "waits");
}

#[test]
fn an_app_server_that_never_answers_costs_the_client_the_timeout() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    world.pass(Duration::from_millis(19_990));
    assert_eq!(handshake.said(), "waits");
    app.frames();
    world.pass(Duration::from_millis(50));
    assert_eq!(handshake.said(), "app_server_silent");
    assert_eq!(app.hears(), ["close 0 GoneBeforeAnswer"]);
    assert_eq!(world.slots(), 1, "the app server has not answered the number yet");
    world.app_accepts(&app, number);
    assert_eq!(world.slots(), 1, "an accept that crossed the close is no answer to it");
    world.app_closes(&app, number);
    assert_eq!((world.slots(), app.trunk.sessions()), (0, 0));
}

#[test]
fn a_handshake_that_one_app_server_does_not_answer_is_put_before_another() {
    let mut world = World::new();
    let (first, second) = (world.app("a"), world.app("b"));
    let mut handshake = world.handshake(POLLING);
    let (hung, other) = if first.trunk.pending() == 1 { (first, second) } else { (second, first) };
    let (number, _) = hung.newcomer();
    let before = handshake.key();
    world.pass(Duration::from_secs(3));
    assert!(hung.hears().contains(&format!("close {} GoneBeforeAnswer", number.0)));
    let (again, sid) = other.newcomer();
    assert_ne!(handshake.key(), before, "the requester knows where its handshake is now");
    world.app_accepts(&other, again);
    assert!(handshake.said().contains(&sid.encode()));
    world.app_accepts(&hung, number);
    world.app_closes(&hung, number);
    assert_eq!(world.slots(), 1, "the late accept of the first opens nothing");
}

#[test]
fn a_handshake_of_an_app_server_that_goes_is_put_before_another_at_once() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(POLLING);
    app.newcomer();
    let other = world.app("b");
    world.app_goes(&app);
    let (number, _) = other.newcomer();
    world.app_accepts(&other, number);
    assert!(handshake.said().starts_with('0'));
    assert_eq!(world.slots(), 1);
}

#[test]
fn a_handshake_of_the_last_app_server_that_goes_fails_at_once() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(WEBSOCKET);
    world.app_goes(&app);
    assert_eq!(handshake.said(), "no_app_server");
    assert_eq!(world.slots(), 0);
}

#[test]
fn an_app_server_that_closes_instead_of_answering_leaves_it_to_another() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    let other = world.app("b");
    world.app_says(&app, [close(number, CloseReason::AppShutdown)]);
    let (again, _) = other.newcomer();
    assert_eq!(app.hears(), ["close 0 GoneBeforeAnswer"], "its number is free again");
    world.app_rejects(&other, again, 401);
    assert_eq!((handshake.said(), world.slots()), ("relayed 401".into(), 0));
}

#[test]
fn a_client_that_goes_before_the_answer_is_taken_back() {
    let mut world = World::new();
    let app = world.app("a");
    let handshake = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    world.handshake_gone(handshake);
    assert_eq!(app.hears(), ["close 0 GoneBeforeAnswer"]);
    assert_eq!((world.handshakes("client_gone"), world.slots()), (1, 1));
    world.app_says(&app, [accept(number), send(number, "nobody reads this")]);
    world.app_closes(&app, number);
    assert_eq!((world.slots(), app.trunk.pending()), (0, 0));
}

#[test]
fn a_client_that_goes_between_the_promise_of_a_websocket_and_its_adoption_ends_the_session() {
    let mut world = World::new();
    let app = world.app("a");
    let handshake = world.handshake(WEBSOCKET);
    let (number, _) = app.newcomer();
    world.app_accepts(&app, number);
    let (key, poll) = (handshake.key(), handshake.poll);
    world.tell(Command::HandshakeGone { key, poll });
    assert_eq!(app.hears(), ["close 0 ClientClosed"]);
    assert_eq!(world.sessions("websocket"), 0);
}

#[test]
fn a_websocket_for_a_session_that_is_gone_is_closed() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(WEBSOCKET);
    let (number, sid) = app.newcomer();
    world.app_accepts(&app, number);
    world.app_closes(&app, number);
    world.pass(Duration::from_millis(1));
    let client = world.adopt(&mut handshake, number, sid);
    assert!(client.wire.is_closed() || client.reads().contains(&"close".to_owned()));
}

#[test]
fn two_sessions_cannot_have_the_same_id_of_the_apps_own() {
    let mut world = World::new();
    let app = world.app("a");
    let mut first = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    world.app_says(&app, [accept_as(number, "mine")]);
    assert!(first.said().contains("\"sid\":\"mine\""));
    let mut second = world.handshake(POLLING);
    let (again, _) = app.newcomer();
    world.app_says(&app, [accept_as(again, "mine")]);
    assert_eq!(second.said(), "refused BadRequest");
    assert_eq!(app.hears(), ["close 1 GoneBeforeAnswer"]);
    world.app_closes(&app, again);
    world.app_closes(&app, number);
    // Its last packets wait for a poll, and it sends nothing more.
    world.pass(Duration::from_secs(60));
    let mut third = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    world.app_says(&app, [accept_as(number, "mine")]);
    assert!(third.said().contains("mine"), "an id is free again when its session has ended");
}

#[test]
fn a_session_number_names_its_slot_and_its_shard() {
    let mut world = World::of_shard((2, 3), |_, _| ());
    let app = world.app("a");
    let clients = [world.websocket(&app), world.websocket(&app)];
    assert_eq!(clients.each_ref().map(|client| client.number.0), [2, 5]);
    assert_eq!(clients[1].sid.shard, 2);
    world.client_says(&clients[1], "4hello");
    world.app_sends(&app, &clients[1], "hello");
    assert_eq!(
        (app.hears(), clients[1].reads()),
        (vec!["5: hello".to_owned()], vec!["4hello".to_owned()])
    );
    assert!(clients[0].reads().is_empty());
}

#[test]
fn an_app_server_that_gave_a_handshake_back_is_not_asked_again() {
    let mut world = World::new();
    let app = world.app("a");
    let mut handshake = world.handshake(POLLING);
    let (number, _) = app.newcomer();
    world.app_says(&app, [close(number, CloseReason::AppShutdown)]);
    assert_eq!(handshake.said(), "no_app_server");
    assert_eq!(app.hears(), ["close 0 GoneBeforeAnswer"]);
}

#[test]
fn no_more_than_three_app_servers_are_asked_about_one_handshake() {
    let mut world = World::new();
    let apps = ["a", "b", "c", "d"].map(|name| world.app(name));
    let mut handshake = world.handshake(POLLING);
    let mut asked = 0;
    while asked < 10 && handshake.said() == "waits" {
        let opens = apps.iter().find_map(|app| {
            let frames = app.frames();
            let open = frames.iter().find_map(|frame| {
                if let Frame::Open(open) = frame { Some(open.session) } else { None }
            });
            Some((app, open?))
        });
        let (app, number) = opens.expect("somebody is asked");
        asked += 1;
        world.app_says(app, [close(number, CloseReason::AppShutdown)]);
    }
    assert_eq!(asked, 3);
    assert_eq!(world.handshakes("no_app_server"), 1);
}
