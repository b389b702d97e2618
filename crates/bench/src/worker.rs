//! A worker process: one thread, one epoll loop, a swarm of clients and a scenario.

use std::io::Write as _;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::BenchError;
use crate::kind::ScenarioKind;
use crate::meter::pairs;
use crate::net::{self, Poll};
use crate::sample::rss_bytes;
use crate::scenario::{self, upgrade};
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::transport::Transport;
use crate::wire::{Command, Job, Line, Progress, Second, WorkerReport};

const STDIN_ID: u64 = u64::MAX;
const SECOND_NS: u64 = 1_000_000_000;
const PROGRESS_NS: u64 = 250_000_000;
/// How long outstanding messages may still arrive after the load stops.
const DRAIN_NS_MAX: u64 = 5_000_000_000;
const EVENTS_MAX: usize = 1_024;

struct Worker {
    swarm: Swarm,
    scenario: Box<dyn Scenario>,
    input: Vec<u8>,
    ready_said: bool,
    progress_at_ns: u64,
    begun_ns: u64,
    /// The second that is passing.
    second: u32,
    has_upgrades: bool,
    /// When reporting may wait no longer; set by [`Command::Stop`].
    drain_until_ns: Option<u64>,
    rss_before_bytes: u64,
    rss_joined_bytes: u64,
}

/// Reads the job from stdin and works until it is told to stop or its parent has ended.
pub(crate) fn run() -> Result<(), BenchError> {
    let mut input = Vec::new();
    let job: Job = loop {
        if read_input(&mut input)? == 0 {
            return Ok(());
        }
        if let Some(line) = take_line(&mut input) {
            break serde_json::from_slice(&line)?;
        }
    };
    let rss_before_bytes = own_rss_bytes();
    raise_descriptor_limit();
    let (kind, poll, begun_ns) = (job.kind, Poll::new()?, job.begun_ns);
    let has_upgrades = job.transport == Transport::Upgrade || kind == ScenarioKind::Upgrade;
    poll.add_input(std::io::stdin(), STDIN_ID)?;
    let scenario = scenario::worker(kind, &job);
    let worker = Worker {
        swarm: Swarm::new(job, poll, kind.reconnects()),
        scenario,
        input,
        ready_said: false,
        progress_at_ns: 0,
        begun_ns,
        second: second_of(begun_ns, net::now_ns()),
        has_upgrades,
        drain_until_ns: None,
        rss_before_bytes,
        rss_joined_bytes: 0,
    };
    worker.work()
}

impl Worker {
    fn work(mut self) -> Result<(), BenchError> {
        let mut events = net::event_buffer(EVENTS_MAX);
        let mut ready = Vec::with_capacity(EVENTS_MAX);
        let mut lines = Vec::new();
        loop {
            let now_ns = net::now_ns();
            let swarm_ns = self.swarm.turn(now_ns, &mut *self.scenario);
            let scenario_ns = self.scenario.turn(now_ns, &mut self.swarm, &mut lines);
            self.note_progress(now_ns, &mut lines);
            say(&mut lines)?;
            if self
                .drain_until_ns
                .is_some_and(|until_ns| now_ns >= until_ns || self.scenario.is_drained(&self.swarm))
            {
                lines.push(Line::Second(self.end_second()));
                lines.push(Line::Report(Box::new(self.report())));
                return say(&mut lines);
            }
            let second_ns = self.begun_ns + (u64::from(self.second) + 1) * SECOND_NS;
            let until_ns = swarm_ns.min(scenario_ns).min(self.progress_at_ns).min(second_ns);
            let timeout_ns = until_ns.saturating_sub(net::now_ns());
            self.swarm.poll().wait(&mut events, &mut ready, timeout_ns)?;
            // Commands first: what the parent sent before it caused an event must be known when the
            // event is handled.
            if ready.iter().any(|event| event.id == STDIN_ID) && !self.read_commands(&mut lines)? {
                return Ok(());
            }
            for event in ready.iter().filter(|event| event.id != STDIN_ID) {
                self.swarm.handle_ready(*event, &mut *self.scenario);
            }
        }
    }

