//! The binary `trunkline`.

mod commands;
mod first_run;

use core::error::Error;
use core::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use trunkline_bench::{BenchError, Outcome, WorkerProgram};
use trunkline_node::config::{self, Config, Inputs, Mistakes, Mode};
use trunkline_node::{Outcome as ReloadOutcome, Report, RunError, logging};

/// Something failed while running.
const EXIT_FAILED: u8 = 1;
/// Flags or configuration are wrong. clap exits with the same number.
const EXIT_MISUSED: u8 = 2;
/// The code of a shell for a process that SIGINT ended.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let matches = match commands::root().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    match dispatch(&matches) {
        Ok(code) => code,
        Err(failure) => {
            // If standard error is closed, the message cannot be shown anywhere.
            let _ = writeln!(io::stderr(), "trunkline: {}", chain(failure.error()));
            ExitCode::from(failure.code())
        }
    }
}

/// Prints help, the version, or the mistake in the command line.
fn explain(error: &clap::Error) -> ExitCode {
    let is_long_help = error.kind() == clap::error::ErrorKind::DisplayHelp;
    let help = error.render();
    let text = if io::stdout().is_terminal() { help.ansi().to_string() } else { help.to_string() };
    if !is_long_help || !text.trim_end().ends_with(trunkline_bench::EVENTS_HERE) {
        error.exit();
    }
    let text = text.trim_end().trim_end_matches(trunkline_bench::EVENTS_HERE);
    // If standard output is closed, the text cannot be shown anywhere.
    let _ = write!(io::stdout(), "{text}{}", trunkline_bench::EVENTS);
    ExitCode::SUCCESS
}

fn dispatch(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    if let Some(("bench", arguments)) = matches.subcommand() {
        return bench(arguments);
    }
    if let Some(("reload", flags)) = matches.subcommand() {
        return reload(flags);
    }
    command(matches).map(|()| ExitCode::SUCCESS)
}

fn command(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("serve", flags)) => run(Mode::Serve, flags),
        Some(("dev", flags)) => run(Mode::Dev, flags),
        Some((commands::BENCH_WORKER, _)) => Ok(trunkline_bench::work()?),
        Some(("config", matches)) => match matches.subcommand() {
            Some(("check", flags)) => check(flags),
            Some(("print", flags)) => say(&load(Mode::Inspect, flags)?.print()),
            _ => say(&config::reference()),
        },
        Some(("talkers", flags)) => talkers(flags),
        Some(("key", _)) => {
            say(&format!("{}\n", trunkline_node::new_key().map_err(RunError::from)?))
        }
        _ => say(&format!("trunkline {}\n", commands::VERSION)),
    }
}

fn run(mode: Mode, flags: &ArgMatches) -> Result<(), Failure> {
    let config = load(mode, flags)?;
    let _logging = logging::start(&config).map_err(|error| Failure::Other(error.into()))?;
    if mode == Mode::Serve {
        return Ok(trunkline_node::run(&config, commands::VERSION, |_| ())?);
    }
    let first_run = |started: &_| {
        // The node serves even if standard output is closed.
        let _ = io::stdout().write_all(first_run::text(started, &config).as_bytes());
    };
    Ok(trunkline_node::run(&config, commands::VERSION, first_run)?)
}

fn bench(arguments: &ArgMatches) -> Result<ExitCode, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::Other(error.into()))?;
    let worker = WorkerProgram { program, arguments: vec![commands::BENCH_WORKER.into()] };
    Ok(match trunkline_bench::run(arguments, &worker)? {
        Outcome::Clean => ExitCode::SUCCESS,
        Outcome::Interrupted => ExitCode::from(EXIT_INTERRUPTED),
        Outcome::Problems => ExitCode::from(EXIT_FAILED),
    })
}

