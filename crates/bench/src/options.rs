//! The options of a run: the command line's values, checked.

use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use rustix::process::{Resource, getrlimit};

use crate::error::BenchError;
use crate::kind::ScenarioKind;
use crate::manner::Manner;
use crate::transport::Transport;

/// Clients per worker process where descriptors allow: what one core can still serve.
const CLIENTS_PER_WORKER_MAX: u64 = 100_000;
const WORKERS_MAX: u32 = 250;
/// No run lasts longer, whatever is asked for.
const TIME_LIMIT_S_MAX: u64 = 3_600;

/// A run, as asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) kind: ScenarioKind,
    pub(crate) urls: Vec<String>,
    pub(crate) targets: Vec<SocketAddrV4>,
    pub(crate) manner: Manner,
    pub(crate) clients: u32,
    pub(crate) workers: u32,
    pub(crate) connecting_max: u32,
    pub(crate) window: u32,
    pub(crate) payload_bytes: usize,
    pub(crate) rate_per_s: f64,
    /// Between the last client's joining and the load.
    pub(crate) hold: Duration,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) count: Option<u64>,
    /// Named processes to measure.
    pub(crate) processes: Vec<(String, i32)>,
    pub(crate) call_event: Option<String>,
    pub(crate) kill_pid: Option<i32>,
    pub(crate) time_limit: Duration,
    pub(crate) transport: Transport,
    pub(crate) rooms: u32,
    pub(crate) rooms_per_client: u32,
    /// Whether the first attempt to return waits as socket.io-client does.
    pub(crate) backs_off: bool,
    /// Whether a cut stream ends with a reset.
    pub(crate) resets: bool,
    pub(crate) away: Duration,
    pub(crate) rounds: u32,
    pub(crate) html: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) quiet: bool,
}

impl Options {
    pub(crate) fn away_ns(&self) -> u64 {
        u64::try_from(self.away.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Checks before the load starts: do the processes exist, and can the reports be written?
    ///
    /// # Errors
    ///
    /// [`BenchError::Argument`].
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        for (name, pid) in &self.processes {
            is_running(*pid).map_err(|why| bad(&format!("--process {name}={pid}: {why}")))?;
        }
        if let Some(pid) = self.kill_pid {
            is_running(pid).map_err(|why| bad(&format!("--kill {pid}: {why}")))?;
        }
        for (name, path) in [("json", &self.json), ("html", &self.html)] {
            if let Some(path) = path {
                can_be_written(path)
                    .map_err(|error| bad(&format!("--{name} {}: {error}", path.display())))?;
            }
        }
        Ok(())
    }

    /// # Errors
    ///
    /// [`BenchError::Argument`] and [`BenchError::NotLoopback`].
    pub(crate) fn read(matches: &ArgMatches) -> Result<Self, BenchError> {
        let name = matches.get_one::<String>("scenario").map_or("", String::as_str);
        let kind = ScenarioKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| bad("a scenario is needed"))?;
        let urls = all::<String>(matches, "url");
        let owned = matches.get_flag("i-own-this-server");
        let targets = urls.iter().map(|url| resolve(url, owned)).collect::<Result<Vec<_>, _>>()?;
        let clients = in_range("clients", value(matches, "clients", 100), 1, 2_000_000)?;
        let fewest = clients.div_ceil(clients_per_worker());
        let workers = in_range("workers", value(matches, "workers", fewest), fewest, WORKERS_MAX)?;
        let duration = seconds("duration", value(matches, "duration", 10.0))?;
        let hold = seconds("hold", value(matches, "hold", 0.0))?;
        let limit_s = value(matches, "time-limit", (hold + duration).as_secs_f64() + 120.0);
        let kill_pid = matches.get_one::<i32>("kill").copied().filter(|pid| *pid > 0);
        if kind == ScenarioKind::Reconnect && kill_pid.is_none() {
            return Err(BenchError::NoVictim);
        }
        let rate_per_s = value(matches, "rate", 0.0);
        if !(0.0..=1e8).contains(&rate_per_s) {
            return Err(bad("--rate is out of range"));
        }
        let workers = workers.min(clients);
        let rooms_per_client = value(matches, "rooms-per-client", 5);
        let rooms = value(matches, "rooms", (clients / 10).max(rooms_per_client * workers));
        if rooms / workers < rooms_per_client {
            return Err(bad("--rooms is too few: each worker needs at least --rooms-per-client"));
        }
        let processes = all::<String>(matches, "process")
            .iter()
            .map(|text| named_pid(text))
            .collect::<Result<Vec<_>, _>>()?;
        let is = |name, text: &str| matches.get_one::<String>(name).is_some_and(|one| one == text);
        Ok(Self {
            kind,
            urls,
            targets,
            manner: manner(matches)?,
            clients,
            workers,
            connecting_max: in_range("connecting", value(matches, "connecting", 100), 1, 18_000)?,
            window: in_range("window", value(matches, "window", 1), 1, 10_000)?,
            payload_bytes: value(matches, "payload", kind.payload_bytes_default()),
            rate_per_s,
            hold,
            warmup: seconds("warmup", value(matches, "warmup", 1.0))?,
            duration,
            count: matches.get_one("count").copied(),
            processes,
            call_event: matches.get_one("call").cloned(),
            kill_pid,
            time_limit: seconds("time-limit", limit_s)?,
            transport: if kind == ScenarioKind::Upgrade || is("transport", "upgrade") {
                Transport::Upgrade
            } else if is("transport", "polling") {
                Transport::Polling
            } else {
                Transport::WebSocket
            },
            rooms,
            rooms_per_client,
            backs_off: !is("backoff", "none"),
            resets: is("cut", "reset"),
            away: seconds("away", value(matches, "away", kind.away_s_default()))?,
            rounds: value(matches, "rounds", 1),
            html: matches.get_one("html").cloned(),
            json: matches.get_one("json").cloned(),
            quiet: matches.get_flag("quiet"),
        })
    }
}

