//! Sessions without an app server: what still works for their clients, and how they end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::{Found, Frame, Position, Reattach};
use trunkline_websocket::Opcode;

use super::super::app::{accept, broadcast, broadcast_of, send};
use super::super::client::{Client, frame};
use super::super::wire::Wire;
use super::super::world::World;
use super::{App, attaches, state, world, world_with};
use crate::shard::command::{Answer, Command};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn heartbeats_go_on_and_the_clients_answers_are_not_missed() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_goes(&old);
    world.pass(Duration::from_secs(26));
    assert_eq!(client.reads(), ["2"]);
    world.client_says(&client, "3");
    world.pass(3 * SECOND);
    let new = world.numbering_app("new");
    world.pass(SECOND);
    world.takes_over_one(&new);
    world.pass(Duration::from_secs(21));
    assert_eq!(world.sessions("websocket"), 1, "its pong was read");
}

#[test]
fn a_client_is_not_blamed_for_a_pong_that_waits_for_the_new_app_servers_answer() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_goes(&old);
    world.pass(Duration::from_millis(25_500));
    assert_eq!(client.reads(), ["2"]);
    world.client_says(&client, "3");
    let new = world.numbering_app("new");
    let adopt = new.adopt();
    world.pass(Duration::from_millis(19_900));
    world.takes_over(&new, &adopt);
    world.pass(SECOND);
    assert_eq!((world.sessions("websocket"), world.closed(CloseReason::PingTimeout)), (1, 0));
}

#[test]
fn a_broadcast_for_one_app_servers_own_sockets_is_for_none_that_waits() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_goes(&old);
    // The same process again, whose sockets are gone with its last trunk.
    world.own.rehome = false;
    let same = world.numbering_app("old");
    let mut local = broadcast_of(&[], &[], "local");
    local.flags.local = true;
    world.app_says(&same, [Frame::Broadcast(local), broadcast(&[], "for all")]);
    assert_eq!(client.reads(), ["4for all"]);
}

#[test]
fn a_post_waits_for_the_new_app_server_and_a_poll_is_held() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    world.app_goes(&old);
    let mut poll = world.poll(&client);
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4hello"), "waits");
    let other = {
        world.own.rehome = false;
        world.numbering_app("other")
    };
    world.app_says(&other, [broadcast(&[], "news")]);
    assert_eq!(poll.said(), "4news");
    world.own.rehome = true;
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(world.finish_post(&client, &mut post, "4hello"), "ok");
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
}

#[test]
fn a_post_whose_body_comes_after_the_loss_is_answered_by_the_new_app_server() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    let (mut post, lost) = (world.begin_post(&client), old.batch());
    // A message of an earlier post that the app server has not begun.
    let remains = crate::hub::Remains {
        doubtful: Vec::new(),
        unbegun: vec![lost],
        ..crate::hub::Remains::default()
    };
    world.app_dies(&old, remains);
    assert_eq!(world.finish_post(&client, &mut post, "4hello"), "waits");
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(post.said(), "ok");
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
}

#[test]
fn a_post_is_no_second_one_because_messages_were_given_back() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    assert_eq!(world.post(&client, "4first"), "ok");
    let unbegun = vec![old.batch()];
    let mut post = world.begin_post(&client);
    world.app_dies(
        &old,
        crate::hub::Remains { doubtful: Vec::new(), unbegun, ..crate::hub::Remains::default() },
    );
    assert_eq!(world.finish_post(&client, &mut post, "4second"), "waits");
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(post.said(), "ok");
    let number = client.number.0;
    assert_eq!(new.hears(), [format!("{number}: first"), format!("{number}: second")]);
}

#[test]
fn posts_that_waited_for_the_old_app_servers_credit_go_along() {
    let mut world = world();
    let old = world.app_with_credit("old", 1);
    world.app_says(&old, [Frame::Number { next: 1 }]);
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    assert_eq!(world.post(&client, "4first"), "ok");
    let unbegun = vec![old.batch()];
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4second"), "waits");
    world.app_dies(
        &old,
        crate::hub::Remains { doubtful: Vec::new(), unbegun, ..crate::hub::Remains::default() },
    );
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(world.finish_post(&client, &mut post, "4second"), "ok");
    let number = client.number.0;
    assert_eq!(new.hears(), [format!("{number}: first"), format!("{number}: second")]);
}

#[test]
fn a_client_that_leaves_meanwhile_can_return_with_everything_that_it_had() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red"]);
    world.app_records(&old, "o1", &[], "seen");
    world.app_goes(&old);
    world.client_ends(&client);
    assert_eq!((world.sessions("websocket"), world.waiting(), world.slots()), (0, 0, 0));
    assert_eq!(world.rehomed("orphan", "ended"), 1);
    let new = world.numbering_app("new");
    world.app_records(&new, "o2", &["red"], "missed");
    assert_eq!(world.hub.keeper_of("p-s"), Some(0), "every app server finds it");
    let restored = world.restore(&new, "p-s", "o1");
    assert_eq!(
        (restored.found, &*restored.socket, &*restored.data),
        (Found::Yes, "s", &b"state"[..])
    );
    assert_eq!(restored.rooms, [trunkline_trunk::Str::from("red")]);
    assert_eq!(super::super::recovery::missed(&restored), ["missed"]);
}

