//! `cargo xtask fuzz`: the fuzz targets for hours.

use std::process::ExitCode;

use crate::{Failure, repo};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask fuzz [--inputs N] [--minutes N] [--threads N] [--all] [TARGET]...

Runs every decoder of bytes from outside over N seeded inputs (default: 100,000,000), on all cores, and ends with a table
of inputs, speed and findings. What is done is kept in target/xtask/fuzz.txt: the next run goes on where this one ended,
until that file is removed. The inputs are the same on every machine.

  --inputs N   inputs per target, earlier runs included
  --minutes N  end after that time, whatever is done
  --threads N  threads; without it one per core
  --all        sequences of operations, too, which take much longer
  TARGET       the targets that begin with this word";

pub(crate) fn command(arguments: &[&str]) -> Result<ExitCode, Failure> {
    std::fs::create_dir_all(repo::scratch())?;
    let mut run = repo::cargo();
    run.args(["run", "--quiet", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    run.args(["--bin", "fuzz_long", "--", "--record"]).arg(repo::scratch().join("fuzz.txt"));
    run.args(arguments);
    // The release of this workspace has checks that the product's has not: a folder of its own.
    run.env("CARGO_TARGET_DIR", repo::target().join("fuzz"));
    let status = run.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
