//! The project's own commands: `cargo xtask demo`, `cluster`, `test`, `tidy`, `fuzz`, `supply`,
//! `sbom`.
#![expect(clippy::print_stdout, reason = "talking to the terminal is what these commands do")]

mod demo;
mod fuzz;
mod interrupt;
mod npm;
mod process;
mod repo;
mod supply;
mod test;
mod tidy;

use std::process::ExitCode;

/// The error of every command: a sentence for the terminal.
pub(crate) type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  demo     Builds everything, starts it, says what to open; Ctrl-C stops it
  cluster  The same with three nodes behind a balancer, and NATS
  test     Installs what is missing, then runs every check and test
  tidy     Checks the rules that no compiler checks
  fuzz     Runs the fuzz targets for hours
  supply   Checks the code of others: licences, sources, advisories
  sbom     Writes what the binary and the npm package are made of

`cargo xtask <COMMAND> --help` says more.";

const TIDY_USAGE: &str = "\
Usage: cargo xtask tidy

Which crate may import which, what no source file may hold, one version everywhere, every metric on its page, every limit
in the threat model.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let asks_help = |rest: &[&str]| rest.iter().any(|word| ["help", "--help", "-h"].contains(word));
    let help = |text: &str| {
        println!("{text}");
        Ok(ExitCode::SUCCESS)
    };
    let outcome = match arguments.as_slice() {
        ["demo", rest @ ..] if asks_help(rest) => help(demo::USAGE),
        ["cluster", rest @ ..] if asks_help(rest) => help(demo::cluster::USAGE),
        ["test", rest @ ..] if asks_help(rest) => help(&test::usage()),
        ["tidy", rest @ ..] if asks_help(rest) => help(TIDY_USAGE),
        ["fuzz", rest @ ..] if asks_help(rest) => help(fuzz::USAGE),
        ["supply", rest @ ..] if asks_help(rest) => help(supply::USAGE),
        ["sbom", rest @ ..] if asks_help(rest) => help(supply::BOM_USAGE),
        ["demo", rest @ ..] => demo::command(rest),
        ["cluster", rest @ ..] => demo::cluster::command(rest),
        ["test", rest @ ..] => test::command(rest),
        ["tidy"] => tidy::command(),
        ["fuzz", rest @ ..] => fuzz::command(rest),
        ["supply"] => supply::command(),
        ["sbom", rest @ ..] => supply::bom_command(rest),
        rest if asks_help(rest) => help(USAGE),
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
