//! The run second by second: what the workers did in each, and what everybody used meanwhile.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::latency::Latency;
use crate::meter::new_second;
use crate::net;
use crate::sample::{Usage, usage};
use crate::wire::{Progress, Second};

const SECOND_NS: u64 = 1_000_000_000;
/// Seconds that are kept open for workers that tell them late.
const OPEN_SECONDS_MAX: usize = 5;

/// One second of the run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Point {
    /// Seconds since the run began, at this one's end.
    pub(crate) at_s: u32,
    pub(crate) joined: u32,
    /// Losses and failed attempts, in all.
    pub(crate) lost: u64,
    pub(crate) operations: u64,
    /// Absent when nothing was timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<Latency>,
    pub(crate) processes: BTreeMap<String, Used>,
    pub(crate) generator: Used,
    /// The share of the second in which the busiest worker ran or waited for a core.
    pub(crate) busiest_worker: f64,
}

impl Point {
    /// The last second may be cut short: its counts are no rates.
    pub(crate) fn is_whole(&self) -> bool {
        self.generator.rss_bytes > 0
    }
}

/// What one process used in a second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Used {
    pub(crate) cores: f64,
    pub(crate) rss_bytes: u64,
}

#[derive(Debug)]
struct Open {
    operations: u64,
    latency: Histogram<u64>,
}

/// Gathers the seconds.
#[derive(Debug)]
pub(crate) struct Series {
    begun_ns: u64,
    last: Vec<Progress>,
    open: BTreeMap<u32, Open>,
    points: BTreeMap<u32, Point>,
    named: Vec<(String, i32)>,
    workers: Vec<i32>,
    used_before: BTreeMap<i32, Usage>,
    sampled_ns: u64,
}

impl Series {
    /// `named` are the processes to watch beside the workers.
    pub(crate) fn new(begun_ns: u64, named: &[(String, i32)], workers: Vec<i32>) -> Self {
        let mut series = Self {
            begun_ns,
            last: vec![Progress::default(); workers.len()],
            open: BTreeMap::new(),
            points: BTreeMap::new(),
            named: named.to_vec(),
            workers,
            used_before: BTreeMap::new(),
            sampled_ns: net::now_ns(),
        };
        series.read_usage();
        series
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn due_ns(&self) -> u64 {
        let passed = self.sampled_ns.saturating_sub(self.begun_ns) / SECOND_NS;
        self.begun_ns + (passed + 1) * SECOND_NS
    }

    /// A second has passed: reads what the processes used in it.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        let at_s = (now_ns.saturating_sub(self.begun_ns) / SECOND_NS) as u32;
        let passed_ns = now_ns.saturating_sub(self.sampled_ns).max(1) as f64;
        let before = self.read_usage();
        let used = |pid: &i32| {
            let now = self.used_before.get(pid).copied().unwrap_or_default();
            let before = before.get(pid).copied().unwrap_or(now);
            // A process that is gone has used nothing.
            let ran = now.cpu_ns.saturating_sub(before.cpu_ns) as f64 / passed_ns;
            let waited = now.wait_ns.saturating_sub(before.wait_ns) as f64 / passed_ns;
            (Used { cores: ran, rss_bytes: now.rss_bytes }, ran + waited)
        };
        let mut point = Point { at_s, ..Point::default() };
        for (name, pid) in &self.named {
            add(point.processes.entry(name.clone()).or_default(), used(pid).0);
        }
        for pid in self.workers.iter().chain([&own_pid()]) {
            let (own, wanted) = used(pid);
            add(&mut point.generator, own);
            point.busiest_worker = point.busiest_worker.max(wanted.min(1.0));
        }
        (point.joined, point.lost) = self.sums();
        self.points.insert(at_s, point);
        self.sampled_ns = now_ns;
        while self.open.len() > OPEN_SECONDS_MAX {
            self.close_first();
        }
    }

