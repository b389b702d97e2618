//! Limits for what all clients of a hub send together: nobody is closed, and each gets its share.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::CloseReason as WireReason;

use super::app::{App, close};
use super::client::Client;
use super::world::World;
use crate::hub::HubLimits;
use crate::limits::Limits;
use crate::metrics::Cause;

fn world(change: impl FnOnce(&mut Limits)) -> World {
    World::with(|limits, _| change(limits))
}

fn messages(per_second: u32) -> World {
    world(|limits| limits.hub_messages_per_second = Some(per_second))
}

/// How many messages the app server has had from each client since the last call.
fn heard(app: &App, clients: &[Client]) -> Vec<usize> {
    let words = app.hears();
    let of = |client: &Client| {
        let begin = format!("{}: ", client.number.0);
        words.iter().filter(|word| word.starts_with(&begin)).count()
    };
    clients.iter().map(of).collect()
}

/// Has as much in the client's stream as it sends in any of these tests.
fn floods(client: &Client) {
    (0..2_000).for_each(|_| client.writes("4a"));
}

#[test]
fn together_they_get_the_rate_and_each_gets_its_share() {
    let mut world = messages(100);
    let app = world.app("a");
    let clients: Vec<Client> = (0..5).map(|_| world.websocket(&app)).collect();
    clients.iter().for_each(floods);
    world.pass(Duration::from_secs(1));
    let at_once: usize = heard(&app, &clients).iter().sum();
    assert!((250..=330).contains(&at_once), "a burst and a second: {at_once}");
    world.pass(Duration::from_secs(10));
    let shares = heard(&app, &clients);
    let all: usize = shares.iter().sum();
    assert!((960..=1_040).contains(&all), "ten seconds: {all}");
    assert!(shares.iter().all(|one| (170..=230).contains(one)), "{shares:?}");
    assert_eq!((world.closed(CloseReason::Flooded), world.sessions("websocket")), (0, 5));
    let slowed = Cause { cause: "hub_messages_per_second" };
    assert!(world.env.metrics.sessions_slowed.get_or_create(&slowed).get() > 0);
}

#[test]
fn one_that_says_little_hardly_waits_behind_those_that_flood() {
    let mut world = messages(100);
    let app = world.app("a");
    let floods_on: Vec<Client> = (0..10).map(|_| world.websocket(&app)).collect();
    let quiet = [world.websocket(&app)];
    floods_on.iter().for_each(floods);
    world.pass(Duration::from_secs(3));
    heard(&app, &quiet);
    for round in 0..10 {
        world.client_says(&quiet[0], "4q");
        world.pass(Duration::from_millis(200));
        assert_eq!(heard(&app, &quiet), [1], "round {round}");
        world.pass(Duration::from_millis(200));
    }
}

#[test]
fn large_messages_weigh_as_much_as_the_many_small_ones() {
    let mut world = world(|limits| limits.hub_bytes_per_second = Some(10_000));
    let app = world.app("a");
    let clients = [world.websocket(&app), world.websocket(&app)];
    let long = format!("4{}", "x".repeat(493));
    (0..200).for_each(|_| clients[0].writes(&long));
    (0..10_000).for_each(|_| clients[1].writes("4a"));
    world.pass(Duration::from_secs(3));
    heard(&app, &clients);
    world.pass(Duration::from_secs(10));
    let shares = heard(&app, &clients);
    let bytes = [shares[0] * 500, shares[1] * 8];
    assert!(bytes.iter().all(|one| (40_000..=60_000).contains(one)), "{bytes:?}");
}

#[test]
fn a_hub_within_its_limit_waits_for_nothing_and_leaves_nothing() {
    let mut world = messages(100);
    let app = world.app("a");
    let clients: Vec<Client> = (0..10).map(|_| world.websocket(&app)).collect();
    for _ in 0..50 {
        for client in &clients {
            world.client_says(client, "4a");
        }
        assert_eq!(heard(&app, &clients), [1; 10]);
        world.pass(Duration::from_millis(100));
    }
    assert_eq!((world.shard.flows.waiting(), world.hub.flow.waiting()), (0, 0));
    assert_eq!(world.shard.flows.next(), None);
}

#[test]
fn posts_wait_for_their_turn_and_are_answered() {
    let mut world = messages(10);
    let app = world.app("a");
    let (first, second) = (world.polling(&app), world.polling(&app));
    let many = vec!["4a"; 24].join("\x1e");
    assert_eq!(world.post(&first, &many), "ok");
    let mut post = world.post_whole(&second, "4b");
    assert_eq!(post.said(), "waits", "of another session, which has said nothing");
    let mut third = world.begin_post(&first);
    assert_eq!(world.finish_post(&first, &mut third, "4c"), "waits");
    app.hears();
    world.pass(Duration::from_millis(150));
    assert_eq!(post.said(), "waits");
    world.pass(Duration::from_millis(1_000));
    assert_eq!((post.said(), app.hears()), ("ok".into(), vec![format!("{}: b", second.number.0)]));
    assert_eq!(world.finish_post(&first, &mut third, "4c"), "ok");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.post(&first, "4d"), "ok");
}

#[test]
fn a_post_of_many_messages_takes_many_turns() {
    let mut world = messages(50);
    let app = world.app("a");
    let (flooder, quiet) = (world.polling(&app), [world.websocket(&app)]);
    let many = vec!["4a"; 1_500].join("\x1e");
    let mut post = world.post_whole(&flooder, &many);
    world.pass(Duration::from_secs(3));
    heard(&app, &quiet);
    for round in 0..10 {
        world.client_says(&quiet[0], "4q");
        world.pass(Duration::from_millis(300));
        assert_eq!(heard(&app, &quiet), [1], "round {round}");
    }
    assert_eq!(post.said(), "waits");
    world.pass(Duration::from_secs(30));
    assert_eq!(post.said(), "ok");
}

