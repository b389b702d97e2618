//! What a run found: gathered here, shown as a table, written as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::control;
use crate::fleet::Fleet;
use crate::options::Options;
use crate::sample::{Sample, machine_busy_s, sample};
use crate::scenario::Kind;
use crate::swarm::new_histogram;
use crate::wire::{Pairs, WorkerReport};

/// What others may use of the machine before the report says so.
const OTHER_CORES_MAX: f64 = 0.15;

/// The JSON report; names end in their units.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: Kind,
    urls: Vec<String>,
    clients: u32,
    joined: u32,
    window: u32,
    payload_bytes: usize,
    rate_per_s: f64,
    /// The measured window.
    seconds: f64,
    /// The counter that CPU time and rates are related to.
    operation: &'static str,
    operations_per_s: f64,
    counters: BTreeMap<String, u64>,
    losses: BTreeMap<String, u64>,
    latency_ms: BTreeMap<String, Latency>,
    processes: BTreeMap<String, Process>,
    generator: Generator,
    /// Cores that neither the measured processes nor the generator kept busy within the window (10 ms ticks).
    other_cores: f64,
    /// What makes this run wrong.
    problems: Vec<String>,
    /// What to know when reading it.
    notes: Vec<String>,
    #[serde(skip)]
    state: State,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Latency {
    count: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// A measured process, or several under one name.
#[derive(Debug, Default, Serialize)]
struct Process {
    pids: Vec<i32>,
    /// Within the window.
    cpu_ms: f64,
    cores: f64,
    cpu_us_per_operation: f64,
    /// From before the first client until all had joined.
    connect_cpu_us_per_client: f64,
    rss_before_bytes: u64,
    rss_joined_bytes: u64,
    /// After the window (and the `--call` event).
    rss_after_bytes: u64,
    rss_growth_bytes_per_session: f64,
}

#[derive(Debug, Default, Serialize)]
struct Generator {
    workers: u32,
    cpu_ms: f64,
    cores: f64,
    cpu_us_per_operation: f64,
    rss_bytes_per_client: f64,
}

#[derive(Debug)]
struct State {
    begun: Instant,
    histograms: BTreeMap<String, Histogram<u64>>,
    before: BTreeMap<String, Sample>,
    connected: BTreeMap<String, Sample>,
    window: BTreeMap<String, Sample>,
    generator: Sample,
    machine_busy_s: f64,
    rss_growth_bytes: u64,
    call: Option<(std::net::SocketAddrV4, String, String)>,
}

impl Report {
    /// Reads the processes before the first client comes.
    pub(crate) fn begin(options: &Options) -> Result<Self, crate::BenchError> {
        let mut processes: BTreeMap<String, Process> = BTreeMap::new();
        for (name, pid) in &options.processes {
            processes.entry(name.clone()).or_default().pids.push(*pid);
        }
        let call = options
            .call_event
            .clone()
            .map(|event| (options.targets[0], options.path.clone(), event));
        let mut report = Self {
            scenario: options.kind,
            urls: options.urls.clone(),
            clients: options.clients,
            joined: 0,
            window: options.window,
            payload_bytes: options.payload_bytes,
            rate_per_s: options.rate_per_s,
            seconds: 0.0,
            operation: "",
            operations_per_s: 0.0,
            counters: BTreeMap::new(),
            losses: BTreeMap::new(),
            latency_ms: BTreeMap::new(),
            processes,
            generator: Generator { workers: options.workers, ..Generator::default() },
            other_cores: 0.0,
            problems: Vec::new(),
            notes: Vec::new(),
            state: State {
                begun: Instant::now(),
                histograms: BTreeMap::new(),
                before: BTreeMap::new(),
                connected: BTreeMap::new(),
                window: BTreeMap::new(),
                generator: Sample::default(),
                machine_busy_s: 0.0,
                rss_growth_bytes: 0,
                call,
            },
        };
        report.call_app()?;
        report.state.before = report.sample_all();
        Ok(report)
    }

    /// Every client has joined or failed.
    pub(crate) fn connected(&mut self, joined: u32) {
        self.joined = joined;
        self.state.connected = self.sample_all();
    }

    pub(crate) fn window_begins(&mut self, fleet: &Fleet) {
        self.state.generator = sample(&generator_pids(fleet));
        self.state.window = self.sample_all();
        self.state.machine_busy_s = machine_busy_s();
        self.state.begun = Instant::now();
    }

    pub(crate) fn window_ends(&mut self, fleet: &Fleet) {
        self.seconds = self.state.begun.elapsed().as_secs_f64();
        let busy_s = machine_busy_s() - self.state.machine_busy_s;
        let ends = self.sample_all();
        let generator_ns = sample(&generator_pids(fleet)).cpu_ns - self.state.generator.cpu_ns;
        self.generator.cpu_ms = generator_ns as f64 / 1e6;
        self.generator.cores = generator_ns as f64 / 1e9 / self.seconds;
        if let Err(error) = self.call_app() {
            self.notes.push(format!("the --call event failed: {error}"));
        }
        let settled = self.sample_all();
        for (name, process) in &mut self.processes {
            let at = |samples: &BTreeMap<String, Sample>| samples[name];
            let (before, connected) = (at(&self.state.before), at(&self.state.connected));
            // A process that was killed within the window has nothing to count.
            let cpu_ns = at(&ends).cpu_ns.saturating_sub(at(&self.state.window).cpu_ns);
            let joined = f64::from(self.joined.max(1));
            process.cpu_ms = cpu_ns as f64 / 1e6;
            process.cores = cpu_ns as f64 / 1e9 / self.seconds;
            process.connect_cpu_us_per_client =
                (connected.cpu_ns.saturating_sub(before.cpu_ns)) as f64 / 1e3 / joined;
            process.rss_before_bytes = before.rss_bytes;
            process.rss_joined_bytes = connected.rss_bytes;
            process.rss_after_bytes = at(&settled).rss_bytes;
            process.rss_growth_bytes_per_session =
                (process.rss_after_bytes as f64 - before.rss_bytes as f64) / joined;
        }
        let known: f64 = self.processes.values().map(|process| process.cores).sum();
        let other_cores = busy_s / self.seconds - known - self.generator.cores;
        self.other_cores = other_cores.max(0.0);
    }

    pub(crate) fn add_worker(&mut self, worker: &WorkerReport) {
        for (name, count) in &worker.counters {
            *self.counters.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &worker.losses {
            *self.losses.entry(name.clone()).or_default() += count;
        }
        for (name, pairs) in &worker.histograms {
            self.add_histogram(name, pairs);
        }
        self.state.rss_growth_bytes += worker.rss_growth_bytes;
    }

    pub(crate) fn add_histogram(&mut self, name: &str, pairs: &Pairs) {
        let histogram = self.state.histograms.entry(name.to_owned()).or_insert_with(new_histogram);
        for (value, count) in pairs {
            histogram.saturating_record_n(*value, *count);
        }
    }

    pub(crate) fn set_counter(&mut self, name: &str, value: u64) {
        self.counters.insert(name.to_owned(), value);
    }

    /// Relates CPU and time to the counter `name`, and judges the run.
    pub(crate) fn set_operations(&mut self, name: &'static str) {
        let operations = self.counters.get(name).copied().unwrap_or(0) as f64;
        self.operation = name;
        self.operations_per_s = operations / self.seconds.max(1e-9);
        let per_operation =
            |cpu_ms: f64| if operations > 0.0 { cpu_ms * 1e3 / operations } else { 0.0 };
        for process in self.processes.values_mut() {
            process.cpu_us_per_operation = per_operation(process.cpu_ms);
        }
        self.generator.cpu_us_per_operation = per_operation(self.generator.cpu_ms);
        self.generator.rss_bytes_per_client =
            self.state.rss_growth_bytes as f64 / f64::from(self.joined.max(1));
        let histograms = self.state.histograms.iter();
        self.latency_ms =
            histograms.map(|(name, histogram)| (name.clone(), latency(histogram))).collect();
        self.judge();
    }

    /// True when nothing was lost, missing or doubled.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn judge(&mut self) {
        if self.joined < self.clients {
            self.problems.push(format!("{} clients never joined", self.clients - self.joined));
        }
        for name in ["missing", "duplicates", "refused_sends", "others_disturbed", "lost_again"] {
            if let Some(count) = self.counters.get(name).filter(|count| **count > 0) {
                self.problems.push(format!("{name}: {count}"));
            }
        }
        if !self.scenario.reconnects() && !self.losses.is_empty() {
            let all = self.losses.iter().map(|(why, count)| format!("{count} x {why}"));
            self.problems.push(format!("losses: {}", all.collect::<Vec<_>>().join(", ")));
        }
        self.note_shares();
    }

    /// Who used the machine only matters where a rate was driven to its limit.
    fn note_shares(&mut self) {
        if !matches!(self.scenario, Kind::Echo | Kind::Fanout) {
            return;
        }
        let servers: f64 = self.processes.values().map(|process| process.cores).sum();
        if self.generator.cores > 0.95 * f64::from(self.generator.workers) {
            let text = "the generator's workers were busy all the time: they may be the limit";
            self.notes.push(text.to_owned());
        } else if !self.processes.is_empty() && self.generator.cores > servers {
            self.notes.push("the generator used more CPU than the measured processes".to_owned());
        }
        if !self.processes.is_empty() && self.other_cores > OTHER_CORES_MAX {
            let cores = self.other_cores;
            let text = format!("others kept {cores:.2} cores busy: rates and latencies suffer");
            self.notes.push(text);
        }
    }

    fn call_app(&self) -> Result<(), crate::BenchError> {
        match &self.state.call {
            Some((target, path, event)) => control::call(*target, path, event),
            None => Ok(()),
        }
    }

    fn sample_all(&self) -> BTreeMap<String, Sample> {
        self.processes.iter().map(|(name, process)| (name.clone(), sample(&process.pids))).collect()
    }
}

fn generator_pids(fleet: &Fleet) -> Vec<i32> {
    let mut pids = fleet.pids();
    pids.push(std::process::id() as i32);
    pids
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    Latency {
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max() as f64 / 1e6,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} of {} clients, window {}, {:.1} s, {:.0} {}/s",
            self.scenario.name(),
            self.joined,
            self.clients,
            self.window,
            self.seconds,
            self.operations_per_s,
            self.operation,
        )?;
        let counters: Vec<_> =
            self.counters.iter().map(|(name, n)| format!("{name} {n}")).collect();
        writeln!(f, "  {}", counters.join("  "))?;
        for (name, l) in &self.latency_ms {
            writeln!(
                f,
                "  {name:<14} ms  p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2}  ({})",
                l.p50, l.p90, l.p99, l.p999, l.max, l.count
            )?;
        }
        for (name, p) in &self.processes {
            writeln!(
                f,
                "  {name:<14} {:.2} cores  {:.2} us/op  connect {:.0} us/client  rss {:.1} -> {:.1} MiB  {:.0} B/session",
                p.cores,
                p.cpu_us_per_operation,
                p.connect_cpu_us_per_client,
                mib(p.rss_before_bytes),
                mib(p.rss_after_bytes),
                p.rss_growth_bytes_per_session,
            )?;
        }
        let mut tail = String::new();
        for (mark, texts) in [("PROBLEM", &self.problems), ("note", &self.notes)] {
            for text in texts {
                writeln!(tail, "  {mark}: {text}")?;
            }
        }
        let g = &self.generator;
        write!(
            f,
            "  {:<14} {:.2} cores  {:.2} us/op  {:.0} B/client  ({} workers)\n{tail}",
            "generator", g.cores, g.cpu_us_per_operation, g.rss_bytes_per_client, g.workers,
        )
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
