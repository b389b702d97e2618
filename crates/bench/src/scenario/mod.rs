//! The scenarios: each file holds what its workers do, and how the parent directs them.

mod avalanche;
mod echo;
mod fanout;
mod idle;
mod jitter;
mod reconnect;
mod rooms;
mod schedule;
pub(crate) mod upgrade;

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::kind::Kind;
use crate::options::Options;
use crate::report::Report;
use crate::swarm::Scenario;
use crate::wire::{Command, Job};

/// The worker's half.
pub(crate) fn worker(kind: Kind, job: &Job) -> Box<dyn Scenario> {
    match kind {
        Kind::Avalanche => Box::new(avalanche::Avalanche::new(job)),
        Kind::Echo => Box::new(echo::Echo::new(job)),
        Kind::Fanout => Box::new(fanout::Fanout::new(job)),
        Kind::Idle => Box::new(idle::Idle::default()),
        Kind::Jitter => Box::new(jitter::Jitter::new(job)),
        Kind::Reconnect => Box::new(reconnect::Reconnect::new(job)),
        Kind::Rooms => Box::new(rooms::Rooms::new(job)),
        Kind::Upgrade => Box::new(upgrade::Upgrade::new(job)),
    }
}

/// The parent's half: from the moment every client has joined to the workers' reports.
pub(crate) fn direct(
    kind: Kind,
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    match kind {
        Kind::Avalanche => avalanche::direct(fleet, options, report),
        Kind::Echo | Kind::Idle => load_for_a_while(fleet, options, report),
        Kind::Fanout => fanout::direct(fleet, options, report),
        Kind::Jitter => jitter::direct(fleet, options, report),
        Kind::Reconnect => reconnect::direct(fleet, options, report),
        Kind::Rooms => rooms::direct(fleet, options, report),
        Kind::Upgrade => upgrade::direct(fleet, report),
    }
}

/// Load that goes on by itself: warm-up, window, end.
fn load_for_a_while(
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    fleet.command(&Command::Start)?;
    if options.kind != Kind::Idle {
        fleet.run_for(options.warmup)?;
    }
    fleet.measure()?;
    report.window_begins(fleet);
    fleet.run_for(options.duration)?;
    report.window_ends(fleet);
    report.add_workers(&fleet.stop(0)?);
    Ok(())
}

/// Appends `first:ns:` and filler up to `bytes_min` bytes: a payload that says when it was meant to leave.
pub(crate) fn stamped(out: &mut Vec<u8>, first: u64, at_ns: u64, bytes_min: usize) {
    use std::io::Write as _;
    let start = out.len();
    write!(out, "{first}:{at_ns}:").expect("writing to memory does not fail");
    out.resize(out.len().max(start + bytes_min), b'x');
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A job of one worker with nothing special about it.
    pub(crate) fn job(clients: u32) -> Job {
        Job {
            kind: Kind::Echo,
            worker: 0,
            run: 0,
            targets: Vec::new(),
            manner: crate::manner::Manner::default(),
            transport: crate::transport::Transport::WebSocket,
            begun_ns: 0,
            clients,
            connecting_max: 1,
            window: 1,
            payload_bytes: 64,
            rate_per_s: 0.0,
            rooms: clients,
            rooms_per_client: 1,
            backs_off: true,
            resets: false,
        }
    }

    #[test]
    fn a_stamped_payload_has_its_size_and_numbers() {
        for (bytes_min, length) in [(0, 4), (4, 4), (64, 64)] {
            let mut out = b"before".to_vec();
            stamped(&mut out, 7, 8, bytes_min);
            assert_eq!(out.len() - 6, length);
            assert_eq!(crate::packet::stamp(&out[6..]), Some((7, 8)));
        }
    }
}