    /// False when the parent is gone.
    fn read_commands(&mut self, lines: &mut Vec<Line>) -> Result<bool, BenchError> {
        if read_input(&mut self.input)? == 0 {
            return Ok(false);
        }
        while let Some(line) = take_line(&mut self.input) {
            let command: Command = serde_json::from_slice(&line)?;
            let now_ns = net::now_ns();
            self.scenario.command(&command, now_ns, &mut self.swarm);
            match command {
                Command::Measure => lines.push(Line::Measuring),
                Command::Stop { .. } => self.drain_until_ns = Some(now_ns + DRAIN_NS_MAX),
                Command::Start
                | Command::Broadcast { .. }
                | Command::Cut { .. }
                | Command::Killed { .. }
                | Command::Pause
                | Command::Schedule { .. } => (),
            }
        }
        Ok(true)
    }

    fn progress(&self) -> Progress {
        Progress {
            joined: self.swarm.joined(),
            lost: self.swarm.lost(),
            operations: self.scenario.operations(),
        }
    }

    fn note_progress(&mut self, now_ns: u64, lines: &mut Vec<Line>) {
        let progress = self.progress();
        if second_of(self.begun_ns, now_ns) > self.second {
            lines.push(Line::Second(self.end_second()));
            self.second = second_of(self.begun_ns, now_ns);
        }
        if !self.ready_said && self.swarm.is_settled() {
            self.ready_said = true;
            self.rss_joined_bytes = own_rss_bytes();
            lines.push(Line::Ready(progress));
        }
        if self.progress_at_ns <= now_ns {
            self.progress_at_ns = now_ns + PROGRESS_NS;
            lines.push(Line::Progress(progress));
        }
    }

    /// What a stalled worker did in several seconds is told for the first of them.
    fn end_second(&mut self) -> Second {
        let progress = self.progress();
        let meter = self.scenario.meter();
        let latency = meter.unwrap_or_else(|| self.swarm.handshake()).take_second();
        Second { second: self.second, progress, latency }
    }

    fn report(&mut self) -> WorkerReport {
        let mut report = WorkerReport {
            joined: self.swarm.joined(),
            rss_growth_bytes: self.rss_joined_bytes.saturating_sub(self.rss_before_bytes),
            ..WorkerReport::default()
        };
        for (loss, count) in self.swarm.losses() {
            *report.losses.entry(loss.to_string()).or_default() += count;
        }
        report.counters.insert("heartbeats".into(), self.swarm.pings());
        report.histograms.insert("handshake".into(), pairs(self.swarm.handshake().total()));
        self.scenario.report(&self.swarm, &mut report);
        if self.has_upgrades {
            upgrade::report_upgrades(&mut self.swarm, &mut report);
        }
        report
    }
}

fn second_of(begun_ns: u64, now_ns: u64) -> u32 {
    (now_ns.saturating_sub(begun_ns) / SECOND_NS) as u32
}

/// Up to what this process may allow itself. Without it, clients beyond the limit fail, and are counted.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn own_rss_bytes() -> u64 {
    rss_bytes(std::process::id() as i32).unwrap_or(0)
}

fn read_input(input: &mut Vec<u8>) -> Result<usize, BenchError> {
    let mut chunk = [0; 4_096];
    // Not through Rust's buffered stdin: epoll would not wake us for what waits in that buffer.
    let length = rustix::io::read(std::io::stdin(), &mut chunk)?;
    input.extend_from_slice(&chunk[..length]);
    Ok(length)
}

fn take_line(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let rest = input.split_off(end + 1);
    Some(std::mem::replace(input, rest))
}

fn say(lines: &mut Vec<Line>) -> Result<(), BenchError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut text = Vec::new();
    for line in lines.drain(..) {
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    std::io::stdout().lock().write_all(&text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_one_by_one() {
        let mut input = b"a\nbc\nd".to_vec();
        assert_eq!(take_line(&mut input).as_deref(), Some(&b"a\n"[..]));
        assert_eq!(take_line(&mut input).as_deref(), Some(&b"bc\n"[..]));
        assert_eq!(take_line(&mut input), None);
        assert_eq!(input, b"d");
    }
}
