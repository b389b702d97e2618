//! All hubs of a node: which one a name or a path belongs to, and which are created while the node
//! runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use trunkline_http::{LogPace, is_hub_name};
use trunkline_token::KeyMark;

use super::nodes::NodeList;
use super::routes::Routes;
use super::{Hub, HubRules, Origin, Trunk, locked};
use crate::{HubConfig, HubStatus};

/// The default hub's path, unless an app server or the configuration sets another.
const DEFAULT_PATH: &str = "/socket.io/";
/// The most hubs that changes of the configuration add to those of the start, in one process. A hub
/// that is removed keeps its place for its return.
const ADDED_MAX: usize = 1_000;
/// The beginning of every hub's own path.
pub(crate) const HUBS_PREFIX: &str = "/clients/socketio/hubs/";

/// All hubs of the node.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The hubs by number. Those of the configuration come first; those created later follow.
    hubs: Box<[OnceLock<Arc<Hub>>]>,
    /// The number at which hubs that are created on request end.
    asked_max: usize,
    /// The numbers of the hubs by their names in lower case.
    by_name: RwLock<HashMap<String, usize>>,
    /// The configuration of hubs that are created on request; only in development.
    template: RwLock<Option<HubConfig>>,
    routes: RwLock<Routes>,
    /// The nodes of the cluster.
    pub(crate) nodes: Arc<NodeList>,
    pub(crate) draining: AtomicBool,
    /// Set when some hub limits what its clients send together; shards look here first.
    flows: AtomicBool,
    /// The time at which a drain that has begun is to end.
    drained_at: Mutex<Option<Instant>>,
    pub(crate) pace: LogPace,
}

impl Directory {
    /// Creates the hubs. `spare` more may be created when an app server with the default hub's key
    /// asks for them.
    pub(crate) fn new(configs: &[HubConfig], default_hub: &str, spare: usize) -> Self {
        let hubs: Box<[OnceLock<Arc<Hub>>]> =
            (0..configs.len() + spare + ADDED_MAX).map(|_| OnceLock::new()).collect();
        let nodes = Arc::<NodeList>::default();
        for ((number, config), place) in configs.iter().enumerate().zip(&hubs) {
            place.get_or_init(|| Arc::new(Hub::new(number, config, &nodes)));
        }
        let by_name = configs.iter().enumerate();
        let by_name = by_name.map(|(number, config)| (config.name.to_ascii_lowercase(), number));
        let by_name: HashMap<String, usize> = by_name.collect();
        let routes = routes_of(configs, default_hub, &by_name);
        let template = default_of(configs, default_hub).filter(|_| spare > 0);
        Self {
            template: RwLock::new(template.cloned()),
            by_name: RwLock::new(by_name),
            hubs,
            asked_max: configs.len() + spare,
            routes: RwLock::new(routes),
            nodes,
            draining: AtomicBool::new(false),
            flows: AtomicBool::new(have_flows(configs)),
            drained_at: Mutex::default(),
            pace: LogPace::default(),
        }
    }

    /// Whether some hub limits what its clients send together.
    pub(crate) fn has_flows(&self) -> bool {
        self.flows.load(Ordering::Relaxed)
    }

    /// Decides whether to log a frequent event, and returns how often it has happened since the
    /// last line.
    pub(crate) fn note(&self, cause: &'static str) -> Option<u64> {
        self.pace.note(cause, Instant::now())
    }

    /// The hub of that name. Names are compared without regard to case.
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Hub>> {
        self.any_by_name(name).filter(|hub| !hub.is_removed())
    }

