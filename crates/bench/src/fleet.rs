//! The parent's side of the workers: starts them, commands them, waits for them, never outlives its time limit.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::options::Options;
use crate::progress::ProgressLine;
use crate::report::Report;
use crate::wire::{Command, Job, Line, Progress};

/// Lines that workers may have said and the parent not yet heard.
const LINES_MAX: usize = 1_024;

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
    /// Dropped to tell the worker that it is alone.
    stdin: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
    progress: Progress,
}

/// All workers of a run. Dropping it ends them.
pub(crate) struct Fleet {
    workers: Vec<Worker>,
    lines: Receiver<(usize, Option<Line>)>,
    progress: ProgressLine,
    deadline: Instant,
    time_limit_s: u64,
}

impl Fleet {
    pub(crate) fn start(
        program: &WorkerProgram,
        options: &Options,
        progress: ProgressLine,
    ) -> Result<Self, BenchError> {
        let (sender, lines) = sync_channel(LINES_MAX);
        let mut fleet = Self {
            workers: Vec::new(),
            lines,
            progress,
            deadline: Instant::now() + options.time_limit,
            time_limit_s: options.time_limit.as_secs(),
        };
        for index in 0..options.workers {
            let worker = start_worker(program, &job(options, index), index as usize, &sender)?;
            fleet.workers.push(worker);
        }
        Ok(fleet)
    }

    /// The workers' process ids.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.workers.iter().map(|worker| worker.child.id() as i32).collect()
    }

    /// Waits until every client has joined or failed; how many have joined.
    pub(crate) fn wait_ready(&mut self) -> Result<u32, BenchError> {
        let readies = self.gather("connecting", |line| {
            if let Line::Ready(progress) = line { Some(progress.joined) } else { None }
        })?;
        Ok(readies.iter().sum())
    }

    pub(crate) fn command(&mut self, command: &Command) -> Result<(), BenchError> {
        (0..self.workers.len()).try_for_each(|index| self.command_to(index, command))
    }

    /// To the first worker only: its first client is the one that asks.
    pub(crate) fn command_first(&mut self, command: &Command) -> Result<(), BenchError> {
        self.command_to(0, command)
    }

    /// From its return on, everything counts in every worker.
    pub(crate) fn measure(&mut self) -> Result<(), BenchError> {
        self.command(&Command::Measure)?;
        self.gather("starting to measure", |line| matches!(line, Line::Measuring).then_some(()))
            .map(|_| ())
    }

    /// Lets the load run for a while.
    pub(crate) fn run_for(&mut self, duration: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + duration;
        while let Some(rest) = until.checked_duration_since(Instant::now()) {
            self.next_line("running", rest)?;
        }
        Ok(())
    }

    /// Waits until every client of every worker has broadcast `sequence`; how long the last one took, ns.
    pub(crate) fn wait_delivered(&mut self, sequence: u64) -> Result<u64, BenchError> {
        let times = self.gather("waiting for a broadcast", |line| {
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

    /// Waits until every client knows its app server.
    pub(crate) fn wait_known(&mut self) -> Result<(), BenchError> {
        self.gather("asking who", |line| matches!(line, Line::Known).then_some(())).map(|_| ())
    }

    /// Waits until all clients of a killed app server are back; the moment that was, ns.
    pub(crate) fn wait_back(&mut self) -> Result<u64, BenchError> {
        let moments = self.gather("waiting for clients to return", |line| {
            if let Line::Back { at_ns } = line { Some(*at_ns) } else { None }
        })?;
        Ok(moments.into_iter().max().unwrap_or(0))
    }

    /// Ends the load and gathers the workers' reports into `report`.
    pub(crate) fn stop(&mut self, sent: u64, report: &mut Report) -> Result<(), BenchError> {
        self.command(&Command::Stop { sent })?;
        let reports = self.gather("gathering reports", |line| {
            if let Line::Report(report) = line { Some(report.clone()) } else { None }
        })?;
        reports.iter().for_each(|worker| report.add_worker(worker));
        self.progress.clear();
        Ok(())
    }

    /// One matching line from each worker. Lines of a worker that has already given its own are dropped:
    /// no command lets two waits be open at once.
    fn gather<T>(
        &mut self,
        what: &'static str,
        pick: impl Fn(&Line) -> Option<T>,
    ) -> Result<Vec<T>, BenchError> {
        let mut found: Vec<Option<T>> = self.workers.iter().map(|_| None).collect();
        let mut missing = found.len();
        while missing > 0 {
            let Some((index, line)) = self.next_line(what, Duration::MAX)? else { continue };
            if let (Some(value), None) = (pick(&line), &found[index]) {
                found[index] = Some(value);
                missing -= 1;
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The next line, or `None` after `wait_max`.
    fn next_line(
        &mut self,
        what: &'static str,
        wait_max: Duration,
    ) -> Result<Option<(usize, Line)>, BenchError> {
        let rest = self
            .deadline
            .checked_duration_since(Instant::now())
            .ok_or(BenchError::TimeLimit(self.time_limit_s, what))?;
        match self.lines.recv_timeout(rest.min(wait_max)) {
            Ok((index, None)) => Err(BenchError::WorkerGone(index)),
            Ok((index, Some(line))) => {
                if let Line::Progress(progress) | Line::Ready(progress) = &line {
                    self.workers[index].progress = *progress;
                    let all = self.workers.iter().map(|worker| worker.progress);
                    self.progress.show(what, all);
                }
                Ok(Some((index, line)))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(BenchError::WorkerGone(0)),
        }
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

fn job(options: &Options, index: u32) -> Job {
    let share = options.clients / options.workers;
    let extra = u32::from(index < options.clients % options.workers);
    Job {
        kind: options.kind,
        worker: index,
        run: std::process::id(),
        targets: options.targets.clone(),
        path: options.path.clone(),
        clients: share + extra,
        connecting_max: options.connecting_max,
        window: options.window,
        payload_bytes: options.payload_bytes,
        rate_per_s: options.rate_per_s / f64::from(options.workers),
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
            if sender.send((index, Some(line))).is_err() {
                return;
            }
        }
        // The parent may be gone; then nobody needs to know.
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
