//! `trunkline reload`: finds the node of a configuration, asks it to reload, and learns the outcome.
//!
//! The node is found by its ready file, or by its admin port. It is asked by SIGHUP, so only its own
//! user, or root, can. The outcome is in a file beside the ready file, or in `/api/v1/status`.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::report::{Beside, Report, Shown};
use crate::config::Config;
use crate::ready_file::{self, Ready};

/// How long a node may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The interval of looks.
const LOOK: Duration = Duration::from_millis(20);
/// Time for one answer of the admin port.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
const STATUS_BYTES_MAX: u64 = 64 << 20;

/// A node that has reloaded, or refused to.
#[derive(Debug)]
pub struct Asked {
    /// Its process id.
    pub pid: u32,
    /// What became of it.
    pub report: Report,
}

/// Why no outcome is known.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The configuration says neither where the ready file is nor where the admin port.
    #[error(
        "the node cannot be found: the configuration has neither ready_file nor an admin port; `kill -HUP` its process, and read its log"
    )]
    Nowhere,
    /// The ready file is not there.
    #[error("no node runs with the ready file {}: {cause}", .path.display())]
    NotReady {
        /// The ready file.
        path: PathBuf,
        /// Why it cannot be read.
        cause: io::Error,
    },
    /// The admin port does not answer.
    #[error("no node answers at the admin port {admin}: {cause}")]
    NoAnswer {
        /// The admin port.
        admin: SocketAddr,
        /// What happened instead.
        cause: io::Error,
    },
    /// The admin port speaks TLS.
    #[error(
        "the node is found by its ready file, or by an admin port without TLS: set ready_file for the node and for this command; or `kill -HUP` its process, and read its log"
    )]
    AdminTls,
    /// The process is not one of ours.
    #[error(
        "process {0} of this machine is no trunkline: the node runs elsewhere, such as in a container; run this command there"
    )]
    Elsewhere(u32),
    /// `trunkline dev` ends with its terminal, and so at SIGHUP.
    #[error("the node runs as `trunkline dev`, which does not reload: restart it")]
    Development,
    /// The signal could not be sent.
    #[error(
        "process {pid} cannot be signalled: {cause}; only its own user can ask a node to reload"
    )]
    Signal {
        /// The process.
        pid: u32,
        /// Why not.
        cause: io::Error,
    },
    /// No outcome in time.
    #[error(
        "process {pid} was asked to reload, and has not said what became of it within 30 s: read its log"
    )]
    Silent {
        /// The process.
        pid: u32,
    },
    /// The process has ended meanwhile.
    #[error("process {pid} has ended")]
    Ended {
        /// The process.
        pid: u32,
    },
}

/// Where the outcome is read.
enum Source {
    Beside(PathBuf),
    Admin(SocketAddr),
}

/// The part of the status that counts here.
#[derive(Deserialize)]
struct Status {
    pid: u32,
    #[serde(default)]
    reloadable: bool,
    #[serde(default)]
    reloads: Shown,
}

/// Asks the node of this configuration to reload. Blocks until the outcome is known.
///
/// # Errors
///
/// The node cannot be found, asked or understood.
pub fn ask(config: &Config) -> Result<Asked, AskError> {
    let settings = &config.settings;
    let (pid, source) = match (&settings.ready_file, settings.admin) {
        (Some(path), _) => {
            let ready = read_ready(path)
                .map_err(|cause| AskError::NotReady { path: path.clone(), cause })?;
            if !ready.reloadable {
                return Err(AskError::Development);
            }
            (ready.pid, Source::Beside(ready_file::of_reloads(path)))
        }
        // Which certificates to trust is nothing that this command could know.
        (None, Some(_)) if config.tls.admin.is_some() => return Err(AskError::AdminTls),
        (None, Some(admin)) => {
            let status = status(admin).map_err(|cause| AskError::NoAnswer { admin, cause })?;
            if !status.reloadable {
                return Err(AskError::Development);
            }
            (status.pid, Source::Admin(admin))
        }
        (None, None) => return Err(AskError::Nowhere),
    };
    let process = own_kind(pid).ok_or(AskError::Elsewhere(pid))?;
    let begun = source.shown(pid).map_or(0, |shown| shown.begun);
    kill_process(process, Signal::HUP)
        .map_err(|error| AskError::Signal { pid, cause: error.into() })?;
    let until = Instant::now() + ANSWER_MAX;
    while Instant::now() < until {
        // A reload that had begun before may have read the file before it was changed.
        if let Some(report) = source.shown(pid).and_then(|shown| shown.last)
            && report.number > begun
        {
            return Ok(Asked { pid, report });
        }
        if own_kind(pid).is_none() {
            return Err(AskError::Ended { pid });
        }
        std::thread::sleep(LOOK);
    }
    Err(AskError::Silent { pid })
}

impl Source {
    fn shown(&self, pid: u32) -> Option<Shown> {
        match self {
            Self::Beside(path) => {
                let beside: Beside = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
                (beside.pid == pid).then_some(beside.reloads)
            }
            Self::Admin(admin) => Some(status(*admin).ok()?.reloads),
        }
    }
}

fn read_ready(path: &Path) -> io::Result<Ready> {
    serde_json::from_slice(&std::fs::read(path)?).map_err(io::Error::other)
}

/// The process, if it is a program of our name on this machine.
fn own_kind(pid: u32) -> Option<Pid> {
    let name = |who: &str| std::fs::read_to_string(format!("/proc/{who}/comm")).ok();
    let is_own = name(&pid.to_string())? == name("self")?;
    Pid::from_raw(i32::try_from(pid).ok()?).filter(|_| is_own)
}

fn status(admin: SocketAddr) -> io::Result<Status> {
    let (is_ok, body) = ask_admin(admin, "/api/v1/status", STATUS_TIMEOUT)?;
    if !is_ok {
        return Err(io::Error::other("the answer is not that of a node's admin port"));
    }
    serde_json::from_slice(&body).map_err(io::Error::other)
}

/// The body of an answer of the admin port, and whether its status is 200.
pub(crate) fn ask_admin(
    admin: SocketAddr,
    path: &str,
    longest: Duration,
) -> io::Result<(bool, Vec<u8>)> {
    let mut at = admin;
    if at.ip().is_unspecified() {
        at.set_ip(if at.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let mut stream = TcpStream::connect_timeout(&at, STATUS_TIMEOUT)?;
    stream.set_read_timeout(Some(longest))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(STATUS_BYTES_MAX).read_to_end(&mut answer)?;
    let is_ok = answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200");
    let head_ends = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = head_ends.and_then(|end| answer.get(end + 4..));
    let body =
        body.ok_or_else(|| io::Error::other("the answer is not that of a node's admin port"))?;
    Ok((is_ok, body.to_vec()))
}
