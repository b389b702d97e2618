//! The pace at which newcomers are given to an app server.

use core::time::Duration;
use std::collections::VecDeque;

use trunkline_admission::{PACE_WAIT, Pace, Timestamp};

const LOOK: Duration = Duration::from_millis(10);
/// The way of a `Ping` to the app server and back.
const WAY: Duration = Duration::from_millis(1);

/// An app server that takes this long for each handshake, one after the other, and in addition as
/// long for each of them alone; and newcomers without end.
struct Avalanche {
    pace: Pace,
    now: Timestamp,
    each: Duration,
    alone: Duration,
    /// When the app server was given the handshakes that it has not answered.
    given: VecDeque<Timestamp>,
    /// When it is free for the next one.
    free_at: Timestamp,
    answered: u32,
    /// When its event loop has begun all that it was given.
    busy_until: Timestamp,
    /// When its last sign of life comes, or came.
    heard_at: Timestamp,
}

impl Avalanche {
    fn new(each: Duration, alone: Duration) -> Self {
        let (pace, now) = (Pace::default(), Timestamp::ORIGIN);
        let given = VecDeque::new();
        Self {
            pace,
            now,
            each,
            alone,
            given,
            free_at: now,
            answered: 0,
            busy_until: now,
            heard_at: now,
        }
    }

    fn runs(&mut self, time: Duration, newcomers: bool) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_micros(500);
            while newcomers && self.given.len() < self.pace.limit() as usize {
                self.given.push_back(self.now);
                self.busy_until = self.busy_until.max(self.now) + self.each;
            }
            if newcomers {
                let is_heard = self.heard_at <= self.now;
                let heard_at = if is_heard { self.heard_at } else { Timestamp::ORIGIN };
                if self.pace.refused(self.now, heard_at) {
                    self.heard_at = self.busy_until.max(self.now) + WAY;
                }
            }
            while let Some(given) = self.given.front().copied() {
                let begins = self.free_at.max(given);
                if begins + self.each + self.alone > self.now {
                    break;
                }
                self.free_at = begins + self.each;
                self.given.pop_front();
                self.answered += 1;
                self.pace.answered(self.now, self.now.since(given));
            }
        }
    }

    /// How long a handshake waits that is given now.
    fn wait(&self) -> Duration {
        self.each * u32::try_from(self.given.len()).expect("not that many")
    }
}

#[test]
fn an_avalanche_waits_outside_and_the_app_server_is_busy() {
    for each in [Duration::from_micros(300), Duration::from_millis(1), Duration::from_millis(20)] {
        let mut avalanche = Avalanche::new(each, Duration::ZERO);
        avalanche.runs(Duration::from_secs(5), true);
        let before = avalanche.answered;
        avalanche.runs(Duration::from_secs(5), true);
        assert!(avalanche.wait() <= 3 * PACE_WAIT, "{each:?}: {:?}", avalanche.wait());
        let answered = avalanche.answered - before;
        let possible = u32::try_from(5_000_000 / each.as_micros()).unwrap();
        assert!(answered * 10 >= possible * 9, "{each:?}: {answered} of {possible}");
    }
}

#[test]
fn an_app_that_asks_a_slow_database_is_not_slowed_down_for_it() {
    let mut avalanche = Avalanche::new(Duration::from_micros(100), Duration::from_secs(1));
    avalanche.runs(Duration::from_secs(10), true);
    let before = avalanche.answered;
    avalanche.runs(Duration::from_secs(5), true);
    assert!(avalanche.answered - before >= 5_000, "{}", avalanche.answered - before);
}

#[test]
fn a_late_event_loop_gets_fewer_at_once() {
    let mut pace = Pace::default();
    let first = pace.limit();
    pace.lags(PACE_WAIT);
    assert_eq!(pace.limit(), first, "this much is not late");
    pace.lags(Duration::from_secs(1));
    assert_eq!(pace.limit(), first / 2);
    (0..20).for_each(|_| pace.lags(Duration::from_secs(1)));
    assert!(pace.limit() >= 1, "never none");
}

#[test]
fn a_pace_that_nobody_wants_stays() {
    let mut pace = Pace::default();
    let first = pace.limit();
    let mut now = Timestamp::ORIGIN;
    for _ in 0..1_000 {
        now = now + Duration::from_millis(10);
        pace.answered(now, Duration::from_millis(1));
    }
    assert_eq!(pace.limit(), first);
}

