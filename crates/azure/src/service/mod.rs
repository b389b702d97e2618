//! The I/O around the hubs' machines: one thread, with a task per hub and a task per tunnel.

mod answer;
mod door;
mod hubs;
mod inner_trunk;
mod nodes;
mod outgoing;
mod reloading;
mod run;
mod spare;
mod token;
mod tunnel;
mod webhooks;

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use door::Body;
pub use door::Door;
pub use reloading::Reload;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::LocalSet;
use trunkline_http::Ceiling;
use trunkline_mesh::PeerKey;
use trunkline_token::MarkedKey;
pub use trunkline_token::{Names, Secret};
pub use webhooks::Serverless;

use self::hubs::{HubHandle, Inbox};
use self::spare::Spare;
use self::webhooks::Webhooks;
use crate::hub;
use crate::identity::{self, Identity, IdentityProvider};
use crate::metrics::Metrics;

/// The number of this door among nodes.
const DOOR: u8 = 1;
/// Namespaces that the inner trunk names, unless the node allows fewer.
const NAMESPACES_MAX: usize = 100_000;

/// The settings of the Azure door.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hubs of the node.
    pub hubs: Vec<HubConfig>,
    /// For development only: how many further hubs are created on demand, for callers with the
    /// default hub's key.
    pub spare_hubs: usize,
    /// The hub whose key that is.
    pub default_hub: String,
    /// The node's name for app servers: host and port.
    pub origin: String,
    /// Other names of the node, which audiences of tokens may contain.
    pub names: Names,
    /// How long an app server that closed its tunnel may take to open another.
    pub reconnect_grace: Duration,
    /// The longest message that the node accepts from a client, even if an app allows more.
    pub message_bytes_max: u32,
    /// How many clients of a lost app server are closed per second.
    pub orphan_close_per_second: u32,
    /// The limits for requests to identity providers.
    pub identity: identity::Limits,
    /// Namespaces that a trunk may name before the node ends it.
    pub trunk_namespaces_max: usize,
}

/// The settings of one hub.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The name, unique without regard to case.
    pub name: String,
    /// Each of these keys authorises; the first one signs.
    pub keys: Vec<Secret>,
    /// Present when webhooks serve the hub while it has no app server.
    pub serverless: Option<Serverless>,
    /// Identity providers whose tokens authorise in addition to those that the keys sign.
    pub identity_providers: Vec<IdentityProvider>,
}

/// What the node's edge does for this door.
pub trait Edge: std::fmt::Debug + Send + Sync {
    /// Opens an inner trunk for a hub, which never leaves the process, and returns our end, in
    /// non-blocking mode.
    ///
    /// # Errors
    ///
    /// The node has no descriptor left, or stops.
    fn open(&self, hub: &str) -> io::Result<UnixStream>;

    /// Sends a word to the same hub at another node of the cluster. False: it is dropped.
    fn say(&self, to: PeerKey, door: u8, hub: &str, number: u32, word: Bytes) -> bool;
}

/// The running Azure door.
#[derive(Debug)]
pub struct Service {
    stopping: watch::Sender<bool>,
    thread: JoinHandle<()>,
    /// Receives a message for each hub's first inner trunk.
    trunk_up: Mutex<std::sync::mpsc::Receiver<()>>,
    /// The number of hubs that need no app server to serve clients.
    serverless: usize,
    parts: reloading::Parts,
}

/// Starts the thread. The public port gives requests to the returned [`Door`]; the [`Service`] stops
/// the thread.
///
/// # Errors
///
/// The system has no thread or descriptor left.
pub fn start(
    config: &Config,
    metrics: &Metrics,
    edge: Arc<dyn Edge>,
    ceiling: Ceiling,
) -> io::Result<(Door, Service)> {
    let (stopping, stop) = watch::channel(false);
    let (tasks_of_new, asked_for) = unbounded_channel();
    let spare = Spare::new(config, metrics, &edge, &tasks_of_new);
    let (announce, trunk_up) = std::sync::mpsc::sync_channel(config.hubs.len());
    let mut handles = Vec::new();
    for hub in &config.hubs {
        let (handle, mut made) = make(config, hub, metrics, &edge)?;
        handles.push(Arc::new(handle));
        if hub.serverless.is_some() {
            made.announce_trunk(announce.clone());
        }
        // Its receiver is below.
        let _ = tasks_of_new.send(made);
    }
    let built = runtime::Builder::new_current_thread().enable_all().build()?;
    let spawner = built.handle().clone();
    let thread = thread::Builder::new().name("azure".into()).spawn(move || {
        let local = LocalSet::new();
        local.spawn_local(start_tasks(asked_for, stop));
        built.block_on(local);
    })?;
    let tag = u32::from_ne_bytes(*random()?.first_chunk().expect("there are more"));
    let door = Door::new(config, handles, spare, metrics.clone(), ceiling, (spawner, tag));
    let serverless = config.hubs.iter().filter(|hub| hub.serverless.is_some()).count();
    let parts = reloading::Parts::new(config, door.clone(), metrics, edge, tasks_of_new);
    let trunk_up = Mutex::new(trunk_up);
    Ok((door, Service { stopping, thread, trunk_up, serverless, parts }))
}

