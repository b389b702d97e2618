//! Pings, and the end of a trunk whose peer is silent (section 10).

mod pair;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use pair::Pair;
use trunkline_clock::Timestamp;
use trunkline_trunk::{EndCause, EndEvent, ErrorCode, Frame, LinkConfig, LinkEvent, Misbehaved};

const INTERVAL: Duration = Duration::from_secs(7);

fn up() -> Pair {
    Pair::up(LinkConfig { ping_interval: INTERVAL, ..LinkConfig::default() }, LinkConfig::default())
}

fn frames(pair: &mut Pair) -> Vec<Frame> {
    std::iter::from_fn(|| pair.node.poll_transmit()).collect()
}

#[test]
fn both_ends_ping_at_the_interval_that_welcome_names() {
    let mut pair = up();
    let due = Some(Timestamp::ORIGIN + INTERVAL);
    assert_eq!((pair.node.poll_deadline(), pair.app.poll_deadline()), (due, due));
    pair.advance(INTERVAL);
    assert_eq!((pair.to_app.len(), pair.to_node.len()), (1, 1));
    pair.run().unwrap();
    let due = Some(Timestamp::ORIGIN + INTERVAL * 2);
    assert_eq!((pair.node.poll_deadline(), pair.app.poll_deadline()), (due, due));
}

#[test]
fn a_timer_that_fires_early_does_nothing() {
    let mut pair = up();
    pair.advance(INTERVAL - Duration::from_micros(1));
    assert!(pair.to_app.is_empty() && pair.to_node.is_empty());
}

#[test]
fn three_silent_intervals_end_the_trunk_with_error_7() {
    let mut pair = up();
    let mut now = Timestamp::ORIGIN;
    let mut sent = Vec::new();
    while let Some(at) = pair.node.poll_deadline() {
        now = at;
        pair.node.handle_timeout(now);
        sent.extend(frames(&mut pair));
    }
    assert_eq!(now, Timestamp::ORIGIN + INTERVAL * 3);
    let ping = Frame::Ping { token: Bytes::new() };
    assert_eq!(sent[..2], [ping.clone(), ping]);
    assert!(matches!(&sent[2..], [Frame::Error { code: ErrorCode::Silence, .. }]));
    let ended = LinkEvent::Ended(EndCause::Misbehaved(Misbehaved::Silence));
    assert_eq!(pair.node.poll_event(), Some(EndEvent::Link(ended)));
    assert_eq!(pair.node.poll_event(), None);
}

#[test]
fn any_frame_counts_as_life_even_one_of_a_later_version() {
    let mut later = BytesMut::new();
    later.put_slice(&[0x90, 0x01, 0x00]);
    let mut credit = BytesMut::new();
    Frame::Credit { bytes: 1 }.encode(&mut credit);
    for batch in [later.freeze(), credit.freeze()] {
        let mut pair = up();
        for _ in 0..2 {
            pair.now = pair.now + INTERVAL;
            pair.node.handle_timeout(pair.now);
        }
        pair.node.handle_batch(pair.now, batch).unwrap();
        assert_eq!(pair.node.poll_deadline(), Some(pair.now + INTERVAL));
        for _ in 0..2 {
            pair.now = pair.now + INTERVAL;
            pair.node.handle_timeout(pair.now);
        }
        assert!(pair.node.trunk.is_up(), "the count of silent intervals began anew");
    }
}

#[test]
fn a_stall_of_our_own_is_not_the_peers_silence() {
    let mut pair = up();
    pair.node.handle_timeout(Timestamp::ORIGIN + INTERVAL * 100);
    assert!(pair.node.trunk.is_up(), "the peer's frames may lie unread in the stream");
    assert_eq!(pair.node.poll_deadline(), Some(Timestamp::ORIGIN + INTERVAL * 101));
}

#[test]
fn a_pong_carries_the_pings_token() {
    let mut pair = up();
    let token = Bytes::from_static(b"0123456789abcdef");
    pair.node.handle_frame(pair.now, Frame::Ping { token: token.clone() }).unwrap();
    assert_eq!(frames(&mut pair), [Frame::Pong { token }]);
}

#[test]
fn an_app_server_that_lives_and_answers_no_measurement_any_more_has_no_window() {
    let mut pair = up();
    let mut now = Timestamp::ORIGIN;
    let Some(Frame::Ping { token }) = pair.node.trunk.measure(now, 0) else {
        panic!("the way is measured first")
    };
    pair.node.handle_frame(now, Frame::Pong { token }).unwrap();
    let credit = |pair: &Pair| {
        let credit = pair.node.credit().expect("it is up");
        (credit.has_window(), credit.room() > 0)
    };
    pair.node.credit().expect("it is up").spend(100_000);
    assert!(pair.node.trunk.measure(now, 100_000).is_some());
    assert_eq!(credit(&pair), (true, false), "the window is full");
    for intervals in 1..=3 {
        assert_eq!(credit(&pair), (true, false), "after {intervals} intervals");
        now = now + INTERVAL;
        pair.node.handle_frame(now, Frame::Ping { token: Bytes::new() }).unwrap();
    }
    assert_eq!(credit(&pair), (false, true));
}
