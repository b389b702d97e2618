//! Credit, in both directions: a client's messages wait for its app server's credit, and an app
//! server's frames are returned as credit when they have been processed.

use trunkline_engineio::Body;
use trunkline_trunk::NumberState;
use trunkline_trunk::encode::message_cost;
use trunkline_websocket::Opcode;

use super::app::{broadcast, send};
use super::client::{Client, frame};
use super::world::World;
use crate::shard::uplink::Uplink;

/// The cost of a message of this many bytes.
fn cost(client: &Client, bytes: usize) -> u32 {
    message_cost(client.number, bytes)
}

#[test]
fn a_websocket_is_not_read_while_there_is_no_credit() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.websocket(&app);
    world.client_says(&client, "4one");
    world.client_says(&client, "4two");
    assert_eq!(app.hears(), ["0: one"], "the last message may overdraw the credit");
    assert!(client.wire.unread_bytes() > 0, "what follows stays in the client's stream");
    assert_eq!(world.app_grants(&app, 1), None, "what was overdrawn is paid back first");
    assert!(app.hears().is_empty());
    assert_eq!(world.app_grants(&app, cost(&client, 3)), Some(true));
    assert_eq!(app.hears(), ["0: two"]);
    assert_eq!(client.wire.unread_bytes(), 0);
}

#[test]
fn what_one_read_brought_is_held_in_order_and_sent_as_the_credit_comes() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.websocket(&app);
    for text in ["4one", "4two", "4three"] {
        client.writes(text);
    }
    world.run();
    assert_eq!(app.hears(), ["0: one"]);
    world.app_grants(&app, cost(&client, 3));
    assert_eq!(app.hears(), ["0: two"]);
    client.writes("4four");
    world.run();
    world.app_grants(&app, 1_000);
    assert_eq!(app.hears(), ["0: three", "0: four"]);
}

#[test]
fn a_post_that_begins_without_credit_waits_with_its_body() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    assert_eq!(world.post(&client, "4one"), "ok");
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4two"), "waits", "its body is not wanted");
    world.app_grants(&app, 1_000);
    assert_eq!(world.finish_post(&client, &mut post, "4two"), "ok");
    assert_eq!(app.hears(), ["0: one", "0: two"]);
}

#[test]
fn a_post_is_answered_when_all_of_its_messages_have_gone() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4one\x1e4two\x1e4three"), "waits");
    assert_eq!(app.hears(), ["0: one"]);
    world.app_grants(&app, cost(&client, 3));
    assert_eq!((app.hears(), post.said()), (vec!["0: two".to_owned()], "waits".into()));
    world.app_grants(&app, 1_000);
    assert_eq!((app.hears(), post.said()), (vec!["0: three".to_owned()], "ok".into()));
}

#[test]
fn who_waits_for_credit_is_heard_in_turn() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let clients = [world.websocket(&app), world.websocket(&app), world.websocket(&app)];
    for round in ["4a", "4b"] {
        for client in &clients {
            world.client_says(client, round);
        }
    }
    assert_eq!(app.hears(), ["0: a"]);
    let mut heard = Vec::new();
    while heard.len() < 5 {
        world.app_grants(&app, cost(&clients[0], 1));
        heard.extend(app.hears());
    }
    assert_eq!(heard, ["1: a", "2: a", "0: b", "1: b", "2: b"]);
}

#[test]
fn the_end_of_a_session_comes_behind_what_it_said_before() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.websocket(&app);
    client.writes("4one");
    client.writes("4two");
    client.wire.client_writes(&frame(Opcode::Close, &[]));
    world.run();
    assert_eq!(app.hears(), ["0: one"]);
    world.app_grants(&app, 1_000);
    assert_eq!(app.hears(), ["0: two", "close 0 ClientClosed"]);
}

#[test]
fn a_stream_that_breaks_takes_nothing_of_what_is_held_along() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.websocket(&app);
    client.writes("4one");
    client.writes("4two");
    world.run();
    client.wire.breaks();
    world.app_sends(&app, &client, "nobody takes this");
    assert_eq!((app.hears(), world.sessions("websocket")), (vec!["0: one".to_owned()], 1));
    world.app_grants(&app, 1_000);
    assert_eq!(app.hears(), ["0: two", "close 0 TransportError"]);
    assert_eq!(world.sessions("websocket"), 0);
}

#[test]
fn an_app_that_closes_a_session_hears_no_more_of_what_was_held() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4one\x1e4two"), "waits");
    app.hears();
    world.app_closes(&app, client.number);
    assert_eq!(post.said(), "ok", "the post is well, though nobody hears the rest of it");
    world.app_grants(&app, 1_000);
    assert_eq!(app.hears(), ["close 0 AppClosed"]);
}

