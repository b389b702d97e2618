//! `idle`: sessions that only answer heartbeats; what do they cost, and is any lost?

use crate::out::Out;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Command, WorkerReport};

#[derive(Debug, Default)]
pub(crate) struct Idle {
    pings_before: u64,
}

impl Scenario for Idle {
    fn message(&mut self, _id: u32, _now_ns: u64, _message: Message<'_>, _out: &mut Out) {}

    fn command(&mut self, command: &Command, _now_ns: u64, swarm: &mut Swarm) {
        if matches!(command, Command::Measure) {
            self.pings_before = swarm.pings();
        }
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport) {
        report.counters.insert("pings_answered".into(), swarm.pings() - self.pings_before);
    }
}
