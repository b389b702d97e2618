//! One session that moves, step by step, in the ordinary way.

use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::{CloseReason, Protocol, TransportKind};
use trunkline_switchboard::SessionKey;
use trunkline_trunk::settings::PerMessageDeflate;
use trunkline_trunk::{CloseReason as WireReason, Frame, NamespaceNumber, Origin, Persist};

use super::two::{TAKER, Two, state};
use crate::hub::Remains;
use crate::shard::tests::app::{
    App, MAIN, accept, accept_as, broadcast, broadcast_of, close, send,
};
use crate::shard::tests::client::{Client, ClientKind};
use crate::shard::tests::recovery::missed;
use crate::shard::tests::wire::Wire;
use crate::shard::tests::world::World;
use crate::sid::Sid;

#[test]
fn a_session_moves_and_goes_on_there_with_its_rooms() {
    let mut two = Two::new();
    let client = two.client(&["room"]);
    let moved = two.moves(client);
    two.taker.app_says(
        &two.at_taker,
        [send(moved.number, "direct"), broadcast(&["room"], "room"), broadcast(&["other"], "not")],
    );
    assert_eq!(moved.client.reads(), ["4direct", "4room"]);
    two.taker.client_says(&moved.client, "4hello");
    assert_eq!(two.at_taker.hears(), [format!("{}: hello", moved.number.0)]);
    assert_eq!((two.owner.sessions("polling"), two.taker.sessions("websocket")), (0, 1));
    assert_eq!((two.owner.upgrades("done"), two.taker.upgrades("done")), (0, 1));
    two.taker.client_ends(&moved.client);
    assert_eq!(two.at_taker.hears(), [format!("close {} ClientClosed", moved.number.0)]);
    two.taker.app_closes(&two.at_taker, moved.number);
    assert_eq!((two.taker.slots(), two.owner.slots()), (0, 0));
    assert!(two.taker.shard.arrivals.is_empty() && two.owner.shard.departures.is_empty());
}

#[test]
fn requests_that_come_too_late_are_answered_as_after_an_upgrade() {
    let mut two = Two::new();
    let client = two.client(&[]);
    let (sid, late) = (client.sid, client.asked());
    let moved = two.moves(client);
    let again = Client::new(moved.client.key, moved.number, sid, moved.client.wire.clone());
    assert_eq!(two.owner.poll(&again).said(), "refused BadRequest");
    let mut post = two.owner.begin_post(&again);
    assert_eq!(two.owner.finish_post(&again, &mut post, "4x"), "refused BadRequest");
    assert!(two.owner.shard.inspect(&late).is_err(), "no other stream can have it");
    two.pass(Duration::from_secs(61));
    let other = two.client(&[]);
    two.moves(other);
    assert_eq!(two.owner.poll(&again).said(), "refused UnknownSid");
}

#[test]
fn what_was_sent_on_either_side_of_the_move_arrives_once_and_in_order() {
    let mut two = Two::new();
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let told = two.at_owner.frames();
    let told = told.iter().any(
        |frame| matches!(frame, Frame::Close { description, .. } if &**description == "the taker"),
    );
    assert!(told, "the app server knows the node that the session goes to");
    let number = two.adopted();
    // The app goes on talking to the first node, then to the second, and broadcasts to both.
    two.owner.app_says(&two.at_owner, [send(client.number, "1"), broadcast(&[], "2")]);
    two.taker.app_says(&two.at_taker, [broadcast(&[], "2")]);
    two.taker.app_says(
        &two.at_taker,
        [accept(number), send(number, "3"), broadcast(&[], "4"), send(number, "5")],
    );
    let last = [send(client.number, "2b"), close(client.number, WireReason::Moved)];
    two.owner.app_says(&two.at_owner, last);
    two.owner.app_says(&two.at_owner, [broadcast(&[], "4")]);
    assert_eq!(client.reads(), [""; 0], "nothing before the session is there");
    assert_eq!(two.carry(), ["export", "arrived"]);
    assert_eq!(client.reads(), ["41", "42", "42b", "43", "44", "45"]);
}

