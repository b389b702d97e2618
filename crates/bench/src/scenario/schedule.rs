//! An open loop: operations start at planned times, whether or not earlier ones have ended.

/// Beginnings at a fixed rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    from_ns: u64,
    interval_ns: f64,
    begun: u64,
    count: u64,
}

impl Schedule {
    /// `count` beginnings, the first at `from_ns`.
    pub(crate) fn new(from_ns: u64, rate_per_s: f64, count: u64) -> Self {
        Self { from_ns, interval_ns: 1e9 / rate_per_s, begun: 0, count }
    }

    /// How many have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// The number and planned time of the next operation, if that time has passed; otherwise the
    /// time to ask again.
    pub(crate) fn due(&mut self, now_ns: u64) -> Result<(u64, u64), u64> {
        if self.begun == self.count {
            return Err(u64::MAX);
        }
        let at_ns = self.from_ns + (self.begun as f64 * self.interval_ns) as u64;
        if at_ns > now_ns {
            return Err(at_ns);
        }
        self.begun += 1;
        Ok((self.begun - 1, at_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_keeps_the_time_it_was_meant_for() {
        let mut schedule = Schedule::new(1_000, 1e6, 4);
        assert_eq!(schedule.due(999), Err(1_000));
        assert_eq!(schedule.due(1_000), Ok((0, 1_000)));
        assert_eq!(schedule.due(1_000), Err(2_000));
        assert_eq!([schedule.due(9_000), schedule.due(9_000)], [Ok((1, 2_000)), Ok((2, 3_000))]);
        assert_eq!(schedule.due(9_000), Ok((3, 4_000)));
        assert_eq!((schedule.due(9_000), schedule.begun()), (Err(u64::MAX), 4));
    }
}