    /// A worker tells a second.
    pub(crate) fn note(&mut self, worker: usize, second: &Second) {
        let before = std::mem::replace(&mut self.last[worker], second.progress);
        let empty = || Open { operations: 0, latency: new_second() };
        let open = self.open.entry(second.second + 1).or_insert_with(empty);
        open.operations += second.progress.operations.saturating_sub(before.operations);
        for (value, count) in &second.latency {
            open.latency.saturating_record_n(*value, *count);
        }
    }

    /// A worker has got further within its second.
    pub(crate) fn note_progress(&mut self, worker: usize, progress: Progress) {
        let last = &mut self.last[worker];
        (last.joined, last.lost) = (progress.joined, progress.lost);
    }

    /// The newest second that was told, for the live line.
    pub(crate) fn newest(&self) -> Option<Latency> {
        let (_, open) = self.open.iter().rev().find(|(_, open)| !open.latency.is_empty())?;
        Some(Latency::of(&open.latency))
    }

    /// All seconds, in order.
    pub(crate) fn finish(mut self) -> Vec<Point> {
        while !self.open.is_empty() {
            self.close_first();
        }
        self.points.into_values().collect()
    }

    /// How many have joined and how many were lost, by what the workers said last.
    fn sums(&self) -> (u32, u64) {
        let last = || self.last.iter();
        (last().map(|worker| worker.joined).sum(), last().map(|worker| worker.lost).sum())
    }

    fn close_first(&mut self) {
        let Some((at_s, open)) = self.open.pop_first() else { return };
        let (joined, lost) = self.sums();
        // The last second ends with the run, before its processes are read again.
        let unread = || Point { at_s, joined, lost, ..Point::default() };
        let point = self.points.entry(at_s).or_insert_with(unread);
        point.operations += open.operations;
        if !open.latency.is_empty() {
            point.latency_ms = Some(Latency::of(&open.latency));
        }
    }

    /// Reads all processes; what was read the last time.
    fn read_usage(&mut self) -> BTreeMap<i32, Usage> {
        let named = self.named.iter().map(|(_, pid)| *pid);
        let pids = named.chain(self.workers.iter().copied()).chain([own_pid()]);
        let now = pids.map(|pid| (pid, usage(pid))).collect();
        std::mem::replace(&mut self.used_before, now)
    }
}

fn own_pid() -> i32 {
    std::process::id() as i32
}

fn add(sum: &mut Used, one: Used) {
    sum.cores += one.cores;
    sum.rss_bytes += one.rss_bytes;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u32, operations: u64, latency: &[(u64, u64)]) -> Second {
        let progress = Progress { joined: 1, lost: 0, operations };
        Second { second, progress, latency: latency.to_vec() }
    }

    #[test]
    fn seconds_of_several_workers_come_together() {
        let mut series = Series::new(0, &[], vec![-1, -2]);
        series.note(0, &second(0, 10, &[(1_000_000, 10)]));
        series.note(1, &second(0, 5, &[(9_000_000, 5)]));
        series.note(0, &second(1, 12, &[]));
        let points = series.finish();
        let told: Vec<_> = points.iter().map(|point| (point.at_s, point.operations)).collect();
        assert_eq!(told, [(1, 15), (2, 2)]);
        let latency = points[0].latency_ms.unwrap();
        assert_eq!((latency.count, latency.p50.round(), latency.max.round()), (15, 1.0, 9.0));
        assert!(points[1].latency_ms.is_none(), "nothing was timed in the second second");
        assert_eq!(points[1].joined, 2);
    }

    #[test]
    fn what_processes_use_is_told_each_second() {
        let own = std::process::id() as i32;
        let begun_ns = net::now_ns();
        let mut series = Series::new(begun_ns, &[("own".into(), own), ("gone".into(), -1)], vec![]);
        assert_eq!(series.due_ns(), begun_ns + SECOND_NS);
        series.tick(begun_ns + SECOND_NS);
        assert_eq!(series.due_ns(), begun_ns + 2 * SECOND_NS);
        let points = series.finish();
        assert_eq!((points.len(), points[0].at_s), (1, 1));
        assert!(points[0].processes["own"].rss_bytes > 0);
        assert_eq!(points[0].processes["gone"].rss_bytes, 0);
    }
}
