//! The load generator as a program of its own.

use std::io::Write as _;
use std::process::ExitCode;

use trunkline_bench::{BenchError, Outcome, WorkerProgram, run};

fn main() -> ExitCode {
    let outcome = std::env::current_exe().map_err(BenchError::from).and_then(|program| {
        let worker = WorkerProgram { program, arguments: Vec::new() };
        run(std::env::args_os().skip(1), &worker)
    });
    match outcome {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Problems) => ExitCode::from(1),
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            // Nobody left to tell when stderr is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(2)
        }
    }
}
