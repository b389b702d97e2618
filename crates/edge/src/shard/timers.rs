//! Deadlines of a shard's sessions: no timer per session, a few bytes per armed deadline.
//!
//! A deadline is rounded up to a tick, and its slot is put into that tick's list. Only one list
//! entry of a slot is valid: the one at the tick that the slot itself remembers. Invalid entries
//! are not searched for; they are recognised when their tick comes.

use std::collections::BTreeMap;

use trunkline_clock::Timestamp;

const FINE_MICROS: u64 = 4_000;
/// Far deadlines have coarser ticks, so that a million heartbeats wake the shard only a few dozen
/// times a second.
const COARSE_MICROS: u64 = 32_000;
const FAR_MICROS: u64 = 2_000_000;

/// The end of a tick, in microseconds. `Tick::NONE` means: not armed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Tick(u64);

impl Tick {
    pub(crate) const NONE: Self = Self(u64::MAX);
}

/// The slots that are due at each tick.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    lists: BTreeMap<u64, Vec<u32>>,
}

impl Timers {
    /// The tick in which this deadline is served: never before the deadline.
    pub(crate) fn tick_of(now: Timestamp, deadline: Timestamp) -> Tick {
        let at = deadline.as_micros();
        let step = if at.saturating_sub(now.as_micros()) > FAR_MICROS {
            COARSE_MICROS
        } else {
            FINE_MICROS
        };
        Tick(at.div_ceil(step).saturating_mul(step))
    }

    pub(crate) fn arm(&mut self, slot: u32, tick: Tick) {
        self.lists.entry(tick.0).or_default().push(slot);
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.lists.first_key_value().map(|(&at, _)| Timestamp::from_micros(at))
    }

    /// The slots of the next tick that has come; each must still be checked against its own tick.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Tick, Vec<u32>)> {
        let entry = self.lists.first_entry()?;
        if *entry.key() > now.as_micros() {
            return None;
        }
        let (at, slots) = entry.remove_entry();
        Some((Tick(at), slots))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_tick_never_comes_before_its_deadline() {
        let now = Timestamp::from_micros(1_000_003);
        for after in [0, 1, 3_999, 4_000, 1_999_999, 2_000_001, 25_000_000] {
            let deadline = now + Duration::from_micros(after);
            let tick = Timers::tick_of(now, deadline);
            assert!(tick.0 >= deadline.as_micros(), "{after}");
            assert!(tick.0 - deadline.as_micros() < COARSE_MICROS, "{after}");
        }
    }

    #[test]
    fn due_lists_come_in_order_and_only_when_due() {
        let mut timers = Timers::default();
        let at = |micros| Timers::tick_of(Timestamp::ORIGIN, Timestamp::from_micros(micros));
        timers.arm(2, at(8_000));
        timers.arm(1, at(3_000));
        timers.arm(3, at(4_000));
        assert_eq!(timers.pop_due(Timestamp::from_micros(3_999)), None);
        assert_eq!(timers.next(), Some(Timestamp::from_micros(4_000)));
        let now = Timestamp::from_micros(9_000);
        assert_eq!(timers.pop_due(now), Some((at(4_000), vec![1, 3])));
        assert_eq!(timers.pop_due(now), Some((at(8_000), vec![2])));
        assert_eq!(timers.pop_due(now), None);
    }
}