#[test]
fn nobody_is_blamed_for_silence_nor_closed_for_the_hub() {
    let mut world = world(|limits| {
        limits.hub_messages_per_second = Some(5);
        limits.session_messages_per_second = Some(1_000);
        limits.session_flood_wait = Duration::from_millis(100);
    });
    let app = world.app("a");
    let clients: Vec<Client> = (0..20).map(|_| world.websocket(&app)).collect();
    clients.iter().for_each(floods);
    // The answers to the pings come behind all of these.
    world.pass(Duration::from_secs(120));
    assert_eq!((world.sessions("websocket"), world.closed(CloseReason::Flooded)), (20, 0));
    let shares = heard(&app, &clients);
    assert!(shares.iter().all(|one| *one > 10), "{shares:?}");
}

#[test]
fn those_that_go_while_they_wait_leave_their_turn_to_the_others() {
    let mut world = messages(50);
    let app = world.app("a");
    let clients: Vec<Client> = (0..6).map(|_| world.websocket(&app)).collect();
    clients.iter().for_each(floods);
    world.pass(Duration::from_secs(3));
    for client in &clients[..5] {
        world.app_closes(&app, client.number);
    }
    heard(&app, &clients);
    // New sessions in the same slots are not taken for those.
    let others: Vec<Client> = (0..5).map(|_| world.websocket(&app)).collect();
    others.iter().for_each(|client| client.writes("4new"));
    world.pass(Duration::from_secs(2));
    let words = app.hears();
    assert_eq!(words.iter().filter(|word| word.ends_with(": new")).count(), 5, "{words:?}");
    world.pass(Duration::from_secs(20));
    let rest = heard(&app, &clients[5..]);
    assert!((900..=1_060).contains(&rest[0]), "it has the hub for itself: {rest:?}");
}

#[test]
fn a_changed_limit_counts_at_once_and_without_one_nobody_waits() {
    let mut world = messages(10);
    let app = world.app("a");
    let clients = [world.websocket(&app), world.websocket(&app)];
    clients.iter().for_each(floods);
    world.pass(Duration::from_secs(5));
    heard(&app, &clients);
    world.has_hub_limits(HubLimits { messages_per_second: Some(200), ..HubLimits::default() });
    world.pass(Duration::from_secs(2));
    let all: usize = heard(&app, &clients).iter().sum();
    assert!((700..=900).contains(&all), "a burst and two seconds: {all}");
    world.has_hub_limits(HubLimits::default());
    world.pass(Duration::from_millis(10));
    assert!(clients.iter().all(|client| client.wire.unread_bytes() == 0));
    assert_eq!((world.shard.flows.waiting(), world.hub.flow.waiting()), (0, 0));
    assert_eq!(world.shard.flows.next(), None);
}

#[test]
fn each_shard_takes_the_part_of_the_rate_that_its_sessions_are() {
    let mut one = World::of_shard((0, 2), |limits, _| limits.hub_messages_per_second = Some(100));
    one.set_checked(false);
    let mut other = one.beside(1);
    let app_of_one = one.app("a");
    let few = [one.websocket(&app_of_one)];
    app_of_one.trunk.set_draining();
    let app_of_other = other.app("b");
    let many: Vec<Client> = (0..4).map(|_| other.websocket(&app_of_other)).collect();
    few.iter().chain(&many).for_each(floods);
    let mut pass = |time: u64| {
        for _ in 0..time {
            one.pass(Duration::from_millis(1));
            other.pass(Duration::from_millis(1));
        }
    };
    pass(4_000);
    heard(&app_of_one, &few);
    heard(&app_of_other, &many);
    pass(10_000);
    let shares = [heard(&app_of_one, &few), heard(&app_of_other, &many)].concat();
    let all: usize = shares.iter().sum();
    assert!((950..=1_050).contains(&all), "ten seconds: {all}");
    assert!(shares.iter().all(|share| (160..=240).contains(share)), "{shares:?}");
}

#[test]
fn those_that_wait_go_on_after_a_pause_of_the_whole_node() {
    let mut world = messages(10);
    let app = world.app("a");
    let clients: Vec<Client> = (0..3).map(|_| world.websocket(&app)).collect();
    clients[..2].iter().for_each(|client| (0..40).for_each(|_| client.writes("4a")));
    world.pass(Duration::from_millis(10));
    assert_eq!(world.shard.flows.waiting(), 2);
    world.now = world.now + Duration::from_secs(10);
    // The bytes of another are read before anything that is due.
    world.client_says(&clients[2], "4b");
    world.pass(Duration::from_secs(8));
    assert!(clients.iter().all(|client| client.wire.unread_bytes() == 0));
    assert_eq!(world.hub.flow.waiting(), 0);
}

#[test]
fn of_a_thousand_that_flood_and_go_nothing_is_remembered() {
    let mut world = messages(1_000);
    let app = world.app("a");
    let clients = world.many(&app, 1_000);
    world.set_checked(false);
    for client in &clients {
        (0..100).for_each(|_| client.writes("4a"));
    }
    world.pass(Duration::from_secs(5));
    assert!(world.shard.flows.waiting() > 900 && world.shard.flows.remembered() > 20);
    for client in &clients {
        world.client_ends(client);
        world.app_says(&app, [close(client.number, WireReason::AppClosed)]);
    }
    world.pass(Duration::from_secs(60));
    app.hears();
    world.set_checked(true);
    let last = world.websocket(&app);
    world.client_says(&last, "4b");
    assert_eq!((world.shard.flows.waiting(), world.shard.flows.remembered()), (0, 0));
    assert_eq!(world.hub.flow.waiting(), 0);
}
