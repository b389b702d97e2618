//! Session ids that the app made itself (`generateId`): ours say by themselves where their session is.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Hub, locked};
use crate::sid::Sid;

#[derive(Debug, Default)]
pub(super) struct OwnSids {
    by_text: Mutex<HashMap<String, Sid>>,
    /// False until the first of them: then the table is not asked at all.
    any: AtomicBool,
}

impl Hub {
    pub(crate) fn remember_custom_sid(&self, text: &str, sid: Sid) -> bool {
        let mut sids = locked(&self.own_sids.by_text);
        if sids.contains_key(text) {
            return false;
        }
        sids.insert(text.to_owned(), sid);
        self.own_sids.any.store(true, Ordering::Relaxed);
        true
    }

    pub(crate) fn forget_custom_sid(&self, text: &str) {
        locked(&self.own_sids.by_text).remove(text);
    }

    /// Reads a sid that a client sent, whoever made it. `None` for one that is not of this node, which has this number
    /// and `shards` shards: it is of another node, or made up.
    pub(crate) fn resolve_sid(&self, text: &str, node: u16, shards: usize) -> Option<Sid> {
        if self.own_sids.any.load(Ordering::Relaxed)
            && let Some(sid) = locked(&self.own_sids.by_text).get(text)
        {
            return Some(*sid);
        }
        Sid::parse(text).filter(|sid| sid.node == node && usize::from(sid.shard) < shards)
    }
}
