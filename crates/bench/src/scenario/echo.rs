//! `echo`: an event out, its acknowledgement back.
//!
//! Closed loop: every client keeps `window` round trips under way. Open loop: round trips begin at a fixed
//! rate whether or not earlier ones have ended, and each is timed from the moment it was *meant* to begin,
//! so that a stalled server cannot hide its stall (coordinated omission).

use crate::meter::{Meter, pairs};
use crate::out::Out;
use crate::packet::{first_string, stamp};
use crate::scenario::schedule::Schedule;
use crate::scenario::stamped;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, WorkerReport};

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    sent: u32,
    acknowledged: u32,
}

#[derive(Debug)]
pub(crate) struct Echo {
    peers: Vec<Peer>,
    window: u32,
    payload_bytes: usize,
    /// Open loop: round trips per second; 0 in closed loop.
    rate_per_s: f64,
    schedule: Option<Schedule>,
    running: bool,
    /// Round trips meant to begin in this span are timed.
    measured_from_ns: u64,
    measured_to_ns: u64,
    round_trips: u64,
    measured: u64,
    missing: u64,
    duplicates: u64,
    refused_sends: u64,
    latency: Meter,
    payload: Vec<u8>,
}

impl Echo {
    pub(crate) fn new(job: &Job) -> Self {
        Self {
            peers: vec![Peer::default(); job.clients as usize],
            window: job.window,
            payload_bytes: job.payload_bytes,
            rate_per_s: job.rate_per_s,
            schedule: None,
            running: false,
            measured_from_ns: u64::MAX,
            measured_to_ns: u64::MAX,
            round_trips: 0,
            measured: 0,
            missing: 0,
            duplicates: 0,
            refused_sends: 0,
            latency: Meter::new(),
            payload: Vec::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.rate_per_s > 0.0
    }

    /// Appends the next round trip of a client, meant to begin at `at_ns`.
    fn begin(&mut self, id: u32, at_ns: u64, out: &mut Out) {
        let peer = &mut self.peers[id as usize];
        let ack = u64::from(peer.sent);
        peer.sent += 1;
        self.payload.clear();
        stamped(&mut self.payload, ack, at_ns, self.payload_bytes);
        out.emit(Some(ack), &[b"\"echo\",\"", &self.payload, b"\""]);
    }

    /// Checks an acknowledgement's order; the app acknowledges at once, so they come as they were sent.
    fn check(&mut self, id: u32, ack: u64) {
        let peer = &mut self.peers[id as usize];
        let expected = u64::from(peer.acknowledged);
        if ack < expected {
            self.duplicates += 1;
            return;
        }
        self.missing += ack - expected;
        peer.acknowledged = u32::try_from(ack + 1).unwrap_or(u32::MAX);
    }

    fn begin_due(&mut self, now_ns: u64, swarm: &mut Swarm) -> u64 {
        let Some(mut schedule) = self.schedule else { return u64::MAX };
        loop {
            match schedule.due(now_ns) {
                Ok((number, at_ns)) => {
                    let id = (number % self.peers.len() as u64) as u32;
                    if !swarm.send(id, |out| self.begin(id, at_ns, out)) {
                        self.refused_sends += 1;
                    }
                }
                Err(again_ns) => {
                    self.schedule = Some(schedule);
                    return again_ns;
                }
            }
        }
    }
}

impl Scenario for Echo {
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, out: &mut Out) {
        let Message::Ack { id: ack, args } = message else { return };
        self.check(id, ack);
        self.round_trips += 1;
        if let Some((_, at_ns)) = first_string(args).and_then(stamp) {
            // A closed loop ends when its window ends; an open one when all that was meant to begin has ended.
            let ends_ns = if self.is_open() { at_ns } else { now_ns };
            let counts = at_ns >= self.measured_from_ns && ends_ns < self.measured_to_ns;
            self.latency.record(now_ns.saturating_sub(at_ns), counts);
        }
        if now_ns >= self.measured_from_ns && now_ns < self.measured_to_ns {
            self.measured += 1;
        }
        if self.running && !self.is_open() {
            self.begin(id, now_ns, out);
        }
    }

