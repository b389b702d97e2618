//! `fanout`: one client asks the app to broadcast; every client checks that each message came once, in order.
//!
//! The first client of the first worker asks. A burst of `window` broadcasts is asked for in one event, and
//! the next burst when the last client has the last message of the one before (closed loop), or broadcasts
//! are asked for at a fixed rate and timed from when they were meant to be asked for (open loop).

use std::collections::VecDeque;

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::meter::{Meter, new_histogram, pairs};
use crate::net;
use crate::options::Options;
use crate::out::Out;
use crate::packet::{name_and_string, stamp};
use crate::report::Report;
use crate::scenario::schedule::Schedule;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, WorkerReport};

/// How many of our clients have a broadcast.
#[derive(Clone, Copy, Debug)]
struct Spread {
    received: u32,
    last_ns: u64,
}

#[derive(Debug)]
pub(crate) struct Fanout {
    /// The sequence number each client expects next; [`GONE`] for one that is gone.
    expected: Vec<u32>,
    payload_bytes: usize,
    /// Broadcasts that some client has and some has not, from `spread_first` on.
    spread: VecDeque<Spread>,
    spread_first: u64,
    /// The sequence number of its first broadcast goes with it.
    schedule: Option<(u64, Schedule)>,
    /// What every client should have in the end.
    sent: u64,
    measuring: bool,
    deliveries: u64,
    measured: u64,
    reads_before: u64,
    missing: u64,
    duplicates: u64,
    latency: Meter,
}

const GONE: u32 = u32::MAX;

impl Fanout {
    pub(crate) fn new(job: &Job) -> Self {
        Self {
            expected: vec![0; job.clients as usize],
            payload_bytes: job.payload_bytes,
            spread: VecDeque::new(),
            spread_first: 0,
            schedule: None,
            sent: u64::MAX,
            measuring: false,
            deliveries: 0,
            measured: 0,
            reads_before: 0,
            missing: 0,
            duplicates: 0,
            latency: Meter::new(),
        }
    }

    fn note_delivery(&mut self, id: u32, sequence: u64, asked_ns: u64, now_ns: u64) {
        let expected = &mut self.expected[id as usize];
        if sequence < u64::from(*expected) {
            self.duplicates += 1;
            return;
        }
        self.missing += sequence - u64::from(*expected);
        *expected = u32::try_from(sequence + 1).unwrap_or(GONE - 1);
        self.deliveries += 1;
        self.measured += u64::from(self.measuring);
        self.latency.record(now_ns.saturating_sub(asked_ns), self.measuring);
        let Some(index) = sequence.checked_sub(self.spread_first) else { return };
        while self.spread.len() as u64 <= index {
            self.spread.push_back(Spread { received: 0, last_ns: 0 });
        }
        let spread = &mut self.spread[index as usize];
        spread.received += 1;
        spread.last_ns = now_ns.saturating_sub(asked_ns);
    }

    /// Reports which broadcasts all clients have. A broadcast that all clients have ends those
    /// before it: what is missing of them will not come any more.
    fn end_delivered(&mut self, receivers: u32, lines: &mut Vec<Line>) {
        while let Some(index) = self.spread.iter().position(|spread| spread.received >= receivers) {
            let sequence = self.spread_first + index as u64;
            lines.push(Line::Delivered { sequence, last_ns: self.spread[index].last_ns });
            self.spread.drain(..=index);
            self.spread_first = sequence + 1;
        }
    }

    fn ask(&self, swarm: &mut Swarm, first: u64, count: u32, at_ns: u64) {
        let args = format!("\"broadcast\",{first},{count},\"{at_ns}\",{}", self.payload_bytes);
        swarm.send(0, |out| out.emit(None, &[args.as_bytes()]));
    }

    fn ask_due(&mut self, now_ns: u64, swarm: &mut Swarm) -> u64 {
        let Some((first, mut schedule)) = self.schedule else { return u64::MAX };
        loop {
            match schedule.due(now_ns) {
                Ok((number, at_ns)) => self.ask(swarm, first + number, 1, at_ns),
                Err(again_ns) => {
                    self.schedule = Some((first, schedule));
                    return again_ns;
                }
            }
        }
    }
}

