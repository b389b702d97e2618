//! Hubs: which one a path means, which app servers each has, and who gets the next session.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use bytes::BytesMut;
use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;
use trunkline_http::LogPace;
use trunkline_http::is_hub_name;
use trunkline_switchboard::ServerKey;
use trunkline_switchboard::affinity::{self, Candidate, Cursor, Standing};
use trunkline_trunk::Str;
use trunkline_trunk::encode::{encode_peers, encode_relayed};
use trunkline_trunk::settings::EngineSettings;

use crate::limits::Limits;
use crate::routes::Routes;
use crate::shard::Unavailable;
use crate::sid::Sid;
use crate::trunks::{Precedence, Trunk, TrunkNumber};
use crate::{AppServerStatus, HubConfig, HubStatus, Secret};

/// The default hub's, where nothing else is said.
const DEFAULT_PATH: &str = "/socket.io/";
/// Every hub's own path begins so.
pub(crate) const HUBS_PREFIX: &str = "/clients/socketio/hubs/";

/// All hubs of the node. Locks are held for a lookup or an update only, never across an await.
#[derive(Debug)]
pub(crate) struct Directory {
    /// By number. The first ones are there; those that come to be take the next.
    hubs: Box<[OnceLock<Arc<Hub>>]>,
    /// Numbers by the name in lower case.
    by_name: RwLock<HashMap<String, usize>>,
    /// What a hub is made like that somebody asks for: only in development.
    template: Option<HubConfig>,
    routes: RwLock<Routes>,
    pub(crate) draining: AtomicBool,
    pub(crate) pace: LogPace,
}

/// One isolated application.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) name: String,
    pub(crate) number: u16,
    pub(crate) keys: Vec<Secret>,
    /// No client is served without a good token.
    pub(crate) tokens_required: bool,
    /// Trunks over streams, those before their `Hello` included.
    trunks_open: AtomicUsize,
    state: Mutex<State>,
    pub(crate) precedence: Precedence,
    /// Sids that the app made itself (`generateId`); ours need no table.
    custom_sids: Mutex<HashMap<String, Sid>>,
    /// False until the first of them: then the table is not asked at all.
    has_custom_sids: AtomicBool,
    /// Which shard keeps the socket with a private id for its return.
    kept: Mutex<HashMap<Box<str>, u8>>,
    handshakes_refused: LogPace,
    sessions_dropped: LogPace,
}

#[derive(Debug, Default)]
struct State {
    trunks: Vec<Arc<Trunk>>,
    cursor: Cursor,
    request_cursor: Cursor,
    /// The latest app server's; Socket.IO's defaults until one came.
    settings: Arc<EngineSettings>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding one of these leaves nothing half-done: each critical section is one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Directory {
    /// `spare` more hubs may come to be when an app server that has the default hub's key asks for them.
    pub(crate) fn new(configs: &[HubConfig], default_hub: &str, spare: usize) -> Self {
        let hubs: Box<[OnceLock<Arc<Hub>>]> =
            (0..configs.len() + spare).map(|_| OnceLock::new()).collect();
        for ((number, config), place) in configs.iter().enumerate().zip(&hubs) {
            place.get_or_init(|| Arc::new(Hub::new(number, config)));
        }
        let paths = configs.iter().enumerate();
        let paths = paths.flat_map(|(hub, config)| config.paths.iter().map(move |p| (hub, &**p)));
        let default = configs.iter().position(|one| one.name.eq_ignore_ascii_case(default_hub));
        let without_path = default.filter(|hub| configs[*hub].paths.is_empty());
        let routes = Routes::new(paths, without_path.map(|hub| (hub, DEFAULT_PATH)));
        let by_name = configs.iter().enumerate();
        let by_name = by_name.map(|(number, config)| (config.name.to_ascii_lowercase(), number));
        Self {
            by_name: RwLock::new(by_name.collect()),
            template: default.map(|hub| configs[hub].clone()).filter(|_| spare > 0),
            hubs,
            routes: RwLock::new(routes),
            draining: AtomicBool::new(false),
            pace: LogPace::default(),
        }
    }

    /// Hub names are compared without regard to case.
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Hub>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.get(&name.to_ascii_lowercase()).and_then(|number| self.hub(*number)).map(Arc::clone)
    }

    /// The keys that open a hub, if it is there or may come to be.
    pub(crate) fn keys_of(&self, name: &str) -> Option<Vec<Secret>> {
        self.by_name(name).map(|hub| hub.keys.clone()).or_else(|| {
            let template = self.template.as_ref().filter(|_| is_hub_name(name))?;
            Some(template.keys.clone())
        })
    }

