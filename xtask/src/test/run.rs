//! One run of chosen steps: what is counted, and what is printed while it goes on.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::counts::{self, Counts};
use super::steps::{Count, Step, Work};
use super::telling::{failed_tests, remarks, short, telling};
use super::usual::Memory;
use super::{lanes, minutes};
use crate::{interrupt, process, repo};

/// Runs the steps, and prints to `out` what happens. Returns the sum of all counts.
pub(super) fn run(steps: &[&Step], memory: Memory, out: &mut (dyn Write + Send)) -> Counts {
    let started = Instant::now();
    let board = Board {
        out,
        began: 0,
        ended: Vec::new(),
        total: Counts::default(),
        memory,
        named: Vec::new(),
    };
    let run = Run { steps, board: Mutex::new(board) };
    let usually = minutes(run.to_go(&run.board()));
    let first = "the first time builds everything and takes longer";
    run.print([format!("{} steps in two lanes, usually {usually} here; {first}", steps.len())]);
    lanes::run(steps, |step| run.step(step));
    let (total, named) = {
        let mut board = run.board();
        (board.total, std::mem::take(&mut board.named))
    };
    if !interrupt::asked() {
        run.print([format!("all of it took {}", minutes(started.elapsed()))]);
        run.print(named);
        run.print([format!("{} passed, {} failed", total.passed, total.failed)]);
    }
    total
}

/// A run of chosen steps, which both lanes share.
struct Run<'a> {
    steps: &'a [&'a Step],
    board: Mutex<Board<'a>>,
}

struct Board<'a> {
    out: &'a mut (dyn Write + Send),
    began: usize,
    ended: Vec<&'static str>,
    total: Counts,
    memory: Memory,
    /// The tests that failed, those that passed only at the second try, and what could not be
    /// checked, by step and name. They are printed at the very end, so that nobody has to search.
    named: Vec<String>,
}

/// The result of a step or of one command: its counts, or why nothing was counted.
type StepOutcome = Result<Counts, String>;

impl<'a> Run<'a> {
    fn board(&self) -> MutexGuard<'_, Board<'a>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints lines that belong together, so that the other lane's do not come between them.
    fn print(&self, lines: impl IntoIterator<Item = String>) {
        let mut board = self.board();
        for line in lines {
            // A terminal that is gone takes no lines, and is no reason to stop.
            let _ = writeln!(board.out, "{line}");
        }
    }

    /// The usual time of what has not ended.
    fn to_go(&self, board: &Board<'_>) -> Duration {
        let open = self.steps.iter().filter(|step| !board.ended.contains(&step.name));
        lanes::longest(&open.copied().collect::<Vec<_>>(), |step| board.memory.of(step).takes)
    }

    fn step(&self, step: &Step) {
        if interrupt::asked() {
            return;
        }
        let usual = {
            let mut board = self.board();
            board.began += 1;
            let usual = board.memory.of(step);
            let (number, all) = (board.began, self.steps.len());
            let (name, what, takes) = (step.name, step.what, minutes(usual.takes));
            let _ = writeln!(board.out, "[{number}/{all}] {name}: {what} (usually {takes})");
            usual
        };
        let started = Instant::now();
        let outcome = self.works(step, usual.tests);
        if interrupt::asked() {
            return;
        }
        let mut board = self.board();
        let counts = outcome.unwrap_or_else(|why| {
            let _ = writeln!(board.out, "  {}: {why}", step.name);
            board.named.push(format!("failed: {}: {why}", step.name));
            Counts { passed: 0, failed: 1, skipped: 0 }
        });
        board.ended.push(step.name);
        board.total.add(counts);
        if counts.failed == 0 {
            board.memory.keep(step, started.elapsed(), counts.passed);
        }
        let verdict = if counts.failed == 0 { "ok" } else { "FAILED" };
        let skipped = match counts.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        let to_go = minutes(self.to_go(&board));
        let _ = writeln!(
            board.out,
            "  {verdict}: {}: {} passed, {} failed{skipped} ({}); about {to_go} to go",
            step.name,
            counts.passed,
            counts.failed,
            minutes(started.elapsed())
        );
    }

    /// Runs the commands of a step. `usually` is the number of its tests in the last run.
    fn works(&self, step: &Step, usually: u64) -> StepOutcome {
        let log = repo::scratch().join(format!("{}.log", step.name));
        std::fs::write(&log, "")
            .map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut counts = Counts::default();
        for work in (step.works)().map_err(|error| error.to_string())? {
            let (name, count) = (work.name.clone(), work.count);
            let finished = self.one(step, work, &log, usually)?;
            let mut named: Vec<String> = Vec::new();
            // A preparation that failed ends the step, which says so itself.
            if !finished.status.success() && count != Count::Nothing {
                named.push(format!("failed: {}: {name}: {}", step.name, finished.status));
                let failed = failed_tests(&finished.lines).into_iter();
                named.extend(failed.map(|test| format!("failed: {}: {test}", step.name)));
            }
            let remarks = remarks(&finished.lines);
            named.extend(remarks.map(|(mark, what)| format!("{mark}: {}: {what}", step.name)));
            self.board().named.extend(named);
            counts.add(counted(&name, count, &finished)?);
        }
        Ok(counts)
    }