/// Has the node reload, and prints what became of it.
fn reload(flags: &ArgMatches) -> Result<ExitCode, Failure> {
    let config = match load(Mode::Inspect, flags) {
        Ok(config) => config,
        // The node would refuse the same file.
        Err(Failure::Config(mistakes)) => {
            let words = "the node was not asked, and nothing has changed";
            return Err(Failure::Other(format!("{mistakes}\n{words}").into()));
        }
        Err(other) => return Err(other),
    };
    let asked =
        trunkline_node::ask_to_reload(&config).map_err(|error| Failure::Other(error.into()))?;
    let Report { outcome, mistakes, changed, needs_restart, .. } = &asked.report;
    if *outcome == ReloadOutcome::Refused {
        let mistakes = mistakes.join("\n  ");
        let text = format!(
            "process {} has not reloaded, and nothing has changed:\n  {mistakes}",
            asked.pid
        );
        return Err(Failure::Other(text.into()));
    }
    let mut text = format!("process {} has reloaded its configuration\n", asked.pid);
    if changed.is_empty() {
        text.push_str("  nothing has changed\n");
    }
    for change in changed {
        let _ = writeln!(text, "  changed: {change}");
    }
    for key in needs_restart {
        let _ = writeln!(text, "  needs a restart: {key}");
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the node who sends most. Says how far it is, if somebody watches.
fn talkers(flags: &ArgMatches) -> Result<(), Failure> {
    let config = load(Mode::Inspect, flags)?;
    let words = [("by", "by"), ("for", "for"), ("of-hub", "hub"), ("rows", "rows")];
    let given = words
        .iter()
        .filter_map(|(flag, key)| Some(format!("{key}={}", flags.get_one::<String>(flag)?)));
    let query = given.collect::<Vec<_>>().join("&");
    let watched = io::stderr().is_terminal();
    let progress = |passed: u64, all: u64| {
        if watched {
            // Nothing depends on it.
            let _ = write!(io::stderr(), "\rcounting: {passed} of {all} s ");
        }
    };
    let text = trunkline_node::ask_for_talkers(&config, &query, flags.get_flag("json"), progress);
    if watched {
        let _ = writeln!(io::stderr());
    }
    say(&text.map_err(|error| Failure::Other(error.into()))?)
}

fn check(flags: &ArgMatches) -> Result<(), Failure> {
    let config = load(Mode::Serve, flags)?;
    let file = match &config.file {
        Some(path) => path.display().to_string(),
        None => "no file".into(),
    };
    let hubs: Vec<&str> = config.hubs.iter().map(|hub| hub.name.as_str()).collect();
    let warnings = config.warnings.iter().map(|warning| format!("warning: {warning}\n"));
    say(&format!(
        "{}the configuration is fine ({file}; hubs: {})\n",
        warnings.collect::<String>(),
        hubs.join(", ")
    ))
}

fn load(mode: Mode, flags: &ArgMatches) -> Result<Config, Failure> {
    // Some commands have only the keys that they need.
    let given = |name| {
        let value = flags.try_get_one::<std::ffi::OsString>(name).ok()??;
        Some((name, value.clone()))
    };
    let inputs = Inputs {
        file: flags.get_one::<PathBuf>("config").cloned(),
        flags: config::keys().iter().filter_map(|key| given(key.name)).collect(),
        env: std::env::vars_os().collect(),
        file_default: config::FILE_DEFAULT.into(),
    };
    Ok(config::load(mode, inputs)?)
}

fn say(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::Other(error.into()))
}

/// Why the process ends with an error.
enum Failure {
    Bench(BenchError),
    Config(Mistakes),
    Run(RunError),
    Other(Box<dyn Error>),
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        Self::Bench(error)
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Config(mistakes)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_MISUSED,
            Self::Bench(error) if error.is_misuse() => EXIT_MISUSED,
            Self::Bench(_) | Self::Run(_) | Self::Other(_) => EXIT_FAILED,
        }
    }

    fn error(&self) -> &dyn Error {
        match self {
            Self::Bench(error) => error,
            Self::Config(mistakes) => mistakes,
            Self::Run(error) => error,
            Self::Other(error) => error.as_ref(),
        }
    }
}

/// The error and its sources, one line for each.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
