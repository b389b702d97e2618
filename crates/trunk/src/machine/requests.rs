//! The numbers of a node's requests (section 4): in use from `Request` until `Response`.

use alloc::collections::{BTreeMap, BTreeSet};

use super::misbehaved::Misbehaved;
use crate::frame::RequestId;
use crate::kind::FrameKind;

/// The requests that an app server has not answered, each with the key that the owner gave it.
///
/// Up to `abandoned_max` requests without a waiting caller are remembered, so that a late answer
/// can be told apart from an answer to a request that never existed. When an app server leaves more
/// than that unanswered, every answer is accepted.
#[derive(Debug)]
pub(super) struct Requests {
    next: u32,
    waiting: BTreeMap<RequestId, u64>,
    numbers: BTreeMap<u64, RequestId>,
    abandoned: BTreeSet<RequestId>,
    abandoned_max: usize,
    forgot: bool,
}

impl Requests {
    /// An empty table that remembers `abandoned_max` requests without a waiting caller.
    pub(super) const fn new(abandoned_max: usize) -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            numbers: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            abandoned_max,
            forgot: false,
        }
    }

    /// Adds a request. A number is used again only after all others, so that a late answer does not
    /// meet a later request.
    pub(super) fn ask(&mut self, key: u64) -> RequestId {
        let mut id = RequestId(self.next);
        while self.waiting.contains_key(&id) || self.abandoned.contains(&id) {
            id = RequestId(id.0.wrapping_add(1));
        }
        self.next = id.0.wrapping_add(1);
        self.waiting.insert(id, key);
        self.numbers.insert(key, id);
        id
    }

    /// Notes that the caller no longer waits. Does nothing when the request is answered.
    pub(super) fn abandon(&mut self, key: u64) {
        let Some(id) = self.numbers.remove(&key) else { return };
        self.waiting.remove(&id);
        if self.abandoned.len() >= self.abandoned_max {
            self.abandoned.clear();
            self.forgot = true;
        }
        self.abandoned.insert(id);
    }

    /// Notes the answer. Returns the key, if the caller still waits.
    pub(super) fn answered(&mut self, id: RequestId) -> Result<Option<u64>, Misbehaved> {
        let waiting = self.waiting.remove(&id);
        if let Some(key) = waiting {
            self.numbers.remove(&key);
            return Ok(waiting);
        }
        if self.abandoned.remove(&id) || self.forgot {
            return Ok(None);
        }
        Err(Misbehaved::NumberNotInUse(FrameKind::Response))
    }
}
