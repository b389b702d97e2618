//! `jitter`: clients are cut off without a close frame, stay away and return, amid broadcasts that go on.
//!
//! The first client of the first worker asks the app for broadcasts and is never cut. Clients return as socket.io-client does:
//! with the `pid` and the last offset that the server gave them, if it offers connection state recovery. A client that
//! was recovered must have every broadcast once; one that was not has missed those of its absence.

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::meter::{Meter, pairs};
use crate::net;
use crate::options::Options;
use crate::out::Out;
use crate::packet::{last_string, name_and_string, stamp};
use crate::report::Report;
use crate::scenario::schedule::Schedule;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, WorkerReport};

/// Broadcasts per second when nobody says.
const RATE_PER_S: f64 = 20.0;
/// Between the last client's return and the next cut.
const SETTLING: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
struct Peer {
    expected: u32,
    /// What the server gave to return with; empty when it gave nothing.
    pid: Box<str>,
    offset: Box<str>,
    joined_ns: u64,
    /// Broadcasts that came before the namespace's answer.
    early: Vec<Box<[u8]>>,
    /// Cut off at least once.
    was_cut: bool,
    /// A new socket: the next broadcast may be any.
    is_fresh: bool,
}

#[derive(Debug)]
pub(crate) struct Jitter {
    peers: Vec<Peer>,
    payload_bytes: usize,
    /// Whether client 0 is the one that asks.
    asks: bool,
    schedule: Option<Schedule>,
    pausing: bool,
    sent: u64,
    away: u32,
    returning: bool,
    cut: u64,
    recovered: u64,
    not_recovered: u64,
    lost_again: u64,
    deliveries: u64,
    caught_up: u64,
    missing: u64,
    missed_while_away: u64,
    duplicates: u64,
    latency: Meter,
    caught_up_latency: Meter,
}

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    pid: Box<str>,
}

impl Jitter {
    pub(crate) fn new(job: &Job) -> Self {
        Self {
            // At the beginning everybody is new.
            peers: vec![Peer { is_fresh: true, ..Peer::default() }; job.clients as usize],
            payload_bytes: job.payload_bytes,
            asks: job.worker == 0,
            schedule: None,
            pausing: false,
            sent: 0,
            away: 0,
            returning: false,
            cut: 0,
            recovered: 0,
            not_recovered: 0,
            lost_again: 0,
            deliveries: 0,
            caught_up: 0,
            missing: 0,
            missed_while_away: 0,
            duplicates: 0,
            latency: Meter::new(),
            caught_up_latency: Meter::new(),
        }
    }

    fn note_joined(&mut self, id: u32, answer: &[u8], now_ns: u64) {
        let pid = serde_json::from_slice::<Answer>(answer).map(|answer| answer.pid);
        let pid = pid.unwrap_or_default();
        let peer = &mut self.peers[id as usize];
        peer.joined_ns = now_ns;
        if peer.was_cut {
            // As socket.io-client judges it.
            let recovered = !pid.is_empty() && pid == peer.pid;
            self.recovered += u64::from(recovered);
            self.not_recovered += u64::from(!recovered);
            peer.is_fresh = !recovered;
            self.away = self.away.saturating_sub(1);
        }
        if pid != peer.pid {
            peer.pid = pid;
            peer.offset = Box::default();
        }
        for array in std::mem::take(&mut peer.early) {
            self.note_broadcast(id, &array, now_ns);
        }
    }

    fn note_broadcast(&mut self, id: u32, array: &[u8], now_ns: u64) {
        let Some((b"b", Some(text))) = name_and_string(array) else { return };
        let Some((sequence, asked_ns)) = stamp(text) else { return };
        let peer = &mut self.peers[id as usize];
        if !peer.pid.is_empty()
            && let Some(offset) = last_string(array)
        {
            peer.offset = String::from_utf8_lossy(offset).into();
        }
        let expected = u64::from(peer.expected);
        if sequence < expected {
            self.duplicates += 1;
            return;
        }
        match (peer.is_fresh, peer.was_cut) {
            (true, true) => self.missed_while_away += sequence - expected,
            // Broadcasts from before it came are not its.
            (true, false) => (),
            (false, _) => self.missing += sequence - expected,
        }
        peer.is_fresh = false;
        peer.expected = u32::try_from(sequence + 1).unwrap_or(u32::MAX);
        self.deliveries += 1;
        let took_ns = now_ns.saturating_sub(asked_ns);
        if peer.was_cut && asked_ns < peer.joined_ns {
            self.caught_up += 1;
            self.caught_up_latency.record(took_ns, true);
        } else {
            self.latency.record(took_ns, true);
        }
    }

    fn cut(&mut self, away_ns: u64, now_ns: u64, swarm: &mut Swarm) {
        for id in u32::from(self.asks)..self.peers.len() as u32 {
            if swarm.is_joined(id) {
                self.peers[id as usize].was_cut = true;
                self.away += 1;
                self.cut += 1;
                swarm.cut(id, away_ns, now_ns);
            }
        }
        self.returning = true;
    }

