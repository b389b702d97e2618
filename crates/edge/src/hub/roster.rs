//! The app servers of a hub: who is there, who gets the next session or request, and what they say to one another.

use std::sync::Arc;

use bytes::BytesMut;
use trunkline_clock::Timestamp;
use trunkline_switchboard::ServerKey;
use trunkline_switchboard::affinity::{self, Candidate, Cursor, Standing};
use trunkline_trunk::Str;
use trunkline_trunk::encode::{encode_peers, encode_relayed};
use trunkline_trunk::settings::EngineSettings;

use super::trunk::{Ending, Trunk, TrunkNumber};
use super::{Hub, locked};
use crate::AppServerStatus;
use crate::limits::Limits;
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
    /// Takes an app server in. It replaces earlier trunks of the same process, which may have said `Hello` in the same
    /// moment and not have been there to be found.
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
            server: trunk.server,
            standing: trunk.standing(now, patience),
            load: trunk.sessions_u32(),
        });
        let picked = affinity::pick(cursor, candidates).and_then(|key| latest_of(trunks, key));
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
        let usable = |one: &&Arc<Trunk>| {
            one.is_usable(limits.trunk_unread_bytes_max) && !tried.contains(&one.number)
        };
        let patience = limits.patience();
        let mut pick = |draining| {
            let candidates =
                trunks.iter().filter(usable).filter(|one| one.is_draining() == draining);
            let candidates = candidates.map(|trunk| Candidate {
                server: trunk.server,
                standing: trunk.standing(now, patience),
                load: u32::try_from(trunk.requests_pending()).unwrap_or(u32::MAX),
            });
            affinity::pick(request_cursor, candidates)
        };
        let picked = pick(false).or_else(|| pick(true));
        match picked.and_then(|key| latest_of(trunks, key)) {
            Some(trunk) => Ok(Arc::clone(trunk)),
            None if trunks.is_empty() => Err(NoAppServer::None),
            None => Err(NoAppServer::Busy),
        }
    }

    pub(crate) fn trunk_of_number(&self, number: TrunkNumber) -> Option<Arc<Trunk>> {
        locked(&self.roster).trunks.iter().find(|trunk| trunk.number == number).map(Arc::clone)
    }

    /// Another trunk of the same app server process, if one is there.
    pub(crate) fn trunk_of_server(&self, server_id: &str) -> Option<Arc<Trunk>> {
        locked(&self.roster)
            .trunks
            .iter()
            .find(|trunk| trunk.server_id == server_id)
            .map(Arc::clone)
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
        let trunks = self.trunks();
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
        for trunk in locked(&self.roster).trunks.iter().filter(|trunk| trunk.is_peer()) {
            trunk.peers_changed();
        }
    }

    /// Who the others are now.
    pub(crate) fn encode_peers_of(&self, server_id: &str, frames: &mut BytesMut) {
        let trunks = self.trunks();
        let peers = trunks.iter().filter(|trunk| trunk.is_peer());
        let others = peers.map(|trunk| &*trunk.server_id).filter(|server| *server != server_id);
        let mut servers: Vec<&str> = others.collect();
        servers.sort_unstable();
        servers.dedup();
        encode_peers(frames, servers);
    }
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
