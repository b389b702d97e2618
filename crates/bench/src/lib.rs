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
mod net;
mod options;
mod packet;
mod progress;
mod report;
mod sample;
mod scenario;
mod swarm;
mod wire;
mod worker;

use std::io::Write as _;

use clap::ArgMatches;

pub use command::command;
pub use error::BenchError;
pub use fleet::WorkerProgram;

use fleet::Fleet;
use options::Options;
use progress::ProgressLine;
use report::Report;

/// How a run came out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Nothing was lost, missing or doubled.
    Clean,
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
    bench(&Options::read(matches)?, worker)
}

/// Is a worker process: reads its job from stdin and reports on stdout.
///
/// # Errors
///
/// [`BenchError`] when the work cannot go on.
pub fn work() -> Result<(), BenchError> {
    worker::run()
}

fn bench(options: &Options, worker: &WorkerProgram) -> Result<Outcome, BenchError> {
    let mut report = Report::begin(options)?;
    let progress = ProgressLine::new(options.kind.name(), options.clients, options.quiet);
    let mut fleet = Fleet::start(worker, options, progress)?;
    let joined = fleet.wait_ready()?;
    if joined == 0 {
        return Err(BenchError::NobodyJoined("see the server's log".to_owned()));
    }
    report.connected(joined);
    options.kind.direct(&mut fleet, options, &mut report)?;
    drop(fleet);
    write!(std::io::stdout().lock(), "{report}")?;
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(if report.is_clean() { Outcome::Clean } else { Outcome::Problems })
}
