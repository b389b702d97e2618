//! Session ids that the app made itself (`generateId`). Unlike the node's own ids, they do not say
//! where their session is.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Hub, locked};
use crate::sid::{Sid, SidSecret};

/// The sessions of ids that the app made.
#[derive(Debug, Default)]
pub(super) struct OwnSids {
    by_text: Mutex<HashMap<String, Sid>>,
    /// False until the first such id: until then the table is not searched.
    any: AtomicBool,
}

impl Hub {
    /// Notes the session of an id that the app made; false when the id is in use.
    pub(crate) fn remember_custom_sid(&self, text: &str, sid: Sid) -> bool {
        let mut sids = locked(&self.own_sids.by_text);
        if sids.contains_key(text) {
            return false;
        }
        sids.insert(text.to_owned(), sid);
        self.own_sids.any.store(true, Ordering::Relaxed);
        true
    }

    /// Whether the app has ever made a session's id.
    pub(crate) fn has_own_sids(&self) -> bool {
        self.own_sids.any.load(Ordering::Relaxed)
    }

    /// The session of this node with an id that the app made.
    pub(crate) fn own_sid(&self, text: &str) -> Option<Sid> {
        locked(&self.own_sids.by_text).get(text).copied()
    }

    /// Forgets the id of a session that has ended or moved. Another session may have it by now.
    pub(crate) fn forget_custom_sid(&self, text: &str, secret: &SidSecret) {
        let mut sids = locked(&self.own_sids.by_text);
        if sids.get(text).is_some_and(|sid| sid.secret.matches(secret)) {
            sids.remove(text);
        }
    }

    /// Resolves a sid that a client sent, whether an app or a node made it. `None` for a text that
    /// no node made and that no session of this node has.
    pub(crate) fn resolve_sid(&self, text: &str) -> Option<Sid> {
        if self.own_sids.any.load(Ordering::Relaxed)
            && let Some(sid) = locked(&self.own_sids.by_text).get(text)
        {
            return Some(*sid);
        }
        Sid::parse(text)
    }
}
