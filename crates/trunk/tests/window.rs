//! The window: how long a message waits at an app server that is given more than it can handle.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_trunk::{WINDOW_LONG_WAIT, WINDOW_WAIT, Window};

const STEP: Duration = Duration::from_micros(10);
const CREDIT: u32 = 8 << 20;

/// An app server that handles so many bytes in a millisecond, and a node that sends as much as the
/// window allows, or this many bytes in a millisecond.
struct Flood {
    window: Window,
    now: Timestamp,
    /// The way to the app server and back, without a wait.
    way: Duration,
    handles_per_ms: u64,
    sends_per_ms: u64,
    sent: u64,
    handled: u64,
    /// The `Ping`s under way: the bytes before each, and its token.
    pings: VecDeque<(u64, Bytes)>,
    /// The answers under way.
    pongs: VecDeque<(Timestamp, Bytes)>,
    full: bool,
}

impl Flood {
    fn new(handles_per_ms: u64, way: Duration) -> Self {
        let mut flood = Self {
            window: Window::new(CREDIT),
            now: Timestamp::ORIGIN,
            way,
            handles_per_ms,
            sends_per_ms: 0,
            sent: 0,
            handled: 0,
            pings: VecDeque::new(),
            pongs: VecDeque::new(),
            full: false,
        };
        flood.runs(2 * way);
        flood.sends_per_ms = u64::MAX;
        flood
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        let full_at = self.window.full_at();
        let wanted = self.sent.saturating_add(self.sends_per_ms.div_ceil(100));
        self.full = wanted > full_at;
        self.sent = wanted.min(full_at).max(self.sent);
        if let Some(token) = self.window.measure(self.now, self.sent) {
            self.pings.push_back((self.sent, token));
        }
        self.handled = (self.handled + self.handles_per_ms.div_ceil(100)).min(self.sent);
        while let Some((_, token)) = self.pings.pop_front_if(|(before, _)| *before <= self.handled)
        {
            self.pongs.push_back((self.now + self.way, token));
        }
        while let Some((_, token)) = self.pongs.pop_front_if(|(at, _)| *at <= self.now) {
            assert!(self.window.answered(self.now, &token, self.full));
        }
    }

