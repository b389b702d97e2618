//! Starts the threads of a configuration, and stops them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use trunkline_http::Ceiling;
use trunkline_token::Names;

use crate::changing::{Changing, Shared};
use crate::cluster::{self, Cluster, ClusterConfig};
use crate::compressor::Compressor;
use crate::door::Door;
use crate::entrance::{Entrance, Port, Streams};
use crate::environment::Environment;
use crate::gate::Gate;
use crate::http;
use crate::hub::{Directory, Ending, NodeListing};
use crate::inside::Inside;
use crate::memory::Memory;
use crate::metrics::{Carrier, Metrics};
use crate::numbers::Numbers;
use crate::peer::PortKind;
use crate::pulse::Pulse;
use crate::reloading::MemoryCeiling;
use crate::shard::{self, Arrival, Command, LocalShard};
use crate::trunks;
use crate::voucher::Voucher;
use crate::{BindError, Config, Full, StartError, Status};
use trunkline_http::SideDoor;

/// Commands that may wait for one shard; then senders wait.
const INBOX_COMMANDS_MAX: usize = 4096;

/// The public port, bound but not yet accepting.
#[derive(Debug)]
pub struct Edge {
    config: Config,
    pub(crate) entrance: Entrance,
    address: SocketAddr,
    memory: Memory,
    metrics: Metrics,
    side_doors: Vec<Arc<dyn SideDoor>>,
    voucher: Option<Arc<dyn Voucher>>,
    cluster: Option<ClusterConfig>,
}

impl Edge {
    /// Binds the public port.
    ///
    /// # Errors
    ///
    /// The address is taken, not this machine's, or not allowed.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let bind = |kind, address| {
            let trunks = kind == PortKind::Trunks;
            let tls = if trunks { &config.trunk_tls } else { &config.tls };
            let proxy_header = !trunks && config.addresses.proxy_protocol;
            let port = Port::bind(kind, address, proxy_header);
            let port = port.map(|port| port.with_tls(tls.clone()));
            port.map_err(|source| BindError { address, trunks, source })
        };
        let port = bind(PortKind::Public, config.listen)?;
        let address = port.address;
        let trunks = config.trunk_listen.map(|address| bind(PortKind::Trunks, address));
        let ports = [Some(port), trunks.transpose()?].into_iter().flatten().collect();
        let memory = Memory::new(config.limits.memory_bytes_max, config.heap_bytes);
        Ok(Self {
            memory,
            config,
            entrance: Entrance::new(ports),
            address,
            metrics: Metrics::default(),
            side_doors: Vec::new(),
            voucher: None,
            cluster: None,
        })
    }

    /// The memory ceiling, for other parts of the process that read bodies.
    pub fn ceiling(&self) -> Ceiling {
        let memory = self.memory.clone();
        let metrics = self.metrics.clone();
        Ceiling::new(move || memory.is_full(&metrics))
    }

    /// The memory ceiling, as it may change.
    pub fn memory_ceiling(&self) -> MemoryCeiling {
        MemoryCeiling(self.memory.clone())
    }

    /// The address that was actually bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The names by which tokens may address this node.
    pub fn names(&self) -> Names {
        let names = self.config.names.clone();
        names.unwrap_or_else(|| Names::of_listener(self.address))
    }

    /// Counters and gauges of this edge.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Adds another service on the public port.
    pub fn add_side_door(&mut self, door: Arc<dyn SideDoor>) {
        self.side_doors.push(door);
    }

    /// Sets the voucher, which verifies clients' tokens before the hubs' keys do.
    pub fn set_voucher(&mut self, voucher: Arc<dyn Voucher>) {
        self.voucher = Some(voucher);
    }

    /// Makes the node one of a cluster. Its number is what the cluster says, and it takes no new
    /// sessions before it has one.
    pub fn set_cluster(&mut self, cluster: ClusterConfig) {
        self.cluster = Some(cluster);
    }

    /// Starts the acceptor and the shards.
    ///
    /// # Errors
    ///
    /// The system has no thread or descriptor left.
    pub fn start(self) -> Result<Running, StartError> {
        let names = self.names();
        let Self { config, entrance, address, memory, metrics, side_doors, voucher, cluster } =
            self;
        let (handle, inputs) = cluster.is_some().then(Cluster::new).unzip();
        let threads = config.threads.clamp(1, 256);
        let fail = |source| StartError { what: "a compressor", source };
        let compressor = Compressor::start(threads, metrics.clone()).map_err(fail)?;
        let env = Arc::new(Environment {
            node_id: config.node_id,
            numbers: Numbers::new(cluster.is_none().then_some(config.node_number)),
            version: config.version,
            directory: Directory::new(&config.hubs, &config.default_hub, config.spare_hubs),
            io_uring: config.io_uring,
            memory,
            compressor,
            gate: Arc::new(Gate::new(&config.addresses, &config.limits)),
            limits: Changing::new(config.limits),
            metrics: metrics.clone(),
            names: Shared::new(names),
            side_doors,
            trunk_port: config.trunk_listen.is_some(),
            voucher,
            cluster: handle,
            sessions: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            origin: Instant::now(),
        });
        metrics.belong_to(&env);
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mpsc::channel(INBOX_COMMANDS_MAX)).unzip();
        let shards: Arc<[Sender<Command>]> = Arc::from(inboxes);
        let mut running = Running {
            env: Arc::clone(&env),
            shards: Arc::clone(&shards),
            pulses: (0..threads).map(|_| Arc::default()).collect(),
            entrance,
            address,
            streams: Streams::new(PortKind::Public, &env.limits, &env.gate, metrics.clone()),
            trunk_streams: Streams::new(PortKind::Trunks, &env.limits, &env.gate, metrics),
            threads: Vec::with_capacity(threads + 2),
            cluster: None,
        };
        for (index, inbox) in receivers.into_iter().enumerate() {
            let index = u8::try_from(index).expect("threads are clamped");
            let handle = spawn_shard(index, inbox, &shards, &env)?;
            running.threads.push(handle);
        }
        if let (Some(config), Some(inputs)) = (cluster, inputs) {
            let shards = Arc::clone(&shards);
            let parts = cluster::Parts { config, inputs, env: Arc::clone(&env), shards };
            let fail = |source| StartError { what: "the cluster's thread", source };
            running.cluster = Some(cluster::spawn(parts).map_err(fail)?);
        }
        let acceptors = running.entrance.open(
            &running.shards,
            |kind| match kind {
                PortKind::Public => Arc::clone(&running.streams),
                PortKind::Trunks => Arc::clone(&running.trunk_streams),
            },
            &env,
        )?;
        running.threads.extend(acceptors);
        Ok(running)
    }
}

