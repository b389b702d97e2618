//! Latencies of the whole run and of the second that is passing.

use hdrhistogram::Histogram;

use crate::wire::Pairs;

/// The latencies of a scenario: all measured ones with three digits, and those of the present
/// second, measured or not, with two.
#[derive(Debug)]
pub(crate) struct Meter {
    total: Histogram<u64>,
    second: Histogram<u64>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { total: new_histogram(), second: new_second() }
    }

    /// `counts`: within the measured window.
    pub(crate) fn record(&mut self, ns: u64, counts: bool) {
        // Saturating: a value beyond the histogram's range is recorded as its maximum.
        self.second.saturating_record(ns);
        if counts {
            self.total.saturating_record(ns);
        }
    }

    pub(crate) fn total(&self) -> &Histogram<u64> {
        &self.total
    }

    /// The values recorded since the last call.
    pub(crate) fn take_second(&mut self) -> Pairs {
        let pairs = pairs(&self.second);
        self.second.reset();
        pairs
    }
}

/// Nanoseconds up to two minutes, three digits.
pub(crate) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are constant and valid")
}

/// Nanoseconds up to two minutes, two digits only: the values of each second go over a pipe.
pub(crate) fn new_second() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 2).expect("the bounds are constant and valid")
}

pub(crate) fn pairs(histogram: &Histogram<u64>) -> Pairs {
    histogram
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_ends_and_the_total_goes_on() {
        let mut meter = Meter::new();
        meter.record(1_000, false);
        meter.record(2_000, true);
        assert_eq!(meter.take_second().iter().map(|(_, count)| count).sum::<u64>(), 2);
        meter.record(3_000, true);
        assert_eq!(meter.take_second().len(), 1);
        assert_eq!(meter.take_second(), []);
        assert_eq!(meter.total().len(), 2);
    }

    #[test]
    fn pairs_keep_three_digits() {
        let mut histogram = new_histogram();
        for value in [1, 999, 123_456, 119_999_999_999, u64::MAX] {
            histogram.saturating_record(value);
        }
        let mut again = new_histogram();
        pairs(&histogram).iter().for_each(|(value, n)| again.saturating_record_n(*value, *n));
        for quantile in [0.2, 0.4, 0.6, 0.8, 1.0] {
            let (a, b) = (histogram.value_at_quantile(quantile), again.value_at_quantile(quantile));
            assert!(a.abs_diff(b) * 1_000 <= a, "{a} became {b}");
        }
    }
}