#[test]
fn last_words_before_a_clients_end_still_reach_the_next_app_server() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_goes(&old);
    client.writes("4goodbye");
    client.wire.client_writes(&frame(Opcode::Close, &[]));
    world.client_ends(&client);
    assert_eq!(world.waiting(), 1);
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    let number = client.number.0;
    assert_eq!(new.hears(), [format!("{number}: goodbye"), format!("close {number} ClientClosed")]);
}

#[test]
fn a_client_that_leaves_during_the_adoption_is_the_new_app_servers_to_end() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    world.app_says_all(&new, attaches(&adopt));
    world.client_ends(&client);
    assert_eq!(new.hears(), [format!("close {} ClientClosed", client.number.0)]);
    assert_eq!(
        world.restore(&new, "p-s", "o1").found,
        Found::Yes,
        "in case it has kept nothing yet"
    );
    world.app_says(&new, [accept(adopt.session)]);
    world.app_closes(&new, adopt.session);
    assert_eq!((world.slots(), world.waiting()), (0, 0));
}

#[test]
fn who_has_waited_long_enough_is_closed_at_the_pace_of_orphans_and_can_return() {
    let mut world = world_with(|limits| {
        limits.home_wait = 10 * SECOND;
        limits.orphan_close_per_second = 40;
    });
    let old = world.numbering_app("old");
    let clients: Vec<_> = (0..4).map(|n| world.settled(&old, &format!("s{n}"), &[])).collect();
    world.app_records(&old, "o1", &[], "seen");
    world.app_goes(&old);
    world.pass(10 * SECOND - Duration::from_millis(60));
    assert_eq!(world.sessions("websocket"), 4);
    world.pass(Duration::from_millis(70));
    assert_eq!(world.sessions("websocket"), 2);
    world.pass(SECOND);
    assert_eq!((world.sessions("websocket"), world.waiting(), world.slots()), (0, 0, 0));
    assert_eq!(world.closed(CloseReason::AppServerLost), 4);
    assert_eq!(world.rehomed("orphan", "no_home"), 4);
    assert_eq!(clients[3].reads().last().map(String::as_str), Some("close"));
    let new = world.numbering_app("new");
    assert_eq!(world.restore(&new, "p-s3", "o1").found, Found::Yes);
}

/// The sessions that an app server is asked to take over while this time passes, all of which it
/// takes.
fn taken_over_in(world: &mut World, app: &App, steps: u32) -> usize {
    let mut count = 0;
    for _ in 0..steps {
        world.pass(Duration::from_millis(50));
        for adopt in app.adopts() {
            world.takes_over(app, &adopt);
            count += 1;
        }
    }
    count
}

#[test]
fn nobody_is_closed_while_there_is_an_app_server_and_only_its_turn_is_to_be_waited_for() {
    for home_wait in [Duration::ZERO, Duration::from_millis(200)] {
        let mut world = world_with(|limits| {
            limits.home_wait = home_wait;
            limits.rehome_per_second = 20;
        });
        let old = world.numbering_app("old");
        let clients: Vec<_> = (0..40).map(|n| world.settled(&old, &format!("s{n}"), &[])).collect();
        let new = world.numbering_app("new");
        world.app_goes(&old);
        assert_eq!(taken_over_in(&mut world, &new, 60), 40);
        assert_eq!((world.rehomed("orphan", "no_home"), world.waiting()), (0, 0));
        assert!(clients.iter().all(|client| client.reads().is_empty()));
    }
}

#[test]
fn the_wait_begins_again_when_the_last_app_server_that_could_is_gone() {
    let mut world = world_with(|limits| {
        limits.home_wait = 10 * SECOND;
        limits.rehome_per_second = 1;
    });
    let old = world.numbering_app("old");
    for n in 0..30 {
        world.settled(&old, &format!("s{n}"), &[]);
    }
    let new = world.numbering_app("new");
    world.app_goes(&old);
    // Longer than the wait.
    assert_eq!(taken_over_in(&mut world, &new, 20 * 15), 15);
    new.trunk.set_draining();
    world.pass(8 * SECOND);
    assert_eq!((world.rehomed("orphan", "no_home"), world.waiting()), (0, 15));
    world.pass(3 * SECOND);
    assert_eq!((world.rehomed("orphan", "no_home"), world.waiting()), (15, 0));
}

#[test]
fn who_was_about_to_be_closed_and_has_a_home_again_is_not() {
    let mut world = world_with(|limits| {
        limits.home_wait = 10 * SECOND;
        limits.orphan_close_per_second = 1;
        limits.rehome_per_second = 1;
    });
    let old = world.numbering_app("old");
    for n in 0..10 {
        world.settled(&old, &format!("s{n}"), &[]);
    }
    world.app_goes(&old);
    // The first few are closed; the others are about to be.
    world.pass(13 * SECOND);
    let closed = world.rehomed("orphan", "no_home");
    assert!((1..6).contains(&closed), "{closed}");
    let new = world.numbering_app("new");
    let left = usize::try_from(world.waiting()).unwrap();
    assert_eq!(taken_over_in(&mut world, &new, 20 * 14), left);
    assert_eq!(world.rehomed("orphan", "no_home"), closed);
    assert_eq!(world.waiting(), 0);
}

