//! The command line: the arguments after `trunkline bench`. `options` checks their values.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use crate::kind::ScenarioKind;

/// The subcommand `bench`.
#[must_use]
pub fn command() -> Command {
    Command::new("bench")
        .about("Loads a Socket.IO server with many real clients and says what it took")
        .long_about(LONG_ABOUT)
        .after_help(AFTER_HELP)
        .after_long_help(AFTER_LONG_HELP)
        .arg(
            Arg::new("scenario")
                .value_name("SCENARIO")
                .required(true)
                .value_parser(PossibleValuesParser::new(
                    ScenarioKind::ALL.map(ScenarioKind::possible_value),
                ))
                .help("What the clients do"),
        )
        .args(whom().into_iter().chain(load()).chain(shape()).chain(result()))
}

const LONG_ABOUT: &str = "\
Loads a Socket.IO server with many real clients (Engine.IO 4, one namespace) and says what it took: rates, latencies, \
CPU time and memory of the processes that you name, and whether any message was lost, doubled or out of order.";

const AFTER_HELP: &str =
    "`trunkline bench --help` says more, and which events the server's app has to offer.";

/// Stands for [`EVENTS`] in the long help: clap would wrap the file's lines and break the
/// JavaScript.
pub const EVENTS_HERE: &str = "bench/apps/events.mjs";

/// The file that an app needs; it is printed in place of [`EVENTS_HERE`].
pub const EVENTS: &str = include_str!("../../../bench/apps/events.mjs");

const AFTER_LONG_HELP: &str = concat!(
    "\
Examples:
  trunkline bench idle --url http://127.0.0.1:3000 --clients 10000 --process app=4711
  trunkline bench echo --url http://127.0.0.1:3000 --rate 5000 --html echo.html --json echo.json
  trunkline bench echo --url http://127.0.0.1:3000 --namespace /chat --auth '{\"token\":\"…\"}'

Exit codes:
  0  nothing was lost, doubled or out of order
  1  something was, or the run could not be made; the text says what
  2  a mistake in the arguments
  130  ended by Ctrl-C, after a report of what there was until then

What the app has to offer (idle needs nothing): add this file to it and call `benchEvents(io)`.

",
    "bench/apps/events.mjs"
);

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn number(arg: Arg, parser: impl Into<ValueParser>) -> Arg {
    arg.value_parser(parser.into()).allow_negative_numbers(true)
}

fn whom() -> Vec<Arg> {
    vec![
        option("url", "URL", "The server, as http://HOST:PORT; again for more: clients spread")
            .long_help(
                "The server, as http://HOST:PORT (no TLS). Given again, clients spread over all of them, and a lost \
                 client returns to the next one",
            )
            .required(true)
            .action(ArgAction::Append),
        option("transport", "TRANSPORT", "What carries the sessions [default: websocket]")
            .value_parser([
                PossibleValue::new("websocket").help("WebSocket at once"),
                PossibleValue::new("polling").help("long-polling only"),
                PossibleValue::new("upgrade").help("polling first, then WebSocket"),
            ]),
        option("path", "PATH", "Socket.IO's path").default_value("/socket.io/"),
        option("namespace", "NAME", "The namespace that clients enter [default: the main one]"),
        option("auth", "JSON", "What clients pass as `auth`: a JSON object"),
        option("query", "NAME=VALUE", "A pair of the handshake's query; again for more")
            .action(ArgAction::Append),
        option("header", "NAME: VALUE", "A header of every request; again for more")
            .action(ArgAction::Append),
        Arg::new("i-own-this-server")
            .long("i-own-this-server")
            .action(ArgAction::SetTrue)
            .help("Allows addresses outside of this machine"),
    ]
}

fn load() -> Vec<Arg> {
    let args = [
        number(option("clients", "N", "How many clients"), value_parser!(u32)).default_value("100"),
        number(
            option("workers", "N", "Generator processes [default: as few as descriptors allow]"),
            value_parser!(u32),
        ),
        number(
            option("connecting", "N", "Handshakes under way at once, in each worker"),
            value_parser!(u32),
        )
        .default_value("100"),
        number(
            option("window", "W", "Round trips of a client, or broadcasts, under way at once"),
            value_parser!(u32),
        )
        .default_value("1"),
        number(
            option("payload", "BYTES", "Size of a message [default: 64; broadcasts 128]"),
            value_parser!(usize),
        ),
        number(
            option("rate", "PER_SECOND", "Begin at this rate, however the server keeps up")
                .long_help(
                    "Begin at this rate, however the server keeps up, and time from when each was meant to begin \
                     (coordinated omission is corrected). Without it, the next begins when the last has ended",
                ),
            value_parser!(f64),
        ),
    ];
    args.map(|arg| arg.help_heading("Load")).into()
}

fn shape() -> Vec<Arg> {
    let args = [
        number(
            option("hold", "SECONDS", "All clients idle for so long before the load begins"),
            value_parser!(f64),
        )
        .default_value("0"),
        number(option("warmup", "SECONDS", "Load before the measured window"), value_parser!(f64))
            .default_value("1"),
        number(option("duration", "SECONDS", "The measured window"), value_parser!(f64))
            .default_value("10"),
        number(
            option("count", "N", "fanout: this many broadcasts instead of a duration"),
            value_parser!(u64),
        ),
        number(
            option("rooms", "N", "rooms: how many, over all workers [default: clients / 10]"),
            value_parser!(u32).range(1..),
        ),
        number(
            option("rooms-per-client", "N", "rooms: how many a client is in"),
            value_parser!(u32).range(1..=1_000),
        )
        .default_value("5"),
        number(
            option("rounds", "N", "avalanche, jitter: how often clients are cut off"),
            value_parser!(u32).range(1..=1_000),
        )
        .default_value("1"),
        number(
            option("away", "SECONDS", "avalanche, jitter: how long they stay away [default: 0; 2]"),
            value_parser!(f64),
        ),
        option("cut", "HOW", "avalanche, jitter: how the server sees a cut").value_parser([
            PossibleValue::new("close")
                .help("the stream ends, without a close frame (the default)"),
            PossibleValue::new("reset").help("the stream is reset"),
        ]),
        option("backoff", "KIND", "avalanche: how long before the first attempt to return")
            .value_parser([
                PossibleValue::new("socket.io")
                    .help("0.5 to 1.5 s, as socket.io-client (the default)"),
                PossibleValue::new("none").help("at once: a stampede"),
            ]),
        number(option("kill", "PID", "reconnect: the app server to kill"), value_parser!(i32)),
        number(
            option("time-limit", "SECONDS", "Give up after this [default: hold + duration + 120]"),
            value_parser!(f64),
        ),
    ];
    args.map(|arg| arg.help_heading("Course")).into()
}

fn result() -> Vec<Arg> {
    let file = |arg: Arg| arg.value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath);
    let args = [
        option("process", "NAME=PID", "Measure this process; same names are summed")
            .action(ArgAction::Append),
        option("call", "EVENT", "Emit EVENT before memory is read (the app's \"gc\")"),
        file(option("json", "FILE", "Write the report as JSON")),
        file(option("html", "FILE", "Write the report as a page of its own, with plots")),
        Arg::new("quiet").long("quiet").action(ArgAction::SetTrue).help("No progress"),
    ];
    args.map(|arg| arg.help_heading("Result")).into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
