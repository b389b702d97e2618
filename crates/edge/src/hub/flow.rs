//! How much all clients of a hub together may send to this node: messages and bytes per second.
//!
//! All shards charge what they read to the same numbers, with one atomic step for each read and no
//! lock. While a hub has no such limit, a look at one flag of the directory is all that it costs.
//! Who waits, and in which order, is the shards' (`shard/flows.rs`).

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use trunkline_clock::Timestamp;
use trunkline_http::LogPace;

use super::{Hub, HubLimits};

/// How many seconds' worth may come at once after a pause, as for a session.
const BURST: Duration = Duration::from_secs(2);
/// The most that is owed beyond a burst. Only posts, which come whole, can owe this much.
const OWED_MAX: Duration = Duration::from_secs(60);
/// The part of a second whose worth is read at once.
const QUANTA_PER_SECOND: u64 = 10;
/// A short message with its frame.
const SHORT_MESSAGE_BYTES: u64 = 8;
/// The least that is read at once: less would cost more calls than it brings.
const QUANTUM_BYTES_MIN: u64 = 64;

/// What a hub's clients have sent, compared with what they may.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    messages: Meter,
    bytes: Meter,
    /// Sessions of all shards that wait.
    waiting: AtomicUsize,
    slowed: LogPace,
}

/// One rate: the point in time at which everything that was taken would be paid back, as in
/// [`trunkline_admission::Bucket`], for many threads.
#[derive(Debug, Default)]
struct Meter {
    /// 0: there is no limit.
    per_second: AtomicU32,
    paid_at: AtomicU64,
}

impl Meter {
    fn set(&self, per_second: Option<u32>) {
        let per_second = per_second.unwrap_or(0);
        if self.per_second.swap(per_second, Ordering::Relaxed) != per_second {
            // What was owed at another rate is forgiven.
            self.paid_at.store(0, Ordering::Relaxed);
        }
    }

    fn per_second(&self) -> Option<u64> {
        let per_second = self.per_second.load(Ordering::Relaxed);
        (per_second > 0).then_some(u64::from(per_second))
    }

    /// The time in which the rate allows so many units, in nanoseconds.
    fn cost(&self, units: u64) -> u64 {
        self.per_second().map_or(0, |rate| units.saturating_mul(NANOS_PER_S) / rate)
    }

    /// Charges units, and returns their cost.
    fn charge(&self, now: u64, units: u64) -> u64 {
        let cost = self.cost(units);
        if cost == 0 {
            return 0;
        }
        let most = nanos(BURST + OWED_MAX);
        let _ = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid_at| {
            Some(now + paid_at.saturating_sub(now).saturating_add(cost).min(most))
        });
        cost
    }

    /// The time until no more is owed than a burst and this much.
    fn wait(&self, now: u64, beyond: Duration) -> Duration {
        if self.per_second().is_none() {
            return Duration::ZERO;
        }
        let owed = self.paid_at.load(Ordering::Relaxed).saturating_sub(now);
        // Whole microseconds, as the clock has them: a wait that is over at once would never end.
        Duration::from_micros(owed.saturating_sub(nanos(BURST + beyond)).div_ceil(1_000))
    }
}

impl Flow {
    pub(super) fn new(limits: &HubLimits) -> Self {
        let new = Self::default();
        new.set(limits);
        new
    }

    pub(super) fn set(&self, limits: &HubLimits) {
        self.messages.set(limits.messages_per_second);
        self.bytes.set(limits.bytes_per_second);
    }

    /// Whether the hub has such a limit.
    pub(crate) fn is_on(&self) -> bool {
        self.messages.per_second().is_some() || self.bytes.per_second().is_some()
    }

    /// Charges what was read from a client. Returns the share of the hub's time that it takes, in
    /// nanoseconds.
    pub(crate) fn charge(&self, now: Timestamp, messages: u64, bytes: u64) -> u64 {
        let now = nanos_of(now);
        self.messages.charge(now, messages).max(self.bytes.charge(now, bytes))
    }

    /// The time until more may be read, and the key of the limit; `None`: now. `beyond`: what may be
    /// owed in addition to a burst.
    pub(crate) fn wait(
        &self,
        now: Timestamp,
        beyond: Duration,
    ) -> Option<(Duration, &'static str)> {
        let now = nanos_of(now);
        let messages = (self.messages.wait(now, beyond), "hub_messages_per_second");
        let bytes = (self.bytes.wait(now, beyond), "hub_bytes_per_second");
        let longest = if bytes.0 > messages.0 { bytes } else { messages };
        (!longest.0.is_zero()).then_some(longest)
    }

