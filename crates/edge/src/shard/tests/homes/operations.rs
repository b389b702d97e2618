//! Operations of other app servers on the sockets of sessions between two app servers.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::{CloseReason as WireReason, Found, Frame, Operate, Operation, Str};

use super::super::app::{accept, broadcast, close};
use super::super::client::Client;
use super::super::world::World;
use super::{App, attaches, leaves, standing, state};
use crate::hub::Remains;
use crate::shard::slot::Slot;

/// A world whose SDKs send and take operations.
fn world() -> World {
    let mut world = super::world();
    world.own.operates = true;
    world
}

fn operate(op: Operation, rooms: &[&str], except: &[&str], args: &[&str]) -> Frame {
    let names = |names: &[&str]| names.iter().map(|name| Str::from(*name)).collect();
    let (rooms, except, args) = (names(rooms), names(except), names(args));
    Frame::Operate(Box::new(Operate { nsp: "/".into(), op, rooms, except, args }))
}

fn join(rooms: &[&str], to: &str) -> Frame {
    operate(Operation::Join, rooms, &[], &[to])
}

/// The rooms of the only socket that the app server is asked to take over.
fn rooms(app: &App) -> Vec<String> {
    let mut adopt = app.adopt();
    adopt.sockets.remove(0).rooms.iter().map(|room| room.as_str().to_owned()).collect()
}

impl World {
    /// Lets the app server ask to hand a session over, which the node agrees to.
    fn begins_to_leave(&mut self, app: &App, client: &Client) {
        app.trunk.set_draining();
        self.app_says(app, [standing(client, leaves())]);
        assert_eq!(app.hears(), [format!("close {} HandedOver", client.number.0)]);
    }

    /// App servers that go on operating, but take no sessions over.
    fn operator(&mut self) -> App {
        let rehomes = std::mem::replace(&mut self.own.rehome, false);
        let app = self.numbering_app("operator");
        self.own.rehome = rehomes;
        app.trunk.set_draining();
        app
    }
}

#[test]
fn rooms_of_sockets_that_wait_change_at_once_and_the_next_app_server_is_told_them() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let red = world.settled(&old, "r", &["red"]);
    let blue = world.settled(&old, "b", &["blue"]);
    world.app_goes(&old);
    let all = operate(Operation::Join, &[], &["blue"], &["all but blue"]);
    let gone = operate(Operation::Leave, &["red"], &[], &["red"]);
    world.app_says(&other, [join(&["red", "blue"], "green"), all, gone]);
    for room in ["green", "all but blue", "red"] {
        world.app_says(&other, [broadcast(&[room], room)]);
    }
    assert_eq!(red.reads(), ["4green", "4all but blue"]);
    assert_eq!(blue.reads(), ["4green"]);
    red.writes("4first");
    world.run();
    let new = world.numbering_app("new");
    let mut adopts = new.adopts();
    adopts.sort_by_key(|adopt| adopt.session);
    let rooms: Vec<_> = adopts.iter().map(|adopt| &adopt.sockets[0].rooms[..]).collect();
    assert_eq!(rooms[0], [Str::from("all but blue"), "green".into()]);
    for adopt in adopts {
        world.takes_over(&new, &adopt);
    }
    assert_eq!(new.hears(), [format!("{}: first", red.number.0)], "nothing is left to tell");
}

#[test]
fn sockets_that_have_an_app_server_are_that_ones() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.numbering_app("other"));
    let waits = world.settled(&old, "w", &[]);
    other.trunk.set_draining();
    world.app_goes(&old);
    let third = world.numbering_app("third");
    world.pass(Duration::from_secs(1));
    let adopt = third.adopt();
    world.takes_over(&third, &adopt);
    let here = world.settled(&third, "h", &[]);
    world.app_says(&other, [join(&[], "green"), operate(Operation::Close, &[], &[], &[])]);
    world.app_says(&other, [broadcast(&["green"], "green"), broadcast(&[], "all")]);
    assert_eq!((waits.reads(), here.reads()), (vec!["4all".to_owned()], vec!["4all".to_owned()]));
    assert!(third.hears().is_empty());
}

