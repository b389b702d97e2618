//! Runs every fuzz target over bounded, seeded input: the same seed gives the same inputs on every
//! machine.
//!
//! `fuzz_smoke [--seed N] [--inputs N] [TARGET-PREFIX]`. Exit code 1, with the failing input in
//! hex, when a target panics.

use std::process::ExitCode;

use fuzz::{TARGETS, Target, inputs};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("fuzz_smoke: {message}");
            return ExitCode::from(2);
        }
    };
    let chosen = TARGETS.iter().filter(|target| target.name.starts_with(&options.prefix));
    let failed = chosen.filter(|target| !smoke(target, &options)).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Options {
    seed: u64,
    inputs: u64,
    prefix: String,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { seed: 1, inputs: 20_000, prefix: String::new() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seed" => options.seed = number(words.next())?,
                "--inputs" => options.inputs = number(words.next())?,
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                prefix => prefix.clone_into(&mut options.prefix),
            }
        }
        Ok(options)
    }
}

fn number(word: Option<String>) -> Result<u64, String> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| "a number must follow".to_owned())
}

/// True when the target held for every input.
fn smoke(target: &Target, options: &Options) -> bool {
    let run =
        inputs::run_seeds(target).and_then(|()| inputs::run(target, options.seed, options.inputs));
    match &run {
        Ok(()) => println!("ok {} ({} inputs)", target.name, options.inputs),
        Err(input) => {
            println!("FAILED {} seed {} input {}", target.name, options.seed, inputs::hex(input));
        }
    }
    run.is_ok()
}
