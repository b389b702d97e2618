//! The results of a run. `judge` finds what is wrong with them, `text` and `html` show them.

mod date;
mod html;
mod judge;
mod page;
mod plot;
mod text;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::control;
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::kind::ScenarioKind;
use crate::latency::Latency;
use crate::manner::Manner;
use crate::meter::new_histogram;
use crate::options::Options;
use crate::sample::{Sample, machine_busy_s, sample};
use crate::series::Point;
use crate::transport::Transport;
use crate::wire::{Pairs, WorkerReport};

/// The JSON report; names end in their units.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    /// UTC.
    begun: String,
    command: String,
    scenario: ScenarioKind,
    transport: Transport,
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
    /// Percentiles and their milliseconds, by name.
    distribution_ms: BTreeMap<String, Vec<(f64, f64)>>,
    processes: BTreeMap<String, Process>,
    generator: Generator,
    /// Cores that neither the measured processes nor the generator kept busy within the window (10 ms ticks).
    other_cores: f64,
    /// Why the run ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_short: Option<String>,
    /// The problems that make this run invalid.
    problems: Vec<String>,
    /// Notes for the reader of the report.
    notes: Vec<String>,
    /// The time when all clients had joined or failed, and the measured window: seconds since the run began.
    connected_s: f64,
    window_from_s: f64,
    window_to_s: f64,
    series: Vec<Point>,
    #[serde(skip)]
    state: State,
}

/// A measured process, or several under one name.
#[derive(Debug, Default, Serialize)]
struct Process {
    pids: Vec<i32>,
    /// Within the window.
    cpu_ms: f64,
    cores: f64,
    cpu_us_per_operation: f64,
    /// CPU per client, from before the first one until all had joined.
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
    /// The share of the window in which the busiest worker ran or waited for a core.
    busiest_worker: f64,
    /// The figures may be the generator's limit instead of the server's.
    was_the_limit: bool,
}

#[derive(Debug)]
struct State {
    begun: Instant,
    window_begun: Instant,
    in_window: bool,
    histograms: BTreeMap<String, Histogram<u64>>,
    before: BTreeMap<String, Sample>,
    connected: BTreeMap<String, Sample>,
    window: BTreeMap<String, Sample>,
    generator: Sample,
    machine_busy_s: f64,
    rss_growth_bytes: u64,
    joined_at_end: u32,
    call: Option<(std::net::SocketAddrV4, Manner, String)>,
}

impl Report {
    /// Reads the processes before the first client comes.
    pub(crate) fn begin(options: &Options) -> Result<Self, BenchError> {
        let mut processes: BTreeMap<String, Process> = BTreeMap::new();
        for (name, pid) in &options.processes {
            processes.entry(name.clone()).or_default().pids.push(*pid);
        }
        let call = options
            .call_event
            .clone()
            .map(|event| (options.targets[0], options.manner.clone(), event));
        let now = SystemTime::now();
        let mut report = Self {
            version: env!("CARGO_PKG_VERSION"),
            begun: date::utc(now),
            command: command_line(),
            scenario: options.kind,
            transport: options.transport,
            urls: options.urls.clone(),
            clients: options.clients,
            joined: 0,
            window: options.window,
            payload_bytes: options.payload_bytes,
            rate_per_s: options.rate_per_s,
            seconds: 0.0,
            operation: options.kind.operation(),
            operations_per_s: 0.0,
            counters: BTreeMap::new(),
            losses: BTreeMap::new(),
            latency_ms: BTreeMap::new(),
            distribution_ms: BTreeMap::new(),
            processes,
            generator: Generator { workers: options.workers, ..Generator::default() },
            other_cores: 0.0,
            cut_short: None,
            problems: Vec::new(),
            notes: Vec::new(),
            connected_s: 0.0,
            window_from_s: 0.0,
            window_to_s: 0.0,
            series: Vec::new(),
            state: State {
                begun: Instant::now(),
                window_begun: Instant::now(),
                in_window: false,
                histograms: BTreeMap::new(),
                before: BTreeMap::new(),
                connected: BTreeMap::new(),
                window: BTreeMap::new(),
                generator: Sample::default(),
                machine_busy_s: 0.0,
                rss_growth_bytes: 0,
                joined_at_end: 0,
                call,
            },
        };
        report.call_app()?;
        report.state.before = report.sample_all();
        report.state.begun = Instant::now();
        Ok(report)
    }

    /// Every client has joined or failed.
    pub(crate) fn connected(&mut self, joined: u32) {
        self.joined = joined;
        self.connected_s = self.state.begun.elapsed().as_secs_f64();
        self.state.connected = self.sample_all();
    }

    pub(crate) fn window_begins(&mut self, fleet: &Fleet) {
        self.state.generator = sample(&generator_pids(fleet));
        self.state.window = self.sample_all();
        self.state.machine_busy_s = machine_busy_s();
        self.state.window_begun = Instant::now();
        self.state.in_window = true;
        self.window_from_s = self.state.begun.elapsed().as_secs_f64();
    }