    /// The bytes that may be read from one client at once: one that floods must not take what the
    /// others have for seconds.
    pub(crate) fn quantum(&self) -> usize {
        let messages = self.messages.per_second().map(|rate| rate * SHORT_MESSAGE_BYTES);
        let least = messages.into_iter().chain(self.bytes.per_second()).min().unwrap_or(u64::MAX);
        usize::try_from((least / QUANTA_PER_SECOND).max(QUANTUM_BYTES_MIN)).unwrap_or(usize::MAX)
    }

    /// The same for the packets of a post.
    pub(crate) fn packets(&self) -> usize {
        let Some(rate) = self.messages.per_second() else { return usize::MAX };
        let packets = (rate / QUANTA_PER_SECOND).max(QUANTUM_BYTES_MIN / SHORT_MESSAGE_BYTES);
        usize::try_from(packets).unwrap_or(usize::MAX)
    }

    /// The share of the hub's time that one turn of short messages takes, in nanoseconds.
    pub(crate) fn turn_cost(&self) -> u64 {
        let quantum = self.quantum() as u64;
        let messages = self.messages.cost(quantum / SHORT_MESSAGE_BYTES);
        messages.max(self.bytes.cost(quantum))
    }

    /// Counts one more session that waits.
    pub(crate) fn joins(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less.
    pub(crate) fn leaves(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// The sessions of all shards that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Hub {
    /// Logs that sessions begin to wait.
    pub(crate) fn note_slowed(&self, key: &'static str) {
        if let Some(times) = self.flow.slowed.note(key, Instant::now()) {
            tracing::warn!(hub = %self.name, key, times, "the clients of a hub together send more than they may: they are read in turn");
        }
    }
}

const NANOS_PER_S: u64 = 1_000_000_000;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn nanos_of(now: Timestamp) -> u64 {
    now.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(messages: Option<u32>, bytes: Option<u32>) -> Flow {
        Flow::new(&HubLimits {
            messages_per_second: messages,
            bytes_per_second: bytes,
            ..HubLimits::default()
        })
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    #[test]
    fn two_seconds_worth_comes_at_once_and_then_the_rate() {
        let flow = flow(Some(100), None);
        assert_eq!(flow.charge(at(0), 200, 1 << 30), 2 * NANOS_PER_S);
        assert_eq!(flow.wait(at(0), Duration::ZERO), None);
        flow.charge(at(0), 10, 0);
        let wait = Duration::from_millis(100);
        assert_eq!(flow.wait(at(0), Duration::ZERO), Some((wait, "hub_messages_per_second")));
        assert_eq!(flow.wait(at(0), wait), None, "those that wait are first");
        assert_eq!(flow.wait(at(100), Duration::ZERO), None);
        flow.set(&HubLimits { messages_per_second: Some(3), ..HubLimits::default() });
        flow.charge(at(0), 7, 0);
        let (wait, _) = flow.wait(at(0), Duration::ZERO).expect("a third of a second");
        assert_eq!(flow.wait(at(0) + wait, Duration::ZERO), None, "it is over when it is over");
    }

    #[test]
    fn the_longer_wait_counts_and_a_huge_post_is_not_owed_for_ever() {
        let flow = flow(Some(100), Some(1_000));
        assert_eq!(flow.charge(at(0), 1, 4_000), 4 * NANOS_PER_S, "the greater share");
        let wait = flow.wait(at(0), Duration::ZERO);
        assert_eq!(wait, Some((Duration::from_secs(2), "hub_bytes_per_second")));
        flow.charge(at(0), u64::MAX, u64::MAX);
        assert_eq!(flow.wait(at(0), Duration::ZERO).map(|(wait, _)| wait), Some(OWED_MAX));
    }

    #[test]
    fn without_a_limit_nothing_is_owed_and_a_changed_one_begins_anew() {
        let flow = flow(None, None);
        assert!(!flow.is_on());
        assert_eq!((flow.charge(at(0), 1 << 40, 1 << 40), flow.quantum()), (0, usize::MAX / 10));
        flow.set(&HubLimits { messages_per_second: Some(1), ..HubLimits::default() });
        flow.charge(at(0), 30, 0);
        assert!(flow.is_on() && flow.wait(at(0), Duration::ZERO).is_some());
        flow.set(&HubLimits { messages_per_second: Some(2), ..HubLimits::default() });
        assert_eq!(flow.wait(at(0), Duration::ZERO), None);
    }

    #[test]
    fn a_turn_is_a_tenth_of_a_second_and_never_too_little() {
        assert_eq!(flow(Some(1_000), None).quantum(), 800);
        assert_eq!(flow(Some(1_000), Some(5_000)).quantum(), 500);
        assert_eq!(flow(Some(1), Some(64)).quantum(), 64);
        assert_eq!(flow(Some(1_000), None).turn_cost(), NANOS_PER_S / 10);
        let packets = [Some(1), Some(1_000), None].map(|rate| flow(rate, None).packets());
        assert_eq!(packets, [8, 100, usize::MAX]);
    }
}
