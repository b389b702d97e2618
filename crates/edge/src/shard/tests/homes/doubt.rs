//! Which sessions of a lost app server wait for another one, and which are closed.

use std::time::Duration;

use bytes::BytesMut;
use trunkline_engineio::{CloseReason, Protocol};
use trunkline_trunk::encode::encode_message;
use trunkline_trunk::{CloseReason as WireReason, Found, Frame, SessionNumber, StandingFlags};

use super::super::app::{close, send};
use super::super::client::ClientKind;
use super::super::world::World;
use super::{App, attaches, owes, standing, state, world, world_with};
use crate::hub::Remains;

const SECOND: Duration = Duration::from_secs(1);

fn doubtful(app: &App) -> Remains {
    Remains { doubtful: vec![app.batch()], unbegun: Vec::new(), ..Remains::default() }
}

fn is_in_doubt(world: &mut World) {
    assert_eq!(world.waiting(), 0);
    world.pass(SECOND);
    assert_eq!(world.closed(CloseReason::AppServerLostInDoubt), 1);
    assert_eq!((world.rehomed("orphan", "in_doubt"), world.slots()), (1, 0));
    let new = world.numbering_app("new");
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::Yes, "its client is recovered");
}

#[test]
fn a_message_that_may_have_been_handled_in_part_closes_its_session_and_no_other() {
    let mut world = world();
    let old = world.numbering_app("old");
    let (busy, idle) = (world.settled(&old, "s", &[]), world.settled(&old, "t", &[]));
    world.app_records(&old, "o1", &[], "seen");
    world.client_says(&busy, "4hello");
    let remains = doubtful(&old);
    world.app_dies(&old, remains);
    assert_eq!(world.waiting(), 1);
    let new = world.numbering_app("new");
    world.pass(SECOND);
    assert_eq!(new.adopt().session, idle.number);
    assert_eq!(world.closed(CloseReason::AppServerLostInDoubt), 1);
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::Yes);
    assert_eq!(busy.reads().last().map(String::as_str), Some("close"));
}

#[test]
fn a_message_of_a_batch_begun_ahead_is_in_doubt_and_goes_to_nobody() {
    let mut world = world();
    let old = world.numbering_app("old");
    let busy = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    world.client_says(&busy, "4hello");
    let ahead = Some(old.batch());
    world.app_dies(&old, Remains { ahead, ..Remains::default() });
    is_in_doubt(&mut world);
}

#[test]
fn when_not_everything_that_was_sent_is_known_every_session_is_in_doubt() {
    let mut world = world();
    let old = world.numbering_app("old");
    world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    world.app_dies(&old, Remains { incomplete: true, ..Remains::default() });
    is_in_doubt(&mut world);
}

#[test]
fn each_shard_looks_for_its_own_sessions_in_what_is_left() {
    let mut world = super::world_of_shard((1, 2), |_| ());
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    assert_eq!(client.number.0 % 2, 1);
    let mut batch = BytesMut::new();
    let neighbour = SessionNumber(client.number.0 - 1);
    encode_message(&mut batch, neighbour, false, b"of the other shard");
    let unbegun = vec![batch.clone().freeze()];
    let remains = Remains { doubtful: vec![batch.freeze()], unbegun, ..Remains::default() };
    world.app_dies(&old, remains);
    let new = world.numbering_app("new");
    world.pass(SECOND);
    let adopt = world.takes_over_one(&new);
    assert_eq!((adopt.session, adopt.sid.as_str()), (client.number, &*client.sid.encode()));
    assert!(new.hears().is_empty());
    world.client_says(&client, "4hello");
    assert_eq!(new.hears(), [format!("{}: hello", client.number.0)]);
}

#[test]
fn an_acknowledgement_that_is_owed_closes_the_session() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    world.app_says(&old, [standing(&client, owes())]);
    world.app_goes(&old);
    is_in_doubt(&mut world);
}

#[test]
fn a_packet_that_has_come_in_part_closes_the_session() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    let flags = StandingFlags { inside_packet: true, ..StandingFlags::default() };
    world.app_says(&old, [standing(&client, flags)]);
    world.app_goes(&old);
    is_in_doubt(&mut world);
}

#[test]
fn the_last_standing_counts() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_says(&old, [standing(&client, owes())]);
    world.app_says(&old, [standing(&client, StandingFlags::default())]);
    world.app_goes(&old);
    assert_eq!(world.waiting(), 1);
}

