//! The steps of a test run. In each lane those that find a mistake soonest come first, but that the
//! binary is built before lints and unit tests: the other lane waits for it.

use std::path::Path;
use std::process::Command;

use super::install;
use super::lanes::Lane;
use crate::{Failure, npm, repo};

/// One step of the run.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) lane: Lane,
    /// The steps of the other lane that make what this one needs, or that would disturb it.
    pub(super) after: &'static [&'static str],
    /// The usual duration in seconds on two idle cores, when everything is built.
    pub(super) usual_s: u64,
    /// Makes the commands when the step begins: earlier steps may have installed what is needed.
    pub(super) works: fn() -> Result<Vec<Work>, Failure>,
}

/// One command of a step.
pub(super) struct Work {
    pub(super) name: String,
    pub(super) command: Command,
    pub(super) count: Count,
}

/// What a command adds to the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// A preparation: counted only when it fails.
    Nothing,
    /// A check: counted as one test.
    One,
    /// A test runner: counted by its own output.
    Tests,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "Rust sources are formatted",
        lane: Lane::Cargo,
        after: &[],
        usual_s: 3,
        works: fmt,
    },
    Step {
        name: "tidy",
        what: "the rules that no compiler checks",
        lane: Lane::Cargo,
        after: &[],
        usual_s: 1,
        works: tidy,
    },
    Step {
        name: "js",
        what: "lints and form of TypeScript and JavaScript",
        lane: Lane::Node,
        after: &[],
        usual_s: 3,
        works: js,
    },
    Step {
        name: "build",
        what: "the release binary",
        lane: Lane::Cargo,
        after: &[],
        usual_s: 60,
        works: build,
    },
    Step {
        name: "clippy",
        what: "no lint anywhere in the workspace",
        lane: Lane::Cargo,
        after: &[],
        usual_s: 20,
        works: clippy,
    },
    Step {
        name: "rust",
        what: "unit, machine, property and wire tests",
        lane: Lane::Cargo,
        after: &[],
        usual_s: 90,
        works: rust,
    },
    Step {
        name: "fuzz",
        what: "a bounded, seeded run of every fuzz target",
        lane: Lane::Cargo,
        after: &[],
        usual_s: 40,
        works: fuzz,
    },
    Step {
        name: "programs",
        what: "the programs that tests run with",
        lane: Lane::Node,
        after: &[],
        usual_s: 1,
        works: programs,
    },
    Step {
        name: "supply",
        what: "licences, sources and advisories of the code of others; the lists of it",
        lane: Lane::Node,
        after: &[],
        usual_s: 10,
        works: supply,
    },
    Step {
        name: "sdk",
        what: "the Node.js SDK: types, build, tests",
        lane: Lane::Node,
        after: &[],
        usual_s: 100,
        works: sdk,
    },
    Step {
        name: "matrix",
        what: "the SDK with earlier releases of Socket.IO",
        lane: Lane::Node,
        after: &[],
        usual_s: 240,
        works: matrix,
    },
    Step {
        name: "e2e",
        what: "real apps, clients and a browser",
        lane: Lane::Node,
        after: &["build"],
        usual_s: 300,
        works: e2e,
    },
    Step {
        name: "newest",
        what: "news in the newest releases of Socket.IO",
        lane: Lane::Node,
        after: &[],
        usual_s: 10,
        works: newest,
    },
    Step {
        name: "docs",
        what: "every code block of the documentation",
        lane: Lane::Node,
        after: &[],
        usual_s: 65,
        works: docs,
    },
    Step {
        name: "conformance",
        what: "wire scripts against npm and us, then two nodes",
        lane: Lane::Node,
        // Its lanes leave little of the machine: not enough for tests of low priority.
        after: &["rust"],
        usual_s: 140,
        works: conformance,
    },
    Step {
        name: "bench",
        what: "every benchmark, for a moment",
        lane: Lane::Node,
        after: &["fuzz"],
        usual_s: 20,
        works: bench,
    },
];

fn work(name: &str, command: Command, count: Count) -> Work {
    Work { name: name.to_owned(), command, count }
}

/// Cargo at a low priority: the tests of the other lane go first.
fn cargo(name: &str, arguments: &[&str], count: Count) -> Work {
    let cargo = repo::cargo();
    let mut command = Command::new("nice");
    command.current_dir(repo::root()).args(["-n", "10"]).arg(cargo.get_program()).args(arguments);
    work(name, command, count)
}

