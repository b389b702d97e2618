//! Broadcasts to very many sessions: flushed slice by slice, with other sessions served in between,
//! and in order for each session.

use trunkline_trunk::Frame;

use super::app::{broadcast, broadcast_of, send, send_volatile};
use super::world::World;
use crate::shard::backlog::SLICE;

const MANY: usize = 3 * SLICE;

#[test]
fn a_broadcast_is_flushed_a_slice_at_a_time() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, MANY);
    let reached = |clients: &[super::client::Client]| {
        clients.iter().filter(|client| client.reads() == ["4news"]).count()
    };
    world.app_says_first(&app, vec![broadcast(&[], "news")]);
    assert_eq!(reached(&clients), 0, "who is spoken to alone comes before very many");
    for _ in 0..MANY / SLICE {
        world.take_one_turn();
        assert_eq!(reached(&clients), SLICE);
    }
    world.run();
    assert_eq!(reached(&clients), 0, "nobody got it twice");
    assert!(world.env.metrics.flush_slices.get() >= 3);
}

#[test]
fn a_few_are_flushed_in_the_same_turn() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, 3);
    world.app_says_first(&app, vec![broadcast(&[], "news")]);
    assert!(clients.iter().all(|client| client.reads() == ["4news"]));
}

#[test]
fn who_is_spoken_to_meanwhile_gets_all_of_it_in_order_and_at_once() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, MANY);
    world.app_says_first(&app, vec![broadcast(&[], "news")]);
    let last = clients.last().expect("many");
    world.app_says_first(&app, vec![send(last.number, "and you")]);
    assert_eq!(last.reads(), ["4news", "4and you"]);
    world.run();
    assert!(last.reads().is_empty());
}

#[test]
fn broadcasts_one_after_another_keep_their_order() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, MANY);
    world.app_says_first(&app, vec![broadcast(&[], "1"), broadcast(&[], "2")]);
    world.take_one_turn();
    world.app_says_first(&app, vec![broadcast(&[], "3")]);
    world.run();
    assert!(clients.iter().all(|client| client.reads() == ["41", "42", "43"]));
}

#[test]
fn a_session_that_ends_meanwhile_has_no_place_any_more() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, MANY);
    world.app_says_first(&app, vec![broadcast(&[], "news")]);
    clients[MANY - 1].wire.client_ends();
    world.app_says_first(
        &app,
        vec![Frame::Close {
            session: clients[MANY - 2].number,
            reason: trunkline_trunk::CloseReason::AppClosed.into(),
            description: "".into(),
        }],
    );
    world.run();
    assert_eq!(clients[MANY - 2].reads(), ["4news", "close"], "what was sent before comes first");
    assert_eq!(world.sessions("websocket"), i64::try_from(MANY).expect("few") - 2);
}

#[test]
fn others_having_their_turns_is_no_reason_to_drop_what_may_be_dropped() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, MANY);
    world.app_says_first(&app, vec![broadcast(&[], "news")]);
    let last = clients.last().expect("many");
    world.app_says_first(&app, vec![send_volatile(last.number, "maybe")]);
    assert_eq!(last.reads(), ["4news", "4maybe"]);
    assert_eq!(world.env.metrics.volatile_dropped.get(), 0);
    world.run();
}

#[test]
fn who_takes_very_much_lets_others_have_their_turns() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, 2);
    let part = "x".repeat(200_000);
    let frames = (0..40).map(|_| send(clients[0].number, &part)).collect();
    world.app_says_first(&app, frames);
    let first = clients[0].reads().len();
    assert!((1..40).contains(&first), "a turn's share: {first} of 40");
    world.app_says_first(&app, vec![send(clients[1].number, "short")]);
    assert_eq!(clients[1].reads(), ["4short"]);
    world.run();
    assert_eq!(first + clients[0].reads().len(), 40);
}

#[test]
fn a_broadcast_leaves_out_whom_it_excepts() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = world.many(&app, 3);
    let but = Frame::Broadcast(broadcast_of(&[], &["s1"], "not you"));
    world.app_says(&app, [but]);
    let reached: Vec<_> = clients.iter().map(|client| client.reads().len()).collect();
    assert_eq!(reached, [1, 0, 1]);
}
