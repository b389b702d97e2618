//! Load generator for Socket.IO servers: real Engine.IO 4 / Socket.IO 5 clients over WebSocket, thousands
//! per process and a few dozen bytes each, with latencies that are corrected for coordinated omission and the
//! generator's own CPU time beside the server's.
//!
//! The parts, inside out: `frame`, `packet`, `client` and `backoff` are pure; `net` makes the system calls;
//! `swarm` runs all clients of one worker process from one epoll loop; `scenario/*` say what the clients do
//! and how a run is directed; `fleet` is the parent of the workers; `report` is the result.

mod backoff;
mod client;
mod command;
mod control;
mod error;
mod fleet;
mod frame;
mod http;
mod interrupt;
mod kind;
mod latency;
mod manner;
mod meter;
mod net;
mod options;
mod out;
mod packet;
mod progress;
mod reason;
mod report;
mod sample;
mod scenario;
mod series;
mod session;
mod swarm;
mod transport;
mod wire;
mod worker;

use std::io::Write as _;

use clap::ArgMatches;

pub use command::{EVENTS, EVENTS_HERE, command};
pub use error::BenchError;
pub use fleet::WorkerProgram;

use fleet::Fleet;
use interrupt::Interrupt;
use kind::ScenarioKind;
use options::Options;
use progress::ProgressLine;
use report::Report;

/// The result of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Nothing was lost, missing or doubled.
    Clean,
    /// Ctrl-C; the report has the results so far.
    Interrupted,
    /// The report lists problems.
    Problems,
}

/// Runs what the arguments of [`command`] ask for and writes the summary to stdout.
///
/// `worker` says how to start this program as one of its own worker processes.
///
/// # Errors
///
/// [`BenchError`] when there is no result to show.
pub fn run(matches: &ArgMatches, worker: &WorkerProgram) -> Result<Outcome, BenchError> {
    let options = Options::read(matches)?;
    options.check()?;
    bench(&options, worker)
}

/// Runs as a worker process: reads its job from stdin and reports on stdout.
///
/// # Errors
///
/// [`BenchError`] when the work cannot continue.
pub fn work() -> Result<(), BenchError> {
    worker::run()
}

fn bench(options: &Options, worker: &WorkerProgram) -> Result<Outcome, BenchError> {
    let interrupt = Interrupt::listen()?;
    let mut progress = ProgressLine::new(options.kind, options.clients, options.quiet);
    if let Some(event) = &options.call_event {
        progress.say(&format!("waiting for the app's answer to {event}"));
    }
    let mut report = Report::begin(options)?;
    let mut fleet = Fleet::start(worker, options, progress, interrupt)?;
    let mut outcome = Outcome::Clean;
    if let Err(error) = course(&mut fleet, options, &mut report) {
        if !error.leaves_a_report() {
            return Err(error);
        }
        report.cut_short(&error, &mut fleet);
        let by_hand = matches!(error, BenchError::Interrupted(_));
        outcome = if by_hand { Outcome::Interrupted } else { Outcome::Problems };
    }
    report.finish(fleet.end());
    show(options, &report)?;
    Ok(if outcome == Outcome::Clean && !report.is_clean() { Outcome::Problems } else { outcome })
}

/// The run from the first handshake to the workers' reports.
fn course(fleet: &mut Fleet, options: &Options, report: &mut Report) -> Result<(), BenchError> {
    if options.kind == ScenarioKind::Upgrade {
        // Connecting is what this one measures.
        report.window_begins(fleet);
    }
    let joined = fleet.wait_ready()?;
    if joined == 0 {
        let (target, manner) = (options.targets[0], &options.manner);
        let reason = reason::ask(target, manner, options.transport);
        let unknown = || "one more got in; see the server's log for those before".to_owned();
        return Err(BenchError::NobodyJoined(reason.unwrap_or_else(unknown)));
    }
    report.connected(joined);
    fleet.hold(options.hold)?;
    scenario::direct(options.kind, fleet, options, report)
}

fn show(options: &Options, report: &Report) -> Result<(), BenchError> {
    write!(std::io::stdout().lock(), "{report}")?;
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(report)?)?;
    }
    if let Some(path) = &options.html {
        std::fs::write(path, report.to_html())?;
    }
    Ok(())
}
