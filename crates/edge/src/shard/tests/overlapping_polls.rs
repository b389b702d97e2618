//! Polls and posts of one session that overlap, come too late, or come to the wrong session.

use std::time::Duration;

use super::world::World;
use crate::shard::command::{Answer, Command, POST_BROKEN};
use crate::shard::slot::Carrier;
use trunkline_engineio::CloseReason;

#[test]
fn a_held_poll_is_answered_with_all_that_one_batch_brought() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    assert_eq!(poll.said(), "waits");
    let (one, two) =
        (super::app::send(client.number, "one"), super::app::send(client.number, "two"));
    world.app_says(&app, [one, two]);
    assert_eq!(poll.said(), "4one|4two");
}

#[test]
fn what_comes_between_two_polls_is_the_answer_to_the_second() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.app_sends(&app, &client, "early");
    assert_eq!(world.poll(&client).said(), "4early");
    assert_eq!(world.poll(&client).said(), "waits");
}

#[test]
fn two_polls_at_once_end_the_session() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut first = world.poll(&client);
    let mut second = world.poll(&client);
    assert_eq!((second.said(), first.said()), ("status 400".into(), "1".into()));
    assert_eq!(app.hears(), ["close 0 TransportError"]);
    assert_eq!(world.sessions("polling"), 0);
}

#[test]
fn two_posts_at_once_end_the_session_and_cut_the_first_off() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut first = world.begin_post(&client);
    first.is_wanted();
    let mut second = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut second, "4x"), "status 400");
    assert!(first.is_cut());
    assert_eq!(app.hears(), ["close 0 TransportError"]);
}

#[test]
fn one_post_after_another_is_fine() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    for text in ["4a", "4b", "4c"] {
        assert_eq!(world.post(&client, text), "ok");
    }
    assert_eq!(app.hears(), ["0: a", "0: b", "0: c"]);
}

#[test]
fn a_post_that_breaks_off_ends_the_session() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut post = world.begin_post(&client);
    post.is_wanted();
    world.tell(Command::PostGone { key: client.key, fault: Some(POST_BROKEN) });
    assert_eq!(app.hears(), ["close 0 TransportError"]);
    assert_eq!(world.poll(&client).said(), "refused UnknownSid");
}

#[test]
fn a_post_that_is_refused_by_the_http_side_ends_nothing() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut post = world.begin_post(&client);
    post.is_wanted();
    world.tell(Command::PostGone { key: client.key, fault: None });
    assert_eq!(world.post(&client, "4still here"), "ok");
    assert_eq!(app.hears(), ["0: still here"]);
}

#[test]
fn a_poll_whose_connection_ends_without_an_answer_ends_the_session() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let poll = world.poll(&client);
    world.poll_gone(&client, poll);
    assert_eq!(app.hears(), ["close 0 TransportError"]);
}

#[test]
fn the_end_of_a_poll_that_was_answered_and_read_is_nothing() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    world.app_sends(&app, &client, "hello");
    assert_eq!(poll.said(), "4hello");
    let mut next = world.poll(&client);
    world.app_sends(&app, &client, "again");
    assert_eq!(next.said(), "4again");
    world.poll_gone(&client, poll);
    assert!(app.hears().is_empty(), "that was not the last poll");
}

#[test]
fn an_answer_that_its_poll_did_not_take_ends_the_session() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let poll = world.poll(&client);
    let number = poll.number;
    drop(poll);
    world.app_sends(&app, &client, "lost");
    assert_eq!(app.hears(), ["close 0 TransportError"], "{number}: nobody was there to take it");
}

#[test]
fn a_close_packet_in_the_payload_of_a_post_ends_the_session_and_its_poll() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    assert_eq!(world.post(&client, "4last words\x1e1"), "ok");
    assert_eq!(app.hears(), ["0: last words", "close 0 ClosedWithMessages"]);
    assert_ne!(poll.said(), "waits");
}

#[test]
fn a_close_packet_alone_is_a_plain_end() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.post(&client, "4before");
    assert_eq!(world.post(&client, "1"), "ok");
    assert_eq!(app.hears(), ["0: before", "close 0 ClientClosed"]);
}

#[test]
fn a_payload_that_cannot_be_read_ends_the_session() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    world.post(&client, "4fine\x1exnonsense");
    assert_eq!(app.hears(), ["0: fine", "close 0 ParseErrorWithMessages"]);
    assert_eq!(world.closed(CloseReason::ParseError), 1);
}

#[test]
fn a_sid_with_another_secret_is_unknown() {
    let mut world = World::new();
    let app = world.app("a");
    let mut client = world.polling(&app);
    client.sid.secret.0[0] ^= 1;
    assert_eq!(world.poll(&client).said(), "refused UnknownSid");
    assert_eq!(world.post(&client, "4x"), "refused UnknownSid");
    client.sid.secret.0[0] ^= 1;
    client.sid.node += 1;
    assert_eq!(world.poll(&client).said(), "refused UnknownSid");
}

#[test]
fn a_websocket_session_is_not_polled() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    assert_eq!(world.poll(&client).said(), "refused BadRequest");
    assert!(app.hears().is_empty());
}

#[test]
fn a_slot_with_another_session_in_it_knows_the_old_key_no_more() {
    let mut world = World::new();
    let app = world.app("a");
    let first = world.polling(&app);
    let mut post = world.begin_post(&first);
    post.is_wanted();
    let mut poll = world.poll(&first);
    world.app_closes(&app, first.number);
    assert_eq!(poll.said(), "1");
    app.hears();
    let second = world.polling(&app);
    assert_eq!(second.key.slot, first.key.slot, "the slot is used again");
    assert_eq!(world.poll(&first).said(), "refused UnknownSid");
    world.tell(Command::PostGone { key: first.key, fault: Some(POST_BROKEN) });
    world.poll_gone(&first, poll);
    assert!(app.hears().is_empty(), "none of that is the second session's");
}

#[test]
fn an_answer_that_is_not_read_counts_until_it_is() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    world.app_sends(&app, &client, "0123456789");
    let answer = poll.unread();
    let in_flight = |world: &World| match &world.live(&client).expect("live").carrier {
        Carrier::Polling(polling) => polling.bytes_in_flight(),
        Carrier::Promised | Carrier::Stream(_) | Carrier::Gone => panic!("it polls"),
    };
    assert_eq!(in_flight(&world), 11);
    assert_eq!(world.env.metrics.answers_unread.get(), 11);
    drop(answer);
    assert_eq!((in_flight(&world), world.env.metrics.answers_unread.get()), (0, 0));
}

#[test]
fn last_words_have_their_time_to_be_read_and_are_then_cut_off() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    world.app_sends(&app, &client, "bye");
    world.app_closes(&app, client.number);
    assert_eq!(world.poll(&client).said(), "6|1");
    let Answer::Payload(mut payload) = poll.unread() else { panic!("there is an answer") };
    let flight = payload.flight.take().expect("it is on its way");
    world.pass(Duration::from_secs(29));
    assert!(!flight.is_cut());
    world.pass(Duration::from_secs(2));
    assert!(flight.is_cut());
}

#[test]
fn a_post_is_over_with_its_answer_whether_or_not_its_request_has_ended() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut first = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut first, "4one"), "ok");
    let mut second = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut second, "4two"), "ok");
    assert!(first.cut.is_some(), "its request still listens");
    assert_eq!(app.hears(), ["0: one", "0: two"]);
}
