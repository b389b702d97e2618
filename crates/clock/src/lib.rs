//! The one time type of the pure crates: a point that only the caller's clock can give.
//!
//! A pure crate never reads a clock. Its caller passes a [`Timestamp`] with every input, so that tests run
//! hours of protocol time in no real time, and a simulation replays exactly.
#![no_std]

use core::ops::{Add, Sub};
use core::time::Duration;

/// Microseconds since an origin that only the caller knows.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The caller's origin.
    pub const ORIGIN: Self = Self(0);

    /// The point this many microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this point; zero when `earlier` is not before it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Adds a span. The sum saturates: a deadline beyond the end of time is never reached.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let start = Timestamp::from_micros(10);
        assert_eq!(start - Duration::from_secs(1), Timestamp::ORIGIN);
        assert_eq!(start + Duration::MAX, Timestamp::from_micros(u64::MAX));
        assert_eq!(Timestamp::ORIGIN.since(start), Duration::ZERO);
    }
}