fn spawn_shard(
    index: u8,
    inbox: Receiver<Command>,
    shards: &Arc<[Sender<Command>]>,
    env: &Arc<Environment>,
) -> Result<JoinHandle<()>, StartError> {
    let fail = |source| StartError { what: "a shard", source };
    let count = u32::try_from(shards.len()).expect("threads are clamped");
    let peers = Arc::clone(shards);
    let env = Arc::clone(env);
    // Built on the thread itself, because nothing in a shard may leave its thread.
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let handle = thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || {
            let built = LocalShard::start(index, count, Arc::clone(&env)).and_then(|shard| {
                Ok((shard, runtime::Builder::new_current_thread().enable_all().build()?))
            });
            let (shard, runtime) = match built {
                Ok(built) => built,
                Err(error) => {
                    // The starter waits for this result.
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            let _guard = AbortOnPanic;
            let shard = Rc::new(shard);
            let local = LocalSet::new();
            let served = local.block_on(&runtime, async {
                let door = Door::new(Rc::clone(&shard), peers, env);
                shard::run(shard, inbox, |arrival| serve(&door, arrival)).await
            });
            if let Err(error) = served {
                // The panic hook waits for the line to be written before the guard ends the
                // process.
                panic!("a shard cannot go on; the node ends: {error}");
            }
        })
        .map_err(fail)?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(error)) => Err(fail(error)),
        Err(_) => Err(fail(io::Error::other("its thread ended"))),
    }
}

/// Serves a new stream in a task of this thread.
fn serve(door: &Door, arrival: Arrival) {
    match arrival {
        Arrival::Again { socket, from, permit } => {
            http::serve_again(door.clone(), socket, from, permit);
        }
        Arrival::Client { socket, from, permit } => {
            http::serve(door.clone(), socket, from, permit);
        }
        Arrival::Trunk { hub, socket } => {
            spawn_local(trunks::run_inside(door.clone(), hub, socket));
        }
    }
}

/// Ends the process when a shard panics: without it, the node would silently lose a part of its
/// streams.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// The longest time that a stopping node waits for its app servers to confirm.
const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// The shortest such time, when the time of the drain is over.
const GOODBYE_MIN: Duration = Duration::from_millis(250);

/// A serving edge.
#[derive(Debug)]
pub struct Running {
    pub(crate) env: Arc<Environment>,
    shards: Arc<[Sender<Command>]>,
    pulses: Vec<Arc<Pulse>>,
    pub(crate) entrance: Entrance,
    pub(crate) address: SocketAddr,
    pub(crate) streams: Arc<Streams>,
    /// Those of the port for app servers.
    pub(crate) trunk_streams: Arc<Streams>,
    threads: Vec<JoinHandle<()>>,
    /// The cluster's thread.
    cluster: Option<JoinHandle<()>>,
}

