//! How many namespaces and rooms one session may be in.
//!
//! Nothing is left out silently: an app counts on a `join` that it was told of. So a session beyond
//! a limit is closed with a cause that its app sees, and the log names the limit.

use trunkline_engineio::CloseReason;
use trunkline_switchboard::{NamespaceKey, SessionKey};
use trunkline_trunk::Str;

use super::Shard;

impl Shard {
    /// Lets a session's socket join rooms, or closes the session when these are too many.
    pub(super) fn join(&mut self, index: u32, (hub, key): (usize, NamespaceKey), rooms: &[Str]) {
        if !self.is_open(index) {
            return;
        }
        let (session, at_once) = (SessionKey(index), self.rooms_at_once());
        let board = &mut self.boards[hub];
        // Those that it is in already do not count; no frame brings more than the limit twice.
        let joined = rooms.iter().filter(|room| board.join(session, key, room)).take(at_once);
        if joined.count() > 0 {
            self.check_membership(index, hub);
        }
    }

    /// One more room than a session may be in: more are not even looked at.
    pub(super) fn rooms_at_once(&self) -> usize {
        let most = self.env.limits.session_rooms_max;
        most.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1)
        })
    }

    /// Whether the session is live and has not been closed in this turn.
    pub(super) fn is_open(&mut self, index: u32) -> bool {
        self.slots.live(index).is_some_and(|live| !live.session.is_closed())
    }

    /// Closes a session that is in more namespaces or rooms than it may be.
    pub(super) fn check_membership(&mut self, index: u32, hub: usize) {
        let limits = &self.env.limits;
        let (namespaces_max, rooms_max) = (limits.session_namespaces_max, limits.session_rooms_max);
        let (sockets, rooms) = self.boards[hub].counts_of(SessionKey(index));
        let is_over =
            |count: usize, most: Option<u32>| most.is_some_and(|most| count > most as usize);
        let reason = if is_over(sockets, namespaces_max) {
            CloseReason::NamespacesFull
        } else if is_over(rooms, rooms_max) {
            CloseReason::RoomsFull
        } else {
            return;
        };
        self.drop_client(index, reason);
        self.mark_dirty(index);
    }
}
