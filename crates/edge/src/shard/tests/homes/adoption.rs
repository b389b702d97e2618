//! Another app server takes a session over: what it is told, and what follows for the client.

use std::time::Duration;

use trunkline_engineio::{CloseReason, TransportKind};
use trunkline_trunk::{
    CloseReason as WireReason, Frame, Header, Misbehaved, Origin, Str, Transport,
};

use super::super::app::{MAIN, accept, broadcast, close, send};
use super::{attaches, pid, state, world, world_with};
use crate::hub::{Ending, Remains};
use crate::shard::command::Command;
use crate::shard::homes::Homes;

#[test]
fn an_idle_websocket_goes_to_the_next_app_server_and_its_client_sees_nothing() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red", "blue"]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    assert_eq!((adopt.origin, adopt.transport), (Origin::Orphan, Transport::WebSocket));
    assert_eq!(adopt.sid.as_str(), client.sid.encode());
    assert_eq!(
        (adopt.request.url.as_str(), adopt.request.port),
        ("/socket.io/?EIO=4&transport=polling", 5)
    );
    let socket = &adopt.sockets[0];
    assert_eq!((socket.nsp.as_str(), socket.socket.as_str(), &socket.pid), ("/", "s", &pid("s")));
    assert_eq!(
        (&*socket.state, &socket.rooms[..]),
        (&b"state"[..], &[Str::from("red"), "blue".into()][..])
    );
    assert_eq!(world.waiting(), 1);
    world.takes_over(&new, &adopt);
    assert_eq!((world.waiting(), world.rehomed("orphan", "adopted")), (0, 1));
    assert!(client.reads().is_empty(), "nothing is said to the client");
    world.client_says(&client, "4hello");
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
    world.app_sends(&new, &client, "answer");
    world.app_says(&new, [broadcast(&["red"], "to the room")]);
    assert_eq!(client.reads(), ["4answer", "4to the room"]);
    assert_eq!((new.trunk.sessions(), world.sessions("websocket")), (1, 1));
}

#[test]
fn a_client_that_polls_goes_along_with_its_poll_and_its_custom_id() {
    let mut world = world();
    let old = world.numbering_app("old");
    let mut handshake = world.handshake(TransportKind::Polling);
    let (number, sid) = old.newcomer();
    let header = |name: &str| Header { name: name.into(), value: "1".into() };
    let (headers, lasting) = (Vec::new(), vec![header("x-lasting")]);
    world.app_says(&old, [Frame::Accept { session: number, sid: "own".into(), headers, lasting }]);
    assert!(handshake.said().contains("own"));
    let client =
        super::super::client::Client::new(handshake.key(), number, sid, Default::default());
    world.settle(&old, &client, "s", &[]);
    let mut poll = world.poll(&client);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    assert_eq!(poll.said(), "waits");
    let adopt = world.takes_over_one(&new);
    assert_eq!((adopt.sid.as_str(), adopt.transport), ("own", Transport::Polling));
    world.app_sends(&new, &client, "news");
    let Some(crate::shard::command::Answer::Payload(payload)) = poll.take() else {
        panic!("no payload")
    };
    assert_eq!(payload.lasting.as_deref().map(<[Header]>::len), Some(1), "its headers stay");
    assert_eq!(world.post(&client, "4up"), "ok");
    assert_eq!(new.hears(), [format!("{}: up", number.0)]);
}

#[test]
fn who_has_something_to_say_goes_first_and_at_once_the_others_at_a_pace() {
    let mut world = world_with(|limits| limits.rehome_per_second = 200);
    let old = world.numbering_app("old");
    let clients: Vec<_> = (0..6).map(|n| world.settled(&old, &format!("s{n}"), &[])).collect();
    world.app_goes(&old);
    clients[4].writes("4four");
    clients[2].writes("4two");
    world.run();
    let new = world.numbering_app("new");
    let first: Vec<_> = new.adopts().iter().map(|adopt| adopt.session).collect();
    assert_eq!(first.len(), 2);
    world.pass(Duration::from_millis(10));
    let asked: Vec<_> = new.adopts().iter().map(|adopt| adopt.session).collect();
    let numbers = [4, 2, 0, 1].map(|place: usize| clients[place].number);
    assert!(first.contains(&numbers[0]) && first.contains(&numbers[1]), "{first:?}");
    assert_eq!(asked, numbers[2..], "two in each hundredth of a second");
    world.pass(Duration::from_millis(8));
    assert_eq!(new.adopts().len(), 0);
    world.pass(Duration::from_millis(2));
    assert_eq!(new.adopts().len(), 2);
}

