//! The batches that an end keeps until the other end has confirmed them, and its confirmations.

use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_trunk::{CannotResume, FrameKind, Keeps, Misbehaved, Received, Retained, Unhandled};

fn batch(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

/// An end that has sent this many batches.
fn sent(keeps: Keeps, count: u64) -> Retained {
    let mut retained = Retained::new(keeps, 1 << 20);
    (1..=count).for_each(|number| retained.note(&batch(number)));
    retained
}

fn again(retained: &mut Retained, received: u64) -> Result<Vec<u64>, CannotResume> {
    Ok(retained.resume(received)?.map(|batch| number(&batch)).collect())
}

fn number(batch: &Bytes) -> u64 {
    core::str::from_utf8(batch).ok().and_then(|text| text.parse().ok()).expect("a number")
}

fn numbers(unhandled: &Unhandled) -> (Vec<u64>, Vec<u64>) {
    let of = |batches: &[Bytes]| batches.iter().map(number).collect();
    (of(&unhandled.doubtful), of(&unhandled.unbegun))
}

#[test]
fn what_was_not_received_is_sent_again_in_order_as_often_as_it_takes() {
    let mut retained = sent(Keeps::UntilReceived, 5);
    assert_eq!(again(&mut retained, 2), Ok(vec![3, 4, 5]));
    assert_eq!(again(&mut retained, 2), Ok(vec![3, 4, 5]), "the next stream broke at once");
    assert_eq!(again(&mut retained, 5), Ok(vec![]));
    retained.note(&batch(6));
    assert_eq!(again(&mut retained, 5), Ok(vec![6]));
}

#[test]
fn a_count_that_cannot_be_is_refused_and_changes_nothing() {
    let mut retained = sent(Keeps::UntilReceived, 5);
    retained.handle_got(3).unwrap();
    assert_eq!(again(&mut retained, 6), Err(CannotResume::NeverSent));
    assert_eq!(again(&mut retained, 2), Err(CannotResume::Forgotten));
    assert_eq!(again(&mut retained, 3), Ok(vec![4, 5]));

    let mut handled = sent(Keeps::UntilHandled, 5);
    handled.handle_handled(1, 1).unwrap();
    handled.handle_handled(2, 0).unwrap();
    assert_eq!(again(&mut handled, 2), Err(CannotResume::Forgotten), "it has begun the third");
    assert_eq!(again(&mut handled, 4), Ok(vec![5]));
    assert_eq!(again(&mut handled, 3), Err(CannotResume::Forgotten), "it had four a moment ago");
}

#[test]
fn a_confirmation_that_comes_after_a_new_stream_has_confirmed_the_same_is_no_fault() {
    let mut retained = sent(Keeps::UntilReceived, 5);
    assert_eq!(again(&mut retained, 5), Ok(vec![]));
    assert_eq!(retained.handle_got(5), Ok(()), "it was lost with the old stream and came again");
    assert_eq!(retained.handle_got(1), Err(Misbehaved::BatchesNotSent(FrameKind::Got)));
}

#[test]
fn batches_are_kept_until_they_are_confirmed_in_the_way_that_counts() {
    let mut received = sent(Keeps::UntilReceived, 5);
    let per_batch = received.bytes() / 5;
    received.handle_got(2).unwrap();
    assert_eq!(received.bytes(), 3 * per_batch);
    received.handle_handled(4, 0).unwrap();
    assert_eq!(received.bytes(), per_batch, "what is begun was received");

    let mut handled = sent(Keeps::UntilHandled, 5);
    handled.handle_got(5).unwrap();
    handled.handle_handled(5, 2).unwrap();
    assert_eq!(handled.bytes(), 3 * per_batch);

    let mut nothing = sent(Keeps::Nothing, 5);
    assert_eq!(nothing.bytes(), 0);
    assert_eq!(again(&mut nothing, 4), Err(CannotResume::Forgotten));
}

#[test]
fn nothing_is_confirmed_that_was_not_sent_or_begun() {
    for (begun, done) in [(6, 0), (0, 1), (3, 4), (7, 1), (u32::MAX, u32::MAX)] {
        let mut retained = sent(Keeps::UntilHandled, 5);
        let refused = Err(Misbehaved::BatchesNotSent(FrameKind::Handled));
        assert_eq!(retained.handle_handled(begun, done), refused, "{begun} {done}");
    }
    let mut retained = sent(Keeps::UntilHandled, 5);
    assert_eq!(retained.handle_handled(3, 3), Ok(()));
    assert_eq!(retained.handle_handled(2, 1), Ok(()));
    assert!(retained.handle_handled(1, 0).is_err(), "it is the sum that counts");
}

#[test]
fn beyond_the_bound_everything_is_forgotten_until_the_other_end_has_it() {
    let mut retained = Retained::new(Keeps::UntilReceived, 1000);
    let large = Bytes::from(vec![b'x'; 300]);
    (0..3).for_each(|_| retained.note(&large));
    assert_eq!(retained.bytes(), 0, "three with their overhead are too much");
    assert_eq!(again(&mut retained, 2), Err(CannotResume::Forgotten));
    retained.note(&batch(4));
    assert_eq!(again(&mut retained, 2), Err(CannotResume::Forgotten));
    assert_eq!(again(&mut retained, 3), Ok(vec![4]), "that one has what was forgotten");
    assert!(retained.take_forgotten() && !retained.take_forgotten(), "it is said once");
}

#[test]
fn an_app_server_that_stopped_leaves_what_it_began_in_doubt_and_the_rest_untouched() {
    let mut retained = sent(Keeps::UntilHandled, 6);
    retained.handle_handled(1, 1).unwrap();
    retained.handle_handled(2, 0).unwrap();
    let left = retained.unhandled(1, true);
    assert_eq!(numbers(&left), (vec![2, 3], vec![4, 5, 6]));
    assert!(!left.incomplete);
}

#[test]
fn an_app_server_that_may_go_on_leaves_everything_that_was_written_in_doubt() {
    let mut retained = sent(Keeps::UntilHandled, 6);
    retained.handle_handled(3, 1).unwrap();
    assert_eq!(numbers(&retained.unhandled(2, false)), (vec![2, 3, 4], vec![5, 6]));
    assert_eq!(numbers(&retained.unhandled(0, false)), (vec![2, 3, 4, 5, 6], vec![]));
}

#[test]
fn a_batch_begun_ahead_is_told_apart_until_it_is_begun_by_its_own_word() {
    let mut retained = sent(Keeps::UntilHandled, 2);
    retained.handle_handled(2, 1).unwrap();
    let ahead = |retained: &Retained, unwritten| {
        let left = retained.unhandled(unwritten, true);
        (numbers(&left), left.ahead.as_ref().map(number))
    };
    assert_eq!(ahead(&retained, 0), ((vec![], vec![]), Some(2)));
    assert_eq!(ahead(&retained, 1), ((vec![], vec![2]), None), "nothing of it has left");
    assert_eq!(numbers(&retained.unhandled(0, false)), (vec![2], vec![]));
    retained.note(&batch(3));
    assert_eq!(ahead(&retained, 0), ((vec![], vec![3]), Some(2)));
    retained.handle_handled(0, 0).unwrap();
    assert_eq!(ahead(&retained, 0), ((vec![2], vec![3]), None), "it has its own word now");
    retained.handle_handled(2, 2).unwrap();
    assert_eq!(ahead(&retained, 0), ((vec![], vec![]), None), "the fourth was not sent");
    retained.note(&batch(4));
    retained.note(&batch(5));
    assert_eq!(ahead(&retained, 0), ((vec![], vec![5]), Some(4)));
    // What ends a batch without beginning one says nothing of those that are begun.
    retained.handle_handled(1, 0).unwrap();
    retained.handle_handled(0, 1).unwrap();
    assert_eq!(ahead(&retained, 0), ((vec![5], vec![]), None));
}

#[test]
fn only_one_batch_is_begun_ahead_and_only_by_what_ends_another() {
    let refused = Err(Misbehaved::BatchesNotSent(FrameKind::Handled));
    assert_eq!(sent(Keeps::UntilHandled, 3).handle_handled(4, 0), refused);
    assert_eq!(sent(Keeps::UntilHandled, 3).handle_handled(5, 3), refused);
    assert_eq!(sent(Keeps::UntilHandled, 3).handle_handled(4, 4), refused, "it is not there");
    assert_eq!(sent(Keeps::UntilHandled, 3).handle_handled(4, 3), Ok(()));
}

#[test]
fn a_batch_begun_ahead_was_not_received() {
    let mut handled = sent(Keeps::UntilHandled, 4);
    handled.handle_handled(3, 2).unwrap();
    assert_eq!(again(&mut handled, 1), Err(CannotResume::Forgotten));
    assert_eq!(again(&mut handled, 2), Ok(vec![3, 4]));

    let mut received = sent(Keeps::UntilReceived, 4);
    received.handle_handled(5, 4).unwrap();
    received.note(&batch(5));
    received.handle_got(4).unwrap();
    assert_eq!(again(&mut received, 4), Ok(vec![5]));
}

#[test]
fn what_was_forgotten_makes_the_rest_incomplete_until_it_is_done() {
    let mut retained = Retained::new(Keeps::UntilHandled, 250);
    (1..=3).for_each(|number| retained.note(&batch(number)));
    retained.note(&batch(4));
    assert!(retained.unhandled(0, false).incomplete);
    retained.handle_handled(3, 2).unwrap();
    assert!(retained.unhandled(0, false).incomplete, "the third is not done and not kept");
    retained.handle_handled(0, 1).unwrap();
    let left = retained.unhandled(0, true);
    assert_eq!((numbers(&left), left.incomplete), ((vec![], vec![4]), false));
}

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

#[test]
fn a_confirmation_rides_with_something_else_or_leaves_after_a_second_a_count_or_a_size() {
    let mut received = Received::default();
    assert_eq!((received.take(), received.due_at()), (None, None));
    received.note(at(10), 5, true);
    received.note(at(900), 5, true);
    assert_eq!(received.due_at(), Some(at(10) + Duration::from_secs(1)));
    assert!(!received.is_due(at(1009)) && received.is_due(at(1010)));
    assert_eq!(received.take(), Some(2));
    assert_eq!((received.take(), received.due_at()), (None, None));

    (0..63).for_each(|_| received.note(at(0), 5, true));
    assert!(!received.is_due(at(0)));
    received.note(at(0), 5, true);
    assert!(received.is_due(at(0)), "64 batches");
    assert_eq!(received.take(), Some(64));

    received.note(at(0), 256 << 10, true);
    assert!(received.is_due(at(0)), "256 KiB");
    assert_eq!(received.count(), 67);
}

#[test]
fn an_end_that_is_not_asked_for_confirmations_counts_and_owes_nothing() {
    let mut received = Received::default();
    (0..1000).for_each(|_| received.note(at(0), 1 << 20, false));
    assert_eq!((received.count(), received.due_at(), received.take()), (1000, None, None));
    assert!(!received.is_due(at(1_000_000)));
}