#[test]
fn a_socket_to_disconnect_hears_nothing_more_and_the_next_app_server_disconnects_it() {
    for (op, told) in [(Operation::Disconnect, "Disconnect s:"), (Operation::Close, "Close s:")] {
        let mut world = world();
        let (old, other) = (world.numbering_app("old"), world.operator());
        let client = world.settled(&old, "s", &["red"]);
        world.app_goes(&old);
        client.writes("4meanwhile");
        world.run();
        world.app_says(&other, [operate(op, &["red"], &[], &[]), broadcast(&[], "late")]);
        world.app_says(&other, [operate(op, &[], &[], &[])]);
        let new = world.numbering_app("new");
        let adopt = new.adopt();
        let socket = &adopt.sockets[0];
        assert_eq!((&*socket.state, &socket.rooms[..]), (&b"state"[..], &[Str::from("red")][..]));
        world.takes_over(&new, &adopt);
        let message = format!("{}: meanwhile", client.number.0);
        assert_eq!(new.hears(), [told.to_owned(), message], "before what the client said");
        assert!(client.reads().is_empty());
    }
}

#[test]
fn who_is_to_be_disconnected_goes_before_the_others() {
    let mut world = super::world_with(|limits| limits.rehome_per_second = 1);
    world.own.operates = true;
    let (old, other) = (world.numbering_app("old"), world.operator());
    for number in 0..5 {
        world.settled(&old, &format!("s{number}"), &[]);
    }
    world.app_goes(&old);
    world.app_says(&other, [operate(Operation::Disconnect, &["s3"], &[], &[])]);
    let new = world.numbering_app("new");
    assert_eq!(new.adopt().sockets[0].socket.as_str(), "s3");
}

#[test]
fn a_socket_to_disconnect_is_not_kept_for_a_client_that_goes() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let (gone, stays) = (world.settled(&old, "s", &[]), world.settled(&old, "t", &[]));
    world.app_records(&old, "o1", &[], "seen");
    world.app_goes(&old);
    world.app_says(&other, [operate(Operation::Disconnect, &["s"], &[], &[])]);
    world.client_ends(&gone);
    world.client_ends(&stays);
    assert_eq!(world.restore(&other, "p-s", "o1").found, Found::No);
    assert_eq!(world.restore(&other, "p-t", "o1").found, Found::Yes);
}

#[test]
fn what_happens_while_an_app_server_takes_over_is_told_it_behind_its_answer() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let client = world.settled(&old, "s", &["red"]);
    world.app_goes(&old);
    client.writes("4meanwhile");
    world.run();
    let new = world.numbering_app("new");
    let adopt = new.adopt();
    let leave = operate(Operation::Leave, &["s"], &[], &["red"]);
    world.app_says(&other, [join(&["s"], "green"), leave]);
    world.app_says_all(&new, attaches(&adopt));
    world.app_says(&other, [broadcast(&["green"], "green"), broadcast(&["red"], "red")]);
    assert_eq!(client.reads(), ["4green"], "also behind the Attach with the former rooms");
    world.app_says(&other, [operate(Operation::Disconnect, &["green"], &[], &[])]);
    assert!(new.hears().is_empty(), "not before its answer");
    world.app_accepts(&new, adopt.session);
    let message = format!("{}: meanwhile", client.number.0);
    let told = ["Join s: green", "Leave s: red", "Disconnect s:", message.as_str()];
    assert_eq!(new.hears(), told);
}

