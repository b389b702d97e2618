//! App servers that hand their sessions over: nothing is lost, doubled or out of order.

use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::CloseReason;
use trunkline_trunk::{
    CloseReason as WireReason, Found, Frame, Origin, Persist, StandingFlags, Str,
};

use super::super::app::{MAIN, broadcast, close, send};
use super::super::client::Client;
use super::super::world::World;
use super::{App, leaves, owes, standing, state, world};

const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// Lets the app server ask to hand a session over.
    fn asks_to_hand_over(&mut self, app: &App, client: &Client) {
        app.trunk.set_draining();
        self.app_says(app, [standing(client, leaves())]);
    }

    fn hands_over(&mut self, app: &App, client: &Client) {
        self.app_says(app, [close(client.number, WireReason::HandedOver)]);
    }
}

#[test]
fn a_session_goes_from_an_app_server_that_leaves_to_another_one() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red"]);
    let new = world.numbering_app("new");
    world.asks_to_hand_over(&old, &client);
    assert_eq!(old.hears(), [format!("close {} HandedOver", client.number.0)]);
    assert_eq!(world.waiting(), 0, "it is still there");
    world.app_says(
        &old,
        [
            send(client.number, "goodbye"),
            state(client.number, "s", "fresh"),
            close(client.number, WireReason::HandedOver),
        ],
    );
    assert_eq!((world.waiting(), old.trunk.sessions()), (1, 0));
    let adopt = world.takes_over_one(&new);
    assert_eq!((adopt.origin, &*adopt.sockets[0].state), (Origin::HandedOver, &b"fresh"[..]));
    assert_eq!(world.rehomed("handed_over", "adopted"), 1);
    world.app_says(&new, [broadcast(&["red"], "to the room")]);
    assert_eq!(client.reads(), ["4goodbye", "4to the room"]);
    assert!(old.hears().is_empty(), "no second close");
    world.app_goes(&old);
    assert_eq!(world.sessions("websocket"), 1);
}

#[test]
fn messages_before_the_nodes_close_are_the_old_app_servers_and_later_ones_the_new_ones() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.client_says(&client, "4one");
    world.asks_to_hand_over(&old, &client);
    world.client_says(&client, "4two");
    let number = client.number.0;
    assert_eq!(old.hears(), [format!("{number}: one"), format!("close {number} HandedOver")]);
    world.hands_over(&old, &client);
    world.client_says(&client, "4three");
    world.takes_over_one(&new);
    world.client_says(&client, "4four");
    assert_eq!(new.hears(), ["two", "three", "four"].map(|text| format!("{number}: {text}")));
}

#[test]
fn what_was_held_for_want_of_credit_goes_to_the_new_app_server() {
    let mut world = world();
    let old = world.app_with_credit("old", 1);
    world.app_says(&old, [Frame::Number { next: 1 }]);
    let client = world.settled(&old, "s", &[]);
    for text in ["one", "two", "three"] {
        client.writes(&format!("4{text}"));
    }
    world.run();
    world.asks_to_hand_over(&old, &client);
    let number = client.number.0;
    assert_eq!(old.hears(), [format!("{number}: one"), format!("close {number} HandedOver")]);
    world.app_grants(&old, 1_000);
    assert!(old.hears().is_empty(), "it is about to go");
    world.hands_over(&old, &client);
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(new.hears(), [format!("{number}: two"), format!("{number}: three")]);
}

#[test]
fn posts_and_polls_of_a_session_that_is_handed_over_wait_for_the_new_app_server() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    let new = world.numbering_app("new");
    world.asks_to_hand_over(&old, &client);
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4hello"), "waits");
    let mut poll = world.poll(&client);
    world.app_says(&old, [send(client.number, "goodbye")]);
    assert_eq!(poll.said(), "4goodbye");
    world.hands_over(&old, &client);
    world.takes_over_one(&new);
    assert_eq!(world.finish_post(&client, &mut post, "4hello"), "ok");
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
}