impl Scenario for Fanout {
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, _out: &mut Out) {
        let Message::Event(array) = message else { return };
        if let Some((b"b", Some(text))) = name_and_string(array)
            && let Some((sequence, asked_ns)) = stamp(text)
        {
            self.note_delivery(id, sequence, asked_ns, now_ns);
        }
    }

    fn lost(&mut self, id: u32, _now_ns: u64) {
        self.expected[id as usize] = GONE;
    }

    fn command(&mut self, command: &Command, now_ns: u64, swarm: &mut Swarm) {
        match *command {
            Command::Measure => {
                self.measuring = true;
                self.reads_before = swarm.reads();
            }
            Command::Broadcast { first, count } => self.ask(swarm, first, count, net::now_ns()),
            Command::Schedule { first, count, rate_per_s } => {
                self.schedule = Some((first, Schedule::new(now_ns, rate_per_s, count)));
            }
            Command::Stop { sent } => self.sent = sent,
            Command::Start | Command::Cut { .. } | Command::Killed { .. } | Command::Pause => (),
        }
    }

    fn turn(&mut self, now_ns: u64, swarm: &mut Swarm, lines: &mut Vec<Line>) -> u64 {
        let receivers = swarm.joined();
        self.end_delivered(receivers, lines);
        self.ask_due(now_ns, swarm)
    }

    fn is_drained(&self, _swarm: &Swarm) -> bool {
        let sent = u32::try_from(self.sent).unwrap_or(GONE);
        self.expected.iter().all(|expected| *expected >= sent)
    }

    fn meter(&mut self) -> Option<&mut Meter> {
        Some(&mut self.latency)
    }

    fn operations(&self) -> u64 {
        self.deliveries
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport) {
        let tail: u64 = (0..self.expected.len() as u32)
            .filter(|id| swarm.is_joined(*id))
            .map(|id| self.sent.saturating_sub(u64::from(self.expected[id as usize])))
            .sum();
        for (name, value) in [
            ("deliveries", self.measured),
            ("reads", swarm.reads() - self.reads_before),
            ("missing", self.missing + tail),
            ("duplicates", self.duplicates),
        ] {
            report.counters.insert(name.into(), value);
        }
        report.histograms.insert("delivery".into(), pairs(self.latency.total()));
    }
}

pub(crate) fn direct(
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    let mut sequence = 0;
    let mut last = new_histogram();
    let warm_until = std::time::Instant::now() + options.warmup;
    while std::time::Instant::now() < warm_until {
        sequence = burst(fleet, sequence, options.window)?.0;
    }
    fleet.measure()?;
    report.window_begins(fleet);
    let (begun, first) = (std::time::Instant::now(), sequence);
    if options.rate_per_s > 0.0 {
        let count = (options.rate_per_s * options.duration.as_secs_f64()).max(1.0) as u64;
        let rate_per_s = options.rate_per_s;
        fleet.command_first(&Command::Schedule { first: sequence, count, rate_per_s })?;
        sequence += count;
        fleet.wait_delivered(sequence - 1)?;
    } else {
        let goes_on = |sent: u64| match options.count {
            Some(count) => sent < count,
            None => begun.elapsed() < options.duration,
        };
        while goes_on(sequence - first) {
            let (next, last_ns) = burst(fleet, sequence, options.window)?;
            sequence = next;
            last.saturating_record(last_ns);
        }
    }
    report.window_ends(fleet);
    report.add_workers(&fleet.stop(sequence)?);
    report.set_counter("broadcasts", sequence - first);
    if !last.is_empty() {
        report.add_histogram("last_delivery", &pairs(&last));
    }
    Ok(())
}

/// One burst, from the question to the last client's last message: the next sequence number and the time that took.
fn burst(fleet: &mut Fleet, first: u64, window: u32) -> Result<(u64, u64), BenchError> {
    fleet.command_first(&Command::Broadcast { first, count: window })?;
    let next = first + u64::from(window);
    let last_ns = fleet.wait_delivered(next - 1)?;
    Ok((next, last_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::job;

    #[test]
    fn every_client_expects_every_broadcast_once() {
        for (sequences, missing, duplicates) in
            [(&[0, 1, 2][..], 0, 0), (&[0, 2], 1, 0), (&[0, 0, 1], 0, 1), (&[1, 0], 1, 1)]
        {
            let mut fanout = Fanout::new(&job(2));
            sequences.iter().for_each(|sequence| fanout.note_delivery(1, *sequence, 0, 10));
            assert_eq!((fanout.missing, fanout.duplicates), (missing, duplicates), "{sequences:?}");
        }
    }

    #[test]
    fn spread_knows_how_many_have_a_broadcast_and_when_the_last_got_it() {
        let mut fanout = Fanout::new(&job(2));
        fanout.note_delivery(0, 0, 100, 110);
        fanout.note_delivery(0, 1, 100, 111);
        fanout.note_delivery(1, 0, 100, 130);
        let spread: Vec<_> = fanout.spread.iter().map(|s| (s.received, s.last_ns)).collect();
        assert_eq!(spread, [(2, 30), (1, 11)]);
    }

    #[test]
    fn a_broadcast_that_never_comes_holds_up_nothing() {
        let mut fanout = Fanout::new(&job(2));
        for (id, sequence) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)] {
            fanout.note_delivery(id, sequence, 100, 110);
        }
        let mut lines = Vec::new();
        fanout.end_delivered(2, &mut lines);
        let ended = lines.iter().filter_map(|line| {
            if let Line::Delivered { sequence, .. } = line { Some(*sequence) } else { None }
        });
        assert_eq!(ended.collect::<Vec<_>>(), [0, 2]);
        assert_eq!((fanout.spread.len(), fanout.spread_first, fanout.missing), (0, 3, 1));
    }

    #[test]
    fn only_a_stamped_broadcast_counts() {
        let mut fanout = Fanout::new(&job(1));
        for array in [&b"[\"b\",\"0:5:xx\"]"[..], b"[\"c\",\"1:5:\"]", b"[\"b\",\"hi\"]", b"[]"] {
            fanout.message(0, 9, Message::Event(array), &mut Out::default());
        }
        assert_eq!((fanout.deliveries, fanout.missing, fanout.expected[0]), (1, 0, 1));
    }
}
