//! Requests of clients: which caller an answer is for, late answers, and answers to requests that
//! never existed.

use trunkline_trunk::{FrameKind, Misbehaved, RequestId, Requests};

#[test]
fn an_answer_finds_who_asked_and_comes_once() {
    let mut requests = Requests::new(2);
    let (first, second) = (requests.ask("first"), requests.ask("second"));
    assert_eq!(requests.waiting(), 2);
    assert_eq!(requests.answered(second), Ok(Some("second")));
    assert_eq!(requests.answered(first), Ok(Some("first")));
    let lie = Err(Misbehaved::NumberNotInUse(FrameKind::Response));
    assert_eq!(requests.answered(first), lie);
    assert_eq!(requests.answered(RequestId(99)), lie);
}

#[test]
fn a_late_answer_to_an_abandoned_request_is_no_lie_and_meets_no_later_one() {
    let mut requests = Requests::new(2);
    let first = requests.ask("first");
    requests.abandon(first);
    assert_eq!(requests.waiting(), 0);
    assert_ne!(requests.ask("second"), first);
    assert_eq!(requests.answered(first), Ok(None));
    assert!(requests.answered(first).is_err(), "one answer is all that it gets");
}

#[test]
fn of_an_app_server_that_leaves_too_many_unanswered_every_answer_is_taken() {
    let mut requests = Requests::new(2);
    let asked: Vec<_> = (0..3).map(|_| requests.ask(())).collect();
    for id in &asked[..2] {
        requests.abandon(*id);
    }
    assert!(requests.answered(RequestId(99)).is_err(), "so far all are remembered");
    requests.abandon(asked[2]);
    for id in asked {
        assert_eq!(requests.answered(id), Ok(None));
    }
}

#[test]
fn a_request_that_is_answered_cannot_be_abandoned() {
    let mut requests = Requests::new(2);
    let id = requests.ask(());
    assert_eq!(requests.answered(id), Ok(Some(())));
    requests.abandon(id);
    assert!(requests.answered(id).is_err());
}
