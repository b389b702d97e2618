//! Child processes: each in its own process group, so that the whole group can be stopped, and
//! nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt;

const POLL: Duration = Duration::from_millis(50);
const GRACE: Duration = Duration::from_secs(8);
/// When this many lines are unread, readers wait, and so does the child.
const LINES_MAX: usize = 1024;

/// A running child, its output as lines, and its whole process group.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    lines: Receiver<String>,
    status: Option<ExitStatus>,
}

impl ChildProcess {
    /// Starts `command` without standard input, in a process group of its own.
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (sender, lines) = mpsc::sync_channel(LINES_MAX);
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(forward(stdout, sender.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(forward(stderr, sender));
        }
        Ok(Self { child, readers, lines, status: None })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines that arrived since the last call; waits briefly for the first.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let first = self.lines.recv_timeout(POLL).ok();
        first.into_iter().chain(self.lines.try_iter()).collect()
    }

    /// The exit status, if the child has ended. The rest of its group is then ended too.
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                self.signal(Signal::KILL);
            }
        }
        Ok(self.status)
    }

    /// Asks the group to end, and kills it if it does not, or at a second Ctrl-C.
    pub(crate) fn stop(&mut self) -> std::io::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let asked_at = Instant::now();
        loop {
            // Keep reading: otherwise a child that still writes would block on a full pipe.
            self.lines();
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if asked_at.elapsed() > GRACE || interrupt::hurried() {
                self.signal(Signal::KILL);
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // The group may have ended already, which is what we want.
            let _ = kill_process_group(group, signal);
        }
    }

    /// The lines that were unread when the child ended.
    fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while self.readers.iter().any(|reader| !reader.is_finished()) {
            rest.extend(self.lines());
        }
        rest.extend(self.lines.try_iter());
        rest
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if self.status.is_none() {
            // If stopping fails, nothing more can be done.
            let _ = self.stop();
        }
    }
}

fn forward(stream: impl Read + Send + 'static, lines: SyncSender<String>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if lines.send(text).is_err() {
                return;
            }
        }
    })
}

/// The last line that is not empty, cut to the width of a terminal.
pub(crate) fn last_line(lines: &[String]) -> String {
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    last.map_or("…", |line| line.trim()).chars().take(100).collect()
}

/// The result of a finished command.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<String>,
    pub(crate) took: Duration,
}

/// Runs a command to its end; its output goes to `log`. Every few seconds `progress` gets the time
/// so far and all lines.
pub(crate) fn run(
    command: &mut Command,
    log: &Path,
    mut progress: impl FnMut(Duration, &[String]),
) -> Result<Finished, crate::Failure> {
    const PROGRESS_EVERY: Duration = Duration::from_secs(10);
    const PROGRESS_FIRST: Duration = Duration::from_secs(2);
    let started = Instant::now();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut running = ChildProcess::start(command)
        .map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))?;
    let mut lines = Vec::new();
    let mut next = PROGRESS_FIRST;
    let status = loop {
        for line in running.lines() {
            writeln!(file, "{line}")?;
            lines.push(line);
        }
        if let Some(status) = running.ended()? {
            break status;
        }
        if interrupt::asked() {
            running.stop()?;
            return Err("stopped".into());
        }
        if started.elapsed() >= next {
            next = started.elapsed() + PROGRESS_EVERY;
            progress(started.elapsed(), &lines);
        }
    };
    for line in running.rest() {
        writeln!(file, "{line}")?;
        lines.push(line);
    }
    Ok(Finished { status, lines, took: started.elapsed() })
}