impl Running {
    /// The entrance for app servers that are parts of this process.
    pub fn inside(&self) -> Inside {
        Inside::new(&self.env, &self.shards)
    }

    /// The way to tell app servers of the nodes of the cluster.
    pub fn node_listing(&self) -> NodeListing {
        NodeListing(Arc::clone(&self.env))
    }

    /// The shards that do not answer within this time.
    pub fn silent_shards(
        &self,
        longest: Duration,
    ) -> impl Future<Output = Vec<usize>> + Send + use<> {
        let shards = self.shards.iter().cloned().zip(self.pulses.iter().map(Arc::clone));
        let shards: Vec<_> = shards.enumerate().collect();
        async move {
            let mut asked = JoinSet::new();
            for (index, (shard, pulse)) in shards {
                asked.spawn(async move { (index, pulse.ask(shard, longest).await) });
            }
            let mut silent: Vec<usize> = asked
                .join_all()
                .await
                .into_iter()
                .filter_map(|(index, answers)| (!answers).then_some(index))
                .collect();
            silent.sort_unstable();
            silent
        }
    }

    /// The number for this node's new sids; `None` before it has joined its cluster.
    pub fn node_number(&self) -> Option<u16> {
        self.env.numbers.present()
    }

    /// What is connected at present.
    pub fn status(&self) -> Status {
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Status {
            draining: self.env.directory.draining.load(Ordering::Relaxed),
            sessions: self.env.sessions_total(),
            sessions_per_shard: self.env.sessions.iter().map(count).collect(),
            hubs: self.env.directory.status(),
        }
    }

    /// The limits that refuse new sessions at present.
    pub fn full(&self) -> Full {
        let Environment { memory, metrics, .. } = &*self.env;
        let (sessions, streams) = (self.sessions_of_limit(), self.streams_of_limit());
        Full {
            memory: memory.is_full(metrics),
            sessions: sessions.0 >= sessions.1,
            streams: streams.0 >= streams.1,
        }
    }

    /// The sessions, including those that are being opened or closed, and the most that may be.
    pub fn sessions_of_limit(&self) -> (usize, usize) {
        (self.env.sessions_total(), self.env.limits.sessions_max)
    }

    /// Connected clients, and handshakes under way. Sessions whose end an app server has not
    /// confirmed are not included, because an app server that hangs never does.
    pub fn sessions(&self) -> usize {
        let metrics = &self.env.metrics;
        let open = ["polling", "websocket"].map(|transport| {
            let open = metrics.sessions.get_or_create(&Carrier { transport }).get();
            usize::try_from(open).unwrap_or(0)
        });
        let pending =
            self.env.directory.all_trunks().iter().map(|trunk| trunk.pending()).sum::<usize>();
        open.iter().sum::<usize>() + pending
    }

    /// Refuses new sessions and new trunks from now on.
    pub fn refuse_newcomers(&self) {
        self.env.directory.draining.store(true, Ordering::Relaxed);
        if let Some(cluster) = &self.env.cluster {
            cluster.drain();
        }
    }

    /// Notifies the app servers, and closes sessions at an even pace until the deadline.
    pub fn begin_drain(&self, deadline: Duration) {
        self.env.directory.begin_drain(deadline);
        self.tell_all(|| Command::Drain(deadline));
    }

    /// Ends all sessions and trunks at once and waits for the threads.
    pub fn stop(mut self) {
        self.entrance.close();
        // The time for a drain includes this wait.
        let goodbye =
            self.env.directory.drain_left().unwrap_or(GOODBYE_MAX).clamp(GOODBYE_MIN, GOODBYE_MAX);
        let now = Instant::now();
        let until = now + goodbye;
        // App servers confirm the ends of their last sessions, except those that hang.
        while self.env.sessions_total() > 0 && Instant::now() < until.min(now + GOODBYE_MIN) {
            thread::sleep(Duration::from_millis(5));
        }
        for trunk in self.env.directory.all_trunks() {
            trunk.end(Ending::NodeStops);
        }
        while !self.env.directory.all_trunks().is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        if let (Some(cluster), Some(thread)) = (&self.env.cluster, self.cluster.take()) {
            cluster.stop();
            // The panic hook has reported a panic of that thread.
            let _ = thread.join();
        }
        self.tell_all(|| Command::Stop);
        for handle in self.threads {
            // The panic hook has reported a panic of that thread.
            let _ = handle.join();
        }
        self.env.compressor.stop();
    }

    pub(crate) fn tell_all(&self, command: impl Fn() -> Command) {
        for shard in &*self.shards {
            // A shard that has ended needs no command.
            let _ = shard.blocking_send(command());
        }
    }
}

#[cfg(test)]
mod tests;
