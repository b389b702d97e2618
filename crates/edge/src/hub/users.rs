//! How many sessions each user has, as far as their tokens name one, where a hub limits that.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use trunkline_token::TextMark;

use super::{Hub, locked};
use crate::shard::SlotKey;

/// How many sessions a user may have, and what becomes of one more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UserSessions {
    /// The most of one user; 0: no limit.
    pub max: u32,
    /// Whether a newcomer is refused. If not, the oldest is closed.
    pub refuses: bool,
}

/// The sessions of each user, oldest first.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_user: Mutex<HashMap<TextMark, VecDeque<One>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct One {
    id: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The app server has not accepted the session yet.
    Asked,
    Open(SlotKey),
    /// The session is being closed, because there are others.
    Closing,
}

/// One session of a user, from before its handshake; returned when dropped.
#[derive(Debug)]
pub(crate) struct UserPlace {
    hub: Arc<Hub>,
    user: TextMark,
    id: u64,
}

impl Hub {
    /// Counts a session of a user. `None` if the user may have no more.
    pub(crate) fn enter_user(
        self: &Arc<Self>,
        user: TextMark,
        limit: UserSessions,
    ) -> Option<Arc<UserPlace>> {
        let mut by_user = locked(&self.users.by_user);
        let sessions = by_user.entry(user).or_default();
        if limit.refuses && sessions.len() >= limit.max as usize {
            return None;
        }
        let id = self.users.next.fetch_add(1, Ordering::Relaxed);
        sessions.push_back(One { id, stage: Stage::Asked });
        Some(Arc::new(UserPlace { hub: Arc::clone(self), user, id }))
    }

    /// The oldest open sessions of a user beyond `max`, which are to be closed: each is named once.
    /// Those that may never be opened push nobody out.
    pub(crate) fn beyond(&self, user: TextMark, max: u32) -> Vec<SlotKey> {
        let mut by_user = locked(&self.users.by_user);
        let Some(sessions) = by_user.get_mut(&user) else { return Vec::new() };
        let is_open = |one: &&mut One| matches!(one.stage, Stage::Open(_));
        let open = sessions.iter_mut().filter(is_open).count();
        let excess = sessions.iter_mut().filter(is_open).take(open.saturating_sub(max as usize));
        let named =
            excess.filter_map(|one| match std::mem::replace(&mut one.stage, Stage::Closing) {
                Stage::Open(key) => Some(key),
                Stage::Asked | Stage::Closing => None,
            });
        named.collect()
    }

    /// Whether a user has more sessions than `max`, those that are being opened included.
    pub(crate) fn has_beyond(&self, user: TextMark, max: u32) -> bool {
        locked(&self.users.by_user).get(&user).is_some_and(|all| all.len() > max as usize)
    }

    #[cfg(test)]
    pub(crate) fn has_users(&self) -> bool {
        !locked(&self.users.by_user).is_empty()
    }
}

impl UserPlace {
    /// Notes where the session is.
    pub(crate) fn is_at(&self, key: SlotKey) {
        let mut by_user = locked(&self.hub.users.by_user);
        let sessions = by_user.get_mut(&self.user);
        let own = sessions.and_then(|all| all.iter_mut().find(|one| one.id == self.id));
        if let Some(one) = own {
            one.stage = Stage::Open(key);
        }
    }
}

impl Drop for UserPlace {
    fn drop(&mut self) {
        let mut by_user = locked(&self.hub.users.by_user);
        let Some(sessions) = by_user.get_mut(&self.user) else { return };
        sessions.retain(|one| one.id != self.id);
        if sessions.is_empty() {
            by_user.remove(&self.user);
        }
    }
}
