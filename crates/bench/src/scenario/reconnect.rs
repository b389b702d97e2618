//! `reconnect`: one app server is killed; how long until every client of it is back on another one?
//!
//! Clients come back by themselves with socket.io-client's delays. After every connect a client asks `who`;
//! the app answers with its process id. Clients of other app servers must notice nothing.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::meter::{Meter, new_histogram, pairs};
use crate::net;
use crate::options::Options;
use crate::out::Out;
use crate::packet::first_string;
use crate::report::Report;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, WorkerReport};

const UNKNOWN: u8 = 0;

#[derive(Debug)]
pub(crate) struct Reconnect {
    /// App servers by their answer to `who`; a client's is an index, 0 stands for none yet.
    servers: Vec<Vec<u8>>,
    server_of: Vec<u8>,
    lost_at_ns: Vec<u64>,
    killed: Option<(u64, u8)>,
    before: BTreeMap<String, u64>,
    disturbed: u64,
    lost_again: u64,
    known_said: bool,
    back_said: bool,
    down: Histogram<u64>,
    since_kill: Meter,
}

impl Reconnect {
    pub(crate) fn new(job: &Job) -> Self {
        Self {
            servers: vec![Vec::new()],
            server_of: vec![UNKNOWN; job.clients as usize],
            lost_at_ns: vec![0; job.clients as usize],
            killed: None,
            before: BTreeMap::new(),
            disturbed: 0,
            lost_again: 0,
            known_said: false,
            back_said: false,
            down: new_histogram(),
            since_kill: Meter::new(),
        }
    }

    fn server_index(&mut self, name: &[u8]) -> u8 {
        let index = self.servers.iter().position(|known| known == name).unwrap_or_else(|| {
            self.servers.push(name.to_vec());
            self.servers.len() - 1
        });
        u8::try_from(index).unwrap_or(u8::MAX)
    }

    fn census(&self) -> BTreeMap<String, u64> {
        let mut census = BTreeMap::new();
        for server in &self.server_of {
            let name = match *server {
                UNKNOWN => "none".into(),
                index => String::from_utf8_lossy(&self.servers[usize::from(index)]).into_owned(),
            };
            *census.entry(name).or_default() += 1;
        }
        census
    }

    /// Every client has an app server, and none has the killed one.
    fn is_whole(&self) -> bool {
        let victim = self.killed.map_or(UNKNOWN, |(_, victim)| victim);
        self.server_of.iter().all(|server| *server != UNKNOWN && *server != victim)
    }
}

impl Scenario for Reconnect {
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, out: &mut Out) {
        match message {
            Message::Joined(_) => out.emit(Some(0), &[b"\"who\""]),
            Message::Ack { args, .. } => {
                let Some(name) = first_string(args) else { return };
                self.server_of[id as usize] = self.server_index(name);
                let lost_at_ns = std::mem::take(&mut self.lost_at_ns[id as usize]);
                if let (Some((killed_ns, _)), 1..) = (self.killed, lost_at_ns) {
                    self.down.saturating_record(now_ns - lost_at_ns);
                    self.since_kill.record(now_ns - killed_ns, true);
                }
            }
            Message::Early(_) | Message::Event(_) | Message::Ping => (),
        }
    }

    fn lost(&mut self, id: u32, now_ns: u64) {
        let server = std::mem::take(&mut self.server_of[id as usize]);
        match self.killed {
            Some((_, victim)) if server == victim => (),
            Some(_) if self.lost_at_ns[id as usize] > 0 => self.lost_again += 1,
            Some(_) | None => self.disturbed += 1,
        }
        self.lost_at_ns[id as usize] = now_ns;
    }

    fn command(&mut self, command: &Command, _now_ns: u64, _swarm: &mut Swarm) {
        if let Command::Killed { at_ns, victim } = command {
            self.before = self.census();
            self.killed = Some((*at_ns, self.server_index(victim.as_bytes())));
        }
    }

    fn turn(&mut self, _now_ns: u64, swarm: &mut Swarm, lines: &mut Vec<Line>) -> u64 {
        if !self.known_said && swarm.is_settled() && self.is_whole() {
            self.known_said = true;
            lines.push(Line::Known);
        }
        if self.killed.is_some() && !self.back_said && self.is_whole() {
            self.back_said = true;
            lines.push(Line::Back { at_ns: net::now_ns() });
        }
        u64::MAX
    }

    fn meter(&mut self) -> Option<&mut Meter> {
        Some(&mut self.since_kill)
    }

    fn operations(&self) -> u64 {
        self.since_kill.total().len()
    }

    fn report(&mut self, _swarm: &Swarm, report: &mut WorkerReport) {
        report.counters.insert("came_back".into(), self.since_kill.total().len());
        report.counters.insert("others_disturbed".into(), self.disturbed);
        report.counters.insert("lost_again".into(), self.lost_again);
        for (prefix, census) in [("before_on_", &self.before), ("after_on_", &self.census())] {
            for (name, count) in census {
                report.counters.insert(format!("{prefix}{name}"), *count);
            }
        }
        report.histograms.insert("down".into(), pairs(&self.down));
        report.histograms.insert("since_kill".into(), pairs(self.since_kill.total()));
    }
}

pub(crate) fn direct(
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    let victim = options.kill_pid.ok_or(BenchError::NoVictim)?;
    fleet.wait_known()?;
    fleet.run_for(options.warmup)?;
    report.window_begins(fleet);
    let pid = rustix::process::Pid::from_raw(victim).ok_or(BenchError::NoVictim)?;
    // The workers learn of it first, so that every loss after it is judged rightly.
    let at_ns = net::now_ns();
    fleet.command(&Command::Killed { at_ns, victim: victim.to_string() })?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    let back_ns = fleet.wait_back()?;
    report.window_ends(fleet);
    report.set_counter("all_back_ms", back_ns.saturating_sub(at_ns) / 1_000_000);
    report.add_workers(&fleet.stop(0)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::job;

    fn answer(scenario: &mut Reconnect, id: u32, now_ns: u64, name: &str) {
        let args = format!("[\"{name}\"]").into_bytes();
        scenario.message(id, now_ns, Message::Ack { id: 0, args: &args }, &mut Out::default());
    }

    #[test]
    fn whole_again_when_the_victims_clients_are_elsewhere() {
        let mut scenario = Reconnect::new(&job(2));
        answer(&mut scenario, 0, 1, "11");
        assert!(!scenario.is_whole(), "one client does not know its server yet");
        answer(&mut scenario, 1, 2, "12");
        assert!(scenario.is_whole());
        scenario.killed = Some((100, scenario.server_index(b"11")));
        assert!(!scenario.is_whole(), "the victim's client has not moved");
        scenario.lost(0, 110);
        answer(&mut scenario, 0, 1_110, "12");
        assert!(scenario.is_whole());
        assert_eq!((scenario.down.max(), scenario.since_kill.total().max()), (1_000, 1_010));
        assert_eq!(scenario.disturbed, 0);
        scenario.lost(1, 2_000);
        assert_eq!(scenario.disturbed, 1, "a client of the other server was hit");
    }
}