#[test]
fn an_adoption_that_comes_to_nothing_takes_no_operation_along() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let (stays, ends) = (world.settled(&old, "s", &["red"]), world.settled(&old, "t", &[]));
    let first = world.numbering_app("first");
    world.app_goes(&old);
    let mut adopts = first.adopts();
    assert_eq!(adopts.len(), 2);
    let end = operate(Operation::Disconnect, &["t"], &[], &[]);
    world.app_says(&other, [join(&["s"], "green"), end]);
    world.app_dies(&first, Remains { unbegun: vec![], ..Remains::default() });
    assert_eq!(world.waiting(), 0, "nobody knows whether it had seen them");

    let mut world = self::world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    (_, _) = (world.settled(&old, "s", &["red"]), world.settled(&old, "t", &[]));
    let first = world.numbering_app("first");
    world.app_goes(&old);
    let unbegun = vec![first.batch()];
    let end = operate(Operation::Disconnect, &["t"], &[], &[]);
    world.app_says(&other, [join(&["s"], "green"), end, broadcast(&["t"], "late")]);
    world.app_dies(&first, Remains { unbegun, ..Remains::default() });
    let second = world.numbering_app("second");
    adopts = second.adopts();
    adopts.sort_by_key(|adopt| adopt.session);
    assert_eq!(adopts[0].sockets[0].rooms, [Str::from("red"), "green".into()]);
    world.takes_over(&second, &adopts[0]);
    assert!(second.hears().is_empty(), "Adopt has said it");
    world.takes_over(&second, &adopts[1]);
    assert_eq!(second.hears(), ["Disconnect t:"]);
    drop((stays, ends));
}

#[test]
fn an_app_server_that_hands_over_may_have_done_it_or_not() {
    for does_it in [true, false] {
        let mut world = world();
        let (old, other) = (world.numbering_app("old"), world.operator());
        let client = world.settled(&old, "s", &["red"]);
        let new = world.numbering_app("new");
        world.begins_to_leave(&old, &client);
        let end = operate(Operation::Disconnect, &["s"], &[], &[]);
        world.app_says(&other, [join(&["s"], "green"), end, end_of_nobody()]);
        world.app_says(&other, [broadcast(&["green"], "green")]);
        assert!(client.reads().is_empty(), "it is still the old one's");
        if does_it {
            world.app_attaches(&old, &client, "again", &[]);
            world.app_says(&old, [state(client.number, "again", "state")]);
        }
        world.app_says(&old, [close(client.number, WireReason::HandedOver)]);
        let adopt = world.takes_over_one(&new);
        let ids: Vec<_> = adopt.sockets.iter().map(|one| one.socket.as_str()).collect();
        if does_it {
            assert_eq!((ids, new.hears().len()), (vec!["again"], 0));
        } else {
            assert_eq!(adopt.sockets[0].rooms, [Str::from("red"), "green".into()]);
            assert_eq!((ids, new.hears()), (vec!["s"], vec!["Disconnect s:".to_owned()]));
        }
    }
}

fn end_of_nobody() -> Frame {
    operate(Operation::Close, &["nobody"], &[], &[])
}

#[test]
fn an_operation_that_the_old_app_server_carries_out_too_late_changes_nothing() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    old.trunk.set_draining();
    // This one is on its way to the old app server when the node agrees.
    world.app_says(&other, [join(&[], "early")]);
    world.pass(Duration::from_millis(50));
    world.begins_to_leave(&old, &client);
    let leave = operate(Operation::Leave, &[], &[], &["green"]);
    world.app_says(&other, [join(&[], "green"), leave]);
    let late = vec!["green".into()];
    world.app_says(
        &old,
        [
            Frame::Join { session: client.number, nsp: super::super::app::MAIN, rooms: late },
            close(client.number, WireReason::HandedOver),
        ],
    );
    world.pass(Duration::from_secs(1));
    assert_eq!(rooms(&new), ["early"]);
}

#[test]
fn what_happens_between_the_break_of_a_stream_and_the_loss_of_its_app_server_is_made_up_for() {
    for is_back in [false, true] {
        let mut world = world();
        let (old, other) = (world.numbering_app("old"), world.operator());
        let client = world.settled(&old, "s", &["red"]);
        old.trunk.set_broken(Some(world.now));
        world.app_says(&other, [join(&["red"], "green")]);
        world.app_says(&other, [broadcast(&["green"], "early")]);
        assert!(client.reads().is_empty(), "its app server may be back and do it");
        world.pass(Duration::from_secs(2));
        if is_back {
            old.trunk.set_broken(None);
        }
        world.app_goes(&old);
        let new = world.numbering_app("new");
        world.pass(Duration::from_secs(1));
        let expected: &[&str] = if is_back { &["red"] } else { &["red", "green"] };
        assert_eq!(rooms(&new), expected, "once it was back it had the operation");
    }
}

