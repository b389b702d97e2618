//! Who sends most, compared with exact counts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trunkline_admission::Talkers;

fn sketch(counters: usize, words: &[(u16, u64)]) -> Talkers<u16> {
    let mut sketch = Talkers::new(counters);
    words.iter().for_each(|(key, units)| sketch.add(*key, *units));
    sketch
}

fn exact(words: &[(u16, u64)]) -> BTreeMap<u16, u64> {
    words.iter().fold(BTreeMap::new(), |mut counts, (key, units)| {
        *counts.entry(*key).or_default() += units;
        counts
    })
}

/// Checks what the sketch promises.
fn check(sketches: &[Talkers<u16>], counters: usize, words: &[(u16, u64)]) {
    let (exact, top) = (exact(words), Talkers::top(sketches, usize::MAX));
    let sum: u64 = words.iter().map(|(_, units)| units).sum();
    assert_eq!(sketches.iter().map(Talkers::sum).sum::<u64>(), sum);
    assert!(top.len() <= counters * sketches.len());
    assert!(top.is_sorted_by(|one, two| one.1.count >= two.1.count));
    let error_max = sum / u64::try_from(counters).expect("few");
    for (key, count) in &top {
        let sent = exact.get(key).copied().unwrap_or_default();
        assert!(count.count >= sent, "{key} has sent {sent}: {count:?}");
        assert!(count.count - count.error <= sent, "{key} has sent {sent}: {count:?}");
        assert!(count.error <= error_max, "{count:?} of {sum}");
    }
    for (key, sent) in exact.iter().filter(|(_, sent)| **sent > error_max) {
        assert!(top.iter().any(|(other, _)| other == key), "{key} has sent {sent} of {sum}");
    }
}

/// A few who send much among many who send little.
fn words() -> impl Strategy<Value = Vec<(u16, u64)>> {
    let few = (0_u16..8, 0_u64..5_000);
    let many = (0_u16..2_000, 0_u64..50);
    prop::collection::vec(prop_oneof![1 => few, 5 => many], 0..600)
}

proptest! {
    #[test]
    fn counts_are_within_the_bound_and_nobody_who_sends_much_is_missing(
        words in words(),
        counters in 1_usize..64,
    ) {
        check(&[sketch(counters, &words)], counters, &words);
    }

    #[test]
    fn shards_together_know_as_much(words in words(), shards in 1_usize..5) {
        let counters = 32;
        let part = |shard: usize| -> Vec<_> {
            words.iter().skip(shard).step_by(shards).copied().collect()
        };
        let sketches: Vec<_> = (0..shards).map(|shard| sketch(counters, &part(shard))).collect();
        check(&sketches, counters, &words);
    }
}

#[test]
fn few_keys_are_counted_exactly() {
    let words = [(1, 5), (2, 7), (1, 4), (3, 1), (2, 0)];
    let top = Talkers::top(&[sketch(3, &words)], 2);
    let counts: Vec<_> = top.into_iter().map(|(key, one)| (key, one.count)).collect();
    assert_eq!(counts, [(1, 9), (2, 7)]);
    assert_eq!(sketch(4, &words).error_max(), 0);
    assert!(Talkers::top(&[sketch(0, &words)], 9).is_empty(), "no counter, no row");
}