fn fmt() -> Result<Vec<Work>, Failure> {
    let own = cargo("fmt", &["fmt", "--all", "--check"], Count::One);
    let fuzz = ["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"];
    let peers = ["fmt", "--all", "--check", "--manifest-path", "bench/peers/Cargo.toml"];
    Ok(vec![
        own,
        cargo("fmt of fuzz", &fuzz, Count::One),
        cargo("fmt of the benchmarks' peers", &peers, Count::One),
    ])
}

fn tidy() -> Result<Vec<Work>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("tidy");
    Ok(vec![work("tidy", command, Count::One)])
}

/// Biome over every TypeScript and JavaScript file of the repository, by `biome.json`.
fn js() -> Result<Vec<Work>, Failure> {
    let folder = repo::root().join("xtask/js");
    let mut works = Vec::new();
    // A binary of a hundred megabytes: installed again only when its lock file changed.
    if !npm::is_installed(&folder) {
        works.push(work("npm ci of xtask/js", npm::ci(&folder), Count::Nothing));
    }
    let mut biome = Command::new(folder.join("node_modules/.bin/biome"));
    biome.current_dir(repo::root()).args(["check", "--error-on-warnings"]);
    works.push(work("biome", biome, Count::One));
    Ok(works)
}

fn clippy() -> Result<Vec<Work>, Failure> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    Ok(vec![cargo("clippy", &arguments, Count::One)])
}

fn rust() -> Result<Vec<Work>, Failure> {
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast"];
    Ok(vec![cargo("cargo test", &arguments, Count::Tests)])
}

fn fuzz() -> Result<Vec<Work>, Failure> {
    let arguments = ["run", "--manifest-path", "fuzz/Cargo.toml", "--bin", "fuzz_smoke"];
    let profile = ["--profile", "smoke", "--locked"];
    let mut run = cargo("fuzz smoke", &[arguments.as_slice(), &profile].concat(), Count::Tests);
    // A workspace of its own, whose release is another one than the product's.
    run.command.env("CARGO_TARGET_DIR", repo::target().join("fuzz"));
    Ok(vec![run])
}

/// Builds the binary that ships, which every step with the real product runs.
fn binary(count: Count) -> Work {
    let arguments = ["build", "--release", "--locked", "--package", "trunkline"];
    cargo("cargo build", &arguments, count)
}

fn build() -> Result<Vec<Work>, Failure> {
    Ok(vec![binary(Count::One)])
}

/// The code of others: may it be in the product, and what of it is.
fn supply() -> Result<Vec<Work>, Failure> {
    let mut works = install::cargo_deny()?;
    let own = |word: &str, count| {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(word);
        Ok::<_, Failure>(work(word, command, count))
    };
    works.extend([own("supply", Count::Tests)?, own("sbom", Count::One)?]);
    Ok(works)
}

fn programs() -> Result<Vec<Work>, Failure> {
    let mut works = install::redis();
    works.extend(install::chromium());
    works.extend(install::operators_programs());
    works.extend(install::python()?);
    Ok(works)
}

/// Installs and builds the SDK in its own folder, as everything that imports it needs.
fn sdk_built() -> Vec<Work> {
    let folder = npm::sdk();
    vec![
        work("npm install of the SDK", npm::install_sdk(), Count::Nothing),
        work("build of the SDK", npm::npm(&folder, &["run", "build"]), Count::One),
    ]
}

fn sdk() -> Result<Vec<Work>, Failure> {
    let folder = npm::sdk();
    let mut works = sdk_built();
    for check in ["lint", "typecheck"] {
        if npm::has_script(&folder, check) {
            let command = npm::npm(&folder, &["run", check]);
            works.push(work(&format!("{check} of the SDK"), command, Count::One));
        }
    }
    works.extend(install::redis());
    // `npm test` would build once more.
    let mut tests = Command::new("node");
    tests.current_dir(&folder).arg("scripts/test.mjs");
    works.push(work("tests of the SDK", tests, Count::Tests));
    Ok(works)
}

/// Builds what a step with the real product needs; does next to nothing after earlier steps.
fn product() -> Vec<Work> {
    let mut works = vec![binary(Count::Nothing)];
    if !npm::sdk_is_built() {
        works.extend(sdk_built().into_iter().map(|work| Work { count: Count::Nothing, ..work }));
    }
    works
}

