//! Metrics of this process from the kernel, read at each scrape.
//!
//! The names without our prefix are those that every Prometheus client library uses, so that
//! dashboards made for others fit.

use core::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Unit;

/// Build, uptime, memory, CPU time, threads and file descriptors of this process.
///
/// Values that the system does not offer are left out (`/proc` exists on Linux only).
#[derive(Debug)]
pub struct ProcessCollector {
    version: &'static str,
    node_id: String,
    started: Instant,
}

impl ProcessCollector {
    /// A collector; uptime counts from now.
    pub fn new(version: &'static str, node_id: String) -> Self {
        Self { version, node_id, started: Instant::now() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let build = Info::new(vec![("version", self.version), ("node", self.node_id.as_str())]);
        let about = "The build that runs, and the node's id.";
        build.encode(encoder.encode_descriptor(
            "trunkline_build",
            about,
            None,
            build.metric_type(),
        )?)?;
        let uptime = ConstGauge::new(self.started.elapsed().as_secs_f64());
        gauge(
            &mut encoder,
            "trunkline_node_uptime",
            "Time since start.",
            Some(Unit::Seconds),
            &uptime,
        )?;
        if let Some(start) = SystemTime::now()
            .checked_sub(self.started.elapsed())
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        {
            let start = ConstGauge::new(start.as_secs_f64());
            let about = "Start time of the process since the Unix epoch.";
            gauge(&mut encoder, "process_start_time", about, Some(Unit::Seconds), &start)?;
        }
        encode_descriptors(&mut encoder)?;
        encode_stat(&mut encoder)
    }
}

fn encode_descriptors(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    if let Some(open) = open_fds() {
        let about = "Open file descriptors.";
        gauge(encoder, "process_open_fds", about, None, &ConstGauge::new(open))?;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    // "No limit" is shown as the largest number that the format holds.
    let limit = limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let about = "The most file descriptors that may be open.";
    gauge(encoder, "process_max_fds", about, None, &ConstGauge::new(limit))
}

fn encode_stat(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(stat) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|s| Stat::parse(&s))
    else {
        return Ok(());
    };
    let page_bytes = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let resident = ConstGauge::new(stat.resident_pages.saturating_mul(page_bytes));
    let about = "Resident memory.";
    gauge(encoder, "process_resident_memory", about, Some(Unit::Bytes), &resident)?;
    gauge(encoder, "process_threads", "Threads.", None, &ConstGauge::new(stat.threads))?;
    #[expect(clippy::cast_precision_loss, reason = "a sum of seconds needs no 53 bits")]
    let seconds = stat.cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    let cpu = ConstCounter::new(seconds);
    let about = "CPU time used, in user and in system mode.";
    cpu.encode(encoder.encode_descriptor(
        "process_cpu",
        about,
        Some(&Unit::Seconds),
        cpu.metric_type(),
    )?)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    unit: Option<Unit>,
    value: &impl EncodeMetric,
) -> fmt::Result {
    value.encode(encoder.encode_descriptor(name, about, unit.as_ref(), value.metric_type())?)
}

fn open_fds() -> Option<i64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of the entries is the descriptor of the directory that is being read.
    i64::try_from(entries.saturating_sub(1)).ok()
}

/// The fields of `/proc/self/stat` that are exported; see proc_pid_stat(5).
#[derive(Debug, Eq, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    resident_pages: i64,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The second field is the command in parentheses, which may contain spaces and parentheses
        // itself.
        let (_, rest) = line.rsplit_once(") ")?;
        // The rest begins with field 3 of the manual page.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        let user: u64 = field(14)?.parse().ok()?;
        let system: u64 = field(15)?.parse().ok()?;
        Some(Self {
            cpu_ticks: user.saturating_add(system),
            threads: field(20)?.parse().ok()?,
            resident_pages: field(24)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn stat_is_read_behind_a_command_with_brackets() {
        let line = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0 5 0 99 1000 321 18446744073709551615";
        let want = Stat { cpu_ticks: 100, threads: 5, resident_pages: 321 };
        assert_eq!(Stat::parse(line), Some(want));
        assert_eq!(Stat::parse("7 (short) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn the_process_shows_itself() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector::new("9.9.9", "n-test".into())));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for want in [
            r#"trunkline_build_info{version="9.9.9",node="n-test"} 1"#,
            "trunkline_node_uptime_seconds ",
            "process_start_time_seconds ",
            "process_max_fds ",
        ] {
            assert!(text.contains(want), "{want} is missing from\n{text}");
        }
        if cfg!(target_os = "linux") {
            for want in [
                "process_open_fds ",
                "process_resident_memory_bytes ",
                "process_threads ",
                "process_cpu_seconds_total ",
            ] {
                assert!(text.contains(want), "{want} is missing from\n{text}");
            }
        }
    }
}