    /// The hub of that name, which comes to be if it may. Only for callers that have shown a key of it.
    pub(crate) fn enter(&self, name: &str) -> Option<Arc<Hub>> {
        if let Some(hub) = self.by_name(name) {
            return Some(hub);
        }
        let template = self.template.as_ref().filter(|_| is_hub_name(name))?;
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let number = by_name.len();
        let number = *by_name.entry(name.to_ascii_lowercase()).or_insert(number);
        let Some(place) = self.hubs.get(number) else {
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
            Arc::new(Hub::new(number, &config))
        });
        Some(Arc::clone(hub))
    }

    /// Which hub's clients come to this path.
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

    /// Gives the path of an app server that is about to be taken to its hub, or says whose it is: a sentence for the log
    /// of the app server.
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

    /// An app server of the hub is there, with these settings.
    pub(crate) fn trunk_up(&self, trunk: &Arc<Trunk>) {
        {
            let mut state = locked(&trunk.hub.state);
            state.trunks.push(Arc::clone(trunk));
            state.settings = Arc::new(trunk.settings.clone());
        }
        trunk.hub.announce_peers();
    }

    /// An app server of the hub has other options than before.
    pub(crate) fn settings_changed(hub: &Hub, settings: &Arc<EngineSettings>) {
        locked(&hub.state).settings = Arc::clone(settings);
    }

    pub(crate) fn trunk_down(&self, trunk: &Arc<Trunk>) {
        self.routes.write().unwrap_or_else(PoisonError::into_inner).release(trunk.number);
        locked(&trunk.hub.state).trunks.retain(|other| !Arc::ptr_eq(other, trunk));
        trunk.hub.announce_peers();
    }

    /// The hubs that are there, in the order of their numbers.
    pub(crate) fn hubs(&self) -> impl Iterator<Item = &Arc<Hub>> {
        self.hubs.iter().map_while(OnceLock::get)
    }

    pub(crate) fn hub(&self, number: usize) -> Option<&Arc<Hub>> {
        self.hubs.get(number)?.get()
    }

    /// How many hubs there may be.
    pub(crate) fn hubs_max(&self) -> usize {
        self.hubs.len()
    }

    pub(crate) fn all_trunks(&self) -> Vec<Arc<Trunk>> {
        self.hubs().flat_map(|hub| locked(&hub.state).trunks.clone()).collect()
    }

    pub(crate) fn status(&self) -> Vec<HubStatus> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let hubs = self.hubs().enumerate();
        hubs.map(|(number, hub)| hub.status(routes.of_hub(number))).collect()
    }
}

pub(crate) enum Routed {
    Hub(Arc<Hub>),
    UnknownHub(String),
    Nowhere,
}

impl Hub {
    fn new(number: usize, config: &HubConfig) -> Self {
        Self {
            name: config.name.clone(),
            number: u16::try_from(number).unwrap_or(u16::MAX),
            keys: config.keys.clone(),
            tokens_required: config.tokens_required,
            state: Mutex::default(),
            precedence: Precedence::default(),
            custom_sids: Mutex::default(),
            has_custom_sids: AtomicBool::new(false),
            kept: Mutex::default(),
            trunks_open: AtomicUsize::new(0),
            handshakes_refused: LogPace::default(),
            sessions_dropped: LogPace::default(),
        }
    }

    /// The app server with the fewest sessions among those that take new ones and answer; its count goes up by one.
    pub(crate) fn pick(&self, limits: &Limits, now: Timestamp) -> Result<Arc<Trunk>, NoAppServer> {
        self.pick_beside(limits, now, &[])
    }

    /// An app server that does not hang, for a handshake that those named have not answered.
    pub(crate) fn pick_other(
        &self,
        limits: &Limits,
        now: Timestamp,
        tried: &[TrunkNumber],
    ) -> Option<Arc<Trunk>> {
        let trunk = self.pick_beside(limits, now, tried).ok()?;
        if trunk.standing(now, limits.patience()) == Standing::Ejected {
            trunk.session_removed();
            return None;
        }
        Some(trunk)
    }

