//! The parent's side of the workers: starts them, commands them, waits for them, and never exceeds
//! its time limit.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::net;
use crate::options::Options;
use crate::progress::ProgressLine;
use crate::series::{Point, Series};
use crate::wire::{Command, Job, Line, Progress, WorkerReport};

/// Lines from workers that the parent may not have read yet.
const LINES_MAX: usize = 1_024;

/// The interval in which Ctrl-C and the end of a second are noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the workers may take to report when a run ends early.
const CUT_SHORT_MAX: Duration = Duration::from_secs(15);
/// A broadcast that is not delivered within this time, while nothing else is, will not be.
const STALL_MAX: Duration = Duration::from_secs(20);
const WAITING_FOR_BROADCAST: &str = "waiting for a broadcast";

/// How to start this program again as a worker.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// The executable.
    pub program: PathBuf,
    /// Arguments that make it one.
    pub arguments: Vec<OsString>,
}

struct Worker {
    child: Child,
    /// Dropped to notify the worker that the parent is gone.
    stdin: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
    progress: Progress,
}

/// All workers of a run. Dropping it ends them.
pub(crate) struct Fleet {
    workers: Vec<Worker>,
    lines: Receiver<(usize, Option<Line>)>,
    /// Milestones that came before they were awaited.
    kept: VecDeque<(usize, Line)>,
    series: Series,
    progress: ProgressLine,
    interrupt: Interrupt,
    deadline: Instant,
    time_limit_s: u64,
    /// How many broadcasts each client should have by now.
    sent: u64,
    operations: u64,
    moved_at: Instant,
}

impl Fleet {
    pub(crate) fn start(
        program: &WorkerProgram,
        options: &Options,
        progress: ProgressLine,
        interrupt: Interrupt,
    ) -> Result<Self, BenchError> {
        let (sender, lines) = sync_channel(LINES_MAX);
        let begun_ns = net::now_ns();
        let mut fleet = Self {
            workers: Vec::new(),
            lines,
            kept: VecDeque::new(),
            series: Series::new(begun_ns, &options.processes, Vec::new()),
            progress,
            interrupt,
            deadline: Instant::now() + options.time_limit,
            time_limit_s: options.time_limit.as_secs(),
            sent: 0,
            operations: 0,
            moved_at: Instant::now(),
        };
        for index in 0..options.workers {
            let job = job(options, index, begun_ns);
            fleet.workers.push(start_worker(program, &job, index as usize, &sender)?);
        }
        fleet.series = Series::new(begun_ns, &options.processes, fleet.pids());
        Ok(fleet)
    }