#[test]
fn a_session_waits_for_broadcasts_that_the_other_node_had_before_it_began_to_queue() {
    let mut two = Two::new();
    let (at_owner, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.taker.app_says(&at_taker, [broadcast(&[], "early")]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take"], "the owner has not had it");
    assert_eq!(two.at_owner.hears(), [""; 0]);
    two.owner.app_says(&at_owner, [broadcast(&[], "early"), broadcast(&[], "later")]);
    assert_eq!(two.carry(), ["taken"]);
    let number = two.adopted();
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    assert_eq!(two.carry(), ["export", "arrived"]);
    assert_eq!(client.reads(), ["4early", "4later"]);
    two.taker.app_says(&at_taker, [broadcast(&[], "later"), broadcast(&[], "new")]);
    assert_eq!(client.reads(), ["4new"], "it has had the other one");
}

#[test]
fn what_the_app_closed_at_the_last_moment_still_gets_what_came_before() {
    let mut two = Two::new();
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    let words = [send(client.number, "bye"), close(client.number, WireReason::AppClosed)];
    two.owner.app_says(&two.at_owner, words);
    assert_eq!(two.carry(), ["export"]);
    two.taker.app_says(&two.at_taker, [broadcast(&[], "not for it")]);
    two.taker.app_says(&two.at_taker, [close(number, WireReason::AppClosed)]);
    assert_eq!(two.carry(), ["arrived"]);
    assert_eq!(client.reads(), ["4bye", "close"]);
    assert_eq!(two.taker.closed(CloseReason::Forced), 1);
    assert_eq!(two.taker.slots(), 0);
}

/// The client's stream is its session's only way: the app closes the session before the other node
/// has asked for it.
#[test]
fn what_the_app_closed_before_the_move_says_goodbye_over_the_new_stream() {
    for has_word in [true, false] {
        let mut two = Two::new();
        let client = two.client(&[]);
        two.changes(&client);
        if has_word {
            two.owner.app_says(&two.at_owner, [send(client.number, "bye")]);
        }
        two.owner.app_closes(&two.at_owner, client.number);
        assert_eq!(two.at_owner.hears(), [format!("close {} AppClosed", client.number.0)]);
        assert_eq!(two.carry(), ["take", "taken", "export"]);
        assert_eq!(two.owner.slots(), 0, "nothing of it stays");
        let number = two.adopted();
        // It does not have the session any longer.
        two.taker.app_says(&two.at_taker, [close(number, WireReason::AppClosed)]);
        assert_eq!(two.carry(), ["arrived"]);
        let said: &[&str] = if has_word { &["4bye", "close"] } else { &["close"] };
        assert_eq!(client.reads(), said);
        assert_eq!(two.taker.closed(CloseReason::Forced), 1);
        assert_eq!((two.owner.sessions("polling"), two.taker.sessions("websocket")), (0, 0));
        assert_eq!(two.at_taker.hears(), [format!("close {} AppClosed", number.0)]);
        assert_eq!(two.taker.slots(), 0);
        assert!(two.taker.shard.arrivals.is_empty() && two.owner.shard.departures.is_empty());
    }
}

#[test]
fn a_session_that_is_closed_while_it_waits_for_broadcasts_moves_as_well() {
    let mut two = Two::new();
    let (at_owner, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.taker.app_says(&at_taker, [broadcast(&[], "early")]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take"], "the owner has not had it");
    two.owner.app_says(&two.at_owner, [send(client.number, "bye")]);
    two.owner.app_closes(&two.at_owner, client.number);
    two.owner.app_says(&at_owner, [broadcast(&[], "early")]);
    assert_eq!(two.carry(), ["taken", "export"]);
    let number = two.adopted();
    two.taker.app_says(&two.at_taker, [close(number, WireReason::AppClosed)]);
    assert_eq!(two.carry(), ["arrived"]);
    assert_eq!(client.reads(), ["4bye", "close"]);
    assert_eq!((two.taker.slots(), two.owner.slots()), (0, 0));
}

#[test]
fn a_closed_session_whose_move_fails_ends_once() {
    for late in [false, true] {
        let mut two = Two::new();
        let client = two.client(&[]);
        two.changes(&client);
        two.owner.app_says(&two.at_owner, [send(client.number, "bye")]);
        two.owner.app_closes(&two.at_owner, client.number);
        if late {
            assert_eq!(two.carry(), ["take", "taken", "export"]);
        }
        let lost = two.at_taker.clone();
        two.taker.app_dies(&lost, Remains::default());
        two.carry();
        two.pass(Duration::from_secs(40));
        two.carry();
        assert_eq!((two.taker.slots(), two.owner.slots()), (0, 0));
        assert!(two.taker.shard.arrivals.is_empty() && two.owner.shard.departures.is_empty());
        assert_eq!(client.reads().last().map(String::as_str), Some("close"));
    }
}

/// Two nodes, and an app server that takes one message from the owner.
fn with_credit_for_one() -> Two {
    let mut two = Two::new();
    two.owner.app_goes(&two.at_owner.clone());
    two.at_owner = two.owner.app_with_credit("p", 1);
    two.owner.app_says(&two.at_owner, [Frame::Number { next: 1 }]);
    two.taker.run();
    two
}

/// What the app server hears when the session has moved, with a message that follows at its stream.
fn moves_on(two: &mut Two, client: &Client) -> Vec<String> {
    two.changes(client);
    client.writes("4third");
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    two.carry();
    let begin = format!("{}: ", number.0);
    let heard = two.at_taker.hears();
    assert_eq!(heard[0], format!("upgraded {}", number.0));
    heard[1..].iter().map(|word| word.trim_start_matches(&*begin).to_owned()).collect()
}

#[test]
fn messages_that_waited_for_credit_go_along() {
    let mut two = with_credit_for_one();
    let client = two.client(&[]);
    let mut post = two.owner.begin_post(&client);
    assert_eq!(two.owner.finish_post(&client, &mut post, "4first\x1e4second"), "waits");
    assert_eq!(two.at_owner.hears(), [format!("{}: first", client.number.0)]);
    assert_eq!(moves_on(&mut two, &client), ["second", "third"]);
}

#[test]
fn a_post_that_its_client_did_not_wait_for_is_broken_off() {
    let mut two = with_credit_for_one();
    let client = two.client(&[]);
    assert_eq!(two.owner.post(&client, "4first"), "ok");
    let mut post = two.owner.begin_post(&client);
    assert_eq!(two.owner.finish_post(&client, &mut post, "4second"), "waits");
    assert_eq!(two.at_owner.hears(), [format!("{}: first", client.number.0)]);
    assert_eq!(moves_on(&mut two, &client), ["third"]);
}

#[test]
fn compression_is_agreed_anew_and_older_clients_move_as_well() {
    for protocol in [Protocol::V3, Protocol::V4] {
        let mut two = Two::with(|_, settings| {
            settings.per_message_deflate = Some(PerMessageDeflate::default());
            settings.allow_eio3 = true;
        });
        two.taker.deflate_window = Some(15);
        two.owner.kind = ClientKind { protocol, ..ClientKind::default() };
        let client = two.client(&[]);
        let moved = two.moves(client);
        let live = two.taker.live(&moved.client).expect("it lives");
        assert!(live.session.deflate().is_some());
        assert_eq!(live.session.protocol(), protocol);
        two.taker.app_says(&two.at_taker, [send(moved.number, "to it")]);
        assert_eq!(moved.client.reads(), ["4to it"]);
    }
}

#[test]
fn a_moved_session_can_go_to_another_app_server() {
    let mut two = Two::recovering();
    let (_, other) = two.another("q");
    let client = two.client(&["room"]);
    two.owner.app_says(&two.at_owner, [state(client.number)]);
    let sid = client.sid.encode();
    let moved = two.moves(client);
    let lost = two.at_taker.clone();
    two.taker.app_dies(&lost, Remains::default());
    two.taker.pass(Duration::from_millis(100));
    let frames = other.frames();
    let mut adopts = frames
        .iter()
        .filter_map(|frame| if let Frame::Adopt(adopt) = frame { Some(adopt) } else { None });
    let adopt = adopts.next();
    let adopt = adopt.expect("the other one is asked");
    assert_eq!((adopt.origin, &*adopt.sid), (Origin::Orphan, &*sid));
    assert_eq!(adopt.request.headers.len(), 2, "its handshake has come along");
    let socket = &adopt.sockets[0];
    assert_eq!(
        (&*socket.socket, &*socket.pid, &socket.rooms[..]),
        ("s", "pid", &["room".into()][..])
    );
    assert_eq!(&socket.state[..], b"state");
    assert_eq!(moved.client.reads(), [""; 0]);
}

#[test]
fn a_socket_that_has_moved_returns_to_what_it_missed() {
    let mut two = Two::recovering();
    let client = two.client(&[]);
    let record = |offset: &str, text: &str| Frame::Recorded {
        offset: offset.into(),
        broadcast: broadcast_of(&[], &[], text),
    };
    for world in [0, 1] {
        let (world, app) = match world {
            0 => (&mut two.owner, &two.at_owner),
            _ => (&mut two.taker, &two.at_taker),
        };
        world.app_says(app, [record("o1", "one"), record("o2", "two")]);
    }
    assert_eq!(two.owner.poll(&client).said(), "4one|4two");
    let moved = two.moves(client);
    two.taker.app_says(&two.at_taker, [record("o3", "three")]);
    assert_eq!(moved.client.reads(), ["4three"], "and nothing of what it has had");
    two.taker.client_ends(&moved.client);
    two.taker.app_says(&two.at_taker, [record("o4", "four")]);
    let persist = Frame::Persist(Box::new(Persist {
        session: moved.number,
        nsp: MAIN,
        pid: "pid".into(),
        socket: "s".into(),
        rooms: Vec::new(),
        data: Bytes::from_static(b"data"),
    }));
    two.taker.app_says(&two.at_taker, [persist, close(moved.number, WireReason::AppClosed)]);
    let app = two.at_taker.clone();
    // The last that it got here, and the last that it got there.
    let restored = two.taker.restore(&app, "pid", "o2");
    assert_eq!(missed(&restored), ["three", "four"]);
}

#[test]
fn an_id_that_the_app_made_goes_along() {
    let mut two = Two::new();
    let mut handshake = two.owner.handshake(TransportKind::Polling);
    let (number, sid) = two.at_owner.newcomer();
    two.owner.app_says(&two.at_owner, [accept_as(number, "made by the app")]);
    assert!(handshake.said().contains("made by the app"));
    let wire = Wire::default();
    let client = Client::new(handshake.key(), number, sid, wire);
    two.opens_stream(&client, "made by the app");
    two.carry();
    client.writes("5");
    two.taker.run();
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    two.carry();
    assert!(two.owner.hub.own_sid("made by the app").is_none());
    let Sid { node, slot, .. } = two.taker.hub.own_sid("made by the app").expect("it is here");
    assert_eq!((node, slot), (TAKER, number.0));
    two.taker.app_closes(&two.at_taker, number);
    assert!(two.taker.hub.own_sid("made by the app").is_none());
}

#[test]
fn an_id_that_another_session_has_by_now_stays_with_it() {
    let mut two = Two::new();
    let comes = |world: &mut World, app: &App| {
        let mut handshake = world.handshake(TransportKind::Polling);
        let (number, sid) = app.newcomer();
        world.app_says(app, [accept_as(number, "made by the app")]);
        assert!(handshake.said().contains("made by the app"));
        Client::new(handshake.key(), number, sid, Wire::default())
    };
    let other = comes(&mut two.taker, &two.at_taker);
    let client = comes(&mut two.owner, &two.at_owner);
    two.opens_stream(&client, "made by the app");
    two.carry();
    client.writes("5");
    two.taker.run();
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    assert_eq!(two.carry(), ["export", "arrived"]);
    two.taker.app_closes(&two.at_taker, number);
    let has_it = two.taker.hub.own_sid("made by the app").expect("the other session has it");
    assert_eq!(has_it.slot, other.number.0);
    let _poll = two.taker.poll(&other);
    two.taker.app_closes(&two.at_taker, other.number);
    assert!(two.taker.hub.own_sid("made by the app").is_none());
}

#[test]
fn a_frame_that_waits_means_the_namespace_that_its_number_had() {
    let mut two = Two::new();
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    let nsp = NamespaceNumber(9);
    let attach =
        Frame::Attach { session: number, nsp, socket: "t".into(), rooms: vec!["r".into()] };
    two.taker.app_says(
        &two.at_taker,
        [
            Frame::Namespace { nsp, name: "/one".into() },
            accept(number),
            attach,
            Frame::Release { nsp },
            Frame::Namespace { nsp, name: "/two".into() },
        ],
    );
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    assert_eq!(two.carry(), ["export", "arrived"]);
    let board = &two.taker.shard.boards[0];
    let sockets = board.sockets_of(SessionKey(number.0));
    let said: Vec<_> = sockets.iter().map(|one| (one.nsp_name, one.id)).collect();
    assert_eq!(said, [("/", "s"), ("/one", "t")]);
}

#[test]
fn what_the_client_says_right_after_its_change_waits_and_is_heard() {
    let mut two = Two::new();
    let client = two.client(&[]);
    two.opens_stream(&client, &client.sid.encode());
    two.carry();
    for packet in ["5", "4one", "4two"] {
        client.writes(packet);
    }
    two.taker.run();
    client.writes("4three");
    two.taker.run();
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    two.carry();
    two.taker.run();
    let n = number.0;
    let heard = ["one", "two", "three"].map(|text| format!("{n}: {text}"));
    assert_eq!(two.at_taker.hears(), [&[format!("upgraded {n}")][..], &heard].concat());
}
