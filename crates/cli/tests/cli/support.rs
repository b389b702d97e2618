//! Runs the real binary: with an empty environment, in an empty directory; waits for states, never
//! for a fixed time.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest wait for a state; after it the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A key that `serve` accepts.
pub(crate) const KEY: &str = "a key for tests, 32 bytes long..";

/// A directory of the test's own, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trunkline-cli-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
        self.set_mode(name, 0o600);
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(self.0.join(name), mode).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.args(arguments).env_clear().envs(env.iter().copied()).current_dir(&self.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end. A command that does not end is killed, which its missing exit
    /// code shows.
    pub(crate) fn run(&self, arguments: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut child = self.command(arguments, env).spawn().unwrap();
        let [stdout, stderr] =
            [whole(child.stdout.take().unwrap()), whole(child.stderr.take().unwrap())];
        let start = Instant::now();
        let code = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
            }
        };
        Ran { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    /// Starts a node on free ports and waits for its ready file.
    pub(crate) fn start(&self, arguments: &[&str], env: &[(&str, &str)]) -> Node {
        self.start_with(arguments, env, Stdio::piped())
    }

    /// Like [`Self::start`], with another standard error.
    pub(crate) fn start_with(
        &self,
        arguments: &[&str],
        env: &[(&str, &str)],
        stderr: Stdio,
    ) -> Node {
        let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let ready = ["--ready-file", "ready.json"];
        let arguments: Vec<&str> = arguments.iter().copied().chain(ports).chain(ready).collect();
        let mut child = self.command(&arguments, env).stderr(stderr).spawn().unwrap();
        let log = match child.stderr.take() {
            Some(stderr) => lines(stderr),
            None => mpsc::channel().1,
        };
        let path = self.0.join("ready.json");
        let mut node = Node { child, log, ready: serde_json::Value::Null };
        node.ready = until("the ready file", || {
            if let Some(status) = node.child.try_wait().unwrap() {
                panic!("ended with {status}: {:?}", node.log.try_iter().collect::<Vec<_>>());
            }
            // The content that an earlier process left is not JSON, or not ours.
            let text = std::fs::read_to_string(&path).ok()?;
            let ready: serde_json::Value = serde_json::from_str(&text).ok()?;
            (ready["pid"] == node.child.id()).then_some(ready)
        });
        node
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The output of a process that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running node; killed when dropped.
pub(crate) struct Node {
    child: Child,
    log: Receiver<String>,
    pub(crate) ready: serde_json::Value,
}

impl Node {
    pub(crate) fn address(&self, port: &str) -> SocketAddr {
        self.ready[port].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Status and body of a GET on the admin port.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.get_from("admin", path, "*/*")
    }

    pub(crate) fn get_from(&self, port: &str, path: &str, accept: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address(port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers = format!("host: test\r\naccept: {accept}\r\nconnection: close");
        write!(stream, "GET {path} HTTP/1.1\r\n{headers}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits for a log line that holds the text and returns it.
    pub(crate) fn line(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line holds `{text}`; seen: {seen:#?}"),
            }
        }
    }

    /// The process's standard output until it ended.
    pub(crate) fn stdout(&mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the end of the process", || self.child.try_wait().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end on a thread, so that the writer never blocks.
pub(crate) fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn whole(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// Polls for a state.
pub(crate) fn until<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = state() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}