    /// The workers' process ids.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.workers.iter().map(|worker| worker.child.id() as i32).collect()
    }

    /// Waits until every client has joined or failed; returns how many have joined.
    pub(crate) fn wait_ready(&mut self) -> Result<u32, BenchError> {
        let readies = self.gather("connecting", |line| {
            if let Line::Ready(progress) = line { Some(progress.joined) } else { None }
        })?;
        Ok(readies.iter().sum())
    }

    pub(crate) fn command(&mut self, command: &Command) -> Result<(), BenchError> {
        (0..self.workers.len()).try_for_each(|index| self.command_to(index, command))
    }

    /// Sends a command to the first worker only: its first client is the one that asks.
    pub(crate) fn command_first(&mut self, command: &Command) -> Result<(), BenchError> {
        self.command_to(0, command)
    }

    /// Starts the measurement: when this returns, every worker counts.
    pub(crate) fn measure(&mut self) -> Result<(), BenchError> {
        self.command(&Command::Measure)?;
        self.gather("starting to measure", |line| matches!(line, Line::Measuring).then_some(()))
            .map(|_| ())
    }

    /// Lets the load run for a while.
    pub(crate) fn run_for(&mut self, duration: Duration) -> Result<(), BenchError> {
        self.listen_for(duration, "running")
    }

    /// Lets all clients idle for a while.
    pub(crate) fn hold(&mut self, duration: Duration) -> Result<(), BenchError> {
        self.listen_for(duration, "idling")
    }

    fn listen_for(&mut self, duration: Duration, what: &'static str) -> Result<(), BenchError> {
        let until = Instant::now() + duration;
        while let Some(rest) = until.checked_duration_since(Instant::now()) {
            if let Some((index, line)) = self.next_line(what, rest)? {
                self.keep(index, line);
            }
        }
        Ok(())
    }

    /// Notes that each client should have this many broadcasts at the end.
    pub(crate) fn expect_sent(&mut self, sent: u64) {
        self.sent = sent;
        self.moved_at = Instant::now();
    }

    /// Waits until every client of every worker has broadcast `sequence`; how long the last one took, ns.
    pub(crate) fn wait_delivered(&mut self, sequence: u64) -> Result<u64, BenchError> {
        self.expect_sent(sequence + 1);
        let times = self.gather(WAITING_FOR_BROADCAST, |line| {
            if let Line::Delivered { sequence: done, last_ns } = line
                && *done == sequence
            {
                Some(*last_ns)
            } else {
                None
            }
        })?;
        Ok(times.into_iter().max().unwrap_or(0))
    }

    /// How many broadcasts the first worker has asked for until it was told to pause.
    pub(crate) fn wait_asked(&mut self) -> Result<u64, BenchError> {
        loop {
            let kept = self.kept.pop_front();
            let line = match kept {
                Some(kept) => Some(kept),
                None => self.next_line("pausing", Duration::MAX)?,
            };
            if let Some((_, Line::Asked { count })) = line {
                return Ok(count);
            }
        }
    }

    /// Waits until every client knows its app server.
    pub(crate) fn wait_known(&mut self) -> Result<(), BenchError> {
        self.gather("asking who", |line| matches!(line, Line::Known).then_some(())).map(|_| ())
    }

    /// Waits until all clients of a killed app server are back; returns that time, ns.
    pub(crate) fn wait_back(&mut self) -> Result<u64, BenchError> {
        let moments = self.gather("waiting for clients to return", |line| {
            if let Line::Back { at_ns } = line { Some(*at_ns) } else { None }
        })?;
        Ok(moments.into_iter().max().unwrap_or(0))
    }

    /// Ends the load and gathers the workers' reports.
    pub(crate) fn stop(&mut self, sent: u64) -> Result<Vec<WorkerReport>, BenchError> {
        self.command(&Command::Stop { sent })?;
        let reports = self.gather("gathering reports", |line| {
            if let Line::Report(report) = line { Some((**report).clone()) } else { None }
        })?;
        self.progress.clear();
        Ok(reports)
    }

    /// Ends the run early: the workers' results must be collected soon, without further
    /// interruption. Returns how many broadcasts each client should have had.
    pub(crate) fn cut_short(&mut self) -> u64 {
        self.interrupt = Interrupt::default();
        self.deadline = Instant::now() + CUT_SHORT_MAX;
        self.moved_at = Instant::now();
        self.kept.clear();
        self.sent
    }

    /// Ends the workers; returns the run second by second.
    pub(crate) fn end(mut self) -> Vec<Point> {
        self.progress.clear();
        std::mem::replace(&mut self.series, Series::new(0, &[], Vec::new())).finish()
    }

    /// Keeps a milestone until it is awaited; a worker has few.
    fn keep(&mut self, index: usize, line: Line) {
        let lasts =
            matches!(line, Line::Ready(_) | Line::Known | Line::Back { .. } | Line::Asked { .. });
        if lasts {
            self.kept.push_back((index, line));
        }
    }

    /// One matching line from each worker.
    fn gather<T>(
        &mut self,
        what: &'static str,
        pick: impl Fn(&Line) -> Option<T>,
    ) -> Result<Vec<T>, BenchError> {
        let mut found: Vec<Option<T>> = self.workers.iter().map(|_| None).collect();
        let mut missing = found.len();
        let mut kept = std::mem::take(&mut self.kept);
        while missing > 0 {
            let Some((index, line)) = kept
                .pop_front()
                .map_or_else(|| self.next_line(what, Duration::MAX), |one| Ok(Some(one)))?
            else {
                continue;
            };
            if let (Some(value), None) = (pick(&line), &found[index]) {
                found[index] = Some(value);
                missing -= 1;
            } else {
                self.keep(index, line);
            }
        }
        kept.append(&mut self.kept);
        self.kept = kept;
        Ok(found.into_iter().flatten().collect())
    }

    /// The next line, or `None` after `wait_max`.
    fn next_line(
        &mut self,
        what: &'static str,
        wait_max: Duration,
    ) -> Result<Option<(usize, Line)>, BenchError> {
        let until = Instant::now().checked_add(wait_max);
        loop {
            let now = Instant::now();
            self.check(what, now)?;
            let now_ns = net::now_ns();
            if self.series.due_ns() <= now_ns {
                self.series.tick(now_ns);
            }
            let rest = until.map_or(LOOK_EVERY, |until| until.saturating_duration_since(now));
            match self.lines.recv_timeout(rest.min(LOOK_EVERY)) {
                Ok((index, None)) => return Err(BenchError::WorkerGone(index)),
                Ok((index, Some(line))) => {
                    self.note(what, index, &line);
                    return Ok(Some((index, line)));
                }
                Err(RecvTimeoutError::Timeout) if rest > LOOK_EVERY || until.is_none() => (),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(BenchError::WorkerGone(0)),
            }
        }
    }

    fn check(&self, what: &'static str, now: Instant) -> Result<(), BenchError> {
        if self.interrupt.is_asked() {
            return Err(BenchError::Interrupted(what));
        }
        if now >= self.deadline {
            return Err(BenchError::TimeLimit(self.time_limit_s, what));
        }
        let stalls = what == WAITING_FOR_BROADCAST && now - self.moved_at > STALL_MAX;
        if stalls { Err(BenchError::Stalled(STALL_MAX.as_secs(), what)) } else { Ok(()) }
    }

    fn note(&mut self, what: &'static str, index: usize, line: &Line) {
        if let Line::Second(second) = line {
            self.series.note(index, second);
        }
        let (Line::Progress(progress) | Line::Ready(progress)) = line else { return };
        self.workers[index].progress = *progress;
        self.series.note_progress(index, *progress);
        let sum = self.workers.iter().fold(Progress::default(), |sum, Worker { progress, .. }| {
            Progress {
                joined: sum.joined + progress.joined,
                lost: sum.lost + progress.lost,
                operations: sum.operations + progress.operations,
            }
        });
        if sum.operations != self.operations {
            (self.operations, self.moved_at) = (sum.operations, Instant::now());
        }
        self.progress.show(what, sum, &self.series);
    }

    fn command_to(&mut self, index: usize, command: &Command) -> Result<(), BenchError> {
        let stdin = self.workers[index].stdin.as_mut();
        write_line(stdin.ok_or(BenchError::WorkerGone(index))?, command)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.progress.clear();
        // Readers must not block on a full channel while they are joined.
        let (_, closed) = sync_channel(1);
        self.lines = closed;
        for worker in &mut self.workers {
            worker.stdin = None;
            // Already ended is what we want.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
            if let Some(reader) = worker.reader.take() {
                let _ = reader.join();
            }
        }
    }
}

