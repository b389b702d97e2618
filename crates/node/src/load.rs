//! How near this node is to the tightest of its limits, as one figure from 0 to 1: what an
//! autoscaler follows.
//!
//! Limits that more nodes would not move, such as an app server that does not keep up, are not part
//! of it.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

/// How much of each new sample goes into the share of the CPU: a burst of a second is not a load.
const WEIGHT: f64 = 0.2;

/// The limits, in the order of [`Shares`].
const LIMITS: [&str; 4] = ["cpu", "memory", "sessions", "streams"];

/// For each limit, which share of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shares {
    pub(crate) cpu: f64,
    pub(crate) memory: f64,
    pub(crate) sessions: f64,
    pub(crate) streams: f64,
}

impl Shares {
    fn all(self) -> [f64; 4] {
        [self.cpu, self.memory, self.sessions, self.streams].map(|share| share.clamp(0.0, 1.0))
    }
}

/// Uses of limits that are counted elsewhere, each with its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uses {
    pub(crate) memory: (usize, Option<usize>),
    pub(crate) sessions: (usize, usize),
    pub(crate) streams: (usize, usize),
}

fn share((used, limit): (usize, usize)) -> f64 {
    if limit == 0 { 1.0 } else { used as f64 / limit as f64 }
}

/// The present figure. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadFigure(Arc<[AtomicU64; 4]>);

impl LoadFigure {
    fn set(&self, shares: Shares) {
        for (place, share) in self.0.iter().zip(shares.all()) {
            place.store(share.to_bits(), Ordering::Relaxed);
        }
    }

    fn shares(&self) -> [f64; 4] {
        core::array::from_fn(|at| {
            self.0.get(at).map_or(0.0, |place| f64::from_bits(place.load(Ordering::Relaxed)))
        })
    }
}

impl Collector for LoadFigure {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shares = self.shares();
        let most = ConstGauge::new(shares.into_iter().fold(0.0, f64::max));
        let about = "How near the node is to the tightest of its limits, from 0 to 1.";
        let kind = most.metric_type();
        most.encode(encoder.encode_descriptor("trunkline_load", about, None, kind)?)?;
        let about = "How much of each limit is used, from 0 to 1.";
        let mut parts = encoder.encode_descriptor("trunkline_load_limit", about, None, kind)?;
        for (limit, share) in LIMITS.into_iter().zip(shares) {
            let labels = [("limit", limit)];
            ConstGauge::new(share).encode(parts.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Measures the load once a second.
#[derive(Debug)]
pub(crate) struct LoadMeter {
    figure: LoadFigure,
    cores: f64,
    last: Option<(Instant, CpuTimes)>,
    cpu: f64,
}

/// CPU time in nanoseconds.
#[derive(Clone, Debug, Default)]
struct CpuTimes {
    /// Of each shard's thread, by its id.
    shards: HashMap<String, u64>,
    /// Of all threads of the process.
    total: u64,
}

impl LoadMeter {
    pub(crate) fn new(figure: LoadFigure) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { figure, cores: cores as f64, last: None, cpu: 0.0 }
    }

    /// Takes a sample.
    pub(crate) fn sample(&mut self, uses: Uses) {
        self.take(Instant::now(), cpu_times(), uses);
    }

    fn take(&mut self, now: Instant, times: CpuTimes, uses: Uses) {
        if let Some((before, last)) = &self.last {
            let spent = now.duration_since(*before).as_nanos() as f64;
            if spent > 0.0 {
                self.cpu += (busy(last, &times, spent, self.cores) - self.cpu) * WEIGHT;
            }
        }
        self.last = Some((now, times));
        let (used, limit) = uses.memory;
        self.figure.set(Shares {
            cpu: self.cpu,
            memory: limit.map_or(0.0, |limit| share((used, limit))),
            sessions: share(uses.sessions),
            streams: share(uses.streams),
        });
    }
}

/// The share of the time in which the busiest shard was on the CPU, or the share of the CPU that the
/// process may have, if that is more: a node may have more threads than cores.
fn busy(last: &CpuTimes, now: &CpuTimes, spent: f64, cores: f64) -> f64 {
    let grown = |before: Option<&u64>, after: u64| {
        before.map_or(0.0, |before| after.saturating_sub(*before) as f64 / spent)
    };
    let shards = now.shards.iter().map(|(thread, after)| grown(last.shards.get(thread), *after));
    shards.fold(grown(Some(&last.total), now.total) / cores, f64::max)
}

/// The times of all threads, from `/proc`; zeros where the system has none.
fn cpu_times() -> CpuTimes {
    let mut times = CpuTimes::default();
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return times };
    for thread in threads.flatten() {
        let file = |name| fs::read_to_string(thread.path().join(name)).ok();
        let Some(nanos) = file("schedstat").and_then(|text| on_cpu(&text)) else { continue };
        times.total += nanos;
        if file("comm").is_some_and(|name| name.starts_with("shard-")) {
            times.shards.insert(thread.file_name().to_string_lossy().into_owned(), nanos);
        }
    }
    times
}

/// The first number of `schedstat`: nanoseconds on the CPU.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const IDLE: Uses = Uses { memory: (0, Some(100)), sessions: (0, 10), streams: (0, 10) };

    fn times(shards: &[u64], others: u64) -> CpuTimes {
        let by_thread = shards.iter().enumerate().map(|(at, nanos)| (at.to_string(), *nanos));
        CpuTimes { shards: by_thread.collect(), total: shards.iter().sum::<u64>() + others }
    }

    fn shares_after(uses: Uses, samples: &[CpuTimes], cores: f64) -> [f64; 4] {
        let figure = LoadFigure::default();
        let mut meter = LoadMeter { cores, ..LoadMeter::new(figure.clone()) };
        let start = Instant::now();
        for (second, times) in (0..).zip(samples) {
            meter.take(start + Duration::from_secs(second), times.clone(), uses);
        }
        figure.shares()
    }

    #[test]
    fn each_limit_has_its_share_and_the_tightest_counts() {
        let uses = Uses { memory: (80, Some(100)), sessions: (5, 10), streams: (20, 10) };
        assert_eq!(shares_after(uses, &[times(&[], 0)], 1.0), [0.0, 0.8, 0.5, 1.0]);
        let unlimited = Uses { memory: (80, None), ..IDLE };
        assert_eq!(shares_after(unlimited, &[times(&[], 0)], 1.0), [0.0; 4]);
    }

    #[test]
    fn a_busy_shard_counts_as_a_busy_node_and_so_do_few_cores() {
        let second = 1_000_000_000;
        let samples = |grow: fn(u64) -> CpuTimes| (0..60).map(grow).collect::<Vec<_>>();
        // One of two shards works all the time, on a machine with many cores.
        let [cpu, ..] = shares_after(IDLE, &samples(|n| times(&[n * 1_000_000_000, 0], 0)), 8.0);
        assert!(cpu > 0.99, "{cpu}");
        // Two shards share one core.
        let [cpu, ..] =
            shares_after(IDLE, &samples(|n| times(&[n * 500_000_000, n * 500_000_000], 0)), 1.0);
        assert!(cpu > 0.99, "{cpu}");
        // A burst of one second is not a load.
        let [cpu, ..] = shares_after(IDLE, &[times(&[0], 0), times(&[second], 0)], 8.0);
        assert!((cpu - WEIGHT).abs() < 1e-9, "{cpu}");
    }

    #[test]
    fn the_system_says_how_long_threads_were_on_the_cpu() {
        assert_eq!(on_cpu("123 45 6\n"), Some(123));
        assert_eq!(on_cpu(""), None);
        assert!(cpu_times().total > 0);
    }
}