#[test]
fn a_post_that_waits_for_credit_goes_along() {
    let mut world = world();
    let old = world.app_with_credit("old", 1);
    world.app_says(&old, [Frame::Number { next: 1 }]);
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    assert_eq!(world.post(&client, "4first"), "ok");
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4second"), "waits");
    world.asks_to_hand_over(&old, &client);
    let number = client.number.0;
    assert_eq!(old.hears(), [format!("{number}: first"), format!("close {number} HandedOver")]);
    world.hands_over(&old, &client);
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(world.finish_post(&client, &mut post, "4second"), "ok");
    assert_eq!(new.hears(), [format!("{number}: second")]);
}

#[test]
fn a_session_that_nobody_could_take_over_is_not_asked_for() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.websocket(&old);
    world.app_attaches(&old, &client, "s", &[]);
    world.asks_to_hand_over(&old, &client);
    assert!(old.hears().is_empty());
    world.client_says(&client, "4hello");
    assert_eq!(old.hears(), [format!("{}: hello", client.number.0)]);
    world.app_says(&old, [state(client.number, "s", "state")]);
    assert_eq!(old.hears(), [format!("close {} HandedOver", client.number.0)], "now it could");
}

#[test]
fn a_client_that_goes_while_its_session_is_handed_over_can_return() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    let new = world.numbering_app("new");
    world.asks_to_hand_over(&old, &client);
    world.client_ends(&client);
    assert_eq!(old.hears(), [format!("close {} HandedOver", client.number.0)], "and no other");
    assert_eq!((world.sessions("websocket"), world.slots()), (0, 1));
    world.app_says(
        &old,
        [
            send(client.number, "into the void"),
            state(client.number, "s", "fresh"),
            close(client.number, WireReason::HandedOver),
        ],
    );
    assert_eq!((world.slots(), world.waiting()), (0, 0));
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::Yes);
}

#[test]
fn a_session_that_is_closed_after_all_ends_as_ever() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.asks_to_hand_over(&old, &client);
    world.app_says(&old, [close(client.number, WireReason::AppShutdown)]);
    assert_eq!(world.closed(CloseReason::ServerShuttingDown), 1);
    assert_eq!((world.slots(), world.waiting(), new.hears().len()), (0, 0, 0));
    assert_eq!(client.reads().last().map(String::as_str), Some("close"));
}

#[test]
fn an_app_server_that_dies_while_it_hands_over_loses_nothing() {
    let mut world = world();
    let old = world.numbering_app("old");
    let (clean, owing) = (world.settled(&old, "s", &[]), world.settled(&old, "t", &[]));
    world.asks_to_hand_over(&old, &clean);
    world.asks_to_hand_over(&old, &owing);
    world.app_says(&old, [standing(&owing, owes())]);
    world.client_says(&clean, "4hello");
    world.app_goes(&old);
    assert_eq!((world.waiting(), world.rehomed("orphan", "in_doubt")), (1, 1));
    let new = world.numbering_app("new");
    let adopt = world.takes_over_one(&new);
    assert_eq!((adopt.session, adopt.origin), (clean.number, Origin::Orphan));
    assert_eq!(new.hears(), [format!("{}: hello", clean.number.0)]);
}

#[test]
fn a_session_may_be_handed_over_again_and_again() {
    let mut world = world();
    let mut here = world.numbering_app("first");
    let client = world.settled(&here, "s", &["red"]);
    for name in ["second", "third", "fourth"] {
        let next = world.numbering_app(name);
        world.asks_to_hand_over(&here, &client);
        world.client_says(&client, &format!("4{name}"));
        world.hands_over(&here, &client);
        world.takes_over_one(&next);
        assert_eq!(next.hears(), [format!("{}: {name}", client.number.0)]);
        here = next;
    }
    assert_eq!(world.rehomed("handed_over", "adopted"), 3);
}

#[test]
fn the_only_app_server_may_leave_and_come_back() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.asks_to_hand_over(&old, &client);
    world.hands_over(&old, &client);
    world.app_goes(&old);
    world.client_says(&client, "4meanwhile");
    world.pass(5 * SECOND);
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(new.hears(), [format!("{}: meanwhile", client.number.0)]);
}

