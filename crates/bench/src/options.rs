//! The command line.

use std::ffi::OsString;
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::error::BenchError;
use crate::scenario::Kind;

/// Clients per worker process: what stays below the usual hard limit of 20,000 descriptors.
const CLIENTS_PER_WORKER_MAX: u32 = 18_000;
const WORKERS_MAX: u32 = 250;
/// No run lasts longer, whatever is asked for.
const TIME_LIMIT_S_MAX: u64 = 3_600;

/// The text of `--help`.
pub const HELP: &str = "\
Loads a Socket.IO server with real clients (WebSocket, main namespace).

usage: bench SCENARIO --url http://HOST:PORT [options]

scenarios
  idle       hold --clients sessions for --duration; memory per session, heartbeats, losses
  echo       event \"echo\" with one string, acknowledged with it; --window outstanding per client
  fanout     event \"broadcast\" (first, count, time, bytes): the app emits \"b\" to all; bursts of --window
  reconnect  kill -9 of the app server --kill PID; event \"who\" is acknowledged with the app's pid

options
  --url URL           the server; again for more servers (clients spread, and rotate on reconnect)
  --path PATH         Socket.IO's path                                   [/socket.io/]
  --clients N         how many clients                                   [100]
  --workers N         generator processes                                [one per 18000 clients]
  --connecting N      handshakes under way at once, per worker           [100]
  --window W          round trips per client, or broadcasts per burst    [1]
  --payload BYTES     size of a message                                  [64; fanout 128]
  --rate PER_SECOND   open loop: begin at this rate, corrected for coordinated omission
  --warmup SECONDS    load before the measured window                    [1]
  --duration SECONDS  the measured window                                [10]
  --count N           fanout: this many broadcasts instead of a duration
  --process NAME=PID  measure this process; again for more (same names are summed)
  --call EVENT        emit EVENT and await its acknowledgement before memory is read (an app's \"gc\")
  --kill PID          reconnect: the app server to kill
  --time-limit SECONDS  give up after this                               [duration + 120]
  --json FILE         write the report as JSON
  --quiet             no progress line
  --i-own-this-server allow addresses outside this machine
";

/// A run, as asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) kind: Kind,
    pub(crate) urls: Vec<String>,
    pub(crate) targets: Vec<SocketAddrV4>,
    pub(crate) path: String,
    pub(crate) clients: u32,
    pub(crate) workers: u32,
    pub(crate) connecting_max: u32,
    pub(crate) window: u32,
    pub(crate) payload_bytes: usize,
    pub(crate) rate_per_s: f64,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) count: Option<u64>,
    /// Named processes to measure.
    pub(crate) processes: Vec<(String, i32)>,
    pub(crate) call_event: Option<String>,
    pub(crate) kill_pid: Option<i32>,
    pub(crate) time_limit: Duration,
    pub(crate) json: Option<PathBuf>,
    pub(crate) quiet: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Help,
    Run(Box<Options>),
    /// Hidden: this process is a worker and reads its job from stdin.
    Worker,
}

#[derive(Default)]
struct Raw {
    scenario: Option<String>,
    urls: Vec<String>,
    path: Option<String>,
    clients: Option<u32>,
    workers: Option<u32>,
    connecting: Option<u32>,
    window: Option<u32>,
    payload: Option<usize>,
    rate: Option<f64>,
    warmup_s: Option<f64>,
    duration_s: Option<f64>,
    count: Option<u64>,
    processes: Vec<(String, i32)>,
    call_event: Option<String>,
    kill_pid: Option<i32>,
    time_limit_s: Option<f64>,
    json: Option<PathBuf>,
    quiet: bool,
    owned: bool,
}

/// Reads the arguments after the program's (or subcommand's) name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, BenchError> {
    let mut raw = Raw::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Long("worker") => return Ok(Request::Worker),
            Long(name) => {
                let name = name.to_owned();
                set(&mut raw, &name, &mut parser)?;
            }
            Value(value) if raw.scenario.is_none() => raw.scenario = Some(value.string()?),
            Short(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    check(raw).map(|options| Request::Run(Box::new(options)))
}

