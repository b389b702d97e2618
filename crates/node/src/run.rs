//! Build, run, drain: the life of one node.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::pin::pin;
use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use trunkline_api::Admin;
use trunkline_edge::{Certificates, Edge};

use crate::admin::{self, Facts, View};
use crate::audit;
use crate::azure::Azure;
use crate::cluster::{self, Cluster};
use crate::config::{Config, Mode, Origin};
use crate::descriptors;
use crate::drain::{self, Drained, Plan};
use crate::heap;
use crate::load::{LoadFigure, LoadMeter};
use crate::memory;
use crate::ready_file::{self, Ready, ReadyFileError};
use crate::reload::{Reloader, Reloads};
use crate::resolve;
use crate::signals::{Asked, Signals};
use crate::tls::PortCertificates;

/// The interval in which the heap is checked and the load is measured.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
/// How long the end waits for threads; a thread that has not ended by then will not end.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port could not be bound.
    #[error("cannot listen on {address} ({key}: {}): {}", from(.origin), bind_hint(*.address, .key, .cause))]
    Bind {
        /// The key that names the address.
        key: &'static str,
        /// Where the key was set.
        origin: Origin,
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's error. Not chained, because the message explains it.
        cause: io::Error,
    },
    /// The public port's threads could not be started.
    #[error(transparent)]
    Edge(#[from] trunkline_edge::StartError),
    /// The thread for Azure's SDK and REST API could not be started.
    #[error("cannot start the thread for Azure's SDK and REST API")]
    Azure(#[source] io::Error),
    /// The admin port's thread could not be started.
    #[error(transparent)]
    Admin(#[from] trunkline_api::StartError),
    /// The ready file could not be written.
    #[error(transparent)]
    ReadyFile(#[from] ReadyFileError),
    /// The main thread's runtime or signal handlers could not be made.
    #[error("cannot prepare the main thread")]
    Prepare(#[source] io::Error),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
}

fn from(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".into(),
        set @ (Origin::File { .. } | Origin::Env(_) | Origin::Flag(_)) => format!("from {set}"),
    }
}

fn bind_hint(address: SocketAddr, key: &str, error: &io::Error) -> String {
    let flag = format!("--{}", key.replace('_', "-"));
    let port = address.port();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of kinds is open")]
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the port is taken\n  `ss -ltnp sport = :{port}` or `lsof -i :{port}` shows by whom; \
             choose another with {flag} {}:PORT (0 takes any free port)",
            bracketed(address)
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine has no such address\n  `ip address` lists them; choose one with {flag}"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "not permitted\n  ports below 1024 need CAP_NET_BIND_SERVICE; choose another with {flag}"
        ),
        _ => error.to_string(),
    }
}

fn bracketed(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() }
}

/// The facts of a node that accepts connections.
#[derive(Clone, Debug)]
pub struct Started {
    /// The public port, with its real number.
    pub listen: SocketAddr,
    /// The port for app servers, if they have one of their own.
    pub trunk_listen: Option<SocketAddr>,
    /// The admin port, with its real number.
    pub admin: Option<SocketAddr>,
    /// The hub behind `/socket.io/`.
    pub default_hub: String,
}

impl Started {
    /// The addresses of the ports as URLs: for clients, for app servers, for the operator.
    pub fn urls(&self, config: &Config) -> (String, String, Option<String>) {
        let url = |address: SocketAddr, has_tls: bool| {
            format!("{}://{address}", if has_tls { "https" } else { "http" })
        };
        let tls = &config.tls;
        let clients = url(self.listen, tls.public.is_some());
        let trunks = self.trunk_listen.map(|address| url(address, tls.trunks.is_some()));
        let admin = self.admin.map(|address| url(address, tls.admin.is_some()));
        (clients.clone(), trunks.unwrap_or(clients), admin)
    }
}

/// Runs a node until SIGTERM or SIGINT, and then its drain. `on_started` is called once all ports
/// accept.
pub fn run(
    config: &Config,
    version: &'static str,
    on_started: impl FnOnce(&Started),
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Prepare)?;
    let mut signals = {
        let _guard = runtime.enter();
        Signals::catch(config.mode).map_err(RunError::Prepare)?
    };
    let node = Node::build(config, version)?.start(config)?;
    on_started(&node.started(config));
    let ready_file = config.settings.ready_file.clone();
    runtime.block_on(async {
        let signal = serve(&node, &mut signals).await;
        let refuse = || node.reloader.refuse("SIGHUP", "the node is draining, and ends");
        let plan = Plan::of(&node.reloader.config());
        match drain::drain(&node.view, signal, plan, &mut signals, refuse).await {
            Drained::Done => stop(node, ready_file, &mut signals).await,
            Drained::Interrupted => clear_ready_file(ready_file.as_deref()),
        }
    });
    // Threads that still block have been reported.
    runtime.shutdown_background();
    Ok(())
}