/// Nine tenths of the descriptors that a process may have; the rest is for other uses.
fn clients_per_worker() -> u32 {
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    (hard / 10).saturating_mul(9).clamp(1, CLIENTS_PER_WORKER_MAX) as u32
}

fn value<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str, default: T) -> T {
    matches.get_one(name).cloned().unwrap_or(default)
}

fn all<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Vec<T> {
    matches.get_many(name).into_iter().flatten().cloned().collect()
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

fn manner(matches: &ArgMatches) -> Result<Manner, BenchError> {
    let mut manner =
        Manner { path: value(matches, "path", "/socket.io/".into()), ..Manner::default() };
    for text in all::<String>(matches, "query") {
        manner.add_query(&text)?;
    }
    for text in all::<String>(matches, "header") {
        manner.add_header(&text)?;
    }
    if let Some(name) = matches.get_one::<String>("namespace") {
        manner.set_namespace(name)?;
    }
    if let Some(text) = matches.get_one::<String>("auth") {
        manner.set_auth(text)?;
    }
    Ok(manner)
}

/// Checks that a process of that number is alive and that its figures can be read.
fn is_running(pid: i32) -> Result<(), String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.map_err(|_gone| "there is no such process".to_owned())?;
    // The state follows the name, which may hold anything but is in parentheses.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    if matches!(state, Some('Z' | 'X')) {
        return Err("this process has ended".into());
    }
    std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .map(drop)
        .map_err(|error| format!("its memory cannot be read: {error}"))
}

/// Checks that a report can be written, before the load and not after it.
fn can_be_written(path: &Path) -> std::io::Result<()> {
    let existed = path.exists();
    std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    if existed { Ok(()) } else { std::fs::remove_file(path) }
}

