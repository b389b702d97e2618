//! How much one hub may have on this node, so that it leaves room for the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Hub, Trunk, locked};
use crate::changing::Shared;
use crate::limits::Limits;

/// The limits of one hub; `None`: there is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HubLimits {
    /// Sessions on this node, those that are being opened included.
    pub sessions_max: Option<usize>,
    /// App servers with a trunk to this node.
    pub app_servers_max: Option<usize>,
    /// Sessions of one app server, over all nodes as far as this one knows.
    pub app_server_sessions_max: Option<usize>,
    /// Messages per second of all clients together, to this node.
    pub messages_per_second: Option<u32>,
    /// The same for bytes, as they arrive.
    pub bytes_per_second: Option<u32>,
}

impl HubLimits {
    /// The limits of a hub that has none of its own.
    pub fn of(limits: &Limits) -> Self {
        Self {
            sessions_max: limits.hub_sessions_max,
            app_servers_max: limits.hub_app_servers_max,
            app_server_sessions_max: limits.app_server_sessions_max,
            messages_per_second: limits.hub_messages_per_second,
            bytes_per_second: limits.hub_bytes_per_second,
        }
    }
}

/// What a hub has, and what it may have. All shards count here, once for each session.
#[derive(Debug)]
pub(super) struct Bounds {
    limits: Shared<HubLimits>,
    sessions: AtomicUsize,
}

impl Bounds {
    pub(super) fn new(limits: HubLimits) -> Self {
        Self { limits: Shared::new(limits), sessions: AtomicUsize::new(0) }
    }

    /// Changes the limits. Who is there stays.
    pub(super) fn set(&self, limits: HubLimits) {
        self.limits.set(limits);
    }
}

/// The place in its hub of a session that is being opened, or comes from another node. It is free
/// again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Option<Arc<Hub>>);

impl Seat {
    /// The session is live: [`Hub::unseat`] gives its place back. A value like this one would make
    /// every session larger.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(hub) = &self.0 {
            hub.unseat();
        }
    }
}

impl Hub {
    /// The limits at present.
    pub(crate) fn limits(&self) -> HubLimits {
        *self.bounds.limits.get()
    }

    /// The sessions on this node, those that are being opened included.
    pub(crate) fn sessions(&self) -> usize {
        self.bounds.sessions.load(Ordering::Relaxed)
    }

    /// Frees the place of a session.
    pub(crate) fn unseat(&self) {
        self.bounds.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a place for one more session; `None`: the hub has as many as it may.
    pub(crate) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let most = self.limits().sessions_max.unwrap_or(usize::MAX);
        let taken =
            self.bounds.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sessions| {
                (sessions < most).then_some(sessions + 1)
            });
        taken.is_ok().then(|| Seat(Some(Arc::clone(self))))
    }

    /// The app servers that are connected, without parts of this process.
    pub(crate) fn app_servers(&self) -> usize {
        servers_of(locked(&self.roster).trunks(), &[]).len()
    }

    /// Whether the hub has room for this app server, which may have a trunk already. `others`: those
    /// that are being accepted.
    pub(super) fn has_room_for(
        &self,
        server_id: &str,
        trunks: &[Arc<Trunk>],
        others: &[(String, u64)],
    ) -> bool {
        let Some(most) = self.limits().app_servers_max else { return true };
        let servers = servers_of(trunks, others);
        servers.len() < most || servers.binary_search(&server_id).is_ok()
    }
}

/// The ids of app servers with these trunks, and of those that are being accepted, in order.
fn servers_of<'a>(trunks: &'a [Arc<Trunk>], others: &'a [(String, u64)]) -> Vec<&'a str> {
    let connected = trunks.iter().filter(|trunk| trunk.is_peer() && trunk.ending().is_none());
    let connected = connected.map(|trunk| &*trunk.server_id);
    let mut servers: Vec<&str> = connected.chain(others.iter().map(|(id, _)| &**id)).collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

impl Trunk {
    /// Whether the app server has fewer sessions than it may. One inside of this process is no
    /// process of a user's that could have too much to do.
    pub(super) fn is_below(&self, sessions_max: Option<usize>) -> bool {
        !self.is_peer() || sessions_max.is_none_or(|most| self.sessions_over_all() < most)
    }
}