/// A hub's task, and the tasks that fetch the keys of its identity providers.
struct Made {
    task: Option<Box<run::Task>>,
    fetches: Option<identity::Fetching>,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").finish_non_exhaustive()
    }
}

impl Made {
    fn announce_trunk(&mut self, announce: std::sync::mpsc::SyncSender<()>) {
        if let Some(task) = &mut self.task {
            task.announce_trunk(announce);
        }
    }
}

/// Starts the tasks of hubs, until told to stop.
async fn start_tasks(mut asked_for: UnboundedReceiver<Made>, mut stop: watch::Receiver<bool>) {
    loop {
        let made = tokio::select! {
            made = asked_for.recv() => made,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some(Made { task, fetches }) = made else { return };
        if let Some(fetches) = fetches {
            fetches.spawn(&stop);
        }
        if let Some(task) = task {
            tokio::task::spawn_local(task.run(stop.clone()));
        }
    }
}

/// Makes a hub: the way to its task, and its tasks.
fn make(
    config: &Config,
    hub: &HubConfig,
    metrics: &Metrics,
    edge: &Arc<dyn Edge>,
) -> io::Result<(HubHandle, Made)> {
    let (inbox, received) = Inbox::new();
    let (identity, fetches) =
        Identity::new(&hub.name, &hub.identity_providers, &config.identity, &metrics.identity)
            .map_err(io::Error::other)?;
    let handle = HubHandle::new(hub, identity, inbox);
    let machine = hub::Hub::new(settings(config, hub), metrics.clone(), random()?);
    let webhooks = Webhooks::new(config, hub, metrics).map_err(io::Error::other)?;
    let task = run::Task::new(machine, received, Arc::clone(edge), &hub.name, webhooks);
    let task = task.with_keys(handle.keys.iter().map(MarkedKey::mark).collect());
    Ok((handle, Made { task: Some(Box::new(task)), fetches: Some(fetches) }))
}

/// Random bytes that cannot be guessed.
fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// The settings of a hub's machine. Those that an operator cannot change are fixed here.
fn settings(config: &Config, hub: &HubConfig) -> hub::Settings {
    hub::Settings {
        name: hub.name.clone(),
        keys: hub.keys.clone(),
        origin: config.origin.clone(),
        reconnect_grace: config.reconnect_grace,
        answer_timeout: Duration::from_secs(60),
        crowding_timeout: Duration::from_secs(10),
        crowding_bytes: u64::from(inner_trunk::CREDIT_WINDOW_BYTES) / 4,
        status_interval: Duration::from_secs(30),
        orphan_close_per_second: config.orphan_close_per_second,
        message_bytes_max: config.message_bytes_max,
        undelivered_bytes_max: 4 << 20,
        invoke_timeout: Duration::from_secs(300),
        namespaces_max: config.trunk_namespaces_max.min(NAMESPACES_MAX),
        serverless: hub.serverless.as_ref().map(Serverless::settings),
    }
}

impl Service {
    /// Waits at most `most` until hubs that need no app server can serve clients. False: they
    /// cannot yet.
    pub fn wait_for_trunks(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let trunk_up = self.trunk_up.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |_| {
            let left = until.saturating_duration_since(Instant::now());
            trunk_up.recv_timeout(left).is_ok()
        };
        (0..self.serverless).all(wait)
    }

    /// Ends all tunnels and waits for the thread.
    pub fn stop(self) {
        // The tasks may have ended by themselves.
        let _ = self.stopping.send(true);
        // A panic of that thread has been reported by the panic hook.
        let _ = self.thread.join();
    }
}