fn set(raw: &mut Raw, name: &str, parser: &mut lexopt::Parser) -> Result<(), BenchError> {
    match name {
        "url" => raw.urls.push(parser.value()?.string()?),
        "path" => raw.path = Some(parser.value()?.string()?),
        "clients" => raw.clients = Some(parser.value()?.parse()?),
        "workers" => raw.workers = Some(parser.value()?.parse()?),
        "connecting" => raw.connecting = Some(parser.value()?.parse()?),
        "window" => raw.window = Some(parser.value()?.parse()?),
        "payload" => raw.payload = Some(parser.value()?.parse()?),
        "rate" => raw.rate = Some(parser.value()?.parse()?),
        "warmup" => raw.warmup_s = Some(parser.value()?.parse()?),
        "duration" => raw.duration_s = Some(parser.value()?.parse()?),
        "count" => raw.count = Some(parser.value()?.parse()?),
        "process" => raw.processes.push(named_pid(&parser.value()?.string()?)?),
        "call" => raw.call_event = Some(parser.value()?.string()?),
        "kill" => raw.kill_pid = Some(parser.value()?.parse()?),
        "time-limit" => raw.time_limit_s = Some(parser.value()?.parse()?),
        "json" => raw.json = Some(parser.value()?.into()),
        "quiet" => raw.quiet = true,
        "i-own-this-server" => raw.owned = true,
        _ => return Err(BenchError::Argument(format!("unknown option --{name}"))),
    }
    Ok(())
}

fn check(raw: Raw) -> Result<Options, BenchError> {
    let name = raw.scenario.ok_or_else(|| bad("a scenario is needed; see --help"))?;
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| bad(&format!("unknown scenario {name}; see --help")))?;
    if raw.urls.is_empty() {
        return Err(bad("--url is needed"));
    }
    let targets =
        raw.urls.iter().map(|url| resolve(url, raw.owned)).collect::<Result<Vec<_>, _>>()?;
    let clients = in_range("clients", raw.clients.unwrap_or(100), 1, 2_000_000)?;
    let fewest = clients.div_ceil(CLIENTS_PER_WORKER_MAX);
    let workers = in_range("workers", raw.workers.unwrap_or(fewest), fewest, WORKERS_MAX)?;
    let duration = seconds("duration", raw.duration_s.unwrap_or(10.0))?;
    let limit_s = raw.time_limit_s.unwrap_or(duration.as_secs_f64() + 120.0);
    let rate_per_s = raw.rate.unwrap_or(0.0);
    if !(0.0..=1e8).contains(&rate_per_s) {
        return Err(bad("--rate is out of range"));
    }
    Ok(Options {
        kind,
        urls: raw.urls,
        targets,
        path: raw.path.unwrap_or_else(|| "/socket.io/".to_owned()),
        clients,
        workers: workers.min(clients),
        connecting_max: in_range("connecting", raw.connecting.unwrap_or(100), 1, 18_000)?,
        window: in_range("window", raw.window.unwrap_or(1), 1, 10_000)?,
        payload_bytes: raw.payload.unwrap_or(if kind == Kind::Fanout { 128 } else { 64 }),
        rate_per_s,
        warmup: seconds("warmup", raw.warmup_s.unwrap_or(1.0))?,
        duration,
        count: raw.count,
        processes: raw.processes,
        call_event: raw.call_event,
        kill_pid: raw.kill_pid,
        time_limit: seconds("time-limit", limit_s)?,
        json: raw.json,
        quiet: raw.quiet,
    })
}

fn bad(message: &str) -> BenchError {
    BenchError::Argument(message.to_owned())
}

