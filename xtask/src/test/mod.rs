//! `cargo xtask test`: runs everything; the last line is `N passed, N failed`.

mod counts;
pub(crate) mod install;
mod lanes;
mod run;
mod steps;
mod telling;
mod usual;

use std::process::ExitCode;
use std::time::Duration;

use crate::{Failure, interrupt, repo};
use steps::{STEPS, Step};
use usual::Memory;

pub(crate) fn usage() -> String {
    let all: Vec<&Step> = STEPS.iter().collect();
    let total: u64 = lanes::longest(&all, |step| step.usual_s);
    let steps = STEPS.iter().map(|step| {
        format!(
            "  {:<12} {} ({})",
            step.name,
            step.what,
            minutes(Duration::from_secs(step.usual_s))
        )
    });
    format!(
        "\
Usage: cargo xtask test [--only STEP]... [--list]

Installs what is missing, runs every check and test, and ends with a line `N passed, N failed`. The steps run in two
lanes: beside those that compile, those that mostly wait. All of it usually takes {} on two cores that do nothing
else, when everything has been built once; several minutes more the first time.

  --only STEP  this step alone; again for more
  --list       the steps, and what each is

Steps, and how long each usually takes:
{}",
        minutes(Duration::from_secs(total)),
        steps.collect::<Vec<_>>().join("\n")
    )
}

pub(crate) fn command(arguments: &[&str]) -> Result<ExitCode, Failure> {
    if arguments == ["--list"] {
        for step in STEPS {
            println!("{:<12} {}", step.name, step.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(arguments)?;
    interrupt::listen()?;
    std::fs::create_dir_all(repo::scratch())?;
    let total = run::run(&chosen, Memory::read(), &mut std::io::stdout());
    if interrupt::asked() {
        return Err("stopped".into());
    }
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The steps that the arguments ask for, in their order; all steps without arguments.
fn chosen(arguments: &[&str]) -> Result<Vec<&'static Step>, Failure> {
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let name = rest.next().filter(|_| *flag == "--only");
        names.push(*name.ok_or("usage: cargo xtask test [--only STEP]... [--list]")?);
    }
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        return Err(format!("no step is called `{unknown}`: see `cargo xtask test --list`").into());
    }
    Ok(STEPS.iter().filter(|step| names.is_empty() || names.contains(&step.name)).collect())
}

fn minutes(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}
