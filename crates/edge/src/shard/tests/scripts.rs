//! Clients that poll with scripts (JSONP): the shard names the callback of each answer, and says
//! that posts are forms.

use super::app::{App, send};
use super::client::{Client, ClientKind, Poll};
use super::world::World;
use crate::shard::command::Answer;

fn client_of(world: &mut World, jsonp: &'static str) -> (App, Client) {
    world.kind = ClientKind { jsonp: Some(jsonp), ..ClientKind::default() };
    let app = world.app("a");
    let client = world.polling(&app);
    (app, client)
}

/// The body of the answer, and the number of its callback.
fn script(poll: &mut Poll) -> (String, Option<Box<str>>) {
    let Answer::Payload(payload) = poll.unread() else { panic!("no payload") };
    (String::from_utf8_lossy(&payload.body).into_owned(), payload.jsonp)
}

#[test]
fn every_answer_to_a_poll_names_the_callback_of_the_handshake() {
    let mut world = World::new();
    let (app, client) = client_of(&mut world, "12");
    for text in ["one", "two"] {
        let mut poll = world.poll(&client);
        world.app_sends(&app, &client, text);
        assert_eq!(script(&mut poll), (format!("4{text}"), Some("12".into())));
    }
}

#[test]
fn the_open_packet_is_for_the_callback_too() {
    let mut world = World::new();
    world.kind = ClientKind { jsonp: Some("3"), ..ClientKind::default() };
    let app = world.app("a");
    let mut handshake = world.handshake(trunkline_engineio::TransportKind::Polling);
    let (number, _) = app.newcomer();
    world.app_accepts(&app, number);
    let Ok(Answer::Payload(payload)) = handshake.answer.try_recv() else { panic!("no payload") };
    assert_eq!(payload.jsonp.as_deref(), Some("3"));
}

#[test]
fn a_post_is_a_form_and_one_of_an_ordinary_client_is_not() {
    let mut world = World::new();
    let (_, client) = client_of(&mut world, "0");
    assert!(world.begin_post(&client).is_wanted());
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    assert!(!world.begin_post(&client).is_wanted());
}

#[test]
fn what_was_in_the_form_is_heard_as_any_payload_is() {
    let mut world = World::new();
    let (app, client) = client_of(&mut world, "0");
    assert_eq!(world.post(&client, "4one\x1e4two"), "ok");
    assert_eq!(app.hears(), ["0: one", "0: two"]);
}

#[test]
fn the_last_words_of_a_session_are_a_script_as_well() {
    let mut world = World::new();
    let (app, client) = client_of(&mut world, "7");
    let mut poll = world.poll(&client);
    world.app_says(
        &app,
        [
            send(client.number, "last"),
            super::app::close(client.number, trunkline_trunk::CloseReason::AppClosed),
        ],
    );
    assert_eq!(script(&mut poll), ("4last".to_owned(), Some("7".into())));
}

#[test]
fn once_it_has_a_websocket_nothing_is_a_script_any_more() {
    let mut world = World::new();
    let (app, client) = client_of(&mut world, "7");
    world.probe(&client);
    for text in ["2probe", "5"] {
        world.client_says(&client, text);
    }
    client.reads();
    world.app_sends(&app, &client, "plain");
    assert_eq!(client.reads(), ["4plain"]);
}
