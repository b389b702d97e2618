//! Upgrades: a second WebSocket probes, takes over, or is closed.

use std::time::Duration;

use trunkline_websocket::Opcode;

use super::app::send;
use super::client::frame;
use super::world::World;

#[test]
fn a_probe_is_answered_and_takes_over_when_the_client_says_so() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    world.probe(&client);
    world.client_says(&client, "2probe");
    assert_eq!(client.reads(), ["3probe"]);
    world.pass(Duration::from_millis(110));
    assert_eq!(poll.said(), "6", "the poll is let go, so that the client can upgrade");
    assert!(app.hears().is_empty(), "it is not upgraded yet");
    world.client_says(&client, "5");
    assert_eq!(app.hears(), ["upgraded 0"]);
    assert_eq!((world.sessions("polling"), world.sessions("websocket")), (0, 1));
    assert_eq!(world.upgrades("done"), 1);
    world.app_sends(&app, &client, "hello");
    assert_eq!(client.reads(), ["4hello"]);
    world.client_says(&client, "4you too");
    assert_eq!(app.hears(), ["0: you too"]);
    assert_eq!(world.poll(&client).said(), "refused BadRequest");
}

#[test]
fn what_follows_the_upgrade_packet_in_one_read_is_the_sessions_own() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    for text in ["2probe", "5", "4at once"] {
        client.writes(text);
    }
    world.run();
    assert_eq!(app.hears(), ["upgraded 0", "0: at once"]);
}

#[test]
fn what_comes_right_behind_the_handshake_of_a_probe_is_heard() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe_with(&client, &frame(Opcode::Text, b"2probe"));
    assert_eq!(client.reads(), ["3probe"]);
}

#[test]
fn messages_go_to_the_polls_until_the_upgrade_and_none_is_lost() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "2probe");
    world.app_sends(&app, &client, "before");
    assert_eq!(client.reads(), ["3probe"]);
    let mut poll = world.poll(&client);
    assert_eq!(poll.said(), "4before");
    world.app_sends(&app, &client, "between");
    world.client_says(&client, "5");
    assert_eq!(client.reads(), ["4between"]);
}

#[test]
fn a_held_poll_is_broken_off_by_the_upgrade() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    client.writes("2probe");
    client.writes("5");
    let mut poll = world.poll(&client);
    assert_ne!(poll.said(), "waits");
    assert_eq!(app.hears(), ["upgraded 0"], "the probe was heard before the poll");
}

#[test]
fn a_probe_that_says_nothing_is_given_up_and_polling_goes_on() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.pass(Duration::from_secs(9));
    assert_eq!(world.upgrades("failed"), 0);
    world.pass(Duration::from_secs(2));
    assert_eq!((client.reads(), world.upgrades("failed")), (vec!["close".to_owned()], 1));
    world.app_sends(&app, &client, "still here");
    assert_eq!(world.poll(&client).said(), "4still here");
    assert_eq!(world.sessions("polling"), 1);
}

#[test]
fn a_probe_that_ends_leaves_the_session_alone() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "2probe");
    world.client_ends(&client);
    assert_eq!(world.upgrades("stream_closed"), 1);
    assert!(client.wire.is_closed());
    assert_eq!(world.post(&client, "4hello"), "ok");
    assert_eq!(app.hears(), ["0: hello"]);
}

#[test]
fn a_probe_that_closes_is_answered_and_leaves_the_session_alone() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "2probe");
    client.reads();
    client.wire.client_writes(&frame(Opcode::Close, &1000_u16.to_be_bytes()));
    world.run();
    assert_eq!(
        (client.reads(), world.upgrades("stream_closed")),
        (vec!["close 1000".to_owned()], 1)
    );
    assert_eq!(world.sessions("polling"), 1);
}

#[test]
fn a_second_probe_at_once_is_refused() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    let wire = super::wire::Wire::default();
    let stream = world.adopted(&wire, b"");
    let key = client.key;
    world.tell(crate::shard::command::Command::Probe { key, base64_only: false, stream });
    assert_eq!(world.upgrades("refused"), 1);
    assert!(wire.has_ended());
    world.client_says(&client, "2probe");
    assert_eq!(client.reads(), ["3probe"], "the first goes on");
}

#[test]
fn a_probe_that_asks_for_nothing_known_is_closed() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "4not a probe");
    assert_eq!(client.reads(), ["close"]);
    assert!(app.hears().is_empty(), "and nothing of it is a message");
    assert_eq!(world.sessions("polling"), 1);
}

#[test]
fn a_message_that_is_too_long_for_a_probe_is_not_taken() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, &"2".repeat(2_000));
    assert_eq!(client.reads(), ["close 1009"]);
    assert_eq!(world.sessions("polling"), 1, "the session is not to blame");
}

#[test]
fn pings_of_a_probe_are_answered() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    client.wire.client_writes(&frame(Opcode::Ping, b"x"));
    world.run();
    assert_eq!(client.reads(), ["pong x"]);
}

#[test]
fn a_session_that_ends_takes_its_probe_along() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "2probe");
    let mut poll = world.poll(&client);
    world.app_closes(&app, client.number);
    poll.said();
    world.poll(&client).said();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.slots(), 0);
    assert!(client.wire.has_ended());
}

#[test]
fn an_answer_on_its_way_to_a_poll_is_cut_off_by_the_upgrade() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    world.app_says(&app, [send(client.number, "old")]);
    let crate::shard::command::Answer::Payload(mut payload) = poll.unread() else {
        panic!("there is an answer")
    };
    let flight = payload.flight.take().expect("it is on its way");
    world.probe(&client);
    world.client_says(&client, "2probe");
    assert!(!flight.is_cut());
    world.client_says(&client, "5");
    assert!(flight.is_cut(), "a client that follows the protocol has read it");
}

#[test]
fn an_app_that_closed_the_session_hears_of_no_upgrade() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "2probe");
    world.app_closes(&app, client.number);
    app.hears();
    world.client_says(&client, "5");
    assert!(app.hears().is_empty());
}

#[test]
fn credit_holds_up_what_follows_the_upgrade() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    world.probe(&client);
    for text in ["2probe", "5", "4one", "4two"] {
        client.writes(text);
    }
    world.run();
    assert_eq!(app.hears(), ["upgraded 0", "0: one"]);
    world.app_grants(&app, 1_000);
    assert_eq!(app.hears(), ["0: two"]);
}

#[test]
fn a_request_comes_after_what_the_probe_had_brought_before_it() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "2probe");
    client.writes("5");
    let mut poll = world.poll(&client);
    assert_eq!(poll.said(), "refused BadRequest", "it is a WebSocket's session by now");
    assert_eq!((world.upgrades("done"), app.hears()), (1, vec!["upgraded 0".to_owned()]));
}
