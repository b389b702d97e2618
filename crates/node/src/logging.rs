//! Log lines on standard error, by `tracing`. Never a payload, a token or a key.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::audit;
use crate::config::{Config, LogFormat, Mode};
use crate::lines::{Escape, Lines};

/// The queue of this process.
static LINES: OnceLock<Lines> = OnceLock::new();
/// The library that speaks to NATS, as the source of log lines.
const NATS_CLIENT: &str = "async_nats";
/// How long the end of a process waits for its last lines.
const LAST_LINES_MAX: Duration = Duration::from_millis(500);

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is invalid, although the configuration has checked it: this is a bug.
    #[error("the log level cannot be read")]
    Level(#[from] ParseError),
    /// Logging is already set up in this process.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
    /// The thread that writes the lines could not be started.
    #[error("cannot start the thread that writes log lines")]
    Thread(#[source] io::Error),
}

/// A guard; dropping it waits for the last lines.
#[derive(Debug)]
#[must_use = "the last lines are waited for when it is dropped"]
pub struct Logging(());

impl Drop for Logging {
    fn drop(&mut self) {
        flush();
    }
}

fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES_MAX);
    }
}

/// Lines that were dropped because standard error is not read fast enough.
pub(crate) fn dropped_lines() -> u64 {
    LINES.get().map_or(0, Lines::dropped)
}

/// The way to change which lines are written.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Which lines a configuration wants.
pub(crate) fn filter_of(config: &Config) -> Result<Targets, ParseError> {
    let log = &config.settings.log;
    let mut filter: Targets = log.parse()?;
    if !log.contains(NATS_CLIENT) {
        // Its lines repeat ours with fewer words.
        filter = filter.with_target(NATS_CLIENT, LevelFilter::OFF);
    }
    if log != "off" && !log.contains(audit::TARGET) {
        filter = filter.with_target(audit::TARGET, LevelFilter::INFO);
    }
    Ok(filter)
}

/// Changes which lines are written.
pub(crate) fn set_filter(filter: Targets) {
    // The subscriber lives as long as the process.
    let _ = FILTER.get().map(|handle| handle.reload(filter));
}

/// Sends the process's log lines to standard error in the configured form.
pub fn start(config: &Config) -> Result<Logging, LoggingError> {
    let (filter, handle) = reload::Layer::new(filter_of(config)?);
    let escape = match config.settings.log_format {
        LogFormat::Json => None,
        LogFormat::Text if coloured() => Some(Escape::AllButColours),
        LogFormat::Text => Some(Escape::All),
    };
    let lines = LINES.get_or_init(|| Lines::new(escape)).clone();
    lines.write_to_stderr().map_err(LoggingError::Thread)?;
    let layer = match (config.settings.log_format, config.mode) {
        (LogFormat::Json, _) => json(lines),
        (LogFormat::Text, Mode::Dev) => short_text(lines),
        (LogFormat::Text, Mode::Serve | Mode::Inspect) => text(lines),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    let _ = FILTER.set(handle);
    log_panics();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(Logging(()))
}

type Lined = Box<dyn Layer<Registry> + Send + Sync>;

fn json(lines: Lines) -> Lined {
    let layer = fmt::layer().json().flatten_event(true).with_current_span(false);
    layer.with_writer(lines).log_internal_errors(false).boxed()
}

fn text(lines: Lines) -> Lined {
    let layer = fmt::layer().with_ansi(coloured()).with_writer(lines);
    layer.log_internal_errors(false).boxed()
}

/// The format for a terminal that shows one program: seconds since start in place of the date.
fn short_text(lines: Lines) -> Lined {
    let layer = fmt::layer().compact().with_timer(fmt::time::uptime()).with_target(false);
    layer.with_ansi(coloured()).with_writer(lines).log_internal_errors(false).boxed()
}

fn coloured() -> bool {
    // https://no-color.org: any value that is not empty.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && io::stderr().is_terminal()
}

/// Logs panics as ordinary lines, so that they are not lost among JSON.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("no message");
        let name = thread.name().unwrap_or("unnamed");
        tracing::error!(thread = name, place, "panic: {message}");
        // A shard's panic ends the process, so write the line now.
        flush();
    }));
}