/// Serves until a signal asks for the end, whose name is returned.
async fn serve(node: &RunningNode, signals: &mut Signals) -> &'static str {
    let mut tidy = pin!(tidy(node));
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            never = &mut tidy => match never {},
        };
        match asked {
            Asked::End(signal) => return signal,
            Asked::Reload => {
                let reloader = Arc::clone(&node.reloader);
                let reloaded = tokio::task::spawn_blocking(move || reloader.reload("SIGHUP"));
                if reloaded.await.is_err() {
                    tracing::error!("the reload failed half-way: restart the node");
                }
            }
        }
    }
}

/// Returns unused heap to the system and measures the load, on a thread that has nothing else to
/// do.
async fn tidy(node: &RunningNode) -> Infallible {
    let mut leftover = heap::Leftover::default();
    let mut meter = LoadMeter::new(node.load.clone());
    let mut ticks = tokio::time::interval(TIDY_INTERVAL);
    loop {
        ticks.tick().await;
        leftover.look(heap::resident_bytes, heap::bytes_in_use(), heap::give_back);
        meter.sample(node.view.uses());
    }
}

/// Joins all threads; after a further signal, or when a thread does not end, the process ends
/// without them.
async fn stop(node: RunningNode, ready_file: Option<PathBuf>, signals: &mut Signals) {
    let stopped = tokio::task::spawn_blocking(move || node.stop(ready_file.as_deref()));
    tokio::select! {
        _ = stopped => tracing::info!("trunkline has stopped"),
        signal = signals.next_end(|| ()) => tracing::warn!(signal, "a further signal ends the process at once"),
        () = tokio::time::sleep(STOP_MAX) => {
            tracing::error!("a thread does not end; the process ends without it");
        }
    }
}

fn clear_ready_file(path: Option<&Path>) {
    if let Err(error) = path.map_or(Ok(()), ready_file::clear) {
        tracing::warn!(%error, "the ready file stays");
    }
}

/// A node whose ports are bound and whose threads are not started.
struct Node {
    edge: Edge,
    admin: Option<Admin>,
    admin_tls: Option<Certificates>,
    facts: Facts,
    cluster: Option<Cluster>,
}

impl Node {
    fn build(config: &Config, version: &'static str) -> Result<Self, RunError> {
        let settings = &config.settings;
        if let Some(path) = &settings.ready_file {
            ready_file::clear(path)?;
        }
        let mut edge_config = resolve::edge_config(config, version)?;
        let streams_possible = descriptors::raise_limit(edge_config.threads);
        let limits = &mut edge_config.limits;
        streams_possible.apply(limits, settings.trunk_listen.is_some());
        limits.memory_bytes_max = memory::ceiling(limits.memory_bytes_max);
        let mut facts = Facts {
            node: edge_config.node_id.clone(),
            version,
            pid: std::process::id(),
            listen: edge_config.listen,
            trunk_listen: None,
            admin: None,
            threads: edge_config.threads,
            streams_possible: streams_possible.0,
            reloadable: config.mode == Mode::Serve,
        };
        let mut edge = Edge::bind(edge_config).map_err(|error| {
            let key = if error.trunks { "trunk_listen" } else { "listen" };
            bind_error(config, key, error.address, error.source)
        })?;
        let admin_tls = config.tls.admin.clone().map(Certificates::new);
        let admin = settings.admin.map(|listen| {
            let tls = admin_tls.clone();
            Admin::bind(trunkline_api::Config { tls, ..trunkline_api::Config::new(listen) })
        });
        let admin = admin
            .transpose()
            .map_err(|error| bind_error(config, "admin", error.listen, error.source))?;
        facts.listen = edge.local_addr();
        facts.trunk_listen = edge.trunk_addr();
        facts.admin = admin.as_ref().map(Admin::local_addr);
        let node = cluster::Node {
            id: &facts.node,
            version,
            listen: facts.trunk_listen.unwrap_or(facts.listen),
        };
        let cluster = Cluster::join(config, node)?.map(|(cluster, joining)| {
            edge.set_cluster(joining);
            cluster
        });
        Ok(Self { edge, admin, admin_tls, facts, cluster })
    }

