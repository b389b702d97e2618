//! The app servers of a hub: who is there, who gets the next session or request, and what they say to one another.

use std::sync::Arc;

use bytes::BytesMut;
use trunkline_clock::Timestamp;
use trunkline_switchboard::ServerKey;
use trunkline_switchboard::affinity::{self, Candidate, Cursor, Patience, Standing};
use trunkline_trunk::encode::{encode_peers, encode_relayed};
use trunkline_trunk::settings::EngineSettings;

use super::trunk::{Ending, Trunk, TrunkNumber};
use super::{Hub, locked};
use crate::AppServerStatus;
use crate::limits::Limits;
use crate::neighbours::{Neighbours, Relay};
use crate::unavailable::Unavailable;

/// The app servers that are there.
#[derive(Debug, Default)]
pub(super) struct Roster {
    trunks: Vec<Arc<Trunk>>,
    cursor: Cursor,
    request_cursor: Cursor,
    /// The latest app server's; Socket.IO's defaults until one came.
    settings: Arc<EngineSettings>,
}

impl Roster {
    pub(super) fn status(&self) -> Vec<AppServerStatus> {
        let status = |trunk: &Arc<Trunk>| AppServerStatus {
            id: trunk.server_id.clone(),
            sdk: trunk.sdk.clone(),
            address: trunk.origin.to_string(),
            sessions: trunk.sessions(),
            hangs: trunk.is_ejected(),
            draining: trunk.is_draining(),
        };
        self.trunks.iter().map(status).collect()
    }
}

impl Hub {
    /// Takes an app server in. Its trunk replaces earlier ones of the same process: this is the one place where two that
    /// said `Hello` in the same moment come one after the other.
    pub(super) fn enrol(&self, trunk: &Arc<Trunk>) {
        {
            let mut roster = locked(&self.roster);
            let same = |other: &&Arc<Trunk>| other.server_id == trunk.server_id;
            for earlier in roster.trunks.iter().filter(same) {
                earlier.end(Ending::Replaced);
            }
            roster.trunks.push(Arc::clone(trunk));
            roster.settings = Arc::new(trunk.settings.clone());
        }
        self.announce_peers();
    }

    pub(super) fn strike_off(&self, trunk: &Arc<Trunk>) {
        locked(&self.roster).trunks.retain(|other| !Arc::ptr_eq(other, trunk));
        self.announce_peers();
    }

    pub(super) fn trunks(&self) -> Vec<Arc<Trunk>> {
        locked(&self.roster).trunks.clone()
    }

    /// An app server has other options than before.
    pub(crate) fn settings_changed(&self, settings: &Arc<EngineSettings>) {
        locked(&self.roster).settings = Arc::clone(settings);
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
        let mut state = locked(&self.roster);
        let Roster { trunks, cursor, .. } = &mut *state;
        let open = |trunk: &Trunk| !trunk.is_draining() && !tried.contains(&trunk.number);
        let fits = |trunk: &Trunk| {
            open(trunk)
                && trunk.pending() < limits.handshakes_pending_max
                && trunk.is_usable(limits.trunk_unread_bytes_max)
        };
        let trunk = choose(trunks, cursor, (now, limits.patience()), fits, Trunk::sessions)
            .ok_or_else(|| NoAppServer::of(trunks.iter().any(|trunk| open(trunk))))?;
        trunk.session_added();
        Ok(trunk)
    }

    /// What the hub's handshakes are checked against.
    pub(crate) fn settings(&self) -> Arc<EngineSettings> {
        Arc::clone(&locked(&self.roster).settings)
    }

    /// An app server for a request that opens no session: they take turns, those that hang come last, and one that is
    /// about to leave is asked only where no other is.
    pub(crate) fn pick_for_request(
        &self,
        limits: &Limits,
        now: Timestamp,
        tried: &[TrunkNumber],
    ) -> Result<Arc<Trunk>, NoAppServer> {
        let mut state = locked(&self.roster);
        let Roster { trunks, request_cursor, .. } = &mut *state;
        let mut pick = |draining| {
            let usable = |trunk: &Trunk| {
                trunk.is_draining() == draining
                    && trunk.is_usable(limits.trunk_unread_bytes_max)
                    && !tried.contains(&trunk.number)
            };
            let at = (now, limits.patience());
            choose(trunks, request_cursor, at, usable, Trunk::requests_pending)
        };
        pick(false).or_else(|| pick(true)).ok_or_else(|| NoAppServer::of(!trunks.is_empty()))
    }

