//! Builds what a demo needs, on a machine with only Rust and Node.js.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Failure, npm, process, repo};

/// The profile of the demo's binary: without link-time optimisation, and with little other
/// optimisation.
pub(super) const PROFILE: &str = "demo";

/// The binary that the demo builds.
pub(super) fn binary() -> std::path::PathBuf {
    repo::target().join(PROFILE).join("trunkline")
}

/// The usual duration of a step on two idle cores, the first time and later.
#[derive(Debug, Clone, Copy)]
struct Usual {
    first: &'static str,
    later: &'static str,
}

struct Steps {
    number: usize,
    of: usize,
    began: Instant,
}

/// Builds the binary (unless there is one already) and the SDK, and installs the example's npm
/// packages.
pub(super) fn everything(example: &str, has_binary: bool) -> Result<(), Failure> {
    let began = Instant::now();
    let mut steps = Steps { number: 0, of: if has_binary { 3 } else { 5 }, began };
    println!(
        "The demo builds Trunkline and its SDK first: about two minutes the first time, seconds from then on."
    );
    node_is_there()?;
    if !has_binary {
        let mut fetch = repo::cargo();
        fetch.args(["fetch", "--locked", "--target"]);
        // Skip crates for systems that Trunkline does not run on.
        fetch.arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
        steps.run(
            "fetching Rust crates",
            Usual { first: "10 s", later: "1 s" },
            &mut fetch,
            None,
        )?;
        let mut build = repo::cargo();
        build.args(["build", "--profile", PROFILE, "--locked", "--package", "trunkline"]);
        let usual = Usual { first: "1 min 30 s", later: "1 s" };
        steps.run("building Trunkline", usual, &mut build, crates_in_build())?;
    }
    let usual = Usual { first: "10 s", later: "nothing" };
    if npm::is_installed(&npm::sdk()) {
        steps.skip("the SDK's dependencies");
    } else {
        let what = "installing the SDK's dependencies";
        steps.run(what, usual, &mut npm::install_sdk(), None)?;
    }
    if npm::sdk_is_built() {
        steps.skip("the SDK");
    } else {
        let mut build = npm::npm(&npm::sdk(), &["run", "build"]);
        steps.run("building the SDK", usual, &mut build, None)?;
    }
    let folder = repo::root().join("examples").join(example);
    let usual = Usual { first: "3 s", later: "2 s" };
    steps.run(&format!("installing the {example} example"), usual, &mut npm::ci(&folder), None)?;
    println!("built in {} s", steps.began.elapsed().as_secs());
    Ok(())
}

fn node_is_there() -> Result<(), Failure> {
    for program in ["node", "npm"] {
        let found = Command::new(program).arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            let advice = "the demo needs Node.js 20 or later (https://nodejs.org)";
            return Err(format!("cannot run `{program}`: {advice}").into());
        }
    }
    Ok(())
}

/// The number of crates in the binary, ours included; `None` when cargo does not say.
fn crates_in_build() -> Option<usize> {
    let mut tree = repo::cargo();
    tree.args(["tree", "--locked", "--package", "trunkline", "--prefix", "none"]);
    tree.args(["--edges", "normal,build", "--format", "{p}"]);
    let output = tree.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(different(&text))
}

/// The number of different crates in the output of `cargo tree`; a repeated crate is marked with
/// `(*)`.
fn different(tree: &str) -> usize {
    let names = tree.lines().map(|line| line.trim_end_matches(" (*)"));
    names.filter(|line| !line.is_empty()).collect::<BTreeSet<_>>().len()
}

impl Steps {
    /// Shows a step that has nothing to do.
    fn skip(&mut self, what: &str) {
        self.number += 1;
        println!("[{}/{}] {what}: already there", self.number, self.of);
    }

    fn run(
        &mut self,
        what: &str,
        usual: Usual,
        command: &mut Command,
        crates: Option<usize>,
    ) -> Result<(), Failure> {
        self.number += 1;
        let Usual { first, later } = usual;
        let usually = if first == later {
            format!("usually {first}")
        } else {
            format!("usually {first} the first time, then {later}")
        };
        println!("[{}/{}] {what} … ({usually})", self.number, self.of);
        let log = repo::scratch().join("demo-build.log");
        let mut compiled = 0;
        let progress = |running: Duration, lines: &[String]| {
            compiled = compiled.max(lines.iter().filter(|line| is_compiling(line)).count());
            let done = match crates {
                Some(of) if compiled > 0 => format!("{} of {of} crates", compiled.min(of)),
                _ => process::last_line(lines),
            };
            println!("  {} s: {done}", running.as_secs());
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
}

fn is_compiling(line: &str) -> bool {
    line.trim_start().starts_with("Compiling ")
}

#[cfg(test)]
mod tests {
    use super::{different, is_compiling};

    #[test]
    fn crates_are_counted_once() {
        let tree = "trunkline v0.1.0 (/somewhere)\nbytes v1.0.0\nserde v1.0.0\nbytes v1.0.0 (*)\n\nserde v1.0.0";
        assert_eq!(different(tree), 3);
    }

    #[test]
    fn what_cargo_compiles_is_told_from_the_rest() {
        assert!(is_compiling("   Compiling bytes v1.0.0"));
        assert!(!is_compiling("    Finished `demo` profile") && !is_compiling("  Downloaded x"));
    }
}
