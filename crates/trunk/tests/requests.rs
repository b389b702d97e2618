//! Requests of clients: which caller an answer is for, late answers, and answers to requests that
//! never existed.

mod owner;
mod pair;

use owner::{NOW, config, greeted, hello, join, told, up, words};
use trunkline_trunk::{ErrorCode, Frame, NodeTrunk, RequestCode, RequestId, Str};

/// Asks, and says which number the app server gets to see.
fn ask(trunk: &mut NodeTrunk, key: u64) -> RequestId {
    trunk.request(key, RequestCode::Preflight, "{}".into(), pair::client_request());
    let Some(Frame::Request(request)) = trunk.poll_transmit() else { panic!("no Request") };
    assert_eq!(request.code, RequestCode::Preflight);
    assert_eq!((&*request.context, request.request), ("{}", pair::client_request()));
    request.request_id
}

/// What comes of an answer with this number.
fn answer(trunk: &mut NodeTrunk, request_id: RequestId) -> Vec<String> {
    words(&told(trunk, &[Frame::Response { request_id, response: pair::response() }]))
}

const LIE: &str = "ended: Response for a number that is not in use";

#[test]
fn an_answer_finds_who_asked_and_comes_once() {
    let mut trunk = up(config(1));
    let (first, second) = (ask(&mut trunk, 70), ask(&mut trunk, 80));
    assert_ne!(first, second);
    assert_eq!(answer(&mut trunk, second), ["response to 80"]);
    assert_eq!(answer(&mut trunk, first), ["response to 70"]);
    assert_eq!(answer(&mut trunk, first), [LIE]);
}

#[test]
fn a_number_that_was_answered_does_not_come_again_soon() {
    let mut trunk = up(config(1));
    let mut numbers = Vec::new();
    for key in 0..50 {
        let request_id = ask(&mut trunk, key);
        assert!(!numbers.contains(&request_id), "a second answer would meet a later request");
        assert_eq!(answer(&mut trunk, request_id), [format!("response to {key}")]);
        numbers.push(request_id);
    }
}

#[test]
fn an_answer_to_what_was_never_asked_is_a_lie_behind_what_came_before() {
    let mut trunk = up(config(1));
    let lie = Frame::Response { request_id: RequestId(99), response: pair::response() };
    assert_eq!(words(&told(&mut trunk, &[join(0), lie, join(0)])), ["Join", LIE]);
}

#[test]
fn a_late_answer_to_an_abandoned_request_is_no_lie_and_meets_no_later_one() {
    let mut trunk = up(config(1));
    let first = ask(&mut trunk, 1);
    trunk.abandon(1);
    assert_ne!(ask(&mut trunk, 2), first);
    assert!(answer(&mut trunk, first).is_empty());
    assert_eq!(answer(&mut trunk, first), [LIE], "one answer is all that it gets");
}

#[test]
fn of_an_app_server_that_leaves_too_many_unanswered_every_answer_is_taken() {
    let mut trunk = up(config(1));
    let asked: Vec<_> = (0..3).map(|key| ask(&mut trunk, key)).collect();
    // Two are remembered.
    trunk.abandon(0);
    trunk.abandon(1);
    trunk.abandon(2);
    for id in asked {
        assert!(answer(&mut trunk, id).is_empty());
    }
    assert!(answer(&mut trunk, RequestId(99)).is_empty());
}

#[test]
fn as_many_as_are_remembered_make_no_answer_to_nothing_good() {
    let mut trunk = up(config(1));
    for key in [0, 1] {
        ask(&mut trunk, key);
        trunk.abandon(key);
    }
    assert_eq!(answer(&mut trunk, RequestId(99)), [LIE]);
}

#[test]
fn a_request_that_is_answered_cannot_be_abandoned() {
    let mut trunk = up(config(1));
    let id = ask(&mut trunk, 5);
    assert_eq!(answer(&mut trunk, id), ["response to 5"]);
    trunk.abandon(5);
    assert_eq!(answer(&mut trunk, id), [LIE]);
}

#[test]
fn an_answer_is_a_step_before_the_shares_of_its_batch() {
    let mut trunk = up(config(1));
    let request_id = ask(&mut trunk, 3);
    let answer = Frame::Response { request_id, response: pair::response() };
    assert_eq!(words(&told(&mut trunk, &[join(0), answer])), ["response to 3", "Join"]);
}

#[test]
fn nobody_is_asked_before_welcome_or_behind_an_error() {
    let (mut trunk, _) = greeted(config(1), hello());
    trunk.request(1, RequestCode::Preflight, Str::EMPTY, pair::client_request());
    trunk.welcome(NOW, owner::INFO);
    assert!(matches!(trunk.poll_transmit(), Some(Frame::Welcome(_))));
    assert_eq!(trunk.poll_transmit(), None);
    trunk.give_up(ErrorCode::Limit, "enough".into());
    trunk.request(2, RequestCode::Preflight, Str::EMPTY, pair::client_request());
    assert!(matches!(trunk.poll_transmit(), Some(Frame::Error { .. })));
    assert_eq!(trunk.poll_transmit(), None);
}