#[test]
fn who_is_in_doubt_gets_no_broadcasts_and_is_closed_before_other_orphans() {
    let mut world = world_with(|limits| limits.orphan_close_per_second = 20);
    let old = world.numbering_app("old");
    let stateless: Vec<_> = (0..4).map(|_| world.websocket(&old)).collect();
    let client = world.settled(&old, "s", &[]);
    world.app_says(&old, [standing(&client, owes())]);
    world.app_goes(&old);
    assert_eq!(client.reads().last().map(String::as_str), Some("close"));
    assert!(stateless.iter().all(|one| one.reads().is_empty()));
    world.pass(SECOND);
    assert_eq!(world.closed(CloseReason::AppServerLost), 4);
}

#[test]
fn a_doubt_about_an_earlier_session_is_none_about_the_one_with_its_number() {
    let mut world = world();
    let old = world.numbering_app("old");
    let first = world.settled(&old, "s", &[]);
    world.client_says(&first, "4hello");
    let mut batches = vec![old.batch()];
    world.client_ends(&first);
    world.app_closes(&old, first.number);
    batches.push(old.batch());
    let mut handshake = world.handshake(trunkline_engineio::TransportKind::WebSocket);
    // `Open` is in the same batches.
    let open = old.batch();
    let frames: Vec<_> = trunkline_trunk::decode_batch(open.clone()).map(Result::unwrap).collect();
    let Frame::Open(opened) = &frames[0] else { panic!("{frames:?}") };
    let (number, sid) = (opened.session, crate::sid::Sid::parse(&opened.sid).unwrap());
    assert_eq!(number, first.number);
    batches.push(open);
    world.app_accepts(&old, number);
    let second = world.adopt(&mut handshake, number, sid);
    world.settle(&old, &second, "t", &[]);
    world.app_dies(&old, Remains { doubtful: batches, unbegun: Vec::new(), ..Remains::default() });
    assert_eq!((world.waiting(), world.rehomed("orphan", "in_doubt")), (1, 0));
}

#[test]
fn a_session_whose_new_app_server_dies_over_it_is_closed_and_not_handed_on() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let remains = doubtful(&new);
    let third = world.numbering_app("third");
    world.app_dies(&new, remains);
    world.pass(SECOND);
    assert!(third.hears().is_empty());
    assert_eq!((world.rehomed("orphan", "lost"), world.waiting(), world.slots()), (1, 0, 0));
    assert_eq!(world.closed(CloseReason::AppServerLostInDoubt), 1);
    assert_eq!(world.restore(&third, "p-s", "o1").found, Found::No);
    assert_eq!(client.reads().last().map(String::as_str), Some("close"));
}

#[test]
fn an_adoption_in_a_batch_begun_ahead_was_not_begun() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let ahead = Some(new.batch());
    let third = world.numbering_app("third");
    world.app_dies(&new, Remains { ahead, ..Remains::default() });
    world.pass(SECOND);
    assert_eq!(third.adopt().session, client.number);
    assert_eq!(world.rehomed("orphan", "lost"), 0);
}

#[test]
fn a_poison_is_one_even_if_the_adoption_was_half_done() {
    let mut world = world();
    let old = world.numbering_app("old");
    world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let adopt = new.adopt();
    world.app_says_all(&new, attaches(&adopt));
    world.app_goes(&new);
    world.pass(SECOND);
    assert_eq!((world.rehomed("orphan", "lost"), world.slots()), (1, 0));
}

#[test]
fn an_app_server_that_has_said_anything_about_an_adoption_has_seen_it_whatever_it_counts() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    let unbegun = vec![new.batch()];
    world.app_says(&new, [send(client.number, "welcome back")]);
    world.app_dies(&new, Remains { unbegun, ..Remains::default() });
    let third = world.numbering_app("third");
    world.pass(SECOND);
    assert!(third.hears().is_empty());
    assert_eq!((world.rehomed("orphan", "lost"), world.slots()), (1, 0));
}

#[test]
fn what_one_app_server_said_is_no_word_of_the_next() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let leaving = world.numbering_app("leaving");
    world.app_goes(&old);
    let adopt = leaving.adopt();
    world.app_says_all(&leaving, attaches(&adopt));
    leaving.trunk.set_draining();
    world.app_says(&leaving, [close(client.number, WireReason::HandedOver)]);
    let new = world.numbering_app("new");
    world.pass(SECOND);
    assert_eq!(new.trunk.sessions(), 1);
    // It has not even been sent the question.
    world.app_goes(&new);
    assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (1, 0));
}