#[test]
fn who_was_not_meant_at_the_time_is_not_disconnected_afterwards() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let (red, blue) = (world.settled(&old, "s", &["red"]), world.settled(&old, "t", &[]));
    old.trunk.set_broken(Some(world.now));
    world.app_says(&other, [operate(Operation::Disconnect, &["red"], &[], &[])]);
    for (client, room) in [(&red, "blue"), (&blue, "red")] {
        let (session, nsp) = (client.number, super::super::app::MAIN);
        world.app_says(&old, [Frame::Join { session, nsp, rooms: vec![room.into()] }]);
    }
    world.app_goes(&old);
    let new = world.numbering_app("new");
    world.pass(Duration::from_secs(1));
    for adopt in new.adopts() {
        world.takes_over(&new, &adopt);
    }
    assert_eq!(new.hears(), ["Disconnect s:"]);
}

#[test]
fn operations_of_late_are_few_and_forgotten() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let client = world.settled(&old, "s", &[]);
    let long = "x".repeat(100_000);
    world.app_says(&other, [join(&[], &long)]);
    assert!(world.shard.lately.is_empty(), "its app server does it");
    old.trunk.set_draining();
    for _ in 0..30 {
        world.app_says(&other, [join(&[], &long)]);
    }
    let lately = format!("{:?}", world.shard.lately).len();
    assert!((500_000..1_100_000).contains(&lately), "{lately}");
    world.app_records(&old, "o1", &[], "something is kept, so old things are looked for");
    client.reads();
    world.pass(Duration::from_secs(40));
    assert!(world.shard.lately.is_empty());
}

#[test]
fn too_much_to_tell_closes_the_session() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    for number in 0..100 {
        world.app_says(&other, [join(&["s"], &format!("room {number}"))]);
    }
    assert_eq!(world.sessions("websocket"), 1);
    for number in 0..100 {
        world.app_says(&other, [join(&["s"], &format!("room {number}"))]);
    }
    assert_eq!(world.sessions("websocket"), 0);
    assert_eq!(world.closed(CloseReason::AppServerLostInDoubt), 1);
    assert_eq!(new.hears(), [format!("close {} GoneBeforeAnswer", adopt.session.0)]);
}

#[test]
fn an_app_server_that_takes_no_operations_does_not_get_a_session_with_some() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    let (client, plain) = (world.settled(&old, "s", &[]), world.settled(&old, "t", &[]));
    world.app_goes(&old);
    world.app_says(&other, [operate(Operation::Disconnect, &["s"], &[], &[]), join(&["t"], "x")]);
    world.own.operates = false;
    let new = world.numbering_app("new");
    world.pass(Duration::from_secs(1));
    for adopt in new.adopts() {
        world.takes_over(&new, &adopt);
    }
    assert_eq!(new.hears(), [format!("close {} AppLost", client.number.0)]);
    assert_eq!(world.closed(CloseReason::AppServerLostInDoubt), 1);
    world.client_says(&plain, "4still here");
    assert_eq!(new.hears(), [format!("{}: still here", plain.number.0)]);
}

#[test]
fn a_namespace_that_nobody_knows_is_no_fault() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    world.settled(&old, "s", &[]);
    world.app_goes(&old);
    let before = world.shard.boards[0].counts();
    let op = Operation::Close;
    let (rooms, except, args) = (Vec::new(), Vec::new(), Vec::new());
    let nsp = "/unknown".into();
    world.app_says(&other, [Frame::Operate(Box::new(Operate { nsp, op, rooms, except, args }))]);
    assert_eq!(world.shard.boards[0].counts(), before);
    assert!(world.shard.slots.iter().all(|(_, slot)| Slot::is_between(slot)));
}

#[test]
fn an_accept_alone_is_answered_with_what_is_to_be_done() {
    let mut world = world();
    let (old, other) = (world.numbering_app("old"), world.operator());
    world.settled(&old, "s", &[]);
    world.app_goes(&old);
    world.app_says(&other, [operate(Operation::Close, &[], &[], &[])]);
    let new = world.numbering_app("new");
    let adopt = new.adopt();
    world.app_says(&new, [accept(adopt.session)]);
    assert_eq!(new.hears(), ["Close s:"], "a socket that was not made is not found there");
}