    /// Runs one command of a step, with progress, and prints its output if it failed.
    fn one(
        &self,
        step: &Step,
        mut work: Work,
        log: &Path,
        usually: u64,
    ) -> Result<process::Finished, String> {
        // A step of one command has its name.
        let name = if work.name == step.name {
            work.name
        } else {
            format!("{}: {}", step.name, work.name)
        };
        let progress = |running: Duration, lines: &[String]| {
            let done = match (counts::seen(lines), usually) {
                (0, _) => String::new(),
                (seen, 0) => format!("{seen} tests; "),
                (seen, usually) => format!("{seen} of about {usually} tests; "),
            };
            let last = process::last_line(lines);
            self.print([format!("  … {name} {}: {done}{last}", minutes(running))]);
        };
        let finished =
            process::run(&mut work.command, log, progress).map_err(|error| error.to_string())?;
        if !finished.status.success() {
            let lines = telling(&finished.lines).map(|line| format!("  | {}", short(line, 400)));
            let end = format!("  {name}: {} (all of it: {})", finished.status, log.display());
            self.print(lines.chain([end]));
        }
        Ok(finished)
    }
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::run;
    use crate::test::counts::Counts;
    use crate::test::lanes::Lane;
    use crate::test::steps::{Count, Step, Work};
    use crate::test::usual::Memory;

    fn shell(script: &str, count: Count) -> Work {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Work { name: "sh".to_owned(), command, count }
    }

    fn step(
        name: &'static str,
        lane: Lane,
        works: fn() -> Result<Vec<Work>, crate::Failure>,
    ) -> Step {
        Step { name, what: "a step of a test", lane, after: &[], usual_s: 1, works }
    }

    #[test]
    fn a_step_that_fails_hides_no_other_and_each_result_is_said_once() {
        let steps = [
            step("own-fails", Lane::Cargo, || {
                let script =
                    "echo 'not ok 1 - a room leaks'; echo '# pass 2'; echo '# fail 1'; exit 1";
                Ok(vec![shell(script, Count::Tests)])
            }),
            step("own-passes", Lane::Cargo, || Ok(vec![shell("echo '# pass 3'", Count::Tests)])),
            step("own-stops", Lane::Node, || {
                Ok(vec![shell("exit 3", Count::Nothing), shell("echo '# pass 9'", Count::Tests)])
            }),
            step("own-one", Lane::Node, || Ok(vec![shell("true", Count::One)])),
            step("own-makes-nothing", Lane::Node, || Err("no such folder".into())),
        ];
        std::fs::create_dir_all(crate::repo::scratch()).unwrap();
        let mut printed = Vec::new();
        let total = run(&steps.iter().collect::<Vec<_>>(), Memory::default(), &mut printed);
        assert_eq!(total, Counts { passed: 6, failed: 3, skipped: 0 });

        let printed = String::from_utf8(printed).unwrap();
        let lines: Vec<&str> = printed.lines().collect();
        for (step, result) in [
            ("own-fails", "  FAILED: own-fails: 2 passed, 1 failed"),
            ("own-passes", "  ok: own-passes: 3 passed, 0 failed"),
            ("own-stops", "  FAILED: own-stops: 0 passed, 1 failed"),
            ("own-one", "  ok: own-one: 1 passed, 0 failed"),
            ("own-makes-nothing", "  FAILED: own-makes-nothing: 0 passed, 1 failed"),
        ] {
            let about = |line: &&&str| line.starts_with("  ok: ") || line.starts_with("  FAILED: ");
            let told: Vec<_> =
                lines.iter().filter(about).filter(|line| line.contains(step)).collect();
            assert_eq!(told.len(), 1, "{step}: {printed}");
            assert!(told[0].starts_with(result), "{told:?}");
        }
        assert!(printed.contains("  | not ok 1 - a room leaks\n"), "{printed}");

        let named: Vec<&str> =
            lines.iter().copied().filter(|line| line.starts_with("failed: ")).collect();
        assert_eq!(named.len(), 4, "{named:?}");
        for start in [
            "failed: own-fails: sh: exit status: 1",
            "failed: own-fails: a room leaks",
            "failed: own-stops: sh failed after",
            "failed: own-makes-nothing: no such folder",
        ] {
            assert!(named.iter().any(|line| line.starts_with(start)), "{start} in {named:?}");
        }
        assert_eq!(lines.last(), Some(&"6 passed, 3 failed"));
    }
}