#[test]
fn each_hub_is_the_first_in_its_turn() {
    let mut homes = Homes::default();
    for hub in [1, 4, 9] {
        homes.hubs.insert(hub, Default::default());
    }
    let firsts: Vec<_> = (0..4).map(|_| homes.hubs_in_turn()[0]).collect();
    assert_eq!(firsts, [1, 4, 9, 1]);
    assert_eq!(homes.hubs_in_turn(), [4, 9, 1]);
}

#[test]
fn an_app_server_has_a_bounded_number_of_adoptions_to_answer() {
    let mut world = world();
    let old = world.numbering_app("old");
    for number in 0..70 {
        world.settled(&old, &format!("s{number}"), &[]);
    }
    let new = world.numbering_app("new");
    world.app_goes(&old);
    world.pass(Duration::from_secs(1));
    let adopts = new.adopts();
    assert_eq!(adopts.len(), 16, "they all end if it dies in one of them");
    world.takes_over(&new, &adopts[0]);
    world.pass(Duration::from_secs(1));
    assert_eq!(new.adopts().len(), 1);
}

#[test]
fn nothing_is_said_to_the_new_app_server_before_it_has_accepted() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    world.client_says(&client, "4early");
    assert!(new.hears().is_empty());
    world.app_says_all(&new, attaches(&adopt));
    world.app_says(&new, [send(client.number, "before the answer")]);
    assert_eq!(client.reads(), ["4before the answer"], "but it may say what it wants");
    world.app_accepts(&new, adopt.session);
    assert_eq!(new.hears(), [format!("{}: early", client.number.0)]);
}

#[test]
fn messages_that_nobody_has_seen_go_to_the_new_app_server_once_and_in_order() {
    let mut world = world();
    let old = world.app_with_credit("old", 12);
    world.app_says(&old, [Frame::Number { next: 1 }]);
    let client = world.settled(&old, "s", &[]);
    world.client_says(&client, "4one");
    let first = old.batch();
    world.client_says(&client, "4two");
    let second = old.batch();
    // Read at once: what is beyond the credit is held.
    for text in ["three", "four", "five", "six", "seven", "eight", "nine", "ten"] {
        client.writes(&format!("4{text}"));
    }
    world.run();
    let remains = Remains { unbegun: vec![first, second], ..Remains::default() };
    world.app_dies(&old, remains);
    world.client_says(&client, "4eleven");
    let new = world.numbering_app("new");
    world.pass(Duration::ZERO);
    world.takes_over_one(&new);
    let expected =
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"];
    assert_eq!(new.hears(), expected.map(|text| format!("{}: {text}", client.number.0)));
}

#[test]
fn marks_before_the_answer_are_answered_after_it() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    let session = client.number;
    let mark = |mark, now| Frame::Mark { session, mark, now };
    // The first two are due at the end of the turn and at once, the third when what is before it has
    // left.
    world.app_says(&new, [mark(1, false), mark(2, true)]);
    world.client_takes(&client, Some(0));
    world.app_says(&new, [send(session, "waits")]);
    world.app_says(&new, [send(session, "behind"), mark(3, false)]);
    assert!(new.hears().is_empty(), "nothing but Close may come before the answer");
    world.takes_over(&new, &adopt);
    let marks = |frames: Vec<Frame>| -> Vec<u32> {
        let marked = |frame| if let Frame::Marked { mark, .. } = frame { Some(mark) } else { None };
        frames.into_iter().filter_map(marked).collect()
    };
    assert_eq!(marks(new.frames()), [2, 1]);
    world.client_takes(&client, None);
    assert_eq!(marks(new.frames()), [3]);
    assert!(world.shard.watches.is_empty());
}

#[test]
fn marks_of_an_app_server_that_gives_the_session_back_are_not_answered_to_the_next() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let leaving = world.numbering_app("leaving");
    world.app_goes(&old);
    let adopt = leaving.adopt();
    let session = client.number;
    world.app_says(&leaving, [Frame::Mark { session, mark: 7, now: true }]);
    leaving.trunk.set_draining();
    world.app_says(&leaving, [close(adopt.session, WireReason::HandedOver)]);
    let new = world.numbering_app("new");
    world.pass(Duration::from_millis(50));
    world.takes_over_one(&new);
    assert!(new.hears().is_empty());
}

