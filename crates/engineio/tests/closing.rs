//! How sessions end: in order, at once, by the client, by the stream.

mod common;

use std::time::Duration;

use common::World;
use trunkline_engineio::{Blame, CloseReason, Config, Delivery, PeerMisbehaved, Protocol};

#[test]
fn a_held_poll_is_told_of_the_close() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.close();
    assert_eq!(world.take(), ["poll 1 <- 1", "closed: forced close"]);
}

#[test]
fn the_next_poll_is_told_with_noop_and_close() {
    let mut world = World::polling();
    world.close();
    assert_eq!(world.take(), [""; 0]);
    world.advance(29_000);
    world.poll(1).unwrap();
    assert_eq!(world.take(), ["poll 1 <- 6|1", "closed: forced close"]);
}

#[test]
fn data_leaves_in_its_own_answer_before_the_close() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.queue("a", Delivery::Reliable);
    world.queue("b", Delivery::Reliable);
    world.close();
    assert_eq!(world.take(), ["poll 1 <- 4a|4b"]);
    world.poll(2).unwrap();
    assert_eq!(world.take(), ["poll 2 <- 6|1", "closed: forced close"]);

    let mut world = World::polling();
    world.send("a");
    world.close();
    world.poll(1).unwrap();
    assert_eq!(world.take(), ["poll 1 <- 4a"]);
    world.poll(2).unwrap();
    assert_eq!(world.take(), ["poll 2 <- 6|1", "closed: forced close"]);
}

#[test]
fn without_a_poll_the_close_takes_30_s() {
    let mut world = World::polling();
    world.close();
    world.advance(29_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["closed: forced close"]);
    assert_eq!(world.poll(1), Err(PeerMisbehaved::SessionClosed));
}

/// The 30 s begin when the data has been sent. Until then the heartbeat decides, and a closing
/// session ignores pongs.
#[test]
fn unsent_data_keeps_a_closing_session_until_its_heartbeat_fails() {
    let mut world = World::polling();
    world.send("a");
    world.close();
    world.advance(44_999);
    world.post(b"3").unwrap();
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["closed: ping timeout"]);
}

/// A caller that does not read from a client excuses the client's silence. In a closing session the
/// excuse has no effect.
#[test]
fn a_closing_session_is_not_excused_beyond_its_heartbeat() {
    for mut world in [World::polling(), World::websocket()] {
        world.stream_writable = false;
        world.send("a");
        world.close();
        for _ in 0..60 {
            world.advance(1_000);
            world.session.excuse_silence(world.now);
        }
        assert_eq!(world.take(), ["closed: ping timeout"]);
    }
}

#[test]
fn the_close_timeout_begins_when_the_data_has_left() {
    let config = Config { ping_interval: Duration::from_secs(100), ..Config::default() };
    let mut world = World::polling_with(Protocol::V4, config);
    world.send("a");
    world.close();
    world.advance(60_000);
    world.poll(1).unwrap();
    world.advance(29_999);
    assert_eq!(world.take(), ["poll 1 <- 4a"]);
    world.advance(1);
    assert_eq!(world.take(), ["closed: forced close"]);
}

#[test]
fn a_websocket_closes_when_all_is_sent() {
    let mut world = World::websocket();
    world.queue("a", Delivery::Reliable);
    world.queue("b", Delivery::Reliable);
    world.close();
    assert_eq!(world.take(), ["ws <- 4a", "ws <- 4b", "ws close 1005", "closed: forced close"]);

    let mut world = World::websocket();
    world.stream_writable = false;
    world.send("a");
    world.close();
    assert_eq!(world.take(), [""; 0]);
    world.message("4unheard").unwrap();
    world.stream_writable = true;
    world.drain();
    assert_eq!(world.take(), ["ws <- 4a", "ws close 1005", "closed: forced close"]);
}

#[test]
fn what_comes_after_a_close_is_dropped() {
    for mut world in [World::polling(), World::websocket()] {
        world.close();
        assert!(!world.queue("late", Delivery::Reliable));
        assert!(!world.queue("late", Delivery::Volatile { stream_idle: true }));
        assert!(!world.queue("late", Delivery::Attached));
        world.close();
        world.take();
        world.abort(CloseReason::NodeShutdown);
        world.message("4late").unwrap();
        assert!(world.take().iter().all(|line| line.starts_with("closed: transport close")));
    }
}

