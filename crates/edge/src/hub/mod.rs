//! Hubs: isolated applications of one node, each with its app servers, the state that the whole
//! node shares of their trunks, its clients' ids and what is kept for clients that return. Locks
//! are held for a lookup or an update only, never across an await.

mod asking;
mod bounds;
mod credit;
mod directory;
mod flow;
mod keepers;
mod newcomers;
mod nodes;
mod outbox;
mod own_sids;
mod precedence;
mod remains;
mod resuming;
mod revocations;
mod roster;
mod routes;
mod servers;
mod settings;
#[cfg(test)]
mod tests;
mod trunk;
mod users;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use trunkline_engineio::CloseReason;
use trunkline_http::LogPace;

use self::bounds::Bounds;
pub use self::bounds::HubLimits;
pub(crate) use self::bounds::Seat;
pub(crate) use self::credit::BatchCredit;
pub use self::directory::TooManyHubs;
pub(crate) use self::directory::{Changes, Directory, HUBS_PREFIX, Routed};
use self::flow::Flow;
use self::keepers::Keepers;
use self::nodes::NodeList;
pub(crate) use self::nodes::encode_nodes;
pub use self::nodes::{ClusterNode, NodeListing};
use self::own_sids::OwnSids;
pub(crate) use self::precedence::{Ahead, Place, Precedence};
pub(crate) use self::remains::{Remains, Tally};
pub(crate) use self::resuming::{Offer, Taken};
pub(crate) use self::revocations::{Full, Revocations, Revoked};
pub(crate) use self::roster::NotAccepted;
use self::roster::Roster;
use self::servers::Servers;
pub(crate) use self::settings::HubRules;
pub(crate) use self::trunk::{Answered, Ending, Notes, Origin, Trunk, TrunkNumber};
pub(crate) use self::users::UserPlace;
pub use self::users::UserSessions;
use self::users::Users;
use crate::changing::Shared;
use crate::unavailable::Unavailable;
use crate::{HubConfig, HubStatus};

/// One isolated application.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) name: String,
    pub(crate) number: u16,
    rules: Shared<HubRules>,
    bounds: Bounds,
    pub(crate) flow: Flow,
    /// Set while the configuration has the hub no longer.
    removed: AtomicBool,
    /// The number of trunks over streams, including those before their `Hello`.
    trunks_open: AtomicUsize,
    roster: Mutex<Roster>,
    servers: Mutex<Servers>,
    pub(crate) precedence: Arc<Precedence>,
    own_sids: OwnSids,
    keepers: Mutex<Keepers>,
    /// The nodes that share the hub's app servers.
    pub(crate) nodes: Arc<NodeList>,
    /// Sessions that wait for an app server.
    pub(crate) homes_waiting: AtomicI64,
    handshakes_refused: LogPace,
    sessions_dropped: LogPace,
    pub(crate) revocations: Revocations,
    users: Users,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding one of these locks leaves nothing half-done: each critical section is
    // one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    fn new(number: usize, config: &HubConfig, nodes: &Arc<NodeList>) -> Self {
        Self {
            name: config.name.clone(),
            number: u16::try_from(number).unwrap_or(u16::MAX),
            rules: Shared::new(HubRules::of(config)),
            bounds: Bounds::new(config.limits),
            flow: Flow::new(&config.limits),
            removed: AtomicBool::new(false),
            roster: Mutex::new(Roster::new()),
            servers: Mutex::default(),
            precedence: Arc::default(),
            own_sids: OwnSids::default(),
            keepers: Mutex::default(),
            nodes: Arc::clone(nodes),
            homes_waiting: AtomicI64::new(0),
            trunks_open: AtomicUsize::new(0),
            handshakes_refused: LogPace::default(),
            sessions_dropped: LogPace::default(),
            revocations: Revocations::default(),
            users: Users::default(),
        }
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
            let why = dropped_because(reason);
            tracing::warn!(hub = %self.name, closed, cause, "sessions closed: {why}");
        }
    }

    /// Reserves room for one more trunk; the room is free again when the permit is dropped.
    pub(crate) fn trunk_permit(self: &Arc<Self>, trunks_max: usize) -> Option<TrunkPermit> {
        let taken = self.trunks_open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < trunks_max).then_some(open + 1)
        });
        taken.is_ok().then(|| TrunkPermit { hub: Arc::clone(self) })
    }

    fn status<'a>(&self, own_paths: impl Iterator<Item = &'a str>) -> HubStatus {
        let mut paths = vec![format!("{HUBS_PREFIX}{}", self.name)];
        paths.extend(own_paths.map(str::to_owned));
        let app_servers = locked(&self.roster).status();
        let waiting = self.homes_waiting.load(Ordering::Relaxed);
        let sessions_waiting = usize::try_from(waiting).unwrap_or_default();
        let (name, sessions) = (self.name.clone(), self.sessions());
        HubStatus { name, paths, sessions, app_servers, sessions_waiting }
    }
}

/// A trunk's place in its hub, from before its `Hello` until the trunk has ended.
#[derive(Debug)]
pub(crate) struct TrunkPermit {
    hub: Arc<Hub>,
}

impl Drop for TrunkPermit {
    fn drop(&mut self) {
        self.hub.trunks_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why the node has closed sessions, for its log.
fn dropped_because(reason: CloseReason) -> &'static str {
    if reason == CloseReason::MemoryFull {
        "the node uses as much memory as it may, and much waited for these clients"
    } else if reason == CloseReason::NamespacesFull {
        "they were in session_namespaces_max namespaces, and connected to another one"
    } else if reason == CloseReason::RoomsFull {
        "they were in session_rooms_max rooms, and the app let them join another one"
    } else {
        "more than outbox_bytes_max waited for these clients, and they took too little of it"
    }
}
