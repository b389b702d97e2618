//! The scenarios: each file holds what its workers do and how the parent directs them.

mod avalanche;
mod echo;
mod fanout;
mod idle;
mod jitter;
mod reconnect;
mod rooms;
mod schedule;
pub(crate) mod upgrade;

use clap::builder::PossibleValue;
use serde::{Deserialize, Serialize};

use crate::client::Message;
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::meter::Meter;
use crate::options::Options;
use crate::out::Out;
use crate::report::Report;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, WorkerReport};

/// Which scenario.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Avalanche,
    Echo,
    Fanout,
    Idle,
    Jitter,
    Reconnect,
    Rooms,
    Upgrade,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Idle,
        Self::Echo,
        Self::Fanout,
        Self::Rooms,
        Self::Upgrade,
        Self::Avalanche,
        Self::Jitter,
        Self::Reconnect,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Avalanche => "avalanche",
            Self::Echo => "echo",
            Self::Fanout => "fanout",
            Self::Idle => "idle",
            Self::Jitter => "jitter",
            Self::Reconnect => "reconnect",
            Self::Rooms => "rooms",
            Self::Upgrade => "upgrade",
        }
    }

    /// As the command line takes it, with its explanation.
    pub(crate) fn possible_value(self) -> PossibleValue {
        PossibleValue::new(self.name()).help(match self {
            Self::Avalanche => "all clients are cut off at once and return: a stampede",
            Self::Echo => "events and their acknowledgements: round trips",
            Self::Fanout => "one client asks, the app broadcasts to all",
            Self::Idle => "holds sessions: memory, heartbeats, losses",
            Self::Jitter => {
                "clients are cut off, stay away and return, amid broadcasts: what was missed?"
            }
            Self::Reconnect => "kill -9 of an app server: how its clients come back",
            Self::Rooms => "clients in many rooms, messages to rooms",
            Self::Upgrade => "polling first, then WebSocket, with messages meanwhile",
        })
    }

    /// Size of a message when nobody says.
    pub(crate) fn payload_bytes_default(self) -> usize {
        if matches!(self, Self::Fanout | Self::Jitter | Self::Rooms) { 128 } else { 64 }
    }

    /// How long clients that are cut off stay away at least, when nobody says.
    pub(crate) fn away_s_default(self) -> f64 {
        if self == Self::Jitter { 2.0 } else { 0.0 }
    }

    /// Whether clients come back by themselves.
    pub(crate) fn reconnects(self) -> bool {
        matches!(self, Self::Avalanche | Self::Jitter | Self::Reconnect)
    }

    /// The counter that CPU time and rates are related to.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Avalanche | Self::Reconnect => "came_back",
            Self::Echo => "round_trips",
            Self::Fanout | Self::Jitter | Self::Rooms => "deliveries",
            Self::Idle => "pings_answered",
            Self::Upgrade => "upgraded",
        }
    }

    /// The worker's half.
    pub(crate) fn worker(self, job: &Job) -> Box<dyn Scenario> {
        match self {
            Self::Avalanche => Box::new(avalanche::Avalanche::new(job)),
            Self::Echo => Box::new(echo::Echo::new(job)),
            Self::Fanout => Box::new(fanout::Fanout::new(job)),
            Self::Idle => Box::new(idle::Idle::default()),
            Self::Jitter => Box::new(jitter::Jitter::new(job)),
            Self::Reconnect => Box::new(reconnect::Reconnect::new(job)),
            Self::Rooms => Box::new(rooms::Rooms::new(job)),
            Self::Upgrade => Box::new(upgrade::Upgrade::new(job)),
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
            Self::Avalanche => avalanche::direct(fleet, options, report),
            Self::Echo | Self::Idle => load_for_a_while(fleet, options, report),
            Self::Fanout => fanout::direct(fleet, options, report),
            Self::Jitter => jitter::direct(fleet, options, report),
            Self::Reconnect => reconnect::direct(fleet, options, report),
            Self::Rooms => rooms::direct(fleet, options, report),
            Self::Upgrade => upgrade::direct(fleet, report),
        }
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
    fleet.stop(0, report)
}

/// What a scenario does inside a worker. All calls come from the worker's one loop.
pub(crate) trait Scenario {
    /// A client was shown a message; what is appended to `out` goes back to the server.
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, out: &mut Out);

    /// JSON for the connect packet of a client that is about to join; nothing by default.
    fn auth(&mut self, _id: u32) -> Vec<u8> {
        Vec::new()
    }

    /// A client has gone from polling to WebSocket.
    fn upgraded(&mut self, _id: u32, _now_ns: u64, _swarm: &mut Swarm) {}

    /// The latency that is shown over time, when it is not that of handshakes.
    fn meter(&mut self) -> Option<&mut Meter> {
        None
    }

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
            transport: crate::client::Transport::WebSocket,
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
