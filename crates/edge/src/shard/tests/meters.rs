//! Limits for what a session may send: slowed down at first, closed when it goes on.

use std::time::Duration;

use trunkline_engineio::CloseReason;

use super::client::Client;
use super::world::World;
use crate::limits::Limits;

fn world(change: impl FnOnce(&mut Limits)) -> World {
    World::with(|limits, _| change(limits))
}

fn ten_messages() -> World {
    world(|limits| limits.session_messages_per_second = Some(10))
}

fn says(client: &Client, count: usize) {
    (0..count).for_each(|_| client.writes("4a"));
}

#[test]
fn two_seconds_worth_comes_at_once_and_the_rest_at_its_rate() {
    let mut world = ten_messages();
    let app = world.app("a");
    let client = world.websocket(&app);
    // One after the other: all that one read brings is taken.
    let mut heard = 0;
    for _ in 0..100 {
        world.client_says(&client, "4a");
        heard += app.hears().len();
    }
    assert_eq!(heard, 21, "the last one may be too much");
    assert!(client.wire.unread_bytes() > 0, "the rest stays in the client's stream");
    world.pass(Duration::from_millis(50));
    assert_eq!(app.hears().len(), 0, "a tenth of a second is not over");
    world.pass(Duration::from_millis(100));
    assert!(!app.hears().is_empty(), "it goes on by itself");
    assert_eq!(world.closed(CloseReason::Flooded), 0);
}

#[test]
fn a_session_within_its_limits_waits_for_nothing_and_leaves_nothing() {
    let mut world = ten_messages();
    let app = world.app("a");
    let client = world.websocket(&app);
    for round in 0..100 {
        world.client_says(&client, "4a");
        assert_eq!(app.hears().len(), 1, "round {round}");
        world.pass(Duration::from_millis(110));
    }
    let other = world.websocket(&app);
    world.pass(Duration::from_secs(5));
    world.client_says(&other, "4a");
    assert_eq!(world.shard.meters.len(), 1, "only that of the one which has just sent");
}

#[test]
fn one_that_goes_on_is_closed_after_the_wait_and_no_other() {
    let mut world = ten_messages();
    let app = world.app("a");
    let (flooder, quiet) = (world.websocket(&app), world.websocket(&app));
    for _ in 0..30 {
        says(&flooder, 1_000);
        world.run();
        world.client_says(&quiet, "4q");
        world.pass(Duration::from_millis(500));
    }
    assert_eq!(world.closed(CloseReason::Flooded), 1);
    assert_eq!(world.sessions("websocket"), 1);
    let heard = app.hears();
    assert!(heard.contains(&format!("close {} TransportError", flooder.number.0)), "{heard:?}");
    let quiet_words = heard.iter().filter(|word| word.ends_with(": q")).count();
    assert_eq!(quiet_words, 30);
}

#[test]
fn one_that_waits_goes_on_after_a_pause_of_the_whole_node() {
    let mut world = ten_messages();
    let app = world.app("a");
    let (flooder, other) = (world.websocket(&app), world.websocket(&app));
    (0..30).for_each(|_| world.client_says(&flooder, "4a"));
    assert!(flooder.wire.unread_bytes() > 0, "it waits");
    world.now = world.now + Duration::from_secs(10);
    // The other's bytes are read before anything that is due.
    world.client_says(&other, "4b");
    world.pass(Duration::from_secs(3));
    assert_eq!(flooder.wire.unread_bytes(), 0);
}

#[test]
fn a_slowed_client_is_not_blamed_for_its_silence() {
    let mut world = world(|limits| {
        limits.session_messages_per_second = Some(1);
        limits.session_flood_wait = Duration::from_secs(3_600);
    });
    let app = world.app("a");
    let client = world.websocket(&app);
    for _ in 0..120 {
        // The answers to the pings come behind all of these.
        says(&client, 100);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.sessions("websocket"), 1);
}

#[test]
fn a_post_waits_until_its_session_may_send_again() {
    let mut world = ten_messages();
    let app = world.app("a");
    let client = world.polling(&app);
    let many = vec!["4a"; 40].join("\x1e");
    assert_eq!(world.post(&client, &many), "ok");
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4b"), "waits");
    app.hears();
    world.pass(Duration::from_secs(3));
    assert_eq!(world.finish_post(&client, &mut post, "4b"), "ok");
    assert_eq!(app.hears(), ["0: b"]);
}

#[test]
fn bytes_count_as_messages_do() {
    let mut world = world(|limits| limits.session_bytes_per_second = Some(1_000));
    let app = world.app("a");
    let client = world.websocket(&app);
    let long = format!("4{}", "x".repeat(493));
    let mut heard = 0;
    for _ in 0..20 {
        world.client_says(&client, &long);
        heard += app.hears().len();
    }
    assert_eq!(heard, 4, "of five hundred bytes each, two seconds' worth");
}
