//! Who sends most, in bounded memory: the Space-Saving sketch of Metwally, Agrawal and El Abbadi.
//!
//! A key that has no counter takes over the smallest one, and with it that counter's count as its
//! possible error. So with `n` counters and a sum of `s`, no count is more than `s / n` too high and
//! none is too low, and whoever has sent more than `s / n` is in the list.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// A sketch with this many counters at most.
#[derive(Clone, Debug)]
pub struct Talkers<K> {
    counters_max: usize,
    by_key: BTreeMap<K, Count>,
    /// The counters from the smallest to the largest.
    by_count: BTreeSet<(u64, K)>,
    sum: u64,
}

/// What one key has sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// At least as much as it has sent.
    pub count: u64,
    /// It has sent at least `count - error`.
    pub error: u64,
}

impl<K: Clone + Ord> Talkers<K> {
    /// An empty sketch.
    #[must_use]
    pub const fn new(counters_max: usize) -> Self {
        Self { counters_max, by_key: BTreeMap::new(), by_count: BTreeSet::new(), sum: 0 }
    }

    /// Counts `units` more for a key; O(log counters).
    pub fn add(&mut self, key: K, units: u64) {
        if units == 0 || self.counters_max == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(units);
        let before = match self.by_key.get(&key) {
            Some(count) => {
                self.by_count.remove(&(count.count, key.clone()));
                *count
            }
            None if self.by_key.len() < self.counters_max => Count::default(),
            None => match self.by_count.pop_first() {
                Some((smallest, other)) => {
                    self.by_key.remove(&other);
                    Count { count: smallest, error: smallest }
                }
                None => Count::default(),
            },
        };
        let after = Count { count: before.count.saturating_add(units), error: before.error };
        self.by_count.insert((after.count, key.clone()));
        self.by_key.insert(key, after);
    }

    /// The sum of all units that were counted.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The most by which a count may be too high: the smallest counter, when all are taken.
    #[must_use]
    pub fn error_max(&self) -> u64 {
        let is_full = self.by_key.len() >= self.counters_max;
        let smallest = self.by_count.first().filter(|_| is_full);
        smallest.map_or(0, |(count, _)| *count)
    }

    /// The keys with the largest counts in all of these sketches together, at most `rows_max`, the
    /// largest first. A key that one of them does not have may have sent as much of that one's units
    /// as its smallest counter.
    #[must_use]
    pub fn top(sketches: &[Self], rows_max: usize) -> Vec<(K, Count)> {
        let keys: BTreeSet<&K> = sketches.iter().flat_map(|one| one.by_key.keys()).collect();
        let total = |key: &K| {
            sketches.iter().fold(Count::default(), |total, one| {
                let unseen = Count { count: one.error_max(), error: one.error_max() };
                let part = one.by_key.get(key).copied().unwrap_or(unseen);
                Count {
                    count: total.count.saturating_add(part.count),
                    error: total.error.saturating_add(part.error),
                }
            })
        };
        let mut all: Vec<_> = keys.into_iter().map(|key| (key.clone(), total(key))).collect();
        all.sort_by(|(one, ours), (two, theirs)| {
            theirs.count.cmp(&ours.count).then_with(|| one.cmp(two))
        });
        all.truncate(rows_max);
        all
    }
}
