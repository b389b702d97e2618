//! What a demo needs built, on a machine with only Rust and Node.js.

use std::process::Command;
use std::time::Duration;

use crate::{Failure, npm, process, repo};

/// The release binary, the SDK, and what the example needs from npm.
pub(super) fn everything(example: &str) -> Result<(), Failure> {
    node_is_there()?;
    let mut binary = repo::cargo();
    binary.args(["build", "--release", "--locked", "--package", "trunkline"]);
    step("building the trunkline binary", &mut binary)?;
    step("installing the SDK's dependencies", &mut npm::ci(&npm::sdk()))?;
    step("building the SDK", &mut npm::npm(&npm::sdk(), &["run", "build"]))?;
    let folder = repo::root().join("examples").join(example);
    step(&format!("installing the {example} example"), &mut npm::ci(&folder))
}

fn node_is_there() -> Result<(), Failure> {
    for program in ["node", "npm"] {
        let found = Command::new(program).arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            let advice = "the demo needs Node.js 18 or later (https://nodejs.org)";
            return Err(format!("cannot run `{program}`: {advice}").into());
        }
    }
    Ok(())
}

fn step(what: &str, command: &mut Command) -> Result<(), Failure> {
    println!("{what} …");
    let log = repo::scratch().join("demo-build.log");
    let progress = |running: Duration, last: &str| {
        let last: String = last.chars().take(100).collect();
        println!("  {} s: {last}", running.as_secs());
    };
    let finished = process::run(command, &log, progress)?;
    if finished.status.success() {
        return Ok(());
    }
    for line in &finished.lines {
        println!("  | {line}");
    }
    Err(format!("{what} failed ({})", finished.status).into())
}