#[test]
fn who_takes_a_session_over_may_not_name_it_anew() {
    let header = || vec![Header { name: "x".into(), value: "1".into() }];
    for (sid, headers, lasting) in
        [("own", vec![], vec![]), ("", header(), vec![]), ("", vec![], header())]
    {
        let mut world = world();
        let old = world.numbering_app("old");
        let client = world.settled(&old, "s", &[]);
        let new = world.numbering_app("new");
        world.app_goes(&old);
        let sid = sid.into();
        world.app_says(&new, [Frame::Accept { session: client.number, sid, headers, lasting }]);
        let ending = new.trunk.ending();
        assert!(matches!(ending, Some(Ending::Misbehaved(Misbehaved::AdoptedAnew))), "{ending:?}");
    }
}

#[test]
fn a_state_that_is_taken_back_leaves_none() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_says(&old, [state(client.number, "s", "")]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    assert!(new.adopts().is_empty());
    assert_eq!(world.waiting(), 0);
}

#[test]
fn a_socket_that_the_new_app_server_does_not_connect_is_gone() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red"]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    world.app_says(&new, [accept(adopt.session)]);
    world.app_says(&new, [broadcast(&["red"], "to the room")]);
    assert!(client.reads().is_empty());
    assert_eq!(world.shard.boards[0].counts().sockets, 0);
}

#[test]
fn no_broadcast_is_missed_or_doubled_while_the_session_changes_hands() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red"]);
    let other = world.numbering_app("other");
    other.trunk.set_draining();
    world.app_goes(&old);
    world.app_says(&other, [broadcast(&["red"], "waiting")]);
    let new = world.numbering_app("new");
    world.pass(Duration::from_millis(50));
    let adopt = new.adopt();
    world.app_says(&other, [broadcast(&[], "asked")]);
    let mut frames = attaches(&adopt);
    frames.insert(0, broadcast(&["red"], "just before"));
    frames.push(broadcast(&["red"], "just after"));
    frames.push(accept(adopt.session));
    world.app_says_all(&new, frames);
    world.app_says(&other, [broadcast(&["red"], "home")]);
    assert_eq!(client.reads(), ["4waiting", "4asked", "4just before", "4just after", "4home"]);
}

#[test]
fn an_upgrade_during_the_adoption_is_told_afterwards() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    world.probe(&client);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    assert_eq!(adopt.transport, Transport::Polling);
    world.client_says(&client, "2probe");
    assert_eq!(client.reads(), ["3probe"], "the probe is answered");
    client.writes("5");
    client.writes("4first over the socket");
    world.run();
    assert_eq!(world.sessions("websocket"), 1);
    assert!(new.hears().is_empty());
    world.takes_over(&new, &adopt);
    let number = client.number.0;
    assert_eq!(
        new.hears(),
        [format!("upgraded {number}"), format!("{number}: first over the socket")]
    );
}

#[test]
fn an_upgrade_before_the_adoption_is_in_the_question() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    world.app_goes(&old);
    world.probe(&client);
    world.client_says(&client, "2probe");
    world.client_says(&client, "5");
    world.client_says(&client, "4hello");
    let new = world.numbering_app("new");
    world.pass(Duration::ZERO);
    let adopt = world.takes_over_one(&new);
    assert_eq!(adopt.transport, Transport::WebSocket);
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
}

#[test]
fn an_app_server_that_refuses_closes_the_session_and_nothing_is_kept() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    world.app_says(&new, [close(adopt.session, WireReason::AppClosed)]);
    assert_eq!(new.hears(), [format!("close {} AppClosed", client.number.0)]);
    assert_eq!(world.closed(CloseReason::RehomeRefused), 1);
    assert_eq!((world.rehomed("orphan", "refused"), world.waiting(), world.slots()), (1, 0, 0));
    assert_eq!(world.restore(&new, "p-s", "o1").found, trunkline_trunk::Found::No);
}

#[test]
fn an_app_server_that_is_leaving_gives_the_session_back_unused() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red"]);
    let leaving = world.numbering_app("leaving");
    world.app_goes(&old);
    let adopt = leaving.adopt();
    world.app_says_all(&leaving, attaches(&adopt));
    leaving.trunk.set_draining();
    world.app_says(&leaving, [close(adopt.session, WireReason::HandedOver)]);
    assert_eq!((world.waiting(), leaving.trunk.sessions()), (1, 0));
    let new = world.numbering_app("new");
    world.pass(Duration::from_millis(50));
    let adopt = world.takes_over_one(&new);
    assert_eq!(adopt.sockets[0].rooms, [Str::from("red")]);
    world.client_says(&client, "4hello");
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
}

