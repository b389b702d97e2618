//! The demo's processes: starts them, waits for them, watches and stops them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::process::ChildProcess;
use crate::{Failure, interrupt, repo};

const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a process may take to answer a request on this machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// The number of last output lines that are kept, to explain the end of a process.
const LAST_LINES_MAX: usize = 12;

/// The role of a process in the demo. All but the vital ones may be killed: that is part of the
/// demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A process whose end ends the demo.
    Vital,
    AppServer,
    /// A node of a cluster.
    Node,
    /// The NATS server of a cluster.
    Broker,
}

#[derive(Debug)]
struct Member {
    name: String,
    role: Role,
    running: ChildProcess,
    last_lines: Vec<String>,
    dead: bool,
}

/// All processes of a demo.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: Vec<Member>,
}

/// The command that starts an app server by hand.
pub(super) fn restart_hint(example: &str, name: &str, public: u16) -> String {
    format!(
        "TRUNKLINE_ENDPOINT=http://127.0.0.1:{public} SERVER_NAME={name} PORT=0 node examples/{example}/server.mjs"
    )
}

impl Fleet {
    /// Waits until the node's `/readyz` answers 200; a node without app servers does, too.
    pub(super) fn wait_for_node(&mut self, name: &str, admin: SocketAddr) -> Result<(), Failure> {
        self.wait(name, |_| http_status(admin, "/readyz").is_some_and(|code| code == 200))
    }

    pub(super) fn start_app_server(
        &mut self,
        example: &str,
        name: &str,
        public: u16,
    ) -> Result<(), Failure> {
        let mut command = script(example, "server.mjs");
        command.env("TRUNKLINE_ENDPOINT", format!("http://127.0.0.1:{public}"));
        command.env("SERVER_NAME", name).env("PORT", "0");
        self.start(name, Role::AppServer, &mut command)?;
        self.wait(name, |member| member.last_lines.iter().any(|line| line.contains("is ready")))
    }

    pub(super) fn start_page(
        &mut self,
        example: &str,
        page: u16,
        public: u16,
    ) -> Result<(), Failure> {
        let mut command = script(example, "page.mjs");
        command.env("SOCKET_URL", format!("http://127.0.0.1:{public}"));
        command.env("PORT", page.to_string());
        self.start("page", Role::Vital, &mut command)?;
        let address = SocketAddr::from(([127, 0, 0, 1], page));
        self.wait("page", |_| http_status(address, "/").is_some_and(|code| code == 200))
    }

    pub(super) fn pid_of(&self, name: &str) -> Option<u32> {
        self.members.iter().find(|member| member.name == name).map(|member| member.running.id())
    }

    /// Watches until Ctrl-C. Reports which process ended and why; fails when it was a vital one.
    /// Calls `look` again and again.
    pub(super) fn watch(&mut self, mut look: impl FnMut()) -> Result<(), Failure> {
        while !interrupt::asked() {
            let mut died = Vec::new();
            for member in &mut self.members {
                member.read();
                let Some(status) = member.death()? else { continue };
                if member.role == Role::Vital {
                    return Err(member.explain(status));
                }
                println!("{} {}", member.name, obituary(status));
                died.push(member.role);
            }
            died.dedup();
            for role in died {
                println!("  {}", self.what_is_left(role));
            }
            look();
        }
        Ok(())
    }

    /// What the end of a process in this role means, with those that still run.
    fn what_is_left(&self, role: Role) -> String {
        let alike = self.members.iter().filter(|member| member.role == role && !member.dead);
        let left: Vec<&str> = alike.map(|member| &*member.name).collect();
        match role {
            Role::Broker => {
                "nodes cannot reach one another: WebSockets go on, and so do polls that reach \
                             their own node; others are answered 503 after 3 s"
                    .into()
            }
            Role::Node if left.is_empty() => {
                "no node is left: the balancer answers 503 until one is back".into()
            }
            Role::Node => format!("its clients reconnect, at {}", left.join(", ")),
            Role::AppServer | Role::Vital if left.is_empty() => {
                "no app server is left: clients get 503 and try again until one comes".into()
            }
            Role::AppServer | Role::Vital => format!("its clients move to {}", left.join(", ")),
        }
    }

    /// Stops what still runs: app servers before the node, so that they can close their trunks.
    pub(super) fn stop(&mut self) {
        for member in self.members.iter_mut().rev() {
            if let Err(error) = member.running.stop() {
                println!("{}: cannot be stopped: {error}", member.name);
            }
        }
    }

    pub(super) fn start(
        &mut self,
        name: &str,
        role: Role,
        command: &mut Command,
    ) -> Result<(), Failure> {
        println!("starting {name} …");
        let running = ChildProcess::start(command).map_err(|error| {
            format!("cannot start {}: {error}", command.get_program().display())
        })?;
        let name = name.to_owned();
        self.members.push(Member { name, role, running, last_lines: Vec::new(), dead: false });
        Ok(())
    }

