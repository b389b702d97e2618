//! The summary for a terminal.

use core::fmt::{self, Write as _};

use crate::report::Report;

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
        for (why, count) in &self.losses {
            writeln!(f, "  {count} x {why}")?;
        }
        for (name, l) in self.timed() {
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
        if let Some(why) = &self.cut_short {
            writeln!(tail, "  PARTIAL: {why}")?;
        }
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