    fn ask_due(&mut self, now_ns: u64, swarm: &mut Swarm) -> u64 {
        let Some(mut schedule) = self.schedule else { return u64::MAX };
        loop {
            match schedule.due(now_ns) {
                Ok((sequence, at_ns)) => {
                    let args =
                        format!("\"broadcast\",{sequence},1,\"{at_ns}\",{}", self.payload_bytes);
                    swarm.send(0, |out| out.emit(None, &[args.as_bytes()]));
                }
                Err(again_ns) => {
                    self.schedule = Some(schedule);
                    return again_ns;
                }
            }
        }
    }
}

impl Scenario for Jitter {
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, _out: &mut Out) {
        match message {
            Message::Joined(answer) => self.note_joined(id, answer, now_ns),
            Message::Early(array) => self.peers[id as usize].early.push(array.into()),
            Message::Event(array) => self.note_broadcast(id, array, now_ns),
            Message::Ack { .. } | Message::Ping => (),
        }
    }

    fn auth(&mut self, id: u32) -> Vec<u8> {
        let Peer { pid, offset, early, .. } = &mut self.peers[id as usize];
        // Of an attempt that came to nothing.
        early.clear();
        if pid.is_empty() {
            return Vec::new();
        }
        serde_json::json!({ "pid": pid, "offset": offset }).to_string().into_bytes()
    }

    fn lost(&mut self, id: u32, _now_ns: u64) {
        self.peers[id as usize].was_cut = true;
        self.away += 1;
        self.lost_again += 1;
    }

    fn command(&mut self, command: &Command, now_ns: u64, swarm: &mut Swarm) {
        match *command {
            Command::Schedule { count, rate_per_s, .. } => {
                self.schedule = Some(Schedule::new(now_ns, rate_per_s, count));
            }
            Command::Cut { away_ns } => self.cut(away_ns, now_ns, swarm),
            Command::Pause => self.pausing = true,
            Command::Stop { sent } => self.sent = sent,
            Command::Start
            | Command::Broadcast { .. }
            | Command::Killed { .. }
            | Command::Measure => (),
        }
    }

    fn turn(&mut self, now_ns: u64, swarm: &mut Swarm, lines: &mut Vec<Line>) -> u64 {
        if self.returning && self.away == 0 && swarm.is_settled() {
            self.returning = false;
            lines.push(Line::Back { at_ns: net::now_ns() });
        }
        if std::mem::take(&mut self.pausing) {
            let count = self.schedule.take().map_or(0, |schedule| schedule.begun());
            lines.push(Line::Asked { count });
        }
        self.ask_due(now_ns, swarm)
    }

    fn is_drained(&self, swarm: &Swarm) -> bool {
        let mut joined = (0..self.peers.len() as u32).filter(|id| swarm.is_joined(*id));
        joined.all(|id| u64::from(self.peers[id as usize].expected) >= self.sent)
    }

    fn meter(&mut self) -> Option<&mut Meter> {
        Some(&mut self.latency)
    }

    fn operations(&self) -> u64 {
        self.deliveries
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport) {
        for id in (0..self.peers.len() as u32).filter(|id| swarm.is_joined(*id)) {
            let peer = &self.peers[id as usize];
            let tail = self.sent.saturating_sub(u64::from(peer.expected));
            // What a new socket has yet to get may have been sent before it came.
            let into = if peer.is_fresh { &mut self.missed_while_away } else { &mut self.missing };
            *into += tail;
        }
        let offered = self.peers.iter().any(|peer| !peer.pid.is_empty());
        for (name, value) in [
            ("cut", self.cut),
            ("recovered", self.recovered),
            ("not_recovered", self.not_recovered),
            ("recovery_offered", u64::from(offered)),
            ("lost_again", self.lost_again),
            ("never_came_back", u64::from(self.away)),
            ("deliveries", self.deliveries),
            ("caught_up", self.caught_up),
            ("missing", self.missing),
            ("missed_while_away", self.missed_while_away),
            ("duplicates", self.duplicates),
        ] {
            report.counters.insert(name.into(), value);
        }
        report.histograms.insert("delivery".into(), pairs(self.latency.total()));
        report.histograms.insert("caught_up".into(), pairs(self.caught_up_latency.total()));
    }
}

pub(super) fn direct(
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    let rate_per_s = if options.rate_per_s > 0.0 { options.rate_per_s } else { RATE_PER_S };
    fleet.measure()?;
    report.window_begins(fleet);
    fleet.command_first(&Command::Schedule { first: 0, count: u64::MAX, rate_per_s })?;
    // Everybody needs a broadcast, and with it an offset, before the first cut.
    fleet.run_for(options.warmup.max(SETTLING))?;
    for _ in 0..options.rounds {
        fleet.command(&Command::Cut { away_ns: options.away_ns() })?;
        fleet.wait_back()?;
        fleet.run_for(SETTLING)?;
    }
    fleet.command_first(&Command::Pause)?;
    let sent = fleet.wait_asked()?;
    report.window_ends(fleet);
    report.set_counter("broadcasts", sent);
    report.add_workers(&fleet.stop(sent)?);
    Ok(())
}

#[cfg(test)]
mod tests;