    pub(crate) fn trunk_of_number(&self, number: TrunkNumber) -> Option<Arc<Trunk>> {
        locked(&self.roster).trunks.iter().find(|trunk| trunk.number == number).map(Arc::clone)
    }

    /// Hands a payload of one app server to others: those named, or all but itself.
    pub(crate) fn relay(
        &self,
        Relay { from, to, payload }: Relay<'_>,
        unread_bytes_max: usize,
        neighbours: Option<&dyn Neighbours>,
    ) -> Relayed {
        let mut frame = BytesMut::new();
        encode_relayed(&mut frame, from, payload);
        let trunks = self.trunks();
        let mut relayed = Relayed::default();
        let wanted = |trunk: &&Arc<Trunk>| {
            trunk.is_peer()
                && trunk.server_id != from
                && (to.is_empty() || to.contains(&&*trunk.server_id))
        };
        for trunk in trunks.iter().filter(wanted) {
            if trunk.push_bounded(&frame, unread_bytes_max) {
                relayed.delivered += 1;
            } else {
                relayed.dropped += 1;
            }
        }
        if let Some(neighbours) = neighbours {
            let is_here = |name: &&&str| trunks.iter().any(|trunk| trunk.server_id == **name);
            let far: Vec<&str> = to.iter().filter(|name| !is_here(name)).copied().collect();
            if to.is_empty() || !far.is_empty() {
                let relay = Relay { from, to: &far, payload };
                relayed.delivered += neighbours.relay(&self.name, &relay);
            }
        }
        relayed
    }

    /// Tells every app server who the others are.
    fn announce_peers(&self) {
        for trunk in locked(&self.roster).trunks.iter().filter(|trunk| trunk.is_peer()) {
            trunk.peers_changed();
        }
    }

    /// Who the others are now.
    pub(crate) fn encode_peers_of(
        &self,
        server_id: &str,
        neighbours: Option<&dyn Neighbours>,
        frames: &mut BytesMut,
    ) {
        let trunks = self.trunks();
        let far = neighbours.map(|neighbours| neighbours.peers(&self.name)).unwrap_or_default();
        let peers = trunks.iter().filter(|trunk| trunk.is_peer());
        let peers = peers.map(|trunk| &*trunk.server_id).chain(far.iter().map(|id| &**id));
        let mut servers: Vec<&str> = peers.filter(|server| *server != server_id).collect();
        servers.sort_unstable();
        servers.dedup();
        encode_peers(frames, servers);
    }
}

/// Chooses among the app servers that may be asked: the one with the least to do, and one that hangs only where all do.
fn choose(
    trunks: &[Arc<Trunk>],
    cursor: &mut Cursor,
    (now, patience): (Timestamp, Patience),
    may_be_asked: impl Fn(&Trunk) -> bool,
    load: impl Fn(&Trunk) -> usize,
) -> Option<Arc<Trunk>> {
    let candidates = trunks.iter().filter(|trunk| may_be_asked(trunk)).map(|trunk| Candidate {
        server: trunk.server,
        standing: trunk.standing(now, patience),
        load: u32::try_from(load(trunk)).unwrap_or(u32::MAX),
    });
    let picked = affinity::pick(cursor, candidates)?;
    latest_of(trunks, picked).map(Arc::clone)
}

/// The trunk that an app server speaks over: one that has come later has ended all before it.
fn latest_of(trunks: &[Arc<Trunk>], server: ServerKey) -> Option<&Arc<Trunk>> {
    trunks.iter().rev().find(|trunk| trunk.server == server)
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

impl From<NoAppServer> for Unavailable {
    fn from(why: NoAppServer) -> Self {
        match why {
            NoAppServer::Busy => Self::HandshakesFull,
            NoAppServer::None => Self::NoAppServer,
        }
    }
}

impl NoAppServer {
    /// None could take it, though somebody is there.
    fn of(somebody: bool) -> Self {
        if somebody { Self::Busy } else { Self::None }
    }
}
