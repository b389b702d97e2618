//! What the tests need beyond Rust and Node.js: a browser, Redis, and in Python a Socket.IO client and a web framework.

use std::path::PathBuf;
use std::process::Command;

use super::steps::{Count, Work};
use crate::{Failure, repo};

/// The client that is tested, and what event handlers are written with, as PyPI has them.
const PYTHON_PACKAGES: [&str; 3] =
    ["python-socketio[client]>=5.11,<6", "fastapi>=0.110,<1", "uvicorn>=0.27,<1"];

fn work(name: &str, command: Command) -> Work {
    Work { name: name.to_owned(), command, count: Count::Nothing }
}

/// Whether a program is on the path.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// `apt-get <arguments>`, through sudo for everybody but root.
fn apt_get(arguments: &[&str]) -> Command {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        command.args(["--non-interactive", "apt-get"]);
    }
    command.args(["--yes", "--quiet"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn debian(packages: &[&str]) -> Vec<Work> {
    let mut arguments = vec!["install", "--no-install-recommends"];
    arguments.extend(packages);
    vec![
        work("apt-get update", apt_get(&["update"])),
        work(&format!("apt-get install {}", packages.join(" ")), apt_get(&arguments)),
    ]
}

/// Chromium from Debian, when there is none.
pub(super) fn chromium() -> Vec<Work> {
    if has("chromium") { Vec::new() } else { debian(&["chromium"]) }
}

/// Redis from Debian, when there is none: the SDK is tested beside the real Redis adapter.
pub(super) fn redis() -> Vec<Work> {
    if has("redis-server") { Vec::new() } else { debian(&["redis-server"]) }
}

/// The programs that read the documentation's blocks for operators, with the packages of Debian's that have them.
const OPERATORS_PROGRAMS: [(&str, &str); 4] = [
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("promtool", "prometheus"),
    ("openssl", "openssl"),
];

/// Those of them that are missing.
pub(super) fn operators_programs() -> Vec<Work> {
    let there = |program: &str| has(program) || PathBuf::from("/usr/sbin").join(program).is_file();
    let missing = OPERATORS_PROGRAMS.iter().filter(|(program, _)| !there(program));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() { Vec::new() } else { debian(&packages) }
}

fn environment() -> PathBuf {
    repo::scratch().join("python")
}

/// The Python that has them installed.
pub(super) fn python_program() -> PathBuf {
    environment().join("bin/python")
}

/// A virtual environment with the Python packages, when there is none.
pub(super) fn python() -> Result<Vec<Work>, Failure> {
    let mut works = Vec::new();
    let installed = python_program();
    let mut probe = Command::new(&installed);
    probe.args(["-c", "import socketio, requests, websocket, fastapi, uvicorn"]);
    if installed.exists() && probe.output()?.status.success() {
        return Ok(works);
    }
    if !has("python3") || !venv_works()? {
        works.extend(debian(&["python3", "python3-venv", "python3-pip"]));
    }
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(environment());
    works.push(work("python venv", create));
    let mut install = Command::new(installed);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(PYTHON_PACKAGES);
    works.push(work("pip install python-socketio, fastapi, uvicorn", install));
    Ok(works)
}

/// Debian's python3 comes without what `venv` needs until python3-venv is installed.
fn venv_works() -> Result<bool, Failure> {
    let output = Command::new("python3").args(["-c", "import venv, ensurepip"]).output()?;
    Ok(output.status.success())
}