    fn pick_beside(
        &self,
        limits: &Limits,
        now: Timestamp,
        tried: &[TrunkNumber],
    ) -> Result<Arc<Trunk>, NoAppServer> {
        let mut state = locked(&self.state);
        let State { trunks, cursor, .. } = &mut *state;
        let mut busy = false;
        let open = |trunk: &&Arc<Trunk>| !trunk.is_draining() && !tried.contains(&trunk.number);
        let candidates = trunks.iter().filter(open).filter(|trunk| {
            let fits = trunk.pending() < limits.handshakes_pending_max
                && trunk.is_usable(limits.trunk_unread_bytes_max);
            busy |= !fits;
            fits
        });
        let patience = limits.patience();
        let candidates = candidates.map(|trunk| Candidate {
            server: ServerKey(trunk.number),
            standing: trunk.standing(now, patience),
            load: trunk.sessions_u32(),
        });
        let picked = affinity::pick(cursor, candidates)
            .and_then(|key| trunks.iter().find(|trunk| trunk.number == key.0));
        match picked {
            Some(trunk) => {
                trunk.session_added();
                Ok(Arc::clone(trunk))
            }
            None if busy => Err(NoAppServer::Busy),
            None => Err(NoAppServer::None),
        }
    }

    /// What the hub's handshakes are checked against.
    pub(crate) fn settings(&self) -> Arc<EngineSettings> {
        Arc::clone(&locked(&self.state).settings)
    }

    /// An app server for a request that opens no session: they take turns, those that hang come last, and one that is
    /// about to leave is asked only where no other is.
    pub(crate) fn pick_for_request(
        &self,
        limits: &Limits,
        now: Timestamp,
        tried: &[TrunkNumber],
    ) -> Result<Arc<Trunk>, NoAppServer> {
        let mut state = locked(&self.state);
        let State { trunks, request_cursor, .. } = &mut *state;
        let usable = |one: &&Arc<Trunk>| {
            one.is_usable(limits.trunk_unread_bytes_max) && !tried.contains(&one.number)
        };
        let patience = limits.patience();
        let mut pick = |draining| {
            let candidates =
                trunks.iter().filter(usable).filter(|one| one.is_draining() == draining);
            let candidates = candidates.map(|trunk| Candidate {
                server: ServerKey(trunk.number),
                standing: trunk.standing(now, patience),
                load: u32::try_from(trunk.requests_pending()).unwrap_or(u32::MAX),
            });
            affinity::pick(request_cursor, candidates)
        };
        let picked = pick(false).or_else(|| pick(true));
        match picked.and_then(|key| trunks.iter().find(|trunk| trunk.number == key.0)) {
            Some(trunk) => Ok(Arc::clone(trunk)),
            None if trunks.is_empty() => Err(NoAppServer::None),
            None => Err(NoAppServer::Busy),
        }
    }

    pub(crate) fn trunk_of_number(&self, number: TrunkNumber) -> Option<Arc<Trunk>> {
        locked(&self.state).trunks.iter().find(|trunk| trunk.number == number).map(Arc::clone)
    }

    /// Another trunk of the same app server process, if one is there.
    pub(crate) fn trunk_of_server(&self, server_id: &str) -> Option<Arc<Trunk>> {
        locked(&self.state).trunks.iter().find(|trunk| trunk.server_id == server_id).map(Arc::clone)
    }

    /// Logs that a handshake was refused.
    pub(crate) fn note_refused(&self, why: Unavailable) {
        tracing::debug!(hub = %self.name, cause = why.slug(), "handshake refused with 503");
        if why == Unavailable::Draining {
            return; // Every one is, and the drain itself is in the log.
        }
        if let Some(refused) = self.handshakes_refused.note(why.slug(), Instant::now()) {
            tracing::warn!(hub = %self.name, refused, cause = why.slug(), "handshakes refused with 503: {why}");
        }
    }

    /// Logs that a session was closed because its client had too much waiting for it.
    pub(crate) fn note_dropped(&self, reason: CloseReason, waiting_bytes: usize) {
        let cause = reason.slug();
        tracing::debug!(hub = %self.name, cause, waiting_bytes, "session closed");
        if let Some(closed) = self.sessions_dropped.note(cause, Instant::now()) {
            let why = if reason == CloseReason::MemoryFull {
                "the node uses as much memory as it may, and much waited for these clients"
            } else {
                "more than outbox_bytes_max waited for these clients, and they took too little of it"
            };
            tracing::warn!(hub = %self.name, closed, cause, "sessions closed: {why}");
        }
    }

    pub(crate) fn remember_custom_sid(&self, text: &str, sid: Sid) -> bool {
        let mut sids = locked(&self.custom_sids);
        if sids.contains_key(text) {
            return false;
        }
        sids.insert(text.to_owned(), sid);
        self.has_custom_sids.store(true, Ordering::Relaxed);
        true
    }

