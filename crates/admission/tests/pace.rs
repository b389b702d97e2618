//! The pace at which newcomers are given to an app server.

use core::time::Duration;
use std::collections::VecDeque;

use trunkline_admission::{PACE_WAIT, Pace, Timestamp};

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
}

impl Avalanche {
    fn new(each: Duration, alone: Duration) -> Self {
        let (pace, now) = (Pace::default(), Timestamp::ORIGIN);
        let given = VecDeque::new();
        Self { pace, now, each, alone, given, free_at: now, answered: 0 }
    }

    fn runs(&mut self, time: Duration, newcomers: bool) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_micros(500);
            while newcomers && self.given.len() < self.pace.limit() as usize {
                self.given.push_back(self.now);
            }
            while let Some(given) = self.given.front().copied() {
                let begins = self.free_at.max(given);
                if begins + self.each + self.alone > self.now {
                    break;
                }
                self.free_at = begins + self.each;
                self.given.pop_front();
                self.answered += 1;
                self.pace.answered(self.now, self.now.since(given), newcomers);
            }
        }
    }

    /// How long a handshake waits that is given now.
    fn wait(&self) -> Duration {
        self.each * u32::try_from(self.given.len()).unwrap()
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
        pace.answered(now, Duration::from_millis(1), false);
    }
    assert_eq!(pace.limit(), first);
}
