//! `avalanche`: every client is cut off at the same moment and returns by itself; a stampede of handshakes.
//!
//! Clients return with socket.io-client's delays, or at once (`--backoff none`); attempts that fail are repeated with
//! its delays in both cases.

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::meter::{Meter, pairs};
use crate::net;
use crate::options::Options;
use crate::out::Out;
use crate::report::Report;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, WorkerReport};

#[derive(Debug)]
pub(crate) struct Avalanche {
    clients: u32,
    cut_ns: u64,
    away: u32,
    /// The cut has been made and nobody has been told of its end.
    returning: bool,
    cut: u64,
    came_back: u64,
    lost_again: u64,
    failed_before: u64,
    since_cut: Meter,
}

impl Avalanche {
    pub(crate) fn new(job: &Job) -> Self {
        Self {
            clients: job.clients,
            cut_ns: 0,
            away: 0,
            returning: false,
            cut: 0,
            came_back: 0,
            lost_again: 0,
            failed_before: 0,
            since_cut: Meter::new(),
        }
    }
}

impl Scenario for Avalanche {
    fn message(&mut self, _id: u32, now_ns: u64, message: Message<'_>, _out: &mut Out) {
        if let Message::Joined(_) = message
            && self.away > 0
        {
            self.away -= 1;
            self.came_back += 1;
            self.since_cut.record(now_ns - self.cut_ns, true);
        }
    }

    fn lost(&mut self, _id: u32, _now_ns: u64) {
        self.lost_again += 1;
        self.away += u32::from(self.returning);
    }

    fn command(&mut self, command: &Command, now_ns: u64, swarm: &mut Swarm) {
        match command {
            Command::Cut { away_ns } => {
                self.cut_ns = now_ns;
                self.away = swarm.joined();
                self.cut += u64::from(self.away);
                self.returning = true;
                (0..self.clients).for_each(|id| swarm.cut(id, *away_ns, now_ns));
            }
            Command::Measure => self.failed_before = swarm.lost(),
            Command::Start
            | Command::Broadcast { .. }
            | Command::Killed { .. }
            | Command::Pause
            | Command::Schedule { .. }
            | Command::Stop { .. } => (),
        }
    }

    fn turn(&mut self, _now_ns: u64, swarm: &mut Swarm, lines: &mut Vec<Line>) -> u64 {
        if self.returning && self.away == 0 && swarm.is_settled() {
            self.returning = false;
            lines.push(Line::Back { at_ns: net::now_ns() });
        }
        u64::MAX
    }

    fn meter(&mut self) -> Option<&mut Meter> {
        Some(&mut self.since_cut)
    }

    fn operations(&self) -> u64 {
        self.came_back
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport) {
        for (name, value) in [
            ("cut", self.cut),
            ("came_back", self.came_back),
            ("lost_again", self.lost_again),
            ("failed_attempts", swarm.lost() - self.failed_before - self.lost_again),
            ("never_came_back", u64::from(self.away)),
        ] {
            report.counters.insert(name.into(), value);
        }
        report.histograms.insert("since_cut".into(), pairs(self.since_cut.total()));
    }
}

pub(super) fn direct(
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    fleet.run_for(options.warmup)?;
    fleet.measure()?;
    report.window_begins(fleet);
    let mut slowest_ns = 0;
    for _ in 0..options.rounds {
        let at_ns = net::now_ns();
        fleet.command(&Command::Cut { away_ns: options.away_ns() })?;
        slowest_ns = slowest_ns.max(fleet.wait_back()?.saturating_sub(at_ns));
        report.set_counter("all_back_ms", slowest_ns / 1_000_000);
    }
    report.window_ends(fleet);
    report.add_workers(&fleet.stop(0)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::job;

    #[test]
    fn those_who_return_are_counted_until_none_is_away() {
        let mut avalanche = Avalanche::new(&job(2));
        let mut out = Out::default();
        avalanche.message(0, 5, Message::Joined(b"{}"), &mut out);
        assert_eq!(avalanche.came_back, 0, "the first time is no return");
        (avalanche.away, avalanche.cut_ns, avalanche.returning) = (2, 10, true);
        avalanche.message(0, 30, Message::Joined(b"{}"), &mut out);
        avalanche.lost(0, 35);
        avalanche.message(1, 40, Message::Joined(b"{}"), &mut out);
        assert_eq!((avalanche.away, avalanche.came_back, avalanche.lost_again), (1, 2, 1));
        avalanche.message(0, 50, Message::Joined(b"{}"), &mut out);
        assert_eq!((avalanche.away, avalanche.since_cut.total().max()), (0, 40));
    }
}
