//! The scenarios: each file holds what its workers do and how the parent directs them.

pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod reconnect;

use clap::builder::PossibleValue;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::client::Message;
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::options::Options;
use crate::report::Report;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, Pairs, WorkerReport};

/// Which scenario.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Echo,
    Fanout,
    Idle,
    Reconnect,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Echo, Self::Fanout, Self::Idle, Self::Reconnect];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Fanout => "fanout",
            Self::Idle => "idle",
            Self::Reconnect => "reconnect",
        }
    }

    /// As the command line takes it, with its explanation.
    pub(crate) fn possible_value(self) -> PossibleValue {
        PossibleValue::new(self.name()).help(match self {
            Self::Echo => "events and their acknowledgements: round trips",
            Self::Fanout => "one client asks, the app broadcasts to all",
            Self::Idle => "holds sessions: memory, heartbeats, losses",
            Self::Reconnect => "kill -9 of an app server: how its clients come back",
        })
    }

    /// Size of a message when nobody says.
    pub(crate) fn payload_bytes_default(self) -> usize {
        if self == Self::Fanout { 128 } else { 64 }
    }

    /// Whether lost clients come back by themselves.
    pub(crate) fn reconnects(self) -> bool {
        self == Self::Reconnect
    }

    /// The worker's half.
    pub(crate) fn worker(self, job: &Job) -> Box<dyn Scenario> {
        match self {
            Self::Echo => Box::new(echo::Echo::new(job)),
            Self::Fanout => Box::new(fanout::Fanout::new(job)),
            Self::Idle => Box::new(idle::Idle::default()),
            Self::Reconnect => Box::new(reconnect::Reconnect::new(job)),
        }
    }

    /// The parent's half: from the moment every client has joined to the workers' reports.
    pub(crate) fn direct(
        self,
        fleet: &mut Fleet,
        options: &Options,
        report: &mut Report,
    ) -> Result<(), BenchError> {
        match self {
            Self::Echo => echo::direct(fleet, options, report),
            Self::Fanout => fanout::direct(fleet, options, report),
            Self::Idle => idle::direct(fleet, options, report),
            Self::Reconnect => reconnect::direct(fleet, options, report),
        }
    }
}

/// What a scenario does inside a worker. All calls come from the worker's one loop.
pub(crate) trait Scenario {
    /// A client was shown a message; what is appended to `out` goes back to the server.
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, out: &mut Vec<u8>);

    /// A joined client is gone.
    fn lost(&mut self, _id: u32, _now_ns: u64) {}

    /// The parent wants something.
    fn command(&mut self, _command: &Command, _now_ns: u64, _swarm: &mut Swarm) {}

    /// Once per loop: lines for the parent go into `lines`; says when to be called again at the latest.
    fn turn(&mut self, _now_ns: u64, _swarm: &mut Swarm, _lines: &mut Vec<Line>) -> u64 {
        u64::MAX
    }

    /// True when nothing is outstanding any more.
    fn is_drained(&self, _swarm: &Swarm) -> bool {
        true
    }

    /// Operations so far, for the progress line.
    fn operations(&self) -> u64 {
        0
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport);
}

pub(crate) fn pairs(histogram: &Histogram<u64>) -> Pairs {
    histogram
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect()
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
            path: "/socket.io/".into(),
            clients,
            connecting_max: 1,
            window: 1,
            payload_bytes: 64,
            rate_per_s: 0.0,
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