    fn runs(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// How long a message that is sent now would wait.
    fn wait(&self) -> Duration {
        Duration::from_micros((self.sent - self.handled) * 1000 / self.handles_per_ms)
    }
}

#[test]
fn a_flood_leaves_the_wait_short_and_the_app_server_busy() {
    // From one that takes a millisecond for a small message to one that takes less than a
    // microsecond.
    for handles_per_ms in [100, 1_000, 5_000, 50_000, 500_000] {
        let mut flood = Flood::new(handles_per_ms, Duration::from_micros(100));
        flood.runs(Duration::from_secs(2));
        let (before, mut longest) = (flood.handled, Duration::ZERO);
        for _ in 0..1_000 {
            flood.runs(Duration::from_millis(1));
            longest = longest.max(flood.wait());
        }
        let bound = if handles_per_ms < 5_000 { WINDOW_LONG_WAIT } else { WINDOW_WAIT };
        assert!(longest <= 2 * bound, "{handles_per_ms}: {longest:?}");
        let handled = flood.handled - before;
        let possible = handles_per_ms * 1_000;
        assert!(handled * 100 >= possible * 97, "{handles_per_ms}: {handled} of {possible}");
    }
}

#[test]
fn a_long_way_is_no_wait() {
    let mut flood = Flood::new(10_000, Duration::from_millis(20));
    flood.runs(Duration::from_secs(3));
    let before = flood.handled;
    flood.runs(Duration::from_secs(1));
    let handled = flood.handled - before;
    assert!(handled >= 1_500_000, "at least what fits into the wait, for each way: {handled}");
    assert!(flood.wait() <= 10 * WINDOW_WAIT, "{:?}", flood.wait());
}

#[test]
fn an_app_server_that_keeps_up_gets_all_of_its_credit_under_way() {
    let mut flood = Flood::new(50_000_000, Duration::from_micros(50));
    flood.runs(Duration::from_millis(100));
    assert_eq!(flood.window.size(), CREDIT);
}

#[test]
fn a_window_that_nobody_waits_for_stays_as_it_is() {
    let mut flood = Flood::new(50_000, Duration::from_micros(50));
    flood.sends_per_ms = 500;
    let first = flood.window.size();
    flood.runs(Duration::from_secs(5));
    assert_eq!(flood.window.size(), first);
}

#[test]
fn one_that_becomes_slow_gets_less_within_some_rounds_and_more_when_it_is_fast_again() {
    let mut flood = Flood::new(50_000, Duration::from_micros(100));
    flood.runs(Duration::from_secs(1));
    let fast = flood.window.size();
    flood.handles_per_ms = 1_000;
    flood.runs(Duration::from_secs(2));
    assert!(flood.window.size() <= fast / 10, "{} after {fast}", flood.window.size());
    flood.handles_per_ms = 50_000;
    flood.runs(Duration::from_millis(200));
    assert!(flood.window.size() >= fast / 2, "{} after {fast}", flood.window.size());
}

#[test]
fn only_the_answer_to_the_measurement_counts() {
    let mut window = Window::new(CREDIT);
    let token = window.measure(Timestamp::ORIGIN, 10).expect("the way is measured first");
    assert!(!window.answered(Timestamp::ORIGIN, b"", false));
    assert!(!window.answered(Timestamp::ORIGIN, b"12345678", false));
    let full_at = window.full_at();
    assert!(window.answered(Timestamp::ORIGIN, &token, false));
    assert!(!window.answered(Timestamp::ORIGIN, &token, false), "an answer counts once");
    assert_eq!(window.full_at(), full_at, "half a window more than was measured");
}

#[test]
fn few_bytes_are_not_measured_again() {
    let mut window = Window::new(CREDIT);
    let token = window.measure(Timestamp::ORIGIN, 10).expect("the way is measured first");
    assert!(window.answered(Timestamp::ORIGIN, &token, false));
    assert_eq!(window.measure(Timestamp::ORIGIN, 10 + 8191), None);
    assert!(window.measure(Timestamp::ORIGIN, 10 + 8192).is_some());
}

#[test]
fn answers_that_are_a_little_late_leave_room_for_ordinary_messages() {
    let mut window = Window::new(CREDIT);
    let first = window.size();
    let (mut now, mut sent) = (Timestamp::ORIGIN, 0);
    let token = window.measure(now, sent).expect("the way is measured first");
    assert!(window.answered(now, &token, false));
    for _ in 0..100 {
        sent = window.full_at();
        let token = window.measure(now, sent).expect("it is full");
        now = now + 3 * WINDOW_WAIT;
        assert!(window.answered(now, &token, true));
    }
    assert!(window.size() >= first, "{} of {first}", window.size());
}

#[test]
fn a_window_whose_measurements_have_no_answer_is_given_up() {
    let interval = Duration::from_secs(10);
    let mut window = Window::new(CREDIT);
    let mut now = Timestamp::ORIGIN;
    assert!(!window.gives_up(now, interval), "nothing is asked");
    let token = window.measure(now, 0).expect("the way is measured first");
    now = now + 3 * interval;
    assert!(!window.gives_up(now, interval), "the answer may be among what is read next");
    assert!(window.answered(now, &token, false));
    let token = window.measure(now, window.full_at()).expect("it is full");
    now = now + 2 * interval - STEP;
    assert!(!window.gives_up(now, interval));
    now = now + STEP;
    assert!(!window.gives_up(now, interval));
    now = now + interval - STEP;
    assert!(!window.gives_up(now, interval));
    now = now + STEP;
    assert!(window.gives_up(now, interval));
    assert!(!window.gives_up(now + 9 * interval, interval), "once");
    assert_eq!(window.measure(now, window.full_at()), None, "nothing is measured any more");
    assert!(!window.answered(now, &token, false), "too late");
}

#[test]
fn one_slow_answer_halves_the_window_at_most_and_one_fast_answer_doubles_it_at_most() {
    let mut window = Window::new(CREDIT);
    let mut now = Timestamp::ORIGIN;
    let token = window.measure(now, 0).expect("the way is measured first");
    assert!(window.answered(now, &token, false));
    for took in [Duration::ZERO, Duration::from_secs(5)] {
        let before = window.size();
        for full in [false, true] {
            let token = window.measure(now, window.full_at()).expect("it is full");
            now = now + took;
            assert!(window.answered(now, &token, full));
        }
        let size = window.size();
        assert!(size >= before / 4 && size <= before * 2, "{before} to {size}");
    }
    for _ in 0..20 {
        if let Some(token) = window.measure(now, window.full_at()) {
            now = now + Duration::from_secs(5);
            assert!(window.answered(now, &token, true));
        }
    }
    assert_eq!(window.size(), 512, "the least");
}

#[test]
fn at_most_four_measurements_are_under_way() {
    let mut window = Window::new(CREDIT);
    let mut sent = 0;
    let asked = (0..20).filter(|_| {
        sent += u64::from(CREDIT);
        window.measure(Timestamp::ORIGIN, sent).is_some()
    });
    assert_eq!(asked.count(), 4);
}

#[test]
fn one_that_answers_late_keeps_its_window() {
    let interval = Duration::from_secs(10);
    let mut window = Window::new(CREDIT);
    let mut now = Timestamp::ORIGIN;
    let first = window.measure(now, 0).expect("the way is measured first");
    let second = window.measure(now, window.full_at()).expect("half of it is sent");
    now = now + 2 * interval;
    assert!(!window.gives_up(now, interval), "both are overdue");
    now = now + interval / 2;
    assert!(window.answered(now, &first, false));
    assert!(!window.gives_up(now, interval), "it has just answered");
    now = now + interval / 2 + STEP;
    assert!(!window.gives_up(now, interval), "and half an interval ago");
    assert!(window.answered(now, &second, false));
}