    fn start(self, config: &Config) -> Result<RunningNode, RunError> {
        let Self { mut edge, admin, admin_tls, facts, cluster } = self;
        let azure_metrics = trunkline_azure::Metrics::default();
        let load = LoadFigure::default();
        let reloads = Reloads::default();
        let mut registry = {
            let known = (edge.memory_ceiling(), &reloads);
            admin::registry(&facts, edge.metrics(), &azure_metrics, &load, known)
        };
        if let Some(cluster) = &cluster {
            cluster.register(&mut registry);
        }
        let azure = Azure::start(config, &mut edge, &azure_metrics).map_err(RunError::Azure)?;
        let azure = Arc::new(azure);
        let edge = Arc::new(edge.start()?);
        if let Some(cluster) = &cluster {
            cluster.announce(edge.node_listing());
        }
        azure.connect(edge.inside());
        let ports = [
            ("public", edge.certificates().cloned()),
            ("trunks", edge.trunk_certificates().cloned()),
            ("admin", admin_tls),
        ];
        let ports = ports.into_iter().filter_map(|(port, tls)| Some((port, tls?))).collect();
        let certificates = PortCertificates(ports);
        registry.register_collector(Box::new(certificates.clone()));
        let view = Arc::new(View {
            facts,
            started: Instant::now(),
            draining: AtomicBool::new(false),
            unready_on: RwLock::new(config.settings.unready_on.clone()),
            reloads,
            edge,
            certificates,
            registry,
            cluster,
        });
        let source = || -> Arc<dyn trunkline_api::Source> { Arc::clone(&view) as _ };
        let admin = admin.map(|admin| admin.start(source())).transpose()?;
        let reloader = Arc::new(Reloader::new(config, &view, &azure));
        let running = RunningNode { view, admin, azure, load, reloader };
        running.announce(config)?;
        Ok(running)
    }
}

fn bind_error(
    config: &Config,
    key: &'static str,
    address: SocketAddr,
    cause: io::Error,
) -> RunError {
    RunError::Bind { key, origin: config.origin(key), address, cause }
}

/// A node whose threads all run.
struct RunningNode {
    view: Arc<View>,
    admin: Option<trunkline_api::AdminPort>,
    azure: Arc<Azure>,
    load: LoadFigure,
    reloader: Arc<Reloader>,
}

impl RunningNode {
    fn announce(&self, config: &Config) -> Result<(), RunError> {
        let facts = &self.view.facts;
        let admin_port = facts.admin.map_or_else(|| "off".to_owned(), |admin| admin.to_string());
        let hubs: Vec<&str> = config.hubs.iter().map(|hub| hub.name.as_str()).collect();
        // A node of a cluster says that it has joined when it has; until then it is not ready.
        let now = match self.view.cluster {
            None => "trunkline is ready",
            Some(_) => {
                "trunkline has started, and takes sessions once it has joined its cluster; \
                 until then /readyz says what it waits for"
            }
        };
        tracing::info!(
            node = facts.node,
            version = facts.version,
            listen = %facts.listen,
            trunk_listen = facts.trunk_listen.map(tracing::field::display),
            admin = admin_port,
            threads = facts.threads,
            hubs = hubs.join(" "),
            "{now}"
        );
        audit::start(config.hubs.len());
        if let Some(path) = &config.settings.ready_file {
            let Facts { listen, trunk_listen, admin, pid, reloadable, .. } = *facts;
            ready_file::write(path, &Ready { listen, trunk_listen, admin, pid, reloadable })?;
        }
        Ok(())
    }

    fn started(&self, config: &Config) -> Started {
        let Facts { listen, trunk_listen, admin, .. } = self.view.facts;
        Started { listen, trunk_listen, admin, default_hub: config.default_hub.clone() }
    }

    /// Blocks until all threads are joined.
    fn stop(self, ready_file: Option<&Path>) {
        clear_ready_file(ready_file);
        if let Some(admin) = self.admin {
            admin.stop();
        }
        // The reloader, and with it the last but one reference to the others.
        drop(self.reloader);
        match Arc::into_inner(self.azure) {
            Some(azure) => azure.stop(),
            None => tracing::error!("the Azure door is still held and ends with the process"),
        }
        // The admin thread is joined, so this is the last reference to the view.
        match Arc::into_inner(self.view).and_then(|view| Arc::into_inner(view.edge)) {
            Some(edge) => edge.stop(),
            None => tracing::error!("the public port is still held and ends with the process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_taken_says_what_to_do() {
        let address: SocketAddr = "[::1]:80".parse().unwrap();
        let error = |kind, origin| {
            RunError::Bind { key: "listen", origin, address, cause: io::Error::from(kind) }
                .to_string()
        };
        let cases = [
            (
                error(io::ErrorKind::AddrInUse, Origin::Default),
                "cannot listen on [::1]:80 (listen: default): the port is taken\n  `ss -ltnp sport = :80` or \
                 `lsof -i :80` shows by whom; choose another with --listen [::1]:PORT (0 takes any free port)",
            ),
            (
                error(io::ErrorKind::AddrNotAvailable, Origin::Env("TRUNKLINE_LISTEN".into())),
                "cannot listen on [::1]:80 (listen: from TRUNKLINE_LISTEN): this machine has no such address\n  \
                 `ip address` lists them; choose one with --listen",
            ),
            (
                error(io::ErrorKind::PermissionDenied, Origin::Flag("--listen".into())),
                "cannot listen on [::1]:80 (listen: from --listen): not permitted\n  \
                 ports below 1024 need CAP_NET_BIND_SERVICE; choose another with --listen",
            ),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }
}
