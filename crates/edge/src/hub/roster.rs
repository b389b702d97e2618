//! The app servers of a hub: which ones are connected, which one gets the next session or request,
//! and the messages among them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use trunkline_clock::Timestamp;
use trunkline_switchboard::ServerKey;
use trunkline_switchboard::affinity::{self, Candidate, Cursor, Patience, Standing};
use trunkline_trunk::encode::{encode_peers, encode_relayed};
use trunkline_trunk::settings::{EngineSettings, OwnSettings};

use super::trunk::{Ending, Origin, Trunk, TrunkNumber};
use super::{Hub, locked};
use crate::AppServerStatus;
use crate::limits::Limits;
use crate::unavailable::Unavailable;

/// The connected app servers.
#[derive(Debug)]
pub(super) struct Roster {
    trunks: Vec<Arc<Trunk>>,
    /// App servers that are being accepted, each with its own number for that trunk.
    arriving: Vec<(String, u64)>,
    cursor: Cursor,
    request_cursor: Cursor,
    /// The settings of the latest app server; Socket.IO's defaults until the first one.
    settings: Arc<EngineSettings>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            trunks: Vec::new(),
            arriving: Vec::new(),
            // Another one in each node, so that they do not all choose the same.
            cursor: Cursor::seeded(StdRng::from_os_rng().next_u64()),
            request_cursor: Cursor::default(),
            settings: Arc::default(),
        }
    }

    pub(super) fn trunks(&self) -> &[Arc<Trunk>] {
        &self.trunks
    }

    pub(super) fn status(&self) -> Vec<AppServerStatus> {
        let status = |trunk: &Arc<Trunk>| AppServerStatus {
            id: trunk.server_id.clone(),
            sdk: trunk.sdk.clone(),
            address: trunk.origin.to_string(),
            sessions: trunk.sessions(),
            hangs: trunk.is_ejected(),
            draining: trunk.is_draining(),
            rehome: trunk.own.rehome,
        };
        self.trunks.iter().map(status).collect()
    }
}