#[test]
fn a_client_that_is_not_read_from_is_not_blamed_for_its_silence() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.websocket(&app);
    client.writes("4one");
    client.writes("4two");
    world.run();
    for _ in 0..4 {
        world.pass(std::time::Duration::from_secs(25));
        client.writes("3");
        world.run();
    }
    assert_eq!(app.hears(), ["0: one"]);
    world.app_grants(&app, 1_000);
    assert_eq!(app.hears(), ["0: two"], "the session is there");
}

#[test]
fn what_an_app_sends_is_given_back_to_it() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    app.takes_back();
    let frame = send(client.number, "hello");
    let bytes = u64::from(frame.data_cost().expect("a data frame"));
    world.app_says(&app, [frame]);
    assert_eq!((app.takes_back(), client.reads()), (bytes, vec!["4hello".to_owned()]));
    let frame = send(trunkline_trunk::SessionNumber(99), "to nobody");
    let bytes = u64::from(frame.data_cost().expect("a data frame"));
    world.app_says(&app, [frame]);
    assert_eq!(app.takes_back(), bytes, "whether or not anybody gets it");
}

#[test]
fn a_broadcast_to_very_many_is_given_back_with_the_last_of_them() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, 600);
    app.takes_back();
    world.app_says_first(&app, vec![broadcast(&[], "news")]);
    assert_eq!(app.takes_back(), 0, "slices wait to be flushed");
    world.take_one_turn();
    assert_eq!(app.takes_back(), 0);
    world.run();
    assert!(app.takes_back() > 0);
    assert!(clients.iter().all(|client| client.reads() == ["4news"]));
}

#[test]
fn a_message_does_not_overtake_what_is_held_though_credit_has_come_meanwhile() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 0);
    let client = world.websocket(&app);
    let uplink = (app.trunk.number, NumberState::Open);
    let mut uplink = Uplink::new(&mut world.shard.trunks, uplink, client.number).expect("it is up");
    let mut held = None;
    uplink.message(&Body::Text("one"), &mut held, &world.env.metrics);
    // Another shard's thread may have received this credit from the app server.
    app.trunk.credit.grant(1_000);
    uplink.message(&Body::Text("two"), &mut held, &world.env.metrics);
    world.run();
    assert!(app.hears().is_empty());
    assert!(held.is_some_and(|held| held.waits_for_credit()));
}

#[test]
fn a_post_that_comes_while_the_one_before_waits_for_credit_is_wanted_after_it() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    let mut first = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut first, "4one\x1e4two"), "waits");
    let mut second = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut second, "4three"), "waits", "not begun");
    world.app_grants(&app, 1_000);
    world.run();
    assert_eq!(first.said(), "ok");
    assert_eq!(world.finish_post(&client, &mut second, "4three"), "ok");
    assert_eq!(app.hears(), ["0: one", "0: two", "0: three"]);
}

#[test]
fn a_session_has_one_post_that_waits_for_credit_and_the_next_one_overlaps_with_it() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let (client, other) = (world.polling(&app), world.polling(&app));
    assert_eq!(world.post(&client, "4one"), "ok");
    let mut first = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut first, "4two"), "waits");
    let mut others = world.begin_post(&other);
    assert_eq!(world.finish_post(&other, &mut others, "4three"), "waits", "one for each session");
    for _ in 0..100 {
        let mut next = world.begin_post(&client);
        assert_ne!(world.finish_post(&client, &mut next, "4overlaps"), "waits");
    }
    let waiting = &world.shard.trunks[&app.trunk.number].waiting;
    assert!(waiting.len() <= 4, "{}", waiting.len());
    assert_eq!(app.hears(), ["0: one", "close 0 TransportError"]);
    world.app_grants(&app, 1_000);
    assert_eq!(world.finish_post(&client, &mut first, "4two"), "refused UnknownSid");
    assert_eq!(world.finish_post(&other, &mut others, "4three"), "ok");
    while app.trunk.has_credit() {
        assert_eq!(world.post(&other, &format!("4{}", "x".repeat(500))), "ok");
    }
    app.hears();
    let mut others = world.begin_post(&other);
    assert_eq!(world.finish_post(&other, &mut others, "4four"), "waits", "the former one is over");
    world.app_grants(&app, 1_000);
    assert_eq!(world.finish_post(&other, &mut others, "4four"), "ok");
    assert_eq!(app.hears(), ["1: four"]);
}

#[test]
fn a_post_that_waits_is_not_taken_for_one_of_the_slots_next_session() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    assert_eq!(world.post(&client, "4one"), "ok");
    let mut stale = world.begin_post(&client);
    let mut poll = world.poll(&client);
    world.app_closes(&app, client.number);
    assert_eq!(poll.said(), "1");
    app.hears();
    let next = world.polling(&app);
    assert_eq!(next.key.slot, client.key.slot);
    let mut post = world.begin_post(&next);
    assert_eq!(world.finish_post(&next, &mut post, "4two"), "waits");
    world.app_grants(&app, 1_000);
    assert_eq!(world.finish_post(&client, &mut stale, "4x"), "refused UnknownSid");
    assert_eq!(world.finish_post(&next, &mut post, "4two"), "ok");
}