fn job(options: &Options, index: u32, begun_ns: u64) -> Job {
    let share = options.clients / options.workers;
    let extra = u32::from(index < options.clients % options.workers);
    Job {
        kind: options.kind,
        worker: index,
        run: std::process::id(),
        targets: options.targets.clone(),
        manner: options.manner.clone(),
        transport: options.transport,
        begun_ns,
        clients: share + extra,
        connecting_max: options.connecting_max,
        window: options.window,
        payload_bytes: options.payload_bytes,
        rate_per_s: options.rate_per_s / f64::from(options.workers),
        rooms: (options.rooms / options.workers).max(options.rooms_per_client),
        rooms_per_client: options.rooms_per_client,
        backs_off: options.backs_off,
        resets: options.resets,
    }
}

fn start_worker(
    program: &WorkerProgram,
    job: &Job,
    index: usize,
    sender: &SyncSender<(usize, Option<Line>)>,
) -> Result<Worker, BenchError> {
    let mut child = Process::new(&program.program)
        .args(&program.arguments)
        // Ctrl-C is the parent's to handle: it tells the workers.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let sender = sender.clone();
    let reader = std::thread::spawn(move || {
        for text in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str(&text) else { break };
            // A worker ends after its report: that is not an early end.
            let is_last = matches!(line, Line::Report(_));
            if sender.send((index, Some(line))).is_err() || is_last {
                return;
            }
        }
        // The parent may be gone; then the message has no receiver.
        let _ = sender.send((index, None));
    });
    let written = write_line(&mut stdin, job);
    let worker =
        Worker { child, stdin: Some(stdin), reader: Some(reader), progress: Progress::default() };
    written.map(|()| worker)
}

fn write_line(stdin: &mut ChildStdin, value: &impl serde::Serialize) -> Result<(), BenchError> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(stdin.write_all(&text)?)
}