    /// Waits until the process listens on `address`.
    pub(super) fn wait_for_port(&mut self, name: &str, address: SocketAddr) -> Result<(), Failure> {
        self.wait(name, |_| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
    }

    /// Waits until the member of that name is ready.
    fn wait(&mut self, name: &str, ready: impl Fn(&Member) -> bool) -> Result<(), Failure> {
        let started = Instant::now();
        let mut told = Duration::from_secs(2);
        let member = self.members.iter_mut().rev().find(|member| member.name == name);
        let member = member.expect("called after a start");
        loop {
            member.read();
            if let Some(status) = member.death()? {
                return Err(member.explain(status));
            }
            if ready(member) {
                return Ok(());
            }
            if interrupt::asked() {
                return Err("stopped".into());
            }
            if started.elapsed() > READY_WITHIN {
                let said = member.last_lines.join("\n  | ");
                let seconds = READY_WITHIN.as_secs();
                return Err(format!("{name} was not ready within {seconds} s\n  | {said}").into());
            }
            if started.elapsed() > told {
                told += Duration::from_secs(2);
                println!("  waiting for {name}, {} s", started.elapsed().as_secs());
            }
        }
    }
}

impl Member {
    /// Reads its output; shows problems.
    fn read(&mut self) {
        for line in self.running.lines() {
            if is_problem(&line) {
                println!("{} | {line}", self.name);
            }
            self.last_lines.push(line);
        }
        let extra = self.last_lines.len().saturating_sub(LAST_LINES_MAX);
        self.last_lines.drain(..extra);
    }

    /// The process's exit status, returned once.
    fn death(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let ended = self.running.ended()?;
        let news = ended.filter(|_| !self.dead);
        self.dead = ended.is_some();
        Ok(news)
    }

    fn explain(&mut self, status: ExitStatus) -> Failure {
        self.read();
        let said = self.last_lines.join("\n  | ");
        format!("{} {}; it said last:\n  | {said}", self.name, obituary(status)).into()
    }
}

fn script(example: &str, file: &str) -> Command {
    let mut command = Command::new("node");
    command.current_dir(repo::root()).arg(format!("examples/{example}/{file}"));
    command
}

/// Whether a log line should be shown: by its level, or by its subject.
fn is_problem(line: &str) -> bool {
    let mut words = line.split(|char: char| !char.is_ascii_alphanumeric());
    words.any(|word| {
        let levels = ["WARN", "ERROR", "warn", "error", "panicked"];
        levels.contains(&word) || word.ends_with("Error")
    })
}

fn obituary(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The stream on which a `GET path` has been asked.
fn asked(address: SocketAddr, path: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    Some(stream)
}

/// The status code of `GET path`, or `None` while there is no answer.
fn http_status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = asked(address, path)?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line).ok()?;
    str::from_utf8(&status_line).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// What `GET path` answers, whatever its status, or `None` while there is no answer.
pub(super) fn http_body(address: SocketAddr, path: &str) -> Option<String> {
    let mut answer = String::new();
    asked(address, path)?.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Fleet, Role, http_body, http_status, is_problem, obituary};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn a_death_is_told_with_its_cause() {
        assert_eq!(obituary(ExitStatus::from_raw(9)), "was killed by signal 9");
        assert_eq!(obituary(ExitStatus::from_raw(3 << 8)), "ended with exit code 3");
    }

    #[test]
    fn problems_are_told_from_talk() {
        let problems =
            ["0.2s  WARN trunk lost", "TypeError: x", "thread 'main' panicked at", "error: y"];
        assert!(problems.iter().all(|line| is_problem(line)));
        let talk = ["chat app server amber is ready", "  WARNING: the development key is public"];
        assert!(!talk.iter().any(|line| is_problem(line)));
    }

    #[test]
    fn the_status_of_an_answer_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
        });
        assert_eq!(http_status(address, "/readyz"), Some(503));
        server.join().unwrap();
        assert_eq!(http_status(address, "/readyz"), None);
    }

    #[test]
    fn the_body_of_an_answer_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        });
        assert_eq!(http_body(address, "/api/v1/status").as_deref(), Some("{}"));
        server.join().unwrap();
        assert_eq!(http_body(address, "/api/v1/status"), None);
    }

    #[test]
    fn the_end_of_each_role_means_something_else() {
        let fleet = Fleet::default();
        let roles = [Role::AppServer, Role::Node, Role::Broker];
        let said: Vec<String> = roles.iter().map(|role| fleet.what_is_left(*role)).collect();
        assert!(said[0].contains("no app server") && said[1].contains("no node"), "{said:?}");
        assert!(said[2].contains("503 after 3 s"), "{said:?}");
    }
}
