//! Time that passes when the test decides.

use std::time::Duration;

use trunkline_clock::Timestamp;

/// A virtual clock. It does not start at the origin, so that a forgotten zero is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: Timestamp,
}

impl Clock {
    /// A clock at one virtual hour.
    pub const fn new() -> Self {
        Self { now: Timestamp::from_micros(3_600_000_000) }
    }

    /// The virtual time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass; returns the new time.
    pub fn advance(&mut self, span: Duration) -> Timestamp {
        self.now = self.now + span;
        self.now
    }

    /// Lets time pass until `at`, as for a caller that sleeps until a deadline; never goes back.
    pub fn advance_to(&mut self, at: Timestamp) -> Timestamp {
        self.now = self.now.max(at);
        self.now
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_only_passes() {
        let mut clock = Clock::new();
        let start = clock.now();
        assert_eq!(clock.advance(Duration::from_millis(5)).since(start), Duration::from_millis(5));
        assert_eq!(clock.advance_to(start).since(start), Duration::from_millis(5));
        let later = start + Duration::from_secs(1);
        assert_eq!(clock.advance_to(later), later);
    }
}
