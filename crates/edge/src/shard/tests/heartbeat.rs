//! Heartbeats: the node pings, the client answers, and a client that does not is closed.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_websocket::Opcode;

use super::client::frame;
use super::world::World;

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);
/// The most by which ticks are rounded up.
const TICK: Duration = Duration::from_millis(40);

#[test]
fn a_websocket_that_answers_its_pings_lives_on() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    for _ in 0..10 {
        world.pass(INTERVAL - TICK);
        assert!(client.reads().is_empty(), "a ping is not early");
        world.pass(2 * TICK);
        assert_eq!(client.reads(), ["2"]);
        world.client_says(&client, "3");
        world.pass(Duration::ZERO);
    }
    assert!(app.hears().is_empty());
}

#[test]
fn a_websocket_that_does_not_answer_is_gone_after_the_timeout() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.pass(INTERVAL + TIMEOUT - TICK);
    assert_eq!((client.reads(), app.hears()), (vec!["2".to_owned()], Vec::new()));
    world.pass(3 * TICK);
    assert_eq!(app.hears(), ["close 0 PingTimeout"]);
    assert_eq!((world.closed(CloseReason::PingTimeout), world.sessions("websocket")), (1, 0));
    assert!(client.wire.has_ended());
}

#[test]
fn messages_are_no_answer_to_a_ping_but_a_late_pong_is() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.pass(INTERVAL + TICK);
    world.client_says(&client, "4busy");
    world.pass(TIMEOUT - 3 * TICK);
    world.client_says(&client, "3");
    world.pass(INTERVAL - 3 * TICK);
    assert_eq!(app.hears(), ["0: busy"]);
}

#[test]
fn a_client_that_polls_is_pinged_over_its_poll() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    world.pass(INTERVAL + TICK);
    assert_eq!(poll.said(), "2");
    assert_eq!(world.post(&client, "3"), "ok");
    world.pass(INTERVAL - 2 * TICK);
    assert!(app.hears().is_empty());
}

#[test]
fn a_client_that_polls_no_more_is_gone_after_the_timeout() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.pass(INTERVAL + TIMEOUT + 2 * TICK);
    assert_eq!(app.hears(), ["close 0 PingTimeout"]);
    assert_eq!(world.poll(&client).said(), "refused UnknownSid");
}

#[test]
fn what_is_due_comes_before_a_request_that_is_later() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.pass(INTERVAL + TICK);
    world.poll(&client);
    // The timer has not fired yet, but its time is over.
    world.now = world.now + TIMEOUT;
    assert_eq!(world.poll(&client).said(), "refused UnknownSid");
    assert_eq!(app.hears(), ["close 0 PingTimeout"]);
}

#[test]
fn websocket_pings_are_answered_in_order_and_at_most_sixty_four_of_one_read() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    for number in 0..100 {
        client.wire.client_writes(&frame(Opcode::Ping, format!("{number}").as_bytes()));
    }
    world.run();
    let pongs = client.reads();
    assert_eq!((pongs.len(), &*pongs[0], &*pongs[63]), (64, "pong 0", "pong 99"));
}

#[test]
fn a_close_frame_is_answered_with_its_like() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.client_writes(&frame(Opcode::Close, &1001_u16.to_be_bytes()));
    world.run();
    assert_eq!(client.reads(), ["close 1001"]);
    assert_eq!(app.hears(), ["close 0 ClientClosed"]);
    assert!(client.wire.has_ended());
}

#[test]
fn a_frame_that_breaks_a_rule_ends_the_session_with_its_code() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    // A client must mask its frames.
    client.wire.client_writes(&trunkline_websocket::encode(Opcode::Text, b"4x", None));
    world.run();
    assert_eq!(
        (client.reads(), app.hears()),
        (vec!["close 1002".to_owned()], vec!["close 0 TransportError".to_owned()])
    );
}

#[test]
fn a_message_that_is_too_large_ends_the_session_with_its_own_reason() {
    let mut world = World::with(|_, settings| settings.max_http_buffer_bytes = 10);
    let app = world.app("a");
    let client = world.websocket(&app);
    world.client_says(&client, "4012345678901");
    assert_eq!(
        (client.reads(), app.hears()),
        (vec!["close 1009".to_owned()], vec!["close 0 MessageTooLarge".to_owned()])
    );
}

#[test]
fn a_client_that_ends_its_stream_ends_its_session() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.writes("4last");
    world.client_ends(&client);
    assert_eq!(app.hears(), ["0: last", "close 0 ClientClosed"]);
    assert!(client.wire.is_closed());
    world.app_closes(&app, client.number);
    assert_eq!(world.slots(), 0);
}
