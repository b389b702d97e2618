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
use crate::kind::ScenarioKind;
use crate::options::Options;
use crate::report::Report;
use crate::swarm::Scenario;
use crate::wire::{Command, Job};

/// The worker's half.
pub(crate) fn worker(kind: ScenarioKind, job: &Job) -> Box<dyn Scenario> {
    match kind {
        ScenarioKind::Avalanche => Box::new(avalanche::Avalanche::new(job)),
        ScenarioKind::Echo => Box::new(echo::Echo::new(job)),
        ScenarioKind::Fanout => Box::new(fanout::Fanout::new(job)),
        ScenarioKind::Idle => Box::new(idle::Idle::default()),
        ScenarioKind::Jitter => Box::new(jitter::Jitter::new(job)),
        ScenarioKind::Reconnect => Box::new(reconnect::Reconnect::new(job)),
        ScenarioKind::Rooms => Box::new(rooms::Rooms::new(job)),
        ScenarioKind::Upgrade => Box::new(upgrade::Upgrade::new(job)),
    }
}

/// The parent's half: from the moment every client has joined to the workers' reports.
pub(crate) fn direct(
    kind: ScenarioKind,
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    match kind {
        ScenarioKind::Avalanche => avalanche::direct(fleet, options, report),
        ScenarioKind::Echo | ScenarioKind::Idle => load_for_a_while(fleet, options, report),
        ScenarioKind::Fanout => fanout::direct(fleet, options, report),
        ScenarioKind::Jitter => jitter::direct(fleet, options, report),
        ScenarioKind::Reconnect => reconnect::direct(fleet, options, report),
        ScenarioKind::Rooms => rooms::direct(fleet, options, report),
        ScenarioKind::Upgrade => upgrade::direct(fleet, report),
    }
}

/// A continuous load: warm-up, window, end.
fn load_for_a_while(
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    fleet.command(&Command::Start)?;
    if options.kind != ScenarioKind::Idle {
        fleet.run_for(options.warmup)?;
    }
    fleet.measure()?;
    report.window_begins(fleet);
    fleet.run_for(options.duration)?;
    report.window_ends(fleet);
    report.add_workers(&fleet.stop(0)?);
    Ok(())
}

/// Appends `first:ns:` and filler up to `bytes_min` bytes: a payload with the time when it should
/// have been sent.
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
            kind: ScenarioKind::Echo,
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
