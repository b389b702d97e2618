//! Rates that may be exceeded for a moment.

use core::time::Duration;

use trunkline_clock::Timestamp;

const NANOS_PER_S: u64 = 1_000_000_000;

/// How many units per second are allowed, and how many at once after a pause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// A rate. Zero counts as one, for either number: a rate cannot forbid everything.
    pub const fn new(per_second: u64, burst: u64) -> Self {
        Self {
            per_second: if per_second == 0 { 1 } else { per_second },
            burst: if burst == 0 { 1 } else { burst },
        }
    }

    /// The units per second.
    pub const fn per_second(self) -> u64 {
        self.per_second
    }

    /// The rate for so many strangers together.
    pub(crate) const fn times(self, strangers: u32) -> Self {
        let strangers = strangers as u64;
        Self::new(self.per_second.saturating_mul(strangers), self.burst.saturating_mul(strangers))
    }

    /// The time in which the rate allows this many units, in nanoseconds.
    const fn nanos(self, units: u64) -> u64 {
        match units.checked_mul(NANOS_PER_S) {
            Some(nanos) => nanos / self.per_second,
            None => (units / self.per_second).saturating_mul(NANOS_PER_S),
        }
    }

    /// The time in which the rate allows a whole burst.
    pub const fn burst_time(self) -> Duration {
        Duration::from_nanos(self.nanos(self.burst))
    }
}

/// The state of one rate, in eight bytes: the point in time at which everything taken so far would
/// be paid back, in nanoseconds. (The generic cell rate algorithm: a token bucket that needs no
/// refill.) A new bucket is at rest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bucket(u64);

impl Bucket {
    /// A bucket at rest.
    pub const NEW: Self = Self(0);

    /// Takes units if the rate allows them now. Otherwise nothing is taken, and the error is the
    /// time until they would be allowed. More units than a burst are allowed when the bucket is at
    /// rest, and then owed.
    ///
    /// # Errors
    ///
    /// The rate does not allow the units now.
    pub fn take(&mut self, rate: Rate, now: Timestamp, units: u64) -> Result<(), Duration> {
        let now = nanos_of(now);
        let owed = self.0.saturating_sub(now);
        let cost = rate.nanos(units);
        let room = rate.nanos(rate.burst).max(cost);
        let after = owed.saturating_add(cost);
        if after > room {
            return Err(Duration::from_nanos(after - room));
        }
        self.0 = now.saturating_add(after);
        Ok(())
    }

    /// Takes units although the rate may not allow them. No more than `owed_max` is owed
    /// afterwards, so that a stranger's past does not follow it indefinitely.
    pub fn charge(&mut self, rate: Rate, now: Timestamp, units: u64, owed_max: Duration) {
        let now = nanos_of(now);
        let owed = self.0.saturating_sub(now).saturating_add(rate.nanos(units));
        let most = u64::try_from(owed_max.as_nanos()).unwrap_or(u64::MAX);
        self.0 = now.saturating_add(owed.min(most));
    }

    /// The time until everything is paid back.
    pub const fn owed(self, now: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(nanos_of(now)))
    }

    /// Whether nothing is owed, so that a new bucket would say the same.
    pub const fn is_at_rest(self, now: Timestamp) -> bool {
        self.0 <= nanos_of(now)
    }
}

const fn nanos_of(now: Timestamp) -> u64 {
    now.as_micros().saturating_mul(1000)
}