fn in_range(name: &str, value: u32, low: u32, high: u32) -> Result<u32, BenchError> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(bad(&format!("--{name} has to be between {low} and {high}")))
}

fn seconds(name: &str, value: f64) -> Result<Duration, BenchError> {
    if (0.0..=TIME_LIMIT_S_MAX as f64).contains(&value) {
        return Ok(Duration::from_secs_f64(value));
    }
    Err(bad(&format!("--{name} has to be between 0 and {TIME_LIMIT_S_MAX} seconds")))
}

fn named_pid(text: &str) -> Result<(String, i32), BenchError> {
    text.split_once('=')
        .and_then(|(name, pid)| Some((name.to_owned(), pid.parse::<i32>().ok()?)))
        .filter(|(_, pid)| *pid > 0)
        .ok_or_else(|| bad("--process wants NAME=PID"))
}

/// The IPv4 address behind `http://host:port`.
fn resolve(url: &str, owned: bool) -> Result<SocketAddrV4, BenchError> {
    let authority = url
        .strip_prefix("http://")
        .ok_or_else(|| bad("--url has to begin with http:// (TLS is not supported)"))?
        .trim_end_matches('/');
    if authority.contains('/') {
        return Err(bad("--url is host and port only; give Socket.IO's path with --path"));
    }
    let with_port =
        if authority.contains(':') { authority.into() } else { format!("{authority}:80") };
    let address = with_port
        .to_socket_addrs()
        .map_err(|error| bad(&format!("{authority}: {error}")))?
        .find_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        })
        .ok_or_else(|| bad(&format!("{authority} has no IPv4 address")))?;
    if !address.ip().is_loopback() && !owned {
        return Err(BenchError::NotLoopback(url.to_owned()));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Options, BenchError> {
        match parse(line.split_whitespace().map(OsString::from))? {
            Request::Run(options) => Ok(*options),
            Request::Help | Request::Worker => panic!("not a run: {line}"),
        }
    }

    #[test]
    fn a_full_line_is_understood() {
        let options = run(
            "fanout --url http://127.0.0.1:3000 --url http://localhost:3001/ --clients 40000 --window 16 \
             --process app=12 --process app=13 --count 5 --duration 2.5",
        )
        .unwrap();
        assert_eq!(options.kind, Kind::Fanout);
        assert_eq!(
            options.targets.iter().map(SocketAddrV4::port).collect::<Vec<_>>(),
            [3000, 3001]
        );
        assert_eq!((options.clients, options.workers, options.window), (40_000, 3, 16));
        assert_eq!(options.processes, [("app".to_owned(), 12), ("app".to_owned(), 13)]);
        assert_eq!((options.count, options.payload_bytes), (Some(5), 128));
        assert_eq!(options.time_limit, Duration::from_secs_f64(122.5));
    }

    #[test]
    fn bad_lines_are_refused() {
        for (line, part) in [
            ("", "scenario is needed"),
            ("dance --url http://127.0.0.1", "unknown scenario"),
            ("echo", "--url is needed"),
            ("echo --url https://127.0.0.1", "http://"),
            ("echo --url http://127.0.0.1/chat", "--path"),
            ("echo --url http://127.0.0.1 --clients 0", "--clients"),
            ("echo --url http://127.0.0.1 --clients 40000 --workers 1", "--workers"),
            ("echo --url http://127.0.0.1 --duration 99999", "--duration"),
            ("echo --url http://127.0.0.1 --rate -1", "--rate"),
            ("echo --url http://127.0.0.1 --process x", "NAME=PID"),
            ("echo --url http://127.0.0.1 --colour", "--colour"),
            ("echo --url http://192.0.2.1", "not a loopback"),
        ] {
            let error = run(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn other_machines_only_with_the_owners_word() {
        let options = run("echo --url http://192.0.2.1:80 --i-own-this-server").unwrap();
        assert_eq!(options.targets[0].ip().octets(), [192, 0, 2, 1]);
    }
}