impl Hub {
    /// Gives up chance: which app server is first follows from this number.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn seed(&self, seed: u64) {
        locked(&self.roster).cursor = Cursor::seeded(seed);
    }

    /// Adds an app server. Its trunk replaces earlier ones of the same process. Two trunks that
    /// sent `Hello` at the same time are ordered here and nowhere else.
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

    /// Begins to accept an app server from there.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        (server_id, origin): (&str, Origin),
        own: &OwnSettings,
    ) -> Result<Arriving, NotAccepted> {
        let mut roster = locked(&self.roster);
        let stays = |id: &str, opening: u64| id == server_id && own.beside.contains(&opening);
        let has_trunk = roster
            .trunks
            .iter()
            .any(|trunk| trunk.ending().is_none() && stays(&trunk.server_id, trunk.own.opening));
        if has_trunk || roster.arriving.iter().any(|(id, opening)| stays(id, *opening)) {
            return Err(NotAccepted::Another);
        }
        if origin != Origin::Inside
            && !self.has_room_for(server_id, &roster.trunks, &roster.arriving)
        {
            return Err(NotAccepted::Full);
        }
        let place = (server_id.to_owned(), own.opening);
        roster.arriving.push(place.clone());
        Ok(Arriving { hub: Arc::clone(self), place })
    }

    /// Removes an app server, and sends the others a new list of peers.
    pub(super) fn strike_off(&self, trunk: &Arc<Trunk>) {
        locked(&self.roster).trunks.retain(|other| !Arc::ptr_eq(other, trunk));
        self.announce_peers();
    }

    pub(super) fn trunks(&self) -> Vec<Arc<Trunk>> {
        locked(&self.roster).trunks.clone()
    }

    /// Sets the options of an app server that have changed.
    pub(crate) fn settings_changed(&self, settings: &Arc<EngineSettings>) {
        locked(&self.roster).settings = Arc::clone(settings);
    }

    /// Picks the app server with the fewest sessions among those that accept new ones and answer;
    /// its count goes up by one.
    pub(crate) fn pick(&self, limits: &Limits, now: Timestamp) -> Result<Arc<Trunk>, NoAppServer> {
        self.pick_beside(limits, now, &[], limits.admission)
    }

    /// Picks another app server that does not hang, for a handshake that the given ones have not
    /// answered.
    pub(crate) fn pick_other(
        &self,
        limits: &Limits,
        now: Timestamp,
        tried: &[TrunkNumber],
    ) -> Option<Arc<Trunk>> {
        let trunk = self.pick_beside(limits, now, tried, false).ok()?;
        if trunk.standing(now, limits.patience()) == Standing::Ejected {
            trunk.session_removed();
            return None;
        }
        Some(trunk)
    }

    /// Picks an app server for a session whose own is gone, except the `full` ones. One that hangs
    /// is not asked: the session waits. One that has as many sessions as it may is asked only if all
    /// have: nobody is closed for that.
    pub(crate) fn pick_home(
        &self,
        limits: &Limits,
        now: Timestamp,
        full: &[TrunkNumber],
    ) -> Option<Arc<Trunk>> {
        let mut state = locked(&self.roster);
        let Roster { trunks, cursor, .. } = &mut *state;
        let at = (now, limits.patience());
        let fits = |trunk: &Trunk| {
            !full.contains(&trunk.number) && takes_sessions_over(trunk, limits, now)
        };
        let most = self.limits().app_server_sessions_max;
        let below = |trunk: &Trunk| trunk.is_below(most) && fits(trunk);
        let trunk = self
            .choose_home(trunks, cursor, at, below)
            .or_else(|| self.choose_home(trunks, cursor, at, fits))?;
        trunk.session_added();
        Some(Arc::clone(trunk))
    }

    /// Whether some app server takes sessions over, now or once it has answered for others.
    pub(crate) fn has_home(&self, limits: &Limits, now: Timestamp) -> bool {
        locked(&self.roster).trunks.iter().any(|trunk| takes_sessions_over(trunk, limits, now))
    }

    /// Whether app servers are connected, but only such as never take a session over. One that
    /// does, and hangs, will again.
    pub(crate) fn is_without_homes(&self, limits: &Limits) -> bool {
        let roster = locked(&self.roster);
        let mut staying = roster.trunks.iter().filter(|trunk| !trunk.is_draining());
        let others = staying.clone().all(|trunk| !trunk.own.rehome);
        others && staying.any(|trunk| trunk.is_usable(limits.trunk_unread_bytes_max))
    }

    /// Whether the sessions of the hub may move to other nodes: each app server numbers its
    /// broadcasts.
    pub(crate) fn all_move(&self) -> bool {
        locked(&self.roster).trunks.iter().all(|trunk| trunk.own.moves)
    }

    /// Whether a session of the hub may begin to move: no trunk is without its stream. What an app
    /// server has said to the other node meanwhile would come too late.
    pub(crate) fn may_begin_to_move(&self) -> bool {
        let ready = |trunk: &Arc<Trunk>| trunk.own.moves && trunk.broken_since().is_none();
        locked(&self.roster).trunks.iter().all(ready)
    }

    /// Whether sessions of the hub belong to no app server, or may in a moment.
    pub(crate) fn is_unhomed(&self) -> bool {
        self.homes_waiting.load(Ordering::Relaxed) > 0
            || locked(&self.roster).trunks.iter().any(|trunk| trunk.is_on_its_way_out())
    }

    /// Lets the hub's app servers know that [`Self::is_unhomed`] may have become true.
    pub(crate) fn tell_unhomed(&self) {
        for trunk in locked(&self.roster).trunks.iter().filter(|trunk| trunk.own.operates) {
            trunk.unhomed();
        }
    }

    fn pick_beside(
        &self,
        limits: &Limits,
        now: Timestamp,
        tried: &[TrunkNumber],
        paced: bool,
    ) -> Result<Arc<Trunk>, NoAppServer> {
        let mut state = locked(&self.roster);
        let Roster { trunks, cursor, .. } = &mut *state;
        let most = self.limits().app_server_sessions_max;
        let stays = |trunk: &Trunk| !trunk.is_draining() && !tried.contains(&trunk.number);
        let open = |trunk: &Trunk| stays(trunk) && trunk.is_below(most);
        let fits = |trunk: &Trunk| {
            open(trunk)
                && trunk.pending() < limits.handshakes_pending_max
                && trunk.is_usable(limits.trunk_unread_bytes_max)
        };
        let fits_now = |trunk: &Trunk| fits(trunk) && (!paced || trunk.takes_newcomer(now));
        let trunk = self
            .choose_home(trunks, cursor, (now, limits.patience()), fits_now)
            .ok_or_else(|| {
                let any = |what: &dyn Fn(&Trunk) -> bool| trunks.iter().any(|trunk| what(trunk));
                match () {
                    () if any(&fits) => NoAppServer::Paced,
                    () if any(&open) => NoAppServer::Busy,
                    () if any(&stays) => NoAppServer::Full,
                    () => NoAppServer::None,
                }
            })?;
        trunk.session_added();
        Ok(Arc::clone(trunk))
    }

    /// Chooses the app server with the fewest sessions; one of two, if other nodes choose among
    /// many at the same time.
    fn choose_home<'a>(
        &self,
        trunks: &'a [Arc<Trunk>],
        cursor: &mut Cursor,
        at: (Timestamp, Patience),
        may_be_asked: impl Fn(&Trunk) -> bool,
    ) -> Option<&'a Arc<Trunk>> {
        let candidates = candidates(trunks, at, &may_be_asked, &Trunk::sessions_over_all);
        let picked = if self.nodes.serving() == 1 {
            affinity::pick(cursor, candidates)
        } else {
            affinity::pick_of_two(cursor, candidates)
        };
        latest_of(trunks, picked?)
    }

    /// The settings against which the hub's handshakes are checked.
    pub(crate) fn settings(&self) -> Arc<EngineSettings> {
        Arc::clone(&locked(&self.roster).settings)
    }

    /// Picks an app server for a request that opens no session, round-robin. Those that hang come
    /// last, and one that is about to leave is asked only if there is no other.
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

    /// The trunk of the app server with this id.
    pub(crate) fn trunk_of_server(&self, id: &str) -> Option<Arc<Trunk>> {
        locked(&self.roster).trunks.iter().rev().find(|trunk| trunk.server_id == id).map(Arc::clone)
    }

    /// The trunk that an app server wants to continue on another stream.
    pub(crate) fn trunk_to_resume(&self, server_id: &str, token: &str) -> Option<Arc<Trunk>> {
        let is_named = |trunk: &&Arc<Trunk>| {
            let resuming = trunk.resuming.as_ref().filter(|_| trunk.server_id == server_id);
            resuming.is_some_and(|resuming| resuming.is_named(token))
        };
        locked(&self.roster).trunks.iter().find(is_named).map(Arc::clone)
    }

    /// Sends a payload of one app server to others: to the named ones, or to all except the sender.
    pub(crate) fn relay(
        &self,
        (from, to): (&str, &[&str]),
        payload: &[u8],
        unread_bytes_max: usize,
    ) -> Relayed {
        let mut frame = BytesMut::new();
        encode_relayed(&mut frame, from, payload);
        let mut relayed = Relayed::default();
        let wanted = |trunk: &&Arc<Trunk>| {
            trunk.is_peer()
                && trunk.server_id != from
                && (to.is_empty() || to.contains(&&*trunk.server_id))
        };
        for trunk in self.trunks().iter().filter(wanted) {
            if trunk.push_bounded(&frame, unread_bytes_max) {
                relayed.delivered += 1;
            } else {
                relayed.dropped += 1;
            }
        }
        relayed
    }

    /// Sends every app server a new list of its peers.
    fn announce_peers(&self) {
        for trunk in locked(&self.roster).trunks.iter().filter(|trunk| trunk.is_peer()) {
            trunk.peers_changed();
        }
    }

    /// Encodes the present list of peers.
    pub(crate) fn encode_peers_of(&self, server_id: &str, frames: &mut BytesMut) {
        let trunks = self.trunks();
        let peers = trunks.iter().filter(|trunk| trunk.is_peer());
        let peers = peers.map(|trunk| &*trunk.server_id);
        let mut servers: Vec<&str> = peers.filter(|server| *server != server_id).collect();
        servers.sort_unstable();
        servers.dedup();
        encode_peers(frames, servers);
    }
}

