//! What an operator may change of a hub while it runs: its keys, whether its clients need tokens.
//! Its paths are the [`Directory`](super::Directory)'s.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use trunkline_admission::Origins;
use trunkline_token::{KeyMark, MarkedKey};

use super::trunk::{Ending, Trunk};
use super::users::UserSessions;
use super::{Hub, HubLimits, locked};
use crate::HubConfig;

/// The changing parts of a hub. Read once for each handshake of a client and for each trunk.
#[derive(Debug)]
pub(crate) struct HubRules {
    /// Each of these opens trunks and signs clients' tokens.
    pub(crate) keys: Vec<MarkedKey>,
    /// Set when every client needs a good token.
    pub(crate) tokens_required: bool,
    /// The origins of web pages that may connect; `None`: all.
    pub(crate) origins: Option<Origins>,
    /// Set when a session ends with its client's token.
    pub(crate) tokens_end: bool,
    /// Set when others than the hub's keys may vouch for its clients.
    pub(crate) vouched: bool,
    /// How many sessions a user may have.
    pub(crate) user_sessions: UserSessions,
}

impl HubRules {
    pub(super) fn of(config: &HubConfig) -> Self {
        Self {
            keys: config.keys.iter().cloned().map(MarkedKey::new).collect(),
            tokens_required: config.tokens_required,
            origins: config.allowed_origins.clone(),
            tokens_end: config.tokens_end,
            vouched: config.vouched,
            user_sessions: config.user_sessions,
        }
    }

    /// Whether the key is still one of the hub's.
    pub(crate) fn has_key(&self, mark: KeyMark) -> bool {
        self.keys.iter().any(|key| key.mark() == mark)
    }

    /// The keys that `later` has no longer.
    fn keys_without(&self, later: &Self) -> Vec<KeyMark> {
        self.keys.iter().map(MarkedKey::mark).filter(|mark| !later.has_key(*mark)).collect()
    }
}

impl Hub {
    /// What is valid at present.
    pub(crate) fn rules(&self) -> Arc<HubRules> {
        self.rules.get()
    }

    /// Whether the configuration has the hub no longer.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// Whether a session or a trunk that this key opened may go on. Without a key: whether the hub
    /// is there.
    pub(crate) fn admits(&self, key: Option<KeyMark>) -> bool {
        !self.is_removed() && key.is_none_or(|key| self.rules().has_key(key))
    }

    /// Changes what is valid; a hub that was removed is there again. Returns the keys that are valid
    /// no longer, whose trunks it has ended.
    pub(super) fn change(&self, rules: HubRules, limits: HubLimits) -> Vec<KeyMark> {
        self.bounds.set(limits);
        self.flow.set(&limits);
        let former = self.rules.set(rules);
        self.removed.store(false, Ordering::Release);
        let gone = former.keys_without(&self.rules());
        for trunk in locked(&self.roster).trunks() {
            if trunk.key().is_some_and(|key| gone.contains(&key)) {
                trunk.end(Ending::KeyRemoved);
            }
        }
        gone
    }

    /// Removes the hub: nobody finds it any longer, and its trunks end.
    pub(super) fn remove(&self) {
        // Set first: a trunk that comes up now is either in the list or finds this.
        self.removed.store(true, Ordering::Release);
        for trunk in locked(&self.roster).trunks() {
            trunk.end(Ending::HubRemoved);
        }
    }
}

impl Trunk {
    /// The key that signed the token of its present stream.
    pub(crate) fn key(&self) -> Option<KeyMark> {
        *locked(&self.key)
    }

    /// Notes the key that signed the token of another stream of it.
    pub(crate) fn set_key(&self, key: Option<KeyMark>) {
        *locked(&self.key) = key;
    }
}
