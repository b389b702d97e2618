//! One poll may be held and one POST may be under way; a second one of either ends the session.

mod common;

use common::World;
use trunkline_engineio::{Delivery, PeerMisbehaved, PollKey};

#[test]
fn the_held_poll_is_told_and_the_new_one_refused() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    assert_eq!(world.take(), [""; 0], "nothing to say, so the poll is held");
    assert_eq!(world.poll(2), Err(PeerMisbehaved::PollsOverlap));
    assert_eq!(world.take(), ["poll 1 <- 1", "closed: transport error (overlap from client)"]);
    assert_eq!(PeerMisbehaved::PollsOverlap.answer(), Err(400));
    assert_eq!(world.poll(3), Err(PeerMisbehaved::SessionClosed));
    assert_eq!(world.take(), [""; 0]);
}

#[test]
fn a_poll_after_an_answered_one_is_fine() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.send("a");
    world.poll(2).unwrap();
    world.send("b");
    assert_eq!(world.take(), ["poll 1 <- 4a", "poll 2 <- 4b"]);
}

#[test]
fn what_waits_is_one_answer() {
    let mut world = World::polling();
    world.send("a");
    world.queue_bytes(b"\x01\x02\x03");
    world.send("é");
    assert_eq!(world.take(), [""; 0]);
    world.poll(1).unwrap();
    assert_eq!(world.take(), ["poll 1 <- 4a|bAQID|4é"]);
    assert_eq!(world.session.outbox_bytes(), 0);
}

#[test]
fn overlapping_posts_end_the_session() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.session.handle_overlapping_post(world.now);
    world.drain();
    assert_eq!(
        world.take(),
        ["poll 1 <- 1", "closed: transport error (data request overlap from client)"]
    );
}

#[test]
fn a_post_that_ends_early_ends_the_session() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.session.handle_post_gone(world.now);
    world.drain();
    assert_eq!(
        world.take(),
        ["poll 1 <- 1", "closed: transport error (data request connection closed prematurely)"]
    );
}

#[test]
fn a_held_poll_that_goes_away_ends_the_session() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.send("a");
    world.poll_gone(1);
    assert_eq!(world.take(), ["poll 1 <- 4a"], "an answered poll may go");
    world.poll(2).unwrap();
    world.poll_gone(1);
    assert_eq!(world.take(), [""; 0], "that was another poll");
    world.poll_gone(2);
    assert_eq!(world.take(), ["closed: transport error (poll connection closed prematurely)"]);
}

#[test]
fn a_request_for_another_transport_changes_nothing() {
    let mut world = World::websocket();
    assert_eq!(world.poll(1), Err(PeerMisbehaved::WrongTransport));
    assert_eq!(world.post(b"4a"), Err(PeerMisbehaved::WrongTransport));
    world.session.handle_overlapping_post(world.now);
    world.session.handle_post_gone(world.now);
    world.session.handle_poll_gone(world.now, PollKey(1));
    world.drain();
    assert_eq!(world.take(), [""; 0]);
    let mut world = World::polling();
    assert_eq!(world.message("4a"), Ok(()));
    assert_eq!(world.take(), [""; 0]);
}

/// Found by `invariants.rs`: the answer of an ended session must not wait for a poll whose
/// connection has ended.
#[test]
fn a_poll_that_goes_before_its_last_answer_takes_it_along() {
    let mut world = World::polling();
    world.session.handle_poll(world.now, PollKey(1)).unwrap();
    world.queue("a", Delivery::Reliable);
    assert_eq!(world.session.handle_poll(world.now, PollKey(2)), Err(PeerMisbehaved::PollsOverlap));
    world.poll_gone(1);
    assert_eq!(world.take(), ["closed: transport error (overlap from client)"]);
    assert_eq!(world.session.outbox_bytes(), 0);
}
