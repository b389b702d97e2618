//! The live line on the terminal, and plain lines now and then where there is none.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::wire::Progress;

const TERMINAL_EVERY: Duration = Duration::from_millis(250);
const PLAIN_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct ProgressLine {
    scenario: &'static str,
    clients: u32,
    quiet: bool,
    terminal: bool,
    begun: Instant,
    shown: Instant,
    operations: u64,
    dirty: bool,
}

impl ProgressLine {
    pub(crate) fn new(scenario: &'static str, clients: u32, quiet: bool) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self {
            scenario,
            clients,
            quiet,
            terminal,
            begun: now,
            shown: now,
            operations: 0,
            dirty: false,
        }
    }

    pub(crate) fn show(&mut self, what: &str, workers: impl Iterator<Item = Progress>) {
        let every = if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY };
        let passed = self.shown.elapsed();
        if self.quiet || passed < every {
            return;
        }
        let sum = workers.fold(Progress::default(), |sum, worker| Progress {
            joined: sum.joined + worker.joined,
            lost: sum.lost + worker.lost,
            operations: sum.operations + worker.operations,
        });
        let per_s =
            (sum.operations - self.operations.min(sum.operations)) as f64 / passed.as_secs_f64();
        self.operations = sum.operations;
        self.shown = Instant::now();
        let line = format!(
            "{} {:>4}s  {what}: {}/{} joined, {} lost, {per_s:.0} operations/s",
            self.scenario,
            self.begun.elapsed().as_secs(),
            sum.joined,
            self.clients,
            sum.lost,
        );
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