#[test]
fn a_closing_session_hears_nothing_but_the_clients_close() {
    let mut world = World::polling();
    world.close();
    world.post(b"4a").unwrap();
    world.post(b"9").unwrap();
    world.post(b"2").unwrap();
    assert_eq!(world.take(), [""; 0]);
    world.post(b"4a\x1e1").unwrap();
    assert_eq!(world.take(), ["closed: transport close"]);
}

#[test]
fn abort_ends_a_session_at_once() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.abort(CloseReason::ServerShuttingDown);
    assert_eq!(world.take(), ["poll 1 <- 1", "closed: server shutting down"]);

    let mut world = World::polling();
    world.send("unsent");
    world.abort(CloseReason::ServerShuttingDown);
    assert_eq!(world.take(), ["closed: server shutting down"]);
    assert_eq!(world.session.outbox_bytes(), 0);

    let mut world = World::websocket();
    world.abort(CloseReason::NodeShutdown);
    assert_eq!(world.take(), ["ws close 1005", "closed: transport close"]);
}

/// What npm has handed to its transport by then still arrives at the client.
#[test]
fn abort_lets_go_what_can_leave_in_the_same_turn() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.queue("bye", Delivery::Reliable);
    world.abort(CloseReason::ServerShuttingDown);
    assert_eq!(world.take(), ["poll 1 <- 4bye", "closed: server shutting down"]);

    let mut world = World::websocket();
    world.queue("bye", Delivery::Reliable);
    world.abort(CloseReason::ServerShuttingDown);
    assert_eq!(world.take(), ["ws <- 4bye", "ws close 1005", "closed: server shutting down"]);
}

#[test]
fn a_full_outbox_is_dropped() {
    for mut world in [World::polling(), World::websocket()] {
        world.stream_writable = false;
        world.send("unsent");
        world.abort(CloseReason::OutboxFull);
        assert_eq!(world.session.outbox_bytes(), 0);
        assert_eq!(world.take(), ["closed: transport close"]);
    }
}

#[test]
fn the_client_closes_over_polling() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.post(b"4a\x1e1\x1e4b\x1e9").unwrap();
    assert_eq!(world.take(), ["app hears \"a\"", "poll 1 <- 6", "closed: transport close"]);
}

#[test]
fn over_websocket_a_close_packet_means_nothing() {
    let mut world = World::websocket();
    world.message("1").unwrap();
    assert_eq!(world.take(), [""; 0]);
    world.session.handle_stream_closed(world.now);
    world.drain();
    assert_eq!(world.take(), ["closed: transport close"]);
}

#[test]
fn a_broken_stream_is_a_transport_error() {
    let mut world = World::websocket();
    world.send("a");
    world.session.handle_stream_error(world.now, "reset");
    world.drain();
    assert_eq!(world.take(), ["ws <- 4a", "closed: transport error (reset)"]);
    world.session.handle_stream_closed(world.now);
    world.drain();
    assert_eq!(world.take(), [""; 0], "a session ends once");
}

#[test]
fn a_message_too_large_ends_a_websocket_alone() {
    let mut world = World::websocket();
    world.session.handle_message_too_large(world.now);
    world.drain();
    assert_eq!(world.take(), ["closed: transport error (Max payload size exceeded)"]);
    let mut world = World::polling();
    world.session.handle_message_too_large(world.now);
    world.drain();
    assert_eq!(world.take(), [""; 0]);
}

#[test]
fn every_reason_has_socket_ios_words_and_a_side_to_blame() {
    for (reason, words, blame) in [
        (CloseReason::TransportClose, "transport close", Blame::Client),
        (CloseReason::TransportError, "transport error", Blame::Client),
        (CloseReason::PingTimeout, "ping timeout", Blame::Client),
        (CloseReason::ParseError, "parse error", Blame::Client),
        (CloseReason::Forced, "forced close", Blame::AppServer),
        (CloseReason::ServerShuttingDown, "server shutting down", Blame::AppServer),
        (CloseReason::OutboxFull, "transport close", Blame::Client),
        (CloseReason::TooLarge, "transport error", Blame::Client),
        (CloseReason::NodeShutdown, "transport close", Blame::Node),
        (CloseReason::MoveFailed, "transport close", Blame::Node),
        (CloseReason::RecoveryUnproved, "transport close", Blame::Node),
        (CloseReason::AppServerLost, "transport close", Blame::AppServer),
        (CloseReason::AppServerLostInDoubt, "transport close", Blame::AppServer),
        (CloseReason::RehomeRefused, "transport close", Blame::AppServer),
    ] {
        assert_eq!((reason.as_str(), reason.blame()), (words, blame), "{}", reason.slug());
    }
}
