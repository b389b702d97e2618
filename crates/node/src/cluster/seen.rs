//! What the cluster's thread has seen last, for the threads that show it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use trunkline_edge::{ClusterNode, NodeListing, Relayed};
use trunkline_mesh::{DeathCause, Identity, Member, NodeState, Stats};

/// How often each thing was reported.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) joined: u64,
    pub(super) left: u64,
    pub(super) silent: u64,
    pub(super) unreachable: u64,
    pub(super) replaced: u64,
    pub(super) suspected: u64,
    pub(super) renumbered: u64,
    pub(super) other_versions: u64,
}

impl Counts {
    pub(super) fn died(&mut self, cause: DeathCause) {
        *match cause {
            DeathCause::Silent => &mut self.silent,
            DeathCause::Unreachable => &mut self.unreachable,
            DeathCause::Replaced => &mut self.replaced,
        } += 1;
    }
}

/// Whether NATS is reached.
#[derive(Clone, Debug)]
pub(super) struct BusState {
    /// Why it is not; `None` while it is.
    pub(super) away: Option<String>,
    pub(super) since: Instant,
}

/// A peer, with times as spans before [`Seen::at`].
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) member: Member,
    pub(super) same_hubs: bool,
    pub(super) since: Duration,
    pub(super) last_beat: Duration,
}

/// One look at the cluster.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) cluster: String,
    pub(super) node: String,
    pub(super) incarnation: u64,
    pub(super) advertise: String,
    pub(super) version: String,
    pub(super) number: Option<u16>,
    pub(super) former_numbers: Vec<u16>,
    pub(super) state: NodeState,
    /// Whether the node has had a number.
    pub(super) has_joined: bool,
    /// Whether the app servers of all peers have had a trunk here, or were waited for long enough.
    pub(super) has_app_servers: bool,
    pub(super) bus: BusState,
    pub(super) peers: Vec<Peer>,
    /// Those that died or left within the last minutes.
    pub(super) departed: Vec<Peer>,
    pub(super) stats: Stats,
    pub(super) relayed: Relayed,
    pub(super) counts: Counts,
}

impl Seen {
    pub(super) fn new(identity: &Identity) -> Self {
        let at = Instant::now();
        Self {
            at,
            cluster: identity.cluster.clone(),
            node: identity.node_id.clone(),
            incarnation: identity.incarnation,
            advertise: identity.advertise.clone(),
            version: identity.version.clone(),
            number: None,
            former_numbers: Vec::new(),
            state: NodeState::Joining,
            has_joined: false,
            has_app_servers: false,
            bus: BusState { away: Some("not reached yet".into()), since: at },
            peers: Vec::new(),
            departed: Vec::new(),
            stats: Stats::default(),
            relayed: Relayed::default(),
            counts: Counts::default(),
        }
    }
}

/// The last look, shared by the thread that looks and those that show. No lock is held while a text
/// is made.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seen: Mutex<Arc<Seen>>,
    listing: OnceLock<NodeListing>,
}

impl Shared {
    pub(super) fn new(seen: Seen) -> Self {
        Self(Arc::new(Inner { seen: Mutex::new(Arc::new(seen)), listing: OnceLock::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Seen>> {
        // No code that could panic runs under the lock.
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> Arc<Seen> {
        Arc::clone(&self.lock())
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(Arc::make_mut(&mut self.lock()));
    }

    /// Notes that the bus is there, or why it is not.
    pub(super) fn set_bus(&self, away: Option<&str>) {
        self.change(|seen| {
            let since = if seen.bus.away.is_some() == away.is_some() {
                seen.bus.since
            } else {
                Instant::now()
            };
            seen.bus = BusState { away: away.map(str::to_owned), since };
        });
    }

    pub(super) fn set_listing(&self, listing: NodeListing) {
        // The node starts its edge once.
        let _ = self.0.listing.set(listing);
    }

    /// Tells the app servers of the nodes, once they may be told.
    pub(super) fn list(&self, nodes: Vec<ClusterNode>) {
        if let Some(listing) = self.0.listing.get() {
            listing.set(nodes);
        }
    }
}