/// Newcomers that come at once, and look again and again whether they may go on. The app server
/// answers calls after so long, and handshakes later. Returns when each was given to it.
fn come_at_once(pace: &mut Pace, newcomers: u32, called: Duration) -> Vec<Timestamp> {
    let begin = Timestamp::ORIGIN + Duration::from_secs(1_000);
    let (mut now, mut heard_at, mut given) = (begin, begin, Vec::new());
    while now < begin + Duration::from_secs(5) {
        while (given.len() as u32) < pace.limit().min(newcomers) {
            given.push(now);
        }
        let said = if heard_at <= now { heard_at } else { begin };
        if (given.len() as u32) < newcomers && pace.refused(now, said) {
            heard_at = now + called;
        }
        now = now + LOOK;
    }
    given
}

#[test]
fn newcomers_do_not_wait_for_one_another_at_an_app_that_waits_itself() {
    let mut pace = Pace::default();
    let mut now = Timestamp::ORIGIN;
    for _ in 0..1_000 {
        now = now + LOOK;
        pace.answered(now, WAY);
    }
    // Its token service was fast until now.
    let given = come_at_once(&mut pace, 1_000, WAY);
    assert_eq!(given.len(), 1_000);
    let last = given[999].since(given[0]);
    assert!(last <= Duration::from_millis(500), "{last:?}");
    // And takes two seconds for each: this is no reason to give it fewer.
    let before = pace.limit();
    for at in given {
        let now = at + Duration::from_secs(2);
        pace.answered(now, now.since(at));
    }
    assert!(pace.limit() >= before, "{} after {before}", pace.limit());
}

#[test]
fn one_that_answers_calls_late_is_given_no_more() {
    let mut pace = Pace::default();
    let first = pace.limit() as usize;
    assert_eq!(come_at_once(&mut pace, 1_000, PACE_WAIT + 2 * LOOK).len(), first);
}

#[test]
fn what_fitted_a_slow_service_is_forgotten() {
    let mut pace = Pace::default();
    let first = pace.limit();
    come_at_once(&mut pace, 1_000, WAY);
    assert!(pace.limit() >= 1_000);
    let mut now = Timestamp::ORIGIN + Duration::from_secs(2_000);
    for _ in 0..10_000 {
        now = now + LOOK;
        pace.answered(now, WAY);
    }
    assert_eq!(pace.limit(), first);
}

/// So many answers at once, after this long each, while newcomers wait or not.
fn answers(pace: &mut Pace, count: u32, took: Duration, wanted: bool) {
    let now = Timestamp::ORIGIN;
    if wanted {
        assert!(!pace.refused(now, now), "it has answered a moment ago");
    }
    (0..count).for_each(|_| pace.answered(now, took));
}

#[test]
fn one_bad_round_halves_the_number_and_calm_ones_bring_it_back() {
    let mut pace = Pace::default();
    let first = pace.limit();
    answers(&mut pace, first, WAY, false);
    for expected in [first / 2, first / 4, first / 8, first / 16, first / 16] {
        let count = pace.limit();
        answers(&mut pace, count, Duration::from_secs(60), true);
        assert_eq!(pace.limit(), expected);
    }
    for expected in [first / 8, first / 4, first / 2, first, first] {
        let count = pace.limit();
        answers(&mut pace, count, WAY, false);
        assert_eq!(pace.limit(), expected);
    }
}

#[test]
fn a_round_without_a_wait_doubles_the_number_and_one_with_half_a_wait_adds_little() {
    let mut pace = Pace::default();
    let first = pace.limit();
    answers(&mut pace, first, WAY, true);
    assert_eq!(pace.limit(), 2 * first);
    answers(&mut pace, 2 * first, WAY + PACE_WAIT * 3 / 4, true);
    assert_eq!(pace.limit(), 2 * first + first / 4);
}

#[test]
fn two_calls_answered_at_once_show_that_the_app_itself_takes_the_time() {
    for calls in [1_u32, 2] {
        let mut pace = Pace::default();
        let first = pace.limit();
        answers(&mut pace, first, WAY, false);
        let mut now = Timestamp::ORIGIN;
        assert!(!pace.refused(now, now));
        for _ in 0..calls {
            now = now + PACE_WAIT / 2;
            assert!(pace.refused(now, Timestamp::ORIGIN), "it is called");
            now = now + WAY;
            assert!(!pace.refused(now, now));
        }
        let before = pace.limit();
        assert_eq!(before, first << calls);
        now = now + Duration::from_secs(2);
        pace.answered(now, Duration::from_secs(2));
        let expected = if calls == 2 { before } else { before / 2 };
        assert_eq!(pace.limit(), expected, "after {calls} calls");
    }
}