    /// Like [`Self::by_name`], also when the hub was removed.
    fn any_by_name(&self, name: &str) -> Option<Arc<Hub>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.get(&name.to_ascii_lowercase()).and_then(|number| self.hub(*number)).map(Arc::clone)
    }

    /// What is valid in a hub, if it exists or may be created.
    pub(crate) fn rules_of(&self, name: &str) -> Option<Arc<HubRules>> {
        self.by_name(name).map(|hub| hub.rules()).or_else(|| {
            let template = self.template();
            let template = template.as_ref().filter(|_| is_hub_name(name))?;
            Some(Arc::new(HubRules::of(template)))
        })
    }

    fn template(&self) -> RwLockReadGuard<'_, Option<HubConfig>> {
        self.template.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hub of that name, which is created if that is allowed. Only for callers that have shown
    /// one of its keys.
    pub(crate) fn enter(&self, name: &str) -> Option<Arc<Hub>> {
        if let Some(hub) = self.by_name(name) {
            return Some(hub);
        }
        let template = self.template();
        let template = template.as_ref().filter(|_| is_hub_name(name))?;
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let number = by_name.len();
        let number = *by_name.entry(name.to_ascii_lowercase()).or_insert(number);
        let Some(place) = self.hubs.get(number).filter(|_| number < self.asked_max) else {
            by_name.remove(&name.to_ascii_lowercase());
            drop(by_name);
            if let Some(times) = self.pace.note("spare_hubs_full", Instant::now()) {
                tracing::warn!(
                    times,
                    "hub '{name}' was asked for, but this node has as many hubs as it may in development: restart it"
                );
            }
            return None;
        };
        let config = HubConfig { name: name.to_owned(), paths: Vec::new(), ..template.clone() };
        let hub = place.get_or_init(|| {
            tracing::info!(
                hub = name,
                "a hub came to be, because somebody with the key asked for it"
            );
            Arc::new(Hub::new(number, &config, &self.nodes))
        });
        Some(Arc::clone(hub))
    }

    /// The hub whose clients use this path.
    pub(crate) fn route(&self, path: &str) -> Routed {
        if let Some(rest) = path.strip_prefix(HUBS_PREFIX) {
            let name = rest.split('/').next().unwrap_or(rest);
            return match self.by_name(name) {
                Some(hub) => Routed::Hub(hub),
                None => Routed::UnknownHub(name.chars().take(128).collect()),
            };
        }
        let hub = self.routes.read().unwrap_or_else(PoisonError::into_inner).find(path);
        let hub = hub.and_then(|number| self.hub(number));
        hub.map_or(Routed::Nowhere, |hub| Routed::Hub(Arc::clone(hub)))
    }

    /// Reserves the path of an app server that is about to be accepted for its hub. The error is a
    /// sentence for the app server's log: it names the owner of the path.
    pub(crate) fn claim_path(&self, trunk: &Trunk) -> Result<(), String> {
        if !trunk.is_peer() {
            return Ok(());
        }
        let path = trunk.settings.request_prefix();
        let hub = &trunk.hub;
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let Err(owner) = routes.claim(&path, usize::from(hub.number), trunk.number) else {
            return Ok(());
        };
        drop(routes);
        let owner = self.hub(owner).map_or("", |owner| &*owner.name);
        if let Some(times) = self.pace.note("path_refused", Instant::now()) {
            tracing::warn!(hub = %hub.name, server = %trunk.server_id, address = %trunk.origin, times, "an app server asks for the path {path}, which belongs to hub '{owner}': its clients connect at {HUBS_PREFIX}{}", hub.name);
        }
        Err(format!(
            "the path {path} belongs to hub '{owner}' of this node; clients of hub '{}' connect at {HUBS_PREFIX}{}, or at another path: the option \"path\" of this app server, or `path` in the hub's table of the node's configuration",
            hub.name, hub.name
        ))
    }

    /// Adds an app server, whose settings become its hub's.
    pub(crate) fn trunk_up(&self, trunk: &Arc<Trunk>) {
        trunk.hub.enrol(trunk);
    }

    /// Removes an app server's trunk from its hub.
    pub(crate) fn trunk_down(&self, trunk: &Arc<Trunk>) {
        self.routes.write().unwrap_or_else(PoisonError::into_inner).release(trunk.number);
        trunk.hub.strike_off(trunk);
    }

    /// Whether there is room for the hubs of a changed configuration.
    pub(crate) fn check(&self, configs: &[HubConfig]) -> Result<(), TooManyHubs> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let is_new = |config: &&HubConfig| !by_name.contains_key(&config.name.to_ascii_lowercase());
        let new = configs.iter().filter(is_new).count();
        if by_name.len() + new > self.hubs.len() { Err(TooManyHubs) } else { Ok(()) }
    }

    /// Makes the hubs those of a changed configuration, for which there is room. The trunks of hubs
    /// and keys that are gone have been told to end; their sessions are the shards'.
    pub(crate) fn change(&self, configs: &[HubConfig], default_hub: &str) -> Changes {
        let mut changes = Changes::default();
        self.flows.store(have_flows(configs), Ordering::Relaxed);
        for config in configs {
            let Some(hub) = self.any_by_name(&config.name) else {
                self.create(config);
                continue;
            };
            let keys = hub.change(HubRules::of(config), config.limits);
            if !keys.is_empty() {
                changes.keys.push((hub.number, keys.into()));
            }
        }
        let stays = |hub: &Hub| configs.iter().any(|one| one.name.eq_ignore_ascii_case(&hub.name));
        let spare = self.template().is_some();
        for hub in self.hubs().filter(|hub| !spare && !hub.is_removed() && !stays(hub)) {
            hub.remove();
            changes.removed.push(hub.number);
        }
        {
            let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
            let routes = routes_of(configs, default_hub, &by_name);
            self.routes.write().unwrap_or_else(PoisonError::into_inner).replace_with(routes);
        }
        let mut template = self.template.write().unwrap_or_else(PoisonError::into_inner);
        if template.is_some() {
            *template = default_of(configs, default_hub).cloned();
        }
        changes
    }

    fn create(&self, config: &HubConfig) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let number = by_name.len();
        let Some(place) = self.hubs.get(number) else { return };
        place.get_or_init(|| Arc::new(Hub::new(number, config, &self.nodes)));
        by_name.insert(config.name.to_ascii_lowercase(), number);
    }

    /// All hubs so far, those that were removed as well, in the order of their numbers.
    pub(crate) fn hubs(&self) -> impl Iterator<Item = &Arc<Hub>> {
        self.hubs.iter().map_while(OnceLock::get)
    }

    pub(crate) fn hub(&self, number: usize) -> Option<&Arc<Hub>> {
        self.hubs.get(number)?.get()
    }

    /// The trunks of all hubs.
    pub(crate) fn all_trunks(&self) -> Vec<Arc<Trunk>> {
        self.hubs().flat_map(|hub| hub.trunks()).collect()
    }

    /// A digest of the app servers that have a trunk here, by hub: nodes with the same app servers
    /// have the same one. All zeros: there are none.
    pub(crate) fn app_servers_digest(&self) -> [u8; 8] {
        let outside = self
            .all_trunks()
            .into_iter()
            .filter(|trunk| trunk.ending().is_none() && matches!(trunk.origin, Origin::Outside(_)));
        // Neither the order nor a second trunk of the same app server counts.
        let servers: BTreeSet<(String, String)> =
            outside.map(|trunk| (trunk.hub.name.clone(), trunk.server_id.clone())).collect();
        let mut digest = 0_u64;
        for (hub, server) in &servers {
            digest =
                digest.wrapping_add(fnv1a(hub.bytes().chain([0]).chain(server.bytes())).max(1));
        }
        digest.to_be_bytes()
    }

    /// Tells the app servers that the node drains. A trunk that comes up later is told by its own
    /// task.
    pub(crate) fn begin_drain(&self, deadline: Duration) {
        // Set first: a trunk that comes up now is either in the list or finds this.
        *locked(&self.drained_at) = Some(Instant::now() + deadline);
        for trunk in self.all_trunks() {
            trunk.drain(deadline);
        }
    }

    /// The time that is left of a drain that has begun.
    pub(crate) fn drain_left(&self) -> Option<Duration> {
        let drained_at = *locked(&self.drained_at);
        drained_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn status(&self) -> Vec<HubStatus> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let hubs = self.hubs().enumerate();
        let present = hubs.filter(|(_, hub)| !hub.is_removed());
        present.map(|(number, hub)| hub.status(routes.of_hub(number))).collect()
    }
}