    pub(crate) fn forget_custom_sid(&self, text: &str) {
        locked(&self.custom_sids).remove(text);
    }

    /// Reads a sid that a client sent, whoever made it. `None` also for one that names a shard that this node, which
    /// has `shards` of them, does not have: it is of another node, or made up.
    pub(crate) fn resolve_sid(&self, text: &str, shards: usize) -> Option<Sid> {
        if self.has_custom_sids.load(Ordering::Relaxed)
            && let Some(sid) = locked(&self.custom_sids).get(text)
        {
            return Some(*sid);
        }
        Sid::parse(text).filter(|sid| usize::from(sid.shard) < shards)
    }

    pub(crate) fn kept_by(&self, pid: &str, shard: u8) {
        locked(&self.kept).insert(pid.into(), shard);
    }

    /// The shard keeps these no more; another may have them since.
    pub(crate) fn forget_kept(&self, pids: &[Box<str>], shard: u8) {
        if pids.is_empty() {
            return;
        }
        let mut kept = locked(&self.kept);
        for pid in pids {
            if kept.get(pid) == Some(&shard) {
                kept.remove(pid);
            }
        }
    }

    pub(crate) fn keeper_of(&self, pid: &str) -> Option<u8> {
        locked(&self.kept).get(pid).copied()
    }

    /// Hands a payload of one app server to others: those named, or all but itself.
    pub(crate) fn relay(
        &self,
        from: &str,
        to: &[Str],
        payload: &[u8],
        unread_bytes_max: usize,
    ) -> Relayed {
        let mut frame = BytesMut::new();
        encode_relayed(&mut frame, from, payload);
        let trunks = locked(&self.state).trunks.clone();
        let mut relayed = Relayed::default();
        let wanted = |trunk: &&Arc<Trunk>| {
            trunk.is_peer()
                && trunk.server_id != from
                && (to.is_empty() || to.iter().any(|name| **name == *trunk.server_id))
        };
        for trunk in trunks.iter().filter(wanted) {
            if trunk.push_bounded(&frame, unread_bytes_max) {
                relayed.delivered += 1;
            } else {
                relayed.dropped += 1;
            }
        }
        relayed
    }

    /// Tells every app server who the others are.
    fn announce_peers(&self) {
        for trunk in locked(&self.state).trunks.iter().filter(|trunk| trunk.is_peer()) {
            trunk.peers_changed();
        }
    }

    /// Who the others are now.
    pub(crate) fn encode_peers_of(&self, server_id: &str, frames: &mut BytesMut) {
        let trunks = locked(&self.state).trunks.clone();
        let peers = trunks.iter().filter(|trunk| trunk.is_peer());
        let others = peers.map(|trunk| &*trunk.server_id).filter(|server| *server != server_id);
        let mut servers: Vec<&str> = others.collect();
        servers.sort_unstable();
        servers.dedup();
        encode_peers(frames, servers);
    }

    /// Room for one more trunk; it is free again when the answer is dropped.
    pub(crate) fn trunk_permit(self: &Arc<Self>, trunks_max: usize) -> Option<TrunkPermit> {
        let taken = self.trunks_open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < trunks_max).then_some(open + 1)
        });
        taken.is_ok().then(|| TrunkPermit { hub: Arc::clone(self) })
    }

    fn status<'a>(&self, own_paths: impl Iterator<Item = &'a str>) -> HubStatus {
        let state = locked(&self.state);
        let mut paths = vec![format!("{HUBS_PREFIX}{}", self.name)];
        paths.extend(own_paths.map(str::to_owned));
        let app_servers = state
            .trunks
            .iter()
            .map(|trunk| AppServerStatus {
                id: trunk.server_id.clone(),
                sdk: trunk.sdk.clone(),
                address: trunk.origin.to_string(),
                sessions: trunk.sessions(),
                hangs: trunk.is_ejected(),
                draining: trunk.is_draining(),
            })
            .collect();
        HubStatus { name: self.name.clone(), paths, app_servers }
    }
}

/// A trunk's place in its hub, from before its `Hello` until it is gone.
#[derive(Debug)]
pub(crate) struct TrunkPermit {
    hub: Arc<Hub>,
}

impl Drop for TrunkPermit {
    fn drop(&mut self) {
        self.hub.trunks_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many app servers a payload went to, and how many were too slow for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Relayed {
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
}

/// Why no app server could take a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoAppServer {
    #[error("every app server of the hub has as much unanswered or unread as it may")]
    Busy,
    #[error("no app server is connected")]
    None,
}
