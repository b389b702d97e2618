//! Hot pure functions, run a given number of times under callgrind: `instructions CASE TIMES`, or
//! `instructions list`.
//!
//! `bench/instructions.mjs` runs each case twice with different `TIMES` and takes the difference,
//! so that the preparation is not counted. Inputs and seeds are constant: the same binary needs the
//! same number of instructions each time.

mod broadcast;
mod choose;
mod dealing;
mod records;
mod wire;

use std::io::Write as _;
use std::process::ExitCode;

/// Prepares, then does the operation this many times; the result depends on the work, so that it
/// cannot be optimised away.
type Run = fn(u32) -> u64;

/// A hot path.
pub(crate) struct Case {
    /// The name in the ledger: the thing that is counted.
    pub(crate) name: &'static str,
    /// How many of these one repetition does.
    pub(crate) each: u32,
    pub(crate) run: Run,
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [wire::CASES, broadcast::CASES, choose::CASES, records::CASES, dealing::CASES]
        .into_iter()
        .flatten()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut stdout = std::io::stdout();
    let written = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => cases().try_for_each(|case| writeln!(stdout, "{} {}", case.each, case.name)),
        [name, times] => {
            let case = cases().find(|case| case.name == *name);
            let (Some(case), Ok(times)) = (case, times.parse()) else { return ExitCode::FAILURE };
            writeln!(stdout, "{}", (case.run)(times))
        }
        _ => return ExitCode::FAILURE,
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