/// Chooses among the app servers that may be asked: the one with the least work; one that hangs
/// only if all do.
fn choose(
    trunks: &[Arc<Trunk>],
    cursor: &mut Cursor,
    at: (Timestamp, Patience),
    may_be_asked: impl Fn(&Trunk) -> bool,
    load: impl Fn(&Trunk) -> usize,
) -> Option<Arc<Trunk>> {
    let picked = affinity::pick(cursor, candidates(trunks, at, &may_be_asked, &load))?;
    latest_of(trunks, picked).map(Arc::clone)
}

fn candidates<'a>(
    trunks: &'a [Arc<Trunk>],
    (now, patience): (Timestamp, Patience),
    may_be_asked: &'a impl Fn(&Trunk) -> bool,
    load: &'a impl Fn(&Trunk) -> usize,
) -> impl Iterator<Item = Candidate> + Clone {
    trunks.iter().filter(|trunk| may_be_asked(trunk)).map(move |trunk| Candidate {
        server: trunk.server,
        standing: trunk.standing(now, patience),
        load: u32::try_from(load(trunk)).unwrap_or(u32::MAX),
    })
}

/// An app server that is being accepted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Arriving {
    hub: Arc<Hub>,
    place: (String, u64),
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut roster = locked(&self.hub.roster);
        if let Some(at) = roster.arriving.iter().position(|place| *place == self.place) {
            roster.arriving.swap_remove(at);
        }
    }
}