    pub(crate) fn window_ends(&mut self, fleet: &Fleet) {
        self.seconds = self.state.window_begun.elapsed().as_secs_f64();
        self.window_to_s = self.state.begun.elapsed().as_secs_f64();
        self.state.in_window = false;
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

    pub(crate) fn add_workers(&mut self, workers: &[WorkerReport]) {
        workers.iter().for_each(|worker| self.add_worker(worker));
    }

    fn add_worker(&mut self, worker: &WorkerReport) {
        for (name, count) in &worker.counters {
            *self.counters.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &worker.losses {
            *self.losses.entry(name.clone()).or_default() += count;
        }
        for (name, pairs) in &worker.histograms {
            self.add_histogram(name, pairs);
        }
        self.state.joined_at_end += worker.joined;
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

    /// Takes the workers' results after a run that ended early.
    pub(crate) fn cut_short(&mut self, error: &BenchError, fleet: &mut Fleet) {
        self.cut_short = Some(error.to_string());
        let sent = fleet.cut_short();
        if self.state.in_window {
            self.window_ends(fleet);
        }
        // A user who ends a run by hand does not expect messages that were still under way.
        let sent = if matches!(error, BenchError::Interrupted(_)) { 0 } else { sent };
        match fleet.stop(sent) {
            Ok(workers) => self.add_workers(&workers),
            Err(error) => self.notes.push(format!("some workers could not report: {error}")),
        }
        // When not all had come yet, nobody has counted them.
        self.joined = self.joined.max(self.state.joined_at_end);
    }

    /// Relates CPU and time to the scenario's operation, and judges the run.
    pub(crate) fn finish(&mut self, series: Vec<Point>) {
        self.series = series;
        let operations = self.counters.get(self.operation).copied().unwrap_or(0) as f64;
        self.operations_per_s = if self.seconds > 0.0 { operations / self.seconds } else { 0.0 };
        let per_operation =
            |cpu_ms: f64| if operations > 0.0 { cpu_ms * 1e3 / operations } else { 0.0 };
        for process in self.processes.values_mut() {
            process.cpu_us_per_operation = per_operation(process.cpu_ms);
        }
        let generator = &mut self.generator;
        generator.cpu_us_per_operation = per_operation(generator.cpu_ms);
        generator.rss_bytes_per_client =
            self.state.rss_growth_bytes as f64 / f64::from(self.joined.max(1));
        generator.busiest_worker =
            busiest_worker(&self.series, self.window_from_s, self.window_to_s);
        for (name, histogram) in &self.state.histograms {
            self.latency_ms.insert(name.clone(), Latency::of(histogram));
            if !histogram.is_empty() {
                self.distribution_ms.insert(name.clone(), distribution(histogram));
            }
        }
        judge::judge(self);
    }

    /// The latencies that were measured at all.
    fn timed(&self) -> impl Iterator<Item = (&String, &Latency)> {
        self.latency_ms.iter().filter(|(_, latency)| latency.count > 0)
    }

    pub(crate) fn to_html(&self) -> String {
        html::render(self)
    }

    /// True when nothing was lost, missing or doubled.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn call_app(&self) -> Result<(), BenchError> {
        match &self.state.call {
            Some((target, manner, event)) => control::call(*target, manner, event),
            None => Ok(()),
        }
    }

    fn sample_all(&self) -> BTreeMap<String, Sample> {
        self.processes.iter().map(|(name, process)| (name.clone(), sample(&process.pids))).collect()
    }
}

/// The command line as it was typed, without the program's folder.
fn command_line() -> String {
    let words = std::env::args()
        .skip(1)
        .map(|word| if word.contains([' ', '\'', '"']) { format!("'{word}'") } else { word });
    core::iter::once("trunkline".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn generator_pids(fleet: &Fleet) -> Vec<i32> {
    let mut pids = fleet.pids();
    pids.push(std::process::id() as i32);
    pids
}

/// Percentiles and their milliseconds, as far out as there are samples to tell them apart.
fn distribution(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let steps = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95]
        .into_iter()
        .chain([99.99, 99.995, 99.999, 99.9999]);
    let told = steps.filter(|step| (1.0 - step / 100.0) * histogram.len() as f64 > 0.999);
    told.map(|step| (step, histogram.value_at_quantile(step / 100.0) as f64 / 1e6)).collect()
}

/// Over the seconds that lie in the window as a whole; the others are half something else.
fn busiest_worker(series: &[Point], from_s: f64, to_s: f64) -> f64 {
    let within = series
        .iter()
        .filter(|point| f64::from(point.at_s) >= from_s + 1.0 && f64::from(point.at_s) <= to_s);
    let (count, sum) =
        within.fold((0.0, 0.0), |(n, sum), point| (n + 1.0, sum + point.busiest_worker));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[cfg(test)]
mod tests;