#[test]
fn a_drain_of_the_node_ends_sessions_that_wait_like_all_others() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_goes(&old);
    world.env.directory.draining.store(true, Ordering::Relaxed);
    world.tell(Command::Drain(SECOND));
    world.pass(2 * SECOND);
    assert_eq!(
        (world.closed(CloseReason::NodeShutdown), world.waiting(), world.slots()),
        (1, 0, 0)
    );
    assert_eq!(client.reads().last().map(String::as_str), Some("close"));
}

#[test]
fn memory_pressure_closes_a_session_that_waits_and_holds_much() {
    let mut world = world_with(|limits| limits.memory_bytes_max = Some(1_000_000));
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    world.client_takes(&client, Some(0));
    world.app_says(&old, [send(client.number, &"x".repeat(300_000))]);
    world.app_goes(&old);
    world.set_heap_bytes(2_000_000);
    world.pass(2 * SECOND);
    world.set_heap_bytes(0);
    assert_eq!((world.closed(CloseReason::MemoryFull), world.waiting(), world.slots()), (1, 0, 0));
    let new = world.numbering_app("new");
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::Yes);
}

#[test]
fn marks_of_the_old_app_server_are_not_answered_to_the_new_one() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.client_takes(&client, Some(0));
    let session = client.number;
    world.app_says(&old, [send(session, "first")]);
    world.app_says(&old, [send(session, "waits"), Frame::Mark { session, mark: 7, now: false }]);
    assert!(old.hears().is_empty());
    let new = world.numbering_app("new");
    world.app_goes(&old);
    world.takes_over_one(&new);
    world.client_takes(&client, None);
    assert_eq!(client.reads(), ["4first", "4waits"]);
    assert!(new.hears().is_empty());
}

#[test]
fn a_socket_that_had_returned_keeps_its_place_in_the_log_with_its_next_app_server() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.websocket(&old);
    // Its last packets came from another shard, whose offsets mean nothing here.
    let reattach = Reattach {
        session: client.number,
        nsp: super::MAIN,
        socket: "s".into(),
        rooms: Vec::new(),
        pid: super::pid("s"),
        log: "another".into(),
        last: "o9".into(),
        cut: vec![Position { server: "old".into(), number: 0 }],
    };
    world.app_says(&old, [Frame::Reattach(Box::new(reattach))]);
    world.app_says(&old, [state(client.number, "s", "state")]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    world.takes_over_one(&new);
    world.app_records(&new, "o10", &[], "missed by none");
    world.client_takes(&client, Some(0));
    world.app_goes(&new);
    world.client_ends(&client);
    let third = world.numbering_app("third");
    let restored = world.restore(&third, "p-s", "o9");
    assert_eq!(restored.found, Found::Yes);
    assert_eq!(super::super::recovery::missed(&restored), ["missed by none"]);
}

#[test]
fn a_websocket_that_was_promised_before_the_loss_is_used_after_it() {
    let mut world = world();
    let old = world.numbering_app("old");
    let mut handshake = world.handshake(trunkline_engineio::TransportKind::WebSocket);
    let (number, sid) = old.newcomer();
    world.app_accepts(&old, number);
    let attach =
        Frame::Attach { session: number, nsp: super::MAIN, socket: "s".into(), rooms: Vec::new() };
    world.app_says(&old, [attach, state(number, "s", "state")]);
    world.app_goes(&old);
    let Ok(Answer::Switch { key, .. }) = handshake.answer.try_recv() else { panic!("no promise") };
    let wire = Wire::default();
    // Bytes that came right after the handshake.
    let stream = world.adopted(&wire, &frame(Opcode::Text, b"4early"));
    world.tell(Command::Adopt { key, stream });
    let client = Client::new(key, number, sid, wire);
    world.client_says(&client, "4hello");
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    let number = number.0;
    assert_eq!(new.hears(), [format!("{number}: early"), format!("{number}: hello")]);
}

#[test]
fn sessions_that_wait_and_what_they_share_leave_nothing_behind() {
    let mut world = world();
    let old = world.numbering_app("old");
    let clients: Vec<_> = (0..3).map(|n| world.settled(&old, &format!("s{n}"), &[])).collect();
    world.app_goes(&old);
    world.client_ends(&clients[0]);
    let new = world.numbering_app("new");
    world.pass(SECOND);
    for adopt in new.adopts() {
        world.takes_over(&new, &adopt);
    }
    world.client_ends(&clients[1]);
    world.app_closes(&new, clients[1].number);
    world.app_closes(&new, clients[2].number);
    assert_eq!((world.slots(), world.shard.interner.uses()), (0, 0));
    world.pass(60 * SECOND);
    let homes = &world.shard.homes;
    assert!(homes.hubs.is_empty() && homes.asked.is_empty());
    assert_eq!(homes.next_at, None);
}
