//! `cargo xtask cluster`: NATS, three nodes that are one, HAProxy without sticky sessions in front,
//! two app servers and a page.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use super::fleet::{self, Fleet, Role};
use super::{APP_SERVERS, Wanted, build, finish, ports, wanted};
use crate::{Failure, interrupt, repo};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask cluster [chat|whiteboard] [--binary FILE]

Builds Trunkline and its SDK (about two minutes the first time, seconds later), starts a NATS server, three nodes in one
cluster, HAProxy that gives each request to the next node, two app servers and a page on free ports of this machine, says
what to open and what to try. Ctrl-C stops all of it. `nats-server` and `haproxy` must be installed.

  chat           the example that is started, unless another is named
  whiteboard     the other one
  --binary FILE  this `trunkline` instead of one that is built";

const NODES: [&str; 3] = ["north", "east", "south"];
const CLUSTER: &str = "demo";
/// How often nodes are asked for their sessions.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One node's addresses.
#[derive(Debug, Clone, Copy)]
struct Place {
    name: &'static str,
    public: SocketAddr,
    admin: SocketAddr,
}

/// Where everything is.
#[derive(Debug)]
struct Plan {
    binary: PathBuf,
    nats_server: PathBuf,
    haproxy: PathBuf,
    nats: SocketAddr,
    nodes: Vec<Place>,
    balancer: ports::Port,
    page: ports::Port,
}