/// What a change of the hubs leaves for the shards to do.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The hubs that are gone.
    pub(crate) removed: Vec<u16>,
    /// The keys that are gone, for each hub that has lost any.
    pub(crate) keys: Vec<(u16, Arc<[KeyMark]>)>,
}

/// More hubs than a running node can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "more than {ADDED_MAX} hubs were added since the node was started: a restart makes room for them"
)]
pub struct TooManyHubs;

fn have_flows(configs: &[HubConfig]) -> bool {
    let mut limits = configs.iter().map(|config| config.limits);
    limits.any(|one| one.messages_per_second.is_some() || one.bytes_per_second.is_some())
}

fn default_of<'a>(configs: &'a [HubConfig], default_hub: &str) -> Option<&'a HubConfig> {
    configs.iter().find(|one| one.name.eq_ignore_ascii_case(default_hub))
}

/// The paths of a configuration, whose hubs have these numbers.
fn routes_of(configs: &[HubConfig], default_hub: &str, by_name: &HashMap<String, usize>) -> Routes {
    let number = |config: &HubConfig| by_name.get(&config.name.to_ascii_lowercase()).copied();
    let paths = configs.iter().filter_map(|config| Some((number(config)?, config)));
    let paths = paths.flat_map(|(hub, config)| config.paths.iter().map(move |p| (hub, &**p)));
    let without_path = default_of(configs, default_hub).filter(|hub| hub.paths.is_empty());
    Routes::new(paths, without_path.and_then(number).map(|hub| (hub, DEFAULT_PATH)))
}

/// The hub of a request's path.
pub(crate) enum Routed {
    Hub(Arc<Hub>),
    UnknownHub(String),
    Nowhere,
}

/// FNV-1a: every build of every node computes the same.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.fold(0xcbf2_9ce4_8422_2325, step)
}
