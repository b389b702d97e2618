//! `cargo xtask test`: runs everything; the last line is `N passed, N failed`.

mod counts;
mod install;
mod steps;
mod usual;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::{Failure, interrupt, process, repo};
use counts::Counts;
use steps::{Count, STEPS, Step, Work};
use usual::Memory;

pub(crate) fn usage() -> String {
    let total: u64 = STEPS.iter().map(|step| step.usual_s).sum();
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

Installs what is missing, runs every check and test, and ends with a line `N passed, N failed`. All of it usually takes
{} on two cores that do nothing else, when everything has been built once; several minutes more the first time.

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
    let started = Instant::now();
    let memory = Memory::read();
    println!(
        "{} steps, usually {} here; the first time builds everything and takes longer",
        chosen.len(),
        minutes(memory.all(&chosen))
    );
    let mut run = Run { number: 0, total: Counts::default(), memory, named: Vec::new() };
    for step in &chosen {
        run.step(step, &chosen)?;
    }
    println!("all of it took {}", minutes(started.elapsed()));
    for test in &run.named {
        println!("{test}");
    }
    println!("{} passed, {} failed", run.total.passed, run.total.failed);
    Ok(if run.total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

struct Run {
    number: usize,
    total: Counts,
    memory: Memory,
    /// The tests that failed, and those that passed only at the second try, by step and name. They
    /// are printed again at the very end, so that nobody has to search.
    named: Vec<String>,
}

/// The result of a step: its counts, or an error that says why nothing was counted.
type StepOutcome = Result<Counts, String>;

impl Run {
    fn step(&mut self, step: &Step, all: &[&Step]) -> Result<(), Failure> {
        let usual = self.memory.of(step);
        let left = self.memory.all(&all[self.number..]);
        self.number += 1;
        println!(
            "[{}/{}] {}: {} (usually {}; about {} to go)",
            self.number,
            all.len(),
            step.name,
            step.what,
            minutes(usual.takes),
            minutes(left)
        );
        let started = Instant::now();
        let outcome = work(step, usual.tests, &mut self.named);
        if interrupt::asked() {
            return Err("stopped".into());
        }
        let counts = outcome.unwrap_or_else(|why| {
            println!("  {}: {why}", step.name);
            self.named.push(format!("failed: {}: {why}", step.name));
            Counts { passed: 0, failed: 1, skipped: 0 }
        });
        let skipped = match counts.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        let verdict = if counts.failed == 0 { "ok" } else { "FAILED" };
        let took = minutes(started.elapsed());
        println!(
            "  {verdict}: {} passed, {} failed{skipped} ({took})",
            counts.passed, counts.failed
        );
        if counts.failed == 0 {
            self.memory.keep(step, started.elapsed(), counts.passed);
        }
        self.total.add(counts);
        Ok(())
    }
}

/// Runs a step. `usually` is the number of its tests in the last run.
fn work(step: &Step, usually: u64, named: &mut Vec<String>) -> StepOutcome {
    let log = repo::scratch().join(format!("{}.log", step.name));
    std::fs::write(&log, "").map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let mut counts = Counts::default();
    for work in (step.works)().map_err(|error| error.to_string())? {
        let (name, count) = (work.name.clone(), work.count);
        let outcome = one(work, &log, usually)?;
        if !outcome.status.success() {
            named.push(format!("failed: {}: {name}: {}", step.name, outcome.status));
            let failed = failed_tests(&outcome.lines).into_iter();
            named.extend(failed.map(|test| format!("failed: {}: {test}", step.name)));
        }
        named.extend(
            unsteady(&outcome.lines).map(|test| format!("unsteady: {}: {test}", step.name)),
        );
        counts.add(counted(&name, count, &outcome)?);
    }
    Ok(counts)
}

/// Runs one command of a step, with progress, and prints its output if it failed.
fn one(mut work: Work, log: &std::path::Path, usually: u64) -> Result<process::Finished, String> {
    let name = work.name.clone();
    let progress = |running: Duration, lines: &[String]| {
        let done = match (counts::seen(lines), usually) {
            (0, _) => String::new(),
            (seen, 0) => format!("{seen} tests; "),
            (seen, usually) => format!("{seen} of about {usually} tests; "),
        };
        println!("  … {name} {}: {done}{}", minutes(running), process::last_line(lines));
    };
    let finished =
        process::run(&mut work.command, log, progress).map_err(|error| error.to_string())?;
    if !finished.status.success() {
        for line in telling(&finished.lines) {
            println!("  | {}", short(line, 400));
        }
        println!("  {}: {} (all of it: {})", work.name, finished.status, log.display());
    }
    Ok(finished)
}

/// The lines of a failed command that explain the failure: those after each failure, and the end.
fn telling(lines: &[String]) -> impl Iterator<Item = &str> {
    const AFTER_MARK: usize = 20;
    const END: usize = 30;
    const SHOWN_MAX: usize = 300;
    let mut shown_until = 0;
    let numbered = lines.iter().enumerate();
    let kept = numbered.filter(move |(number, line)| {
        if tells_failure(line.trim_start()) {
            shown_until = number + AFTER_MARK;
        }
        *number < shown_until || number + END >= lines.len()
    });
    kept.map(|(_, line)| line.as_str()).take(SHOWN_MAX)
}

/// Whether a line reports a failure. The name of a test that passed may contain any word.
fn tells_failure(line: &str) -> bool {
    const STARTS: &[&str] = &["FAIL", "error", "thread '"];
    counts::failed(line).is_some() || STARTS.iter().any(|start| line.starts_with(start))
}

/// The names of the tests that failed, each with the first line of its error.
fn failed_tests(lines: &[String]) -> Vec<String> {
    const NAMED_MAX: usize = 20;
    const ERROR_WITHIN: usize = 12;
    let numbered = lines.iter().enumerate();
    let failed = numbered.filter_map(|(at, line)| Some((at, counts::failed(line.trim_start())?)));
    let named = failed.map(|(at, name)| {
        let mut following = lines[at + 1..].iter().take(ERROR_WITHIN);
        let error = following.find_map(|line| line.trim_start().strip_prefix("error: "));
        format!("{name} {}", short(error.unwrap_or_default(), 200)).trim_end().to_owned()
    });
    let mut names = Vec::new();
    for name in named.take(NAMED_MAX) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The tests that a runner names because they failed, and passed when they ran again alone.
fn unsteady(lines: &[String]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| line.strip_prefix("unsteady: "))
}

/// The counts of one finished command. A command that ran no test has failed.
fn counted(name: &str, count: Count, finished: &process::Finished) -> StepOutcome {
    let ok = finished.status.success();
    let took = minutes(finished.took);
    match count {
        Count::Nothing if ok => Ok(Counts::default()),
        Count::Nothing => Err(format!("{name} failed after {took}, the rest was not run")),
        Count::One => Ok(Counts::one(ok)),
        Count::Tests => {
            let mut counts = counts::parse(&finished.lines);
            if counts.passed + counts.failed == 0 {
                return Err(format!("{name} ran nothing ({})", finished.status));
            }
            if !ok && counts.failed == 0 {
                counts.failed = 1; // The command failed, but its counts do not show it.
            }
            Ok(counts)
        }
    }
}

fn short(line: &str, chars_max: usize) -> String {
    line.chars().take(chars_max).collect()
}

fn minutes(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::{failed_tests, telling};

    #[test]
    fn failures_are_shown_and_not_the_rest() {
        let mut lines: Vec<String> = (0..200).map(|number| format!("ok {number}")).collect();
        lines[20] = "not ok 20".into();
        lines[120] = "ok 120 - an error that does not FAIL is not ok".into();
        let shown: Vec<&str> = telling(&lines).collect();
        assert_eq!((shown[0], shown[19], shown[20]), ("not ok 20", "ok 39", "ok 170"));
        assert_eq!(shown.len(), 50);
    }
    #[test]
    fn failed_tests_are_named_with_their_errors() {
        let lines = [
            "ok 1 - not ok is a name",
            "    not ok 2 - a room leaks",
            "      duration_ms: 3",
            "      error: 'Expected 1'",
            "✖ a client hangs (12.5ms)",
            "not ok 3 - later # todo",
            "✖ failing tests:",
            "✖ a client hangs (12.5ms)",
            "test rooms::join ... FAILED",
        ];
        let expected = ["a room leaks 'Expected 1'", "a client hangs (12.5ms)", "rooms::join"];
        assert_eq!(failed_tests(&lines.map(str::to_owned)), expected);
    }
}
