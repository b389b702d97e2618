//! Log lines on standard error, by `tracing`. Never a payload, a token or a key.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Config, LogFormat, Mode};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level was checked by the configuration, so this is a fault of ours.
    #[error("the log level cannot be read")]
    Level(#[from] ParseError),
    /// Somebody else has set up logging in this process.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// Sends the process's log lines to standard error in the configured form.
pub fn start(config: &Config) -> Result<(), LoggingError> {
    let filter: Targets = config.settings.log.parse()?;
    let lines = match (config.settings.log_format, config.mode) {
        (LogFormat::Json, _) => json(),
        (LogFormat::Text, Mode::Dev) => short_text(),
        (LogFormat::Text, Mode::Serve | Mode::Inspect) => text(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    log_panics();
    Ok(())
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

fn json() -> Lines {
    let layer = fmt::layer().json().flatten_event(true).with_current_span(false);
    layer.with_writer(io::stderr).log_internal_errors(false).boxed()
}

fn text() -> Lines {
    let layer = fmt::layer().with_ansi(coloured()).with_writer(io::stderr);
    // Without this a closed standard error would be a panic in whoever logs.
    layer.log_internal_errors(false).boxed()
}

/// For a terminal that shows one program: seconds since start in place of the date.
fn short_text() -> Lines {
    let layer = fmt::layer().compact().with_timer(fmt::time::uptime()).with_target(false);
    layer.with_ansi(coloured()).with_writer(io::stderr).log_internal_errors(false).boxed()
}

fn coloured() -> bool {
    // https://no-color.org: any value that is not empty.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && io::stderr().is_terminal()
}

/// A panic becomes a log line like any other, so that it is not lost among JSON.
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
    }));
}
