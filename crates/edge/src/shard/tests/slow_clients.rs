//! Clients that read less than their app sends: those that keep reading receive everything, the
//! others are closed.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::Frame;

use super::app::send;
use super::client::Client;
use super::world::World;

const LIMIT: usize = 1_000_000;
const PART: usize = 50_000;
/// The bytes that the client's stream and the shard's gathering hold in addition to the outbox.
const BESIDE: usize = 400_000;

fn world() -> World {
    World::with(|limits, _| {
        limits.outbox_bytes_max = LIMIT;
        limits.outbox_stall = Duration::from_secs(20);
    })
}

fn parts(client: &Client, bytes: usize) -> Vec<Frame> {
    let part = "x".repeat(PART);
    (0..bytes.div_ceil(PART)).map(|_| send(client.number, &part)).collect()
}

#[test]
fn a_client_that_goes_on_reading_gets_everything_however_much_it_is() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    let mut received = 0;
    for _ in 0..60 {
        world.app_says_all(&app, parts(&client, 200_000));
        world.client_takes(&client, Some(150_000));
        received += client.reads().len();
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.closed(CloseReason::OutboxFull), 0);
    world.client_takes(&client, None);
    received += client.reads().len();
    assert_eq!(received, 60 * 4);
}

#[test]
fn a_client_that_takes_nothing_is_closed_when_its_app_goes_on() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_says_all(&app, parts(&client, LIMIT + BESIDE));
    assert_eq!(world.closed(CloseReason::OutboxFull), 0, "networks have pauses");
    world.pass(Duration::from_millis(300));
    world.app_says_all(&app, parts(&client, LIMIT / 4 + PART));
    assert_eq!(world.closed(CloseReason::OutboxFull), 1);
    assert_eq!(app.hears(), ["close 0 OutboxFull"]);
}

#[test]
fn a_client_that_takes_nothing_is_closed_after_the_stall_even_if_its_app_says_no_more() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_says_all(&app, parts(&client, LIMIT + BESIDE));
    world.pass(Duration::from_secs(19));
    assert_eq!(world.closed(CloseReason::OutboxFull), 0);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.closed(CloseReason::OutboxFull), 1);
}

#[test]
fn a_client_that_takes_its_share_in_time_is_left_alone() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_says_all(&app, parts(&client, 2 * LIMIT));
    for _ in 0..3 {
        world.pass(Duration::from_secs(10));
        world.client_takes(&client, Some(2 * LIMIT / 16 + PART));
        client.wire.set_room(Some(0));
        client.reads();
        // It answers pings, too.
        world.client_says(&client, "3");
    }
    assert_eq!(world.closed(CloseReason::OutboxFull), 0);
    assert!(app.hears().is_empty());
}

#[test]
fn a_client_with_less_than_the_limit_may_take_its_time() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_says_all(&app, parts(&client, LIMIT / 2));
    world.pass(Duration::from_secs(24));
    world.client_takes(&client, None);
    assert_eq!(client.reads().iter().filter(|said| said.starts_with('4')).count(), 10);
}

#[test]
fn who_was_slow_and_has_caught_up_is_watched_no_more() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_says_all(&app, parts(&client, LIMIT));
    assert_eq!(world.shard.watches.len(), 1);
    world.client_takes(&client, None);
    world.pass(Duration::from_secs(1));
    assert!(world.shard.watches.is_empty() && world.shard.slow_due.is_none());
}

#[test]
fn a_mark_is_answered_when_all_before_it_has_left() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_says_all(&app, parts(&client, LIMIT / 2));
    let session = client.number;
    world.app_says(&app, [Frame::Mark { session, mark: 1, now: false }]);
    world.app_says(&app, [Frame::Mark { session, mark: 2, now: true }]);
    let heard = app.hears();
    assert!(heard.len() == 1 && heard[0].starts_with("marked 0 2 "), "{heard:?}");
    world.client_takes(&client, None);
    assert_eq!(app.hears(), ["marked 0 1 0"]);
    world.pass(Duration::from_secs(1));
    assert!(world.shard.watches.is_empty());
}

#[test]
fn a_mark_with_nothing_before_it_is_answered_at_once() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_says(&app, [Frame::Mark { session: client.number, mark: 9, now: false }]);
    assert_eq!(app.hears(), ["marked 0 9 0"]);
}

#[test]
fn a_client_that_polls_and_does_not_read_its_answers_is_closed() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut unread = Vec::new();
    for _ in 0..30 {
        let mut poll = world.poll(&client);
        world.app_says_all(&app, parts(&client, 2 * PART));
        if world.closed(CloseReason::OutboxFull) > 0 {
            break;
        }
        unread.push(poll.unread());
    }
    assert_eq!(world.closed(CloseReason::OutboxFull), 1);
    assert!(unread.len() >= 10, "as much as the limit may be under way: {}", unread.len());
}

#[test]
fn a_client_that_floods_with_pings_and_does_not_read_makes_nothing_grow() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    for round in 0..200 {
        for ping in [2 * round, 2 * round + 1] {
            let payload = format!("{ping:0100}");
            let ping = super::client::frame(trunkline_websocket::Opcode::Ping, payload.as_bytes());
            client.wire.client_writes(&ping);
        }
        world.run();
    }
    let held = world.live(&client).expect("live").held_bytes();
    assert!(held < 500, "{held}: only the latest answer is kept");
    world.client_takes(&client, None);
    assert!(client.reads().last().is_some_and(|pong| pong.ends_with("399")));
}

#[test]
fn what_its_stream_took_in_part_goes_on_where_it_stopped() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(3));
    world.app_says(&app, [send(client.number, "first"), send(client.number, "second")]);
    assert!(client.reads().is_empty(), "a frame is not whole yet");
    for _ in 0..20 {
        world.client_takes(&client, Some(1));
    }
    assert_eq!(client.reads(), ["4first", "4second"]);
}

#[test]
fn a_stream_that_is_closed_still_delivers_what_came_before() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_sends(&app, &client, "last words");
    world.app_closes(&app, client.number);
    assert_eq!(world.slots(), 0, "both ends of the trunk are done with the number");
    world.pass(Duration::from_secs(20));
    assert!(!client.wire.has_ended());
    world.client_takes(&client, None);
    assert_eq!(
        (client.reads(), client.wire.has_ended()),
        (vec!["4last words".into(), "close".into()], true)
    );
}

#[test]
fn a_stream_that_lingers_without_an_end_is_closed_after_half_a_minute() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_closes(&app, client.number);
    assert_eq!((client.reads(), client.wire.has_ended()), (vec!["close".to_owned()], true));
    world.pass(Duration::from_secs(29));
    client.writes("4nobody listens");
    world.run();
    assert!(!client.wire.is_closed() && client.wire.unread_bytes() == 0);
    world.pass(Duration::from_secs(2));
    assert!(client.wire.is_closed());
}

#[test]
fn the_share_that_a_client_has_to_take_counts_from_when_the_limit_is_reached() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    client.wire.set_room(Some(0));
    world.app_says_all(&app, parts(&client, LIMIT + 200_000));
    assert!(world.live(&client).is_some_and(|live| live.session.outbox_bytes() < LIMIT));
    world.pass(Duration::from_secs(30));
    world.client_says(&client, "3");
    world.client_takes(&client, Some(1));
    world.app_says_all(&app, parts(&client, 200_000));
    assert!(world.live(&client).is_some_and(|live| live.session.outbox_bytes() >= LIMIT));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed(CloseReason::OutboxFull), 0, "it has its whole time from now on");
}