#[test]
fn an_adoption_that_the_app_server_cannot_have_seen_is_tried_elsewhere() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &["red"]);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    assert_eq!(new.trunk.sessions(), 1);
    // The `Adopt` is still in the outbox.
    world.app_goes(&new);
    assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (1, 0));
    let third = world.numbering_app("third");
    world.pass(SECOND);
    world.takes_over_one(&third);
    world.client_says(&client, "4hello");
    assert_eq!(third.hears(), [format!("{}: hello", client.number.0)]);
}

/// A session of this world is closed as if there were nothing else to do.
fn is_closed_as_ever(world: &mut World, app: &App) {
    world.app_goes(app);
    assert_eq!(world.waiting(), 0);
    world.pass(SECOND);
    assert_eq!((world.closed(CloseReason::AppServerLost), world.slots()), (1, 0));
}

#[test]
fn sessions_that_do_not_take_part_are_closed_as_ever() {
    // The node's operator does not want it.
    let mut world = world_with(|limits| limits.rehome = false);
    let app = world.numbering_app("a");
    world.settled(&app, "s", &[]);
    is_closed_as_ever(&mut world, &app);
    // The SDK does not know of it.
    let mut world = super::world();
    world.own.rehome = false;
    let app = world.numbering_app("a");
    world.settled(&app, "s", &[]);
    is_closed_as_ever(&mut world, &app);
    // The app has no connection state recovery.
    let mut world = super::world();
    world.settings.connection_state_recovery = None;
    let app = world.app("a");
    world.settled(&app, "s", &[]);
    is_closed_as_ever(&mut world, &app);
    // The client speaks protocol 3.
    let mut world = super::world();
    world.kind = ClientKind { protocol: Protocol::V3, ..ClientKind::default() };
    let app = world.numbering_app("a");
    world.settled(&app, "s", &[]);
    is_closed_as_ever(&mut world, &app);
    // A socket has no state.
    let mut world = super::world();
    let app = world.numbering_app("a");
    let client = world.settled(&app, "s", &[]);
    let session = client.number;
    let nsp = trunkline_trunk::NamespaceNumber(2);
    let attach = Frame::Attach { session, nsp, socket: "t".into(), rooms: Vec::new() };
    world.app_says(&app, [Frame::Namespace { nsp, name: "/admin".into() }, attach]);
    is_closed_as_ever(&mut world, &app);
    // There is no socket.
    let mut world = super::world();
    let app = world.numbering_app("a");
    world.websocket(&app);
    is_closed_as_ever(&mut world, &app);
}

#[test]
fn a_state_is_of_the_socket_that_is_there() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.settled(&app, "s", &[]);
    // Another socket in its place, whose state has not come.
    world.app_attaches(&app, &client, "t", &[]);
    world.app_says(&app, [state(client.number, "s", "late")]);
    is_closed_as_ever(&mut world, &app);
}

#[test]
fn the_sockets_of_a_session_that_is_closed_for_another_one_can_return() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.settled(&app, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    let nsp = trunkline_trunk::NamespaceNumber(2);
    let attach =
        Frame::Attach { session: client.number, nsp, socket: "t".into(), rooms: Vec::new() };
    world.app_says(&app, [Frame::Namespace { nsp, name: "/admin".into() }, attach]);
    is_closed_as_ever(&mut world, &app);
    let new = world.numbering_app("new");
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::Yes);
}

#[test]
fn a_session_that_the_app_had_closed_is_not_kept_for_anybody() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.settled(&app, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    world.client_takes(&client, Some(0));
    world.app_sends(&app, &client, "last words");
    world.app_closes(&app, client.number);
    world.app_goes(&app);
    assert_eq!(world.waiting(), 0);
    let new = world.numbering_app("new");
    world.pass(SECOND);
    assert!(new.hears().is_empty());
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::No);
}

#[test]
fn a_client_that_had_gone_with_something_held_can_return() {
    let mut world = world();
    let app = world.app_with_credit("a", 1);
    world.app_says(&app, [Frame::Number { next: 1 }]);
    let client = world.settled(&app, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    client.writes("4one");
    client.writes("4two");
    world.run();
    client.wire.breaks();
    world.app_sends(&app, &client, "x");
    assert_eq!(world.sessions("websocket"), 1);
    world.app_goes(&app);
    assert_eq!((world.sessions("websocket"), world.slots()), (0, 0));
    let new = world.numbering_app("new");
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::Yes);
}
