//! The opening of a trunk: order, versions, timeouts; and its end by drain and error.
#![expect(clippy::unwrap_used, reason = "a broken expectation fails the test")]

mod pair;

use std::time::Duration;

use bytes::Bytes;
use pair::{Node, Pair, accept, client_request, message};
use trunkline_clock::Timestamp;
use trunkline_trunk::{
    CannotNow, DecodeError, EndCause, EndEvent, ErrorCode, Frame, FrameKind, Hello, LinkConfig,
    LinkEvent, Misbehaved, RequestCode, RequestId, Rule, SessionNumber, Str, Welcome,
};

fn pair() -> Pair {
    Pair::new(LinkConfig::default(), LinkConfig::default())
}

fn up() -> Pair {
    Pair::up(LinkConfig::default(), LinkConfig::default())
}

fn hello(version_min: u32, version_max: u32) -> Frame {
    Frame::Hello(Box::new(Hello {
        version_min,
        version_max,
        credit: 1,
        server: "s".into(),
        sdk: "test/1".into(),
        settings: "{}".into(),
    }))
}

fn welcome() -> Welcome {
    Welcome { version: 1, credit: 1, ping_interval_ms: 1, batch_bytes_max: 1, info: Str::EMPTY }
}

/// The node's first frame to an app server that speaks these versions, once its owner accepts it.
fn answer_to(version_min: u32, version_max: u32) -> Frame {
    let mut node = Node::new(Timestamp::ORIGIN, LinkConfig::default(), 1);
    let _told_by_the_answer = node.handle_frame(Timestamp::ORIGIN, hello(version_min, version_max));
    node.welcome(Timestamp::ORIGIN).unwrap();
    node.poll_transmit().unwrap()
}

#[test]
fn the_highest_common_version_is_chosen() {
    for (min, max) in [(1, 1), (0, 1), (0, u32::MAX), (1, 2)] {
        let Frame::Welcome(welcome) = answer_to(min, max) else { panic!("{min} to {max}") };
        assert_eq!(welcome.version, 1, "{min} to {max}");
    }
}

#[test]
fn without_a_common_version_the_answer_is_error_2() {
    for (min, max) in [(0, 0), (2, 2), (2, u32::MAX), (2, 1), (1, 0)] {
        let Frame::Error { code, message } = answer_to(min, max) else { panic!("{min} to {max}") };
        assert_eq!(code, ErrorCode::NoCommonVersion, "{min} to {max}");
        assert!(message.contains(&format!("speaks {min} to {max}")), "{message}");
    }
}

#[test]
fn the_node_is_silent_until_hello_and_gives_up_after_10_s() {
    let mut node = Node::new(Timestamp::ORIGIN, LinkConfig::default(), 1);
    assert_eq!(node.poll_transmit(), None);
    let due = Timestamp::ORIGIN + Duration::from_secs(10);
    assert_eq!(node.poll_deadline(), Some(due));
    node.handle_timeout(due - Duration::from_micros(1));
    assert_eq!(node.poll_transmit(), None);
    node.handle_timeout(due);
    let Some(Frame::Error { code: ErrorCode::Protocol, .. }) = node.poll_transmit() else {
        panic!("no Error")
    };
    assert_eq!((node.poll_transmit(), node.poll_deadline()), (None, None));
}

#[test]
fn the_app_server_gives_up_when_no_welcome_comes() {
    let mut pair = pair();
    pair.advance(Duration::from_secs(10));
    let ended = LinkEvent::Ended(EndCause::Misbehaved(Misbehaved::WelcomeTimeout));
    assert_eq!(pair.app_events, [EndEvent::Link(ended)]);
}

#[test]
fn nothing_may_come_before_hello_or_welcome_and_neither_twice() {
    let early = accept(SessionNumber(0));
    let mut pair = pair();
    let error = pair.node.handle_frame(pair.now, early).unwrap_err();
    assert_eq!(error, Misbehaved::BeforeHello(FrameKind::Accept));
    let error = pair.app.handle_frame(pair.now, message(SessionNumber(0), Bytes::new()));
    assert_eq!(error.unwrap_err(), Misbehaved::BeforeWelcome(FrameKind::Message));

    let mut pair = up();
    let error = pair.node.handle_frame(pair.now, hello(1, 1)).unwrap_err();
    assert_eq!(error, Misbehaved::HelloTwice);
    let error = pair.app.handle_frame(pair.now, Frame::Welcome(welcome())).unwrap_err();
    assert_eq!(error, Misbehaved::WelcomeTwice);
}

#[test]
fn a_welcome_with_values_that_cannot_be_used_is_refused() {
    for bad in [
        Welcome { version: 2, ..welcome() },
        Welcome { version: 0, ..welcome() },
        Welcome { ping_interval_ms: 0, ..welcome() },
        Welcome { batch_bytes_max: 0, ..welcome() },
    ] {
        let mut pair = pair();
        let error = pair.app.handle_frame(pair.now, Frame::Welcome(bad.clone())).unwrap_err();
        assert_eq!(error, Misbehaved::WelcomeValues, "{bad:?}");
    }
}