#[test]
fn an_adoption_that_nobody_answers_ends_the_session_and_its_client_can_return() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red"]);
    world.app_records(&old, "o1", &[], "seen");
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    world.pass(world.env.limits.handshake_timeout - Duration::from_millis(1));
    assert_eq!(world.sessions("websocket"), 1);
    world.pass(Duration::from_millis(2));
    assert_eq!((world.sessions("websocket"), world.waiting()), (0, 0));
    assert_eq!(world.rehomed("orphan", "silent"), 1);
    assert_eq!(new.hears(), [format!("close {} GoneBeforeAnswer", client.number.0)]);
    let restored = world.restore(&new, "p-s", "o1");
    assert_eq!((&*restored.socket, &*restored.data), ("s", &b"state"[..]));
    // Its late answer does no harm.
    world.takes_over(&new, &adopt);
    world.app_closes(&new, adopt.session);
    assert_eq!(world.slots(), 0);
}

#[test]
fn all_app_servers_may_restart_at_once() {
    let mut world = world();
    let one = world.numbering_app("one");
    let first = world.settled(&one, "s1", &[]);
    let two = world.numbering_app("two");
    let second = world.settled(&two, "s2", &[]);
    world.app_goes(&one);
    let asked = two.adopt();
    world.takes_over(&two, &asked);
    world.app_says(&two, [state(asked.session, "s1", "newer")]);
    world.app_goes(&two);
    assert_eq!(world.waiting(), 2);
    world.pass(Duration::from_secs(20));
    let new = world.numbering_app("new");
    world.pass(Duration::from_millis(50));
    let adopts = new.adopts();
    assert_eq!(adopts.len(), 2);
    let of_first = adopts.iter().find(|adopt| adopt.session == first.number).expect("both");
    assert_eq!(&*of_first.sockets[0].state, b"newer");
    for adopt in &adopts {
        world.takes_over(&new, adopt);
    }
    for client in [&first, &second] {
        world.client_says(client, "4hello");
        assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
        assert!(client.reads().iter().all(|said| said == "2"), "only heartbeats");
    }
}

#[test]
fn a_socket_of_its_own_namespace_keeps_it_while_nobody_names_it() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let nsp = trunkline_trunk::NamespaceNumber(9);
    let session = client.number;
    world.app_says(
        &old,
        [
            Frame::Namespace { nsp, name: "/admin".into() },
            Frame::Attach { session, nsp, socket: "t".into(), rooms: Vec::new() },
            Frame::State(Box::new(trunkline_trunk::State {
                session,
                nsp,
                socket: "t".into(),
                pid: pid("t"),
                state: bytes::Bytes::from_static(b"other"),
            })),
        ],
    );
    world.app_goes(&old);
    let new = world.numbering_app("new");
    world.pass(Duration::from_millis(50));
    let adopt = new.adopt();
    let names: Vec<_> =
        adopt.sockets.iter().map(|one| (one.nsp.as_str(), one.socket.as_str())).collect();
    assert_eq!(names, [("/", "s"), ("/admin", "t")]);
    let nsp = trunkline_trunk::NamespaceNumber(2);
    world.app_says(
        &new,
        [
            Frame::Namespace { nsp, name: "/admin".into() },
            Frame::Attach { session, nsp: MAIN, socket: "s".into(), rooms: Vec::new() },
            Frame::Attach { session, nsp, socket: "t".into(), rooms: Vec::new() },
            accept(session),
        ],
    );
    assert_eq!(world.shard.boards[0].counts().sockets, 2);
}

#[test]
fn sockets_of_one_client_beside_each_other_are_both_taken_over() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s1", &[]);
    let session = client.number;
    let beside = |socket: &str| Frame::Beside {
        session,
        nsp: MAIN,
        socket: socket.into(),
        rooms: Vec::new(),
    };
    world.app_says(&old, [beside("s2"), state(session, "s2", "two")]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    assert_eq!(adopt.sockets.len(), 2);
    let attach = Frame::Attach { session, nsp: MAIN, socket: "s1".into(), rooms: Vec::new() };
    world.app_says(&new, [attach, beside("s2"), accept(session)]);
    world.app_says(&new, [broadcast(&[], "twice")]);
    assert_eq!(client.reads(), ["4twice", "4twice"]);
}

#[test]
fn a_command_for_a_trunk_that_is_gone_is_ignored() {
    let mut world = world();
    let old = world.numbering_app("old");
    world.settled(&old, "s", &[]);
    world.app_goes(&old);
    world.tell(Command::TrunkDown { trunk: old.trunk.number, remains: Default::default() });
    assert_eq!(world.waiting(), 1);
}
