//! A rate in virtual time.

use core::time::Duration;

use trunkline_admission::{Bucket, Rate, Timestamp};

fn at_ms(ms: u64) -> Timestamp {
    Timestamp::from_micros(ms * 1000)
}

#[test]
fn a_burst_is_allowed_at_once_and_then_the_rate() {
    let rate = Rate::new(10, 5);
    let mut bucket = Bucket::default();
    let taken = (0..20).filter(|_| bucket.take(rate, at_ms(0), 1).is_ok()).count();
    assert_eq!(taken, 5);
    assert_eq!(bucket.take(rate, at_ms(0), 1), Err(Duration::from_millis(100)));
    assert_eq!(bucket.take(rate, at_ms(99), 1), Err(Duration::from_millis(1)));
    assert_eq!(bucket.take(rate, at_ms(100), 1), Ok(()));
    let taken = (101..10_101).filter(|ms| bucket.take(rate, at_ms(*ms), 1).is_ok()).count();
    assert_eq!(taken, 100, "ten per second for ten seconds");
}

#[test]
fn a_pause_gives_back_one_burst_and_no_more() {
    let rate = Rate::new(1000, 3);
    let mut bucket = Bucket::default();
    assert!(bucket.take(rate, at_ms(0), 3).is_ok());
    assert!(!bucket.is_at_rest(at_ms(2)));
    assert!(bucket.is_at_rest(at_ms(3)));
    let taken = (0..20).filter(|_| bucket.take(rate, at_ms(3_600_000), 1).is_ok()).count();
    assert_eq!(taken, 3);
}

#[test]
fn more_than_a_burst_is_allowed_at_rest_and_then_owed() {
    let rate = Rate::new(100, 10);
    let mut bucket = Bucket::default();
    assert!(bucket.take(rate, at_ms(0), 50).is_ok(), "what is larger must be possible at all");
    assert_eq!(bucket.owed(at_ms(0)), Duration::from_millis(500));
    assert_eq!(bucket.take(rate, at_ms(0), 1), Err(Duration::from_millis(410)));
    assert!(bucket.take(rate, at_ms(410), 1).is_ok());
    assert!(bucket.take(rate, at_ms(411), 50).is_err());
}

#[test]
fn what_is_refused_costs_nothing() {
    let rate = Rate::new(1, 1);
    let mut bucket = Bucket::default();
    assert!(bucket.take(rate, at_ms(0), 1).is_ok());
    for ms in 1..1000 {
        assert!(bucket.take(rate, at_ms(ms), 1).is_err());
    }
    assert!(bucket.take(rate, at_ms(1000), 1).is_ok());
}

#[test]
fn what_is_charged_is_owed_up_to_a_bound() {
    let rate = Rate::new(10, 10);
    let mut bucket = Bucket::default();
    for _ in 0..1_000_000 {
        bucket.charge(rate, at_ms(0), 1, Duration::from_secs(3));
    }
    assert_eq!(bucket.owed(at_ms(0)), Duration::from_secs(3));
    assert_eq!(bucket.owed(at_ms(1000)), Duration::from_secs(2));
}

#[test]
fn extreme_numbers_neither_overflow_nor_forbid_everything() {
    for (per_second, burst) in [(0, 0), (u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 1)] {
        let rate = Rate::new(per_second, burst);
        let mut bucket = Bucket::default();
        assert!(bucket.take(rate, at_ms(5), 1).is_ok(), "{rate:?}");
        let _ = bucket.take(rate, Timestamp::from_micros(u64::MAX), u64::MAX);
        bucket.charge(rate, Timestamp::from_micros(u64::MAX), u64::MAX, Duration::MAX);
        let _ = (rate.burst_time(), bucket.owed(at_ms(0)));
    }
}