#[test]
fn settings_that_cannot_be_honoured_are_told_and_final() {
    let mut pair = pair();
    pair.drain();
    pair.deliver_to_node().unwrap();
    pair.node.trunk.give_up(ErrorCode::Settings, "option \"path\"".into());
    pair.run().unwrap();
    let cause =
        EndCause::PeerError { code: ErrorCode::Settings, message: "option \"path\"".into() };
    assert_eq!(pair.app_events, [EndEvent::Link(LinkEvent::Ended(cause))]);
    assert!(ErrorCode::Settings.is_final());
}

#[test]
fn frames_in_the_wrong_direction_end_the_trunk() {
    let mut pair = up();
    let wrong = message(SessionNumber(0), Bytes::new());
    let error = pair.node.handle_frame(pair.now, wrong).unwrap_err();
    assert_eq!(error, Misbehaved::WrongDirection(FrameKind::Message));
    let error = pair.app.handle_frame(pair.now, accept(SessionNumber(0))).unwrap_err();
    assert_eq!(error, Misbehaved::WrongDirection(FrameKind::Accept));
}

#[test]
fn garbage_is_answered_with_error_1_that_names_the_frame_and_then_nothing_counts() {
    let mut pair = up();
    let garbage = Bytes::from_static(&[0x06, 0x02, 0x80, 0x00]);
    let error = pair.node.handle_batch(pair.now, garbage).unwrap_err();
    let undecodable = DecodeError { wire: 0x06, rule: Rule::VarintNotShortest };
    assert_eq!(error, Misbehaved::Decode(undecodable));
    let Some(Frame::Error { code: ErrorCode::Protocol, message }) = pair.node.poll_transmit()
    else {
        panic!("no Error")
    };
    assert!(message.starts_with("Credit: "), "{message}");
    pair.node.handle_frame(pair.now, accept(SessionNumber(0))).expect("the trunk has ended");
    pair.node.handle_timeout(pair.now + Duration::from_secs(100));
    assert_eq!(pair.node.poll_transmit(), None);
}

#[test]
fn a_drain_of_either_end_stops_new_sessions_only() {
    for by_node in [true, false] {
        let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
        if by_node {
            pair.node.drain(Duration::from_secs(30))
        } else {
            pair.app.link().drain(30_000)
        }
        pair.run().unwrap();
        assert_eq!(pair.try_open("second"), Err(CannotNow::Draining));
        pair.node.send(message(session, Bytes::from_static(b"still served"))).unwrap();
        pair.run().unwrap();
        let drains = EndEvent::Link(LinkEvent::PeerDrains { deadline_ms: 30_000 });
        let told = if by_node { &pair.app_events } else { &pair.node_events };
        assert!(told.contains(&drains));
    }
}

#[test]
fn a_drain_is_told_once_and_lasts_as_long_as_can_be_said() {
    let mut pair = up();
    pair.node.drain(Duration::from_millis(7));
    pair.node.drain(Duration::from_secs(7));
    assert_eq!(pair.node.poll_transmit(), Some(Frame::Drain { deadline_ms: 7 }));
    assert_eq!(pair.node.poll_transmit(), None);
    let mut pair = up();
    pair.node.drain(Duration::MAX);
    assert_eq!(pair.node.poll_transmit(), Some(Frame::Drain { deadline_ms: u32::MAX }));
}

#[test]
fn who_is_pinged_answers_and_nobody_is_before_welcome_or_behind_an_error() {
    let mut pair = pair();
    pair.node.trunk.ping();
    assert_eq!(pair.node.poll_transmit(), None);
    let mut pair = up();
    pair.node.trunk.ping();
    pair.drain();
    pair.deliver_to_app().unwrap();
    assert_eq!(pair.to_node.len(), 1, "the Pong is on its way");
    pair.node.trunk.give_up(ErrorCode::Limit, "enough".into());
    pair.node.trunk.ping();
    assert!(matches!(pair.node.poll_transmit(), Some(Frame::Error { .. })));
    assert_eq!(pair.node.poll_transmit(), None);
}

#[test]
fn a_response_answers_one_request() {
    let mut pair = up();
    let ask = |pair: &mut Pair| {
        pair.node.request(RequestCode::Preflight, Str::EMPTY, client_request()).unwrap()
    };
    let answer = |request_id| Frame::Response { request_id, response: pair::response() };
    let (first, second) = (ask(&mut pair), ask(&mut pair));
    assert_ne!(first, second);
    pair.run().unwrap();
    pair.app.send(answer(first)).unwrap();
    assert_eq!(pair.app.send(answer(first)), Err(CannotNow::State(FrameKind::Response)));
    pair.run().unwrap();
    assert!(ask(&mut pair).0 > second.0, "a late answer must not meet a later request");
    let error = pair.node.handle_frame(pair.now, answer(RequestId(9))).unwrap_err();
    assert_eq!(error, Misbehaved::NumberNotInUse(FrameKind::Response));
}

#[test]
fn nothing_can_be_sent_while_the_trunk_is_not_up() {
    let mut pair = pair();
    assert_eq!(pair.try_open("early"), Err(CannotNow::NotUp));
    assert_eq!(pair.app.send(accept(SessionNumber(0))), Err(CannotNow::NotUp));
    pair.node.drain(Duration::from_millis(1));
    assert_eq!(pair.node.poll_transmit(), None);
}
