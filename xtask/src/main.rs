//! The project's own commands: `cargo xtask demo`, `cargo xtask test`, `cargo xtask tidy`.
#![expect(clippy::print_stdout, reason = "talking to the terminal is what these commands do")]

mod demo;
mod interrupt;
mod npm;
mod process;
mod repo;
mod test;
mod tidy;

use std::process::ExitCode;

/// What every command fails with: a sentence for the terminal.
pub(crate) type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
usage: cargo xtask <command>

  demo [chat|whiteboard]     build everything, start it, say what to open; Ctrl-C stops it
  test [--only STEP]... [--list]
                             install what is missing, run every check and test
  tidy                       check the rules that no compiler checks";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["demo", rest @ ..] => demo::command(rest),
        ["test", rest @ ..] => test::command(rest),
        ["tidy"] => tidy::command(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            println!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    };
    outcome.unwrap_or_else(|failure| {
        println!("error: {failure}");
        ExitCode::FAILURE
    })
}
