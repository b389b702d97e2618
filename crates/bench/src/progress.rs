//! The live line on the terminal, and plain lines now and then where there is none.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::kind::ScenarioKind;
use crate::series::Series;
use crate::wire::Progress;

const TERMINAL_EVERY: Duration = Duration::from_millis(250);
const PLAIN_FIRST: Duration = Duration::from_secs(2);
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// The progress of a run on the terminal.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    scenario: &'static str,
    operation: &'static str,
    clients: u32,
    quiet: bool,
    terminal: bool,
    begun: Instant,
    shown: Instant,
    operations: u64,
    shown_once: bool,
    dirty: bool,
}

impl ProgressLine {
    pub(crate) fn new(kind: ScenarioKind, clients: u32, quiet: bool) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self {
            scenario: kind.name(),
            operation: kind.operation(),
            clients,
            quiet,
            terminal,
            begun: now,
            shown: now,
            operations: 0,
            shown_once: false,
            dirty: false,
        }
    }

    /// Something that takes a while has begun, before there is anything to count.
    pub(crate) fn say(&mut self, what: &str) {
        if !self.quiet && self.terminal {
            self.write(&format!("{}  {what} …", self.scenario));
        }
    }

    pub(crate) fn show(&mut self, what: &str, sum: Progress, series: &Series) {
        let every = match (self.terminal, self.shown_once) {
            (true, _) => TERMINAL_EVERY,
            (false, false) => PLAIN_FIRST,
            (false, true) => PLAIN_EVERY,
        };
        let passed = self.shown.elapsed();
        if self.quiet || passed < every {
            return;
        }
        let more = sum.operations.saturating_sub(self.operations) as f64;
        let per_s = more / passed.as_secs_f64();
        (self.operations, self.shown, self.shown_once) = (sum.operations, Instant::now(), true);
        let latency = series.newest().map_or_else(String::new, |latency| {
            format!(", p50 {:.2} ms, p99 {:.2} ms", latency.p50, latency.p99)
        });
        let line = format!(
            "{} {:>4}s  {what}: {}/{} joined, {} lost, {per_s:.0} {}/s{latency}",
            self.scenario,
            self.begun.elapsed().as_secs(),
            sum.joined,
            self.clients,
            sum.lost,
            self.operation,
        );
        self.write(&line);
    }

    /// A live line that wraps could not be rewritten.
    fn width(&self) -> usize {
        let size = self.terminal.then(|| rustix::termios::tcgetwinsize(std::io::stderr()).ok());
        size.flatten().map_or(usize::MAX, |size| usize::from(size.ws_col).max(20) - 1)
    }

    fn write(&mut self, line: &str) {
        let line: String = line.chars().take(self.width()).collect();
        let (before, after) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // A terminal that is gone must not end the run.
        let _ = write!(std::io::stderr(), "{before}{line}{after}");
        self.dirty = self.terminal;
    }

    /// Removes the live line.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.dirty) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