    fn lost(&mut self, id: u32, _now_ns: u64) {
        let peer = &mut self.peers[id as usize];
        self.missing += u64::from(peer.sent - peer.acknowledged);
        peer.acknowledged = peer.sent;
    }

    fn command(&mut self, command: &Command, now_ns: u64, swarm: &mut Swarm) {
        match command {
            Command::Start => {
                self.running = true;
                if self.is_open() {
                    self.schedule = Some(Schedule::new(now_ns, self.rate_per_s, u64::MAX));
                } else {
                    for id in 0..self.peers.len() as u32 {
                        swarm.send(id, |out| {
                            (0..self.window).for_each(|_| self.begin(id, now_ns, out));
                        });
                    }
                }
            }
            Command::Measure => self.measured_from_ns = now_ns,
            Command::Stop { .. } => {
                self.running = false;
                self.measured_to_ns = now_ns;
            }
            Command::Broadcast { .. }
            | Command::Cut { .. }
            | Command::Killed { .. }
            | Command::Pause
            | Command::Schedule { .. } => (),
        }
    }

    fn turn(&mut self, now_ns: u64, swarm: &mut Swarm, _lines: &mut Vec<Line>) -> u64 {
        if self.running { self.begin_due(now_ns, swarm) } else { u64::MAX }
    }

    fn is_drained(&self, _swarm: &Swarm) -> bool {
        self.peers.iter().all(|peer| peer.acknowledged == peer.sent)
    }

    fn meter(&mut self) -> Option<&mut Meter> {
        Some(&mut self.latency)
    }

    fn operations(&self) -> u64 {
        self.round_trips
    }

    fn report(&mut self, _swarm: &Swarm, report: &mut WorkerReport) {
        let unanswered: u64 =
            self.peers.iter().map(|peer| u64::from(peer.sent - peer.acknowledged)).sum();
        for (name, value) in [
            ("round_trips", self.measured),
            ("missing", self.missing + unanswered),
            ("duplicates", self.duplicates),
            ("refused_sends", self.refused_sends),
        ] {
            report.counters.insert(name.into(), value);
        }
        report.histograms.insert("round_trip".into(), pairs(self.latency.total()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::job;

    #[test]
    fn acknowledgements_are_expected_once_and_in_order() {
        for (acks, missing, duplicates) in
            [(&[0, 1, 2][..], 0, 0), (&[0, 2], 1, 0), (&[0, 1, 1], 0, 1), (&[1, 0], 1, 1)]
        {
            let mut echo = Echo::new(&job(1));
            acks.iter().for_each(|ack| echo.check(0, *ack));
            assert_eq!((echo.missing, echo.duplicates), (missing, duplicates), "{acks:?}");
        }
    }

    #[test]
    fn latency_counts_from_the_intended_beginning_and_only_within_the_window() {
        let mut echo = Echo::new(&job(1));
        echo.measured_from_ns = 100;
        let ack = |id: u64, at_ns: u64| format!("[\"{id}:{at_ns}:xx\"]").into_bytes();
        let mut out = Out::default();
        for (id, at_ns, now_ns) in [(0, 99, 150), (1, 120, 1_120)] {
            let args = ack(id, at_ns);
            echo.message(0, now_ns, Message::Ack { id, args: &args }, &mut out);
        }
        assert_eq!(
            (echo.latency.total().len(), echo.latency.total().max(), echo.measured),
            (1, 1_000, 2)
        );
        assert!(out.bytes.is_empty(), "nothing new begins when the load does not run");
        echo.running = true;
        echo.message(0, 2_000, Message::Ack { id: 2, args: &ack(2, 1_500) }, &mut out);
        assert!(!out.bytes.is_empty(), "a closed loop goes on");
    }
}