/// The IPv4 address behind `http://host:port`.
fn resolve(url: &str, owned: bool) -> Result<SocketAddrV4, BenchError> {
    let authority = url
        .strip_prefix("http://")
        .ok_or_else(|| bad("--url has to begin with http://: the generator has no TLS; load the server behind its TLS proxy"))?
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

    fn run(line: &str) -> Result<Options, String> {
        let line = line.replace("SELF", &std::process::id().to_string());
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let matches = crate::command::command()
            .try_get_matches_from(words)
            .map_err(|error| error.render().to_string())?;
        let options = Options::read(&matches).map_err(|error| error.to_string())?;
        options.check().map_err(|error| error.to_string()).map(|()| options)
    }

    #[test]
    fn a_full_line_is_understood() {
        let own = std::process::id() as i32;
        let options = run(
            "fanout --url http://127.0.0.1:3000 --url http://localhost:3001/ --clients 40000 --window 16 \
             --process app=SELF --process app=SELF --count 5 --duration 2.5 --auth {\"token\":1} --namespace chat \
             --query a=b --header X-A:1",
        )
        .unwrap();
        assert_eq!(options.kind, ScenarioKind::Fanout);
        assert_eq!(
            options.targets.iter().map(SocketAddrV4::port).collect::<Vec<_>>(),
            [3000, 3001]
        );
        assert_eq!((options.clients, options.workers, options.window), (40_000, 3, 16));
        assert_eq!(options.processes, [("app".to_owned(), own), ("app".to_owned(), own)]);
        assert_eq!(options.manner.prefix, "/chat,");
        assert_eq!(options.manner.auth, r#"{"token":1}"#);
        assert_eq!((options.count, options.payload_bytes), (Some(5), 128));
        let many = run("echo --url http://127.0.0.1 --clients 20 --workers 20").unwrap();
        assert_eq!((many.workers, many.payload_bytes), (20, 64));
        assert_eq!(options.time_limit, Duration::from_secs_f64(122.5));
    }

    #[test]
    fn bad_lines_are_refused() {
        for (line, part) in [
            ("", "<SCENARIO>"),
            ("dance --url http://127.0.0.1", "invalid value 'dance'"),
            ("echo", "--url <URL>"),
            ("echo --url https://127.0.0.1", "http://"),
            ("echo --url http://127.0.0.1/chat", "--path"),
            ("echo --url http://127.0.0.1 --clients 0", "--clients"),
            ("echo --url http://127.0.0.1 --clients 40000 --workers 1", "--workers"),
            ("echo --url http://127.0.0.1 --duration 99999", "--duration"),
            ("echo --url http://127.0.0.1 --rate -1", "--rate"),
            ("echo --url http://127.0.0.1 --process x", "NAME=PID"),
            ("echo --url http://127.0.0.1 --process app=999999999", "no such process"),
            ("reconnect --url http://127.0.0.1 --kill 999999999", "no such process"),
            (
                "echo --url http://127.0.0.1 --json /nowhere/at/all.json",
                "--json /nowhere/at/all.json",
            ),
            ("echo --url http://127.0.0.1 --html /proc", "--html /proc"),
            ("echo --url http://127.0.0.1 --auth token", "JSON object"),
            ("echo --url http://127.0.0.1 --header x", "Name: value"),
            ("echo --url http://127.0.0.1 --query x", "NAME=VALUE"),
            ("echo --url http://127.0.0.1 --transport pigeon", "'pigeon'"),
            ("rooms --url http://127.0.0.1 --rooms 2", "--rooms-per-client"),
            ("rooms --url http://127.0.0.1 --rooms 9 --workers 2", "--rooms-per-client"),
            ("avalanche --url http://127.0.0.1 --rounds 0", "--rounds"),
            ("reconnect --url http://127.0.0.1", "--kill PID"),
            ("reconnect --url http://127.0.0.1 --kill 0", "--kill PID"),
            ("echo --url http://127.0.0.1 --colour", "--colour"),
            ("echo --url http://192.0.2.1", "not a loopback"),
        ] {
            let error = run(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn other_machines_only_with_the_owners_word() {
        let options = run("echo --url http://192.0.2.1:80 --i-own-this-server").unwrap();
        assert_eq!(options.targets[0].ip().octets(), [192, 0, 2, 1]);
    }
}