#[test]
fn an_app_server_that_wants_to_leave_when_it_has_just_taken_over_may() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let second = world.numbering_app("second");
    world.app_goes(&old);
    let adopt = second.adopt();
    second.trunk.set_draining();
    let mut frames = super::attaches(&adopt);
    frames.push(standing(&client, leaves()));
    world.app_says_all(&second, frames);
    assert!(second.hears().is_empty());
    world.app_accepts(&second, adopt.session);
    assert_eq!(second.hears(), [format!("close {} HandedOver", client.number.0)]);
    world.hands_over(&second, &client);
    let third = world.numbering_app("third");
    world.pass(SECOND);
    world.takes_over_one(&third);
}

#[test]
fn nothing_is_handed_over_while_only_app_servers_are_left_that_take_nothing_over() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.own.rehome = false;
    let other = world.numbering_app("other");
    world.asks_to_hand_over(&old, &client);
    assert!(old.hears().is_empty(), "so the app server ends it in order");
    world.client_says(&client, "4hello");
    assert_eq!(old.hears(), [format!("{}: hello", client.number.0)], "and has it until then");
    world.app_goes(&other);
    world.app_says(&old, [standing(&client, leaves())]);
    let agreed = [format!("close {} HandedOver", client.number.0)];
    assert_eq!(old.hears(), agreed, "one that takes it may come");
}

#[test]
fn sessions_that_are_left_to_the_end_of_the_trunk_are_closed_at_a_pace_and_can_return() {
    let mut world = super::world_with(|limits| limits.orphan_close_per_second = 20);
    let (old, new) = (world.numbering_app("old"), world.numbering_app("new"));
    new.trunk.set_draining();
    let clients: Vec<_> = (0..8).map(|n| world.settled(&old, &format!("s{n}"), &["red"])).collect();
    world.app_records(&old, "o1", &[], "seen");
    world.asks_to_hand_over(&old, &clients[0]);
    for (place, client) in clients.iter().enumerate() {
        let socket: Str = format!("s{place}").as_str().into();
        let session = client.number;
        let persist = Persist {
            session,
            nsp: MAIN,
            pid: super::pid(&socket),
            socket,
            rooms: vec!["red".into()],
            data: Bytes::from_static(b"last"),
        };
        let owed = standing(client, owes());
        let detach = Frame::Detach { session, nsp: MAIN };
        let settled = standing(client, StandingFlags::default());
        world.app_says(&old, [owed, detach, settled, Frame::Persist(Box::new(persist))]);
    }
    world.app_goes(&old);
    assert_eq!((world.waiting(), world.sessions("websocket")), (0, 7), "no other one gets them");
    world.pass(Duration::from_millis(100));
    assert_eq!(world.sessions("websocket"), 5);
    world.pass(SECOND);
    assert_eq!(world.closed(CloseReason::ServerShuttingDown), 8, "none of them is in doubt");
    let restored = world.restore(&new, "p-s0", "o1");
    assert_eq!((restored.found, &*restored.data), (Found::Yes, &b"last"[..]));
    assert_eq!(restored.rooms, [Str::from("red")]);
}

#[test]
fn a_post_of_an_earlier_session_is_not_taken_along() {
    let mut world = world();
    let old = world.app_with_credit("old", 1);
    world.app_says(&old, [Frame::Number { next: 1 }]);
    let gone = world.polling(&old);
    assert_eq!(world.post(&gone, "4first"), "ok");
    let mut stale = world.begin_post(&gone);
    assert_eq!(world.finish_post(&gone, &mut stale, "4stale"), "waits");
    let mut poll = world.poll(&gone);
    world.app_says(&old, [close(gone.number, WireReason::AppClosed)]);
    assert_eq!(poll.said(), "1");
    old.frames();
    let client = world.polling(&old);
    assert_eq!(client.key.slot, gone.key.slot);
    world.settle(&old, &client, "s", &[]);
    world.app_goes(&old);
    assert_eq!(world.finish_post(&gone, &mut stale, "4stale"), "refused UnknownSid");
    let mut post = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut post, "4hello"), "waits");
    let new = world.numbering_app("new");
    world.takes_over_one(&new);
    assert_eq!(world.finish_post(&client, &mut post, "4hello"), "ok");
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
}