/// The trunk that an app server uses: its latest, which has ended all earlier ones.
fn latest_of(trunks: &[Arc<Trunk>], server: ServerKey) -> Option<&Arc<Trunk>> {
    trunks.iter().rev().find(|trunk| trunk.server == server)
}

/// The numbers of app servers that a payload was sent to, and of those that were too slow for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Relayed {
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
}

/// Why an app server is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotAccepted {
    /// It has another trunk to this node that it counts among those that stay.
    Another,
    /// The hub has as many app servers as it may.
    Full,
}

/// Why no app server could take a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoAppServer {
    #[error("every app server of the hub has as much unanswered or unread as it may")]
    Busy,
    #[error("every app server of the hub has as many sessions as it may")]
    Full,
    #[error("no app server is connected")]
    None,
    #[error("every app server of the hub has as many handshakes as it answers in a moment")]
    Paced,
}

impl From<NoAppServer> for Unavailable {
    fn from(why: NoAppServer) -> Self {
        match why {
            NoAppServer::Busy => Self::HandshakesFull,
            NoAppServer::Full => Self::AppServersFull,
            NoAppServer::Paced => Self::AppServersBusy,
            NoAppServer::None => Self::NoAppServer,
        }
    }
}

impl NoAppServer {
    /// The error when no app server could accept a handshake, although `somebody` may be connected.
    fn of(somebody: bool) -> Self {
        if somebody { Self::Busy } else { Self::None }
    }
}

fn takes_sessions_over(trunk: &Trunk, limits: &Limits, now: Timestamp) -> bool {
    trunk.own.rehome
        && !trunk.is_draining()
        && trunk.is_usable(limits.trunk_unread_bytes_max)
        && trunk.standing(now, limits.patience()) != Standing::Ejected
}