/// Runs Node.js in one of our folders. `binary` is the variable that names the binary.
fn node(folder: &Path, arguments: &[&str], binary: &str) -> Command {
    let mut command = Command::new("node");
    command.current_dir(folder).args(arguments);
    // The usual place need not be named, and the node refuses variables that it does not know.
    if repo::target() != repo::root().join("target") {
        command.env(binary, repo::binary());
    }
    command
}

fn conformance() -> Result<Vec<Work>, Failure> {
    let folder = repo::root().join("conformance");
    let mut works = product();
    works.push(work("npm ci of conformance", npm::ci(&folder), Count::Nothing));
    let run = node(repo::root(), &["conformance/run.mjs", "--target", "both"], "TRUNKLINE_BIN");
    works.push(work("conformance", run, Count::Tests));
    works.extend(install::operators_programs());
    let cluster = ["conformance/run.mjs", "--nodes", "2", "--recorded"];
    let run = node(repo::root(), &cluster, "TRUNKLINE_BIN");
    works.push(work("conformance, two nodes behind a balancer", run, Count::Tests));
    Ok(works)
}

fn newest() -> Result<Vec<Work>, Failure> {
    let folder = repo::root().join("conformance");
    let mut works = product();
    works.push(work("npm ci of conformance", npm::ci(&folder), Count::Nothing));
    let run = node(repo::root(), &["conformance/newest.mjs"], "TRUNKLINE_BIN");
    works.push(work("conformance, newest releases", run, Count::Tests));
    Ok(works)
}

/// Tests the SDK with older versions; the step `sdk` has tested the newest.
fn matrix() -> Result<Vec<Work>, Failure> {
    let run = npm::npm(&npm::sdk(), &["run", "test:matrix", "--", "4.6", "4.7"]);
    Ok(vec![work("SDK with socket.io 4.6 and 4.7", run, Count::Tests)])
}

fn e2e() -> Result<Vec<Work>, Failure> {
    let mut works = product();
    for folder in ["examples/chat", "examples/whiteboard", "e2e", "e2e/azure"] {
        let command = npm::ci(&repo::root().join(folder));
        works.push(work(&format!("npm ci of {folder}"), command, Count::Nothing));
    }
    works.extend(install::chromium());
    works.extend(install::operators_programs());
    works.extend(install::python()?);
    let mut run = node(&repo::root().join("e2e"), &["run.mjs"], "E2E_BINARY");
    run.env("E2E_PYTHON", install::python_program());
    works.push(work("e2e", run, Count::Tests));
    Ok(works)
}

fn docs() -> Result<Vec<Work>, Failure> {
    let mut works = product();
    for folder in ["e2e", "e2e/azure"] {
        let command = npm::ci(&repo::root().join(folder));
        works.push(work(&format!("npm ci of {folder}"), command, Count::Nothing));
    }
    // Large and only npm's packages: installed again only when its lock file changed.
    let folder = repo::root().join("e2e/docs");
    if !npm::is_installed(&folder) {
        works.push(work("npm ci of e2e/docs", npm::ci(&folder), Count::Nothing));
    }
    works.extend(install::chromium());
    works.extend(install::python()?);
    works.extend(install::operators_programs());
    let mut run = node(&repo::root().join("e2e"), &["run.mjs", "--docs"], "E2E_BINARY");
    run.env("E2E_PYTHON", install::python_program());
    works.push(work("docs", run, Count::Tests));
    Ok(works)
}

/// Only the rows that need nothing but npm: Rust peers take minutes to build, others need Debian
/// packages.
fn bench() -> Result<Vec<Work>, Failure> {
    let mut works = product();
    let folder = repo::root().join("bench");
    works.push(work("npm ci of bench", npm::ci(&folder), Count::Nothing));
    let mut run = Command::new("node");
    let rows = "trunkline;app on Bun behind trunkline;socket.io on Bun;npm socket.io + ws";
    run.current_dir(repo::root()).args(["bench/smoke.mjs", "--rows", rows]);
    run.arg("--generator").arg(repo::binary()).arg("--trunkline").arg(repo::binary());
    works.push(work("bench smoke", run, Count::Tests));
    Ok(works)
}