pub(crate) fn command(arguments: &[&str]) -> Result<ExitCode, Failure> {
    let Wanted { example, binary } = wanted(arguments, USAGE)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Before the build, which takes minutes.
    let [nats_server, haproxy] = programs(&folders)?;
    interrupt::listen()?;
    std::fs::create_dir_all(repo::scratch())?;
    build::everything(example, binary.is_some())?;
    let plan = Plan {
        binary: binary.unwrap_or_else(build::binary),
        nats_server,
        haproxy,
        nats: ports::free(4222, "NATS")?.address(),
        balancer: ports::free(8080, "HAProxy")?,
        page: ports::free(3000, "the page")?,
        nodes: places()?,
    };
    let mut fleet = start(example, &plan)?;
    introduce(example, &fleet, &plan);
    let mut sessions = Sessions::new(&plan.nodes);
    let outcome = fleet.watch(|| sessions.look());
    finish(&mut fleet);
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The two programs of others, or an error that says how to get what is missing.
fn programs(folders: &[PathBuf]) -> Result<[PathBuf; 2], Failure> {
    // Debian keeps servers outside of an ordinary user's path.
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    let find = |name: &str| {
        folders.iter().chain(&usual).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    match (find("nats-server"), find("haproxy")) {
        (Some(nats_server), Some(haproxy)) => Ok([nats_server, haproxy]),
        (nats_server, haproxy) => Err(missing(nats_server.is_none(), haproxy.is_none()).into()),
    }
}

fn missing(nats_server: bool, haproxy: bool) -> String {
    let all = [(nats_server, "nats-server"), (haproxy, "haproxy")];
    let names: Vec<&str> = all.iter().filter(|(gone, _)| *gone).map(|(_, name)| *name).collect();
    let mut text = format!(
        "{} not installed. The cluster needs both nats-server (nodes find and reach one another through it) and \
         haproxy (the balancer in front).\n  Debian, Ubuntu   sudo apt-get install {}\n  Fedora           sudo dnf \
         install {}",
        match names.as_slice() {
            [name] => format!("{name} is"),
            _ => "nats-server and haproxy are".to_owned(),
        },
        names.join(" "),
        names.join(" "),
    );
    if nats_server {
        text.push_str(
            "\n  elsewhere        one binary: https://github.com/nats-io/nats-server/releases",
        );
    }
    text.push_str("\nWithout them, `cargo xtask demo` starts one node.");
    text
}

fn places() -> Result<Vec<Place>, Failure> {
    let place = |(index, name): (u16, &'static str)| {
        let public = ports::free(8180 + 10 * index, &format!("node {name}"))?.address();
        let admin = ports::free(8181 + 10 * index, &format!("{name}'s admin port"))?.address();
        Ok(Place { name, public, admin })
    };
    (0..).zip(NODES).map(place).collect()
}

/// The command that starts a node, also by hand.
fn node_command(binary: &Path, place: Place, nats: SocketAddr) -> Command {
    let mut command = Command::new(binary);
    command.arg("dev").args(["--node-id", place.name]);
    command.args(["--listen", &place.public.to_string(), "--admin", &place.admin.to_string()]);
    command.args(["--cluster", CLUSTER, "--nats", &format!("nats://{nats}")]);
    command.args(["--advertise", &format!("http://{}", place.public)]);
    command
}

fn nats_command(program: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.args(["--addr", &address.ip().to_string(), "--port", &address.port().to_string()]);
    command
}

/// A command as it is typed.
fn typed(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

/// HAProxy's whole configuration: each request goes to the next node, whoever it comes from.
fn balancer(port: SocketAddr, nodes: &[Place]) -> String {
    let mut text = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    timeout tunnel 120s
frontend clients
    bind {port}
    option forwardfor
    default_backend trunkline
backend trunkline
    balance roundrobin
    option httpchk GET /readyz
    option redispatch 1
    retries 3
    retry-on conn-failure 503
    http-request disable-l7-retry if METH_POST
    default-server inter 500ms fall 1 rise 1
"
    );
    for Place { name, public, admin } in nodes {
        let _ = writeln!(text, "    server {name} {public} check port {}", admin.port());
    }
    text
}

fn start(example: &str, plan: &Plan) -> Result<Fleet, Failure> {
    let mut fleet = Fleet::default();
    fleet.start("NATS", Role::Broker, &mut nats_command(&plan.nats_server, plan.nats))?;
    fleet.wait_for_port("NATS", plan.nats)?;
    // All at once: each one first listens for the others.
    for place in &plan.nodes {
        fleet.start(place.name, Role::Node, &mut node_command(&plan.binary, *place, plan.nats))?;
    }
    for place in &plan.nodes {
        fleet.wait_for_node(place.name, place.admin)?;
    }
    let config = repo::scratch().join("cluster-haproxy.cfg");
    std::fs::write(&config, balancer(plan.balancer.address(), &plan.nodes))?;
    let mut haproxy = Command::new(&plan.haproxy);
    haproxy.arg("-db").arg("-f").arg(config);
    fleet.start("HAProxy", Role::Vital, &mut haproxy)?;
    fleet.wait_for_port("HAProxy", plan.balancer.address())?;
    for name in APP_SERVERS {
        fleet.start_app_server(example, name, plan.balancer.number())?;
    }
    fleet.start_page(example, plan.page.number(), plan.balancer.number())?;
    Ok(fleet)
}

fn introduce(example: &str, fleet: &Fleet, plan: &Plan) {
    let pid = |name: &str| fleet.pid_of(name).map_or_else(String::new, |pid| pid.to_string());
    let place = plan.nodes[0];
    let (page, balancer) = (plan.page.number(), plan.balancer.number());
    let mut who = String::new();
    for name in ["NATS"].iter().chain(&NODES).chain(&["HAProxy"]).chain(&APP_SERVERS) {
        let _ = write!(who, "{name} {}, ", pid(name));
    }
    println!(
        "
  Ready. Open   http://localhost:{page}

  What to try next, in another terminal, in this folder
    1. Open it in three windows. A window's first requests are polls, and HAProxy gives each of them to the next node:
       the node that holds the client answers, whichever was asked. Then the window changes to a WebSocket, which
       arrives at any node: the client moves there, and the app notices nothing. Below, a line shows each change.
    2. Kill a node. Its windows reconnect at the others, all else goes on:
         kill -9 {node}
       Start it again, and it has a place in the cluster and trunks of both app servers:
         {restart}
    3. Kill NATS. Windows that are open go on, because messages never pass through it:
         kill -9 {nats}
       Open another window: those of its requests that meet another node wait 3 s for NATS, then get 503.
       Start it again, and all is well by itself:
         {restart_nats}
    4. Kill an app server: the other one takes its clients over, at all nodes, and no window reconnects:
         kill -9 {app}
       Start it again:
         {restart_app}
    5. See what a node knows of the others, and what it counts:
         curl http://{admin}/api/v1/cluster
         curl -s http://{admin}/metrics | grep mesh

  Clients connect to http://127.0.0.1:{balancer}, app servers too: from there they learn of all nodes.
  Processes: {who}page {page_pid}. Ctrl-C stops everything that this command started.
",
        node = pid(place.name),
        restart = typed(&node_command(&plan.binary, place, plan.nats)),
        nats = pid("NATS"),
        restart_nats = typed(&nats_command(&plan.nats_server, plan.nats)),
        app = pid(APP_SERVERS[0]),
        restart_app = fleet::restart_hint(example, APP_SERVERS[0], balancer),
        admin = place.admin,
        page_pid = pid("page"),
    );
}

/// Tells how many sessions each node has, when that has changed.
#[derive(Debug)]
struct Sessions {
    nodes: Vec<Place>,
    told: String,
    next: Instant,
}

impl Sessions {
    fn new(nodes: &[Place]) -> Self {
        Self { nodes: nodes.to_vec(), told: String::new(), next: Instant::now() }
    }

    fn look(&mut self) {
        if Instant::now() < self.next {
            return;
        }
        let line = self.line();
        if line != self.told {
            println!("{line}");
            self.told = line;
        }
        self.next = Instant::now() + LOOK_EVERY;
    }

    fn line(&self) -> String {
        let mut line = "clients:".to_owned();
        let mut moved = 0;
        for Place { name, admin, .. } in &self.nodes {
            // A node that was started again by hand answers at the same place.
            let clients =
                fleet::http_body(*admin, "/api/v1/status").and_then(|text| sessions(&text));
            let clients = clients.map_or_else(|| "-".to_owned(), |clients| clients.to_string());
            let _ = write!(line, " {name} {clients},");
            let metrics = fleet::http_body(*admin, "/metrics").unwrap_or_default();
            moved += moves(&metrics);
        }
        let _ = write!(line, " moved at an upgrade until now: {moved}");
        line
    }
}

/// The sessions that a node's status tells.
fn sessions(status: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(status).ok()?["sessions"].as_u64()
}

/// The clients that moved to a node, by its metrics.
fn moves(metrics: &str) -> u64 {
    let values = metrics.lines().filter_map(|line| {
        let labels = line.strip_prefix("trunkline_moves_total{")?;
        labels.contains("moved").then(|| line.rsplit(' ').next()?.parse::<u64>().ok())?
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{balancer, missing, moves, node_command, places, programs, sessions, typed};

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let both = missing(true, true);
        assert!(both.contains("apt-get install nats-server haproxy"), "{both}");
        let one = missing(false, true);
        assert!(
            one.starts_with("haproxy is") && one.contains("apt-get install haproxy\n"),
            "{one}"
        );
        assert!(!one.contains("nats-io"), "{one}");
    }

    #[test]
    fn programs_are_found_in_the_path_first() {
        let folder =
            std::env::temp_dir().join(format!("trunkline-programs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["nats-server", "haproxy"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let found = programs(&[PathBuf::from("/nowhere"), folder.clone()]).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [folder.join("nats-server"), folder.join("haproxy")]);
    }

    #[test]
    fn the_balancer_knows_all_nodes_and_sticks_to_none() {
        let places = places().unwrap();
        let text = balancer("127.0.0.1:8080".parse().unwrap(), &places);
        for place in &places {
            assert!(
                text.contains(&format!("server {} {} check", place.name, place.public)),
                "{text}"
            );
        }
        assert!(text.contains("balance roundrobin") && !text.contains("cookie"), "{text}");
        let line =
            typed(&node_command("bin".as_ref(), places[0], "127.0.0.1:4222".parse().unwrap()));
        assert!(line.starts_with("bin dev --node-id north --listen 127.0.0.1:"), "{line}");
    }

    #[test]
    fn a_nodes_figures_are_read() {
        assert_eq!(sessions(r#"{"sessions":3}"#), Some(3));
        assert_eq!(sessions("not json"), None);
        let metrics = "trunkline_moves_total{outcome=\"moved\"} 4\n\
                       trunkline_moves_total{outcome=\"failed\"} 9\ntrunkline_sessions 3";
        assert_eq!(moves(metrics), 4);
    }
}
