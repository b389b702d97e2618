//! The numbers of a node's requests (section 4): in use from `Request` until `Response`.

use alloc::collections::{BTreeMap, BTreeSet};

use super::misbehaved::Misbehaved;
use crate::frame::RequestId;
use crate::kind::FrameKind;

/// The requests that an app server has not answered, each with the caller that waits for the
/// answer.
///
/// Up to `abandoned_max` requests without a waiting caller are remembered, so that a late answer
/// can be told apart from an answer to a request that never existed. When an app server leaves more
/// than that unanswered, every answer is accepted.
#[derive(Clone, Debug)]
pub struct Requests<T> {
    next: u32,
    waiting: BTreeMap<RequestId, T>,
    abandoned: BTreeSet<RequestId>,
    abandoned_max: usize,
    forgot: bool,
}

impl<T> Requests<T> {
    /// An empty table that remembers `abandoned_max` requests without a waiting caller.
    pub const fn new(abandoned_max: usize) -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            abandoned_max,
            forgot: false,
        }
    }

    /// Adds a request. A number is used again only after all others, so that a late answer does not
    /// meet a later request.
    pub fn ask(&mut self, who: T) -> RequestId {
        let mut id = RequestId(self.next);
        while self.waiting.contains_key(&id) || self.abandoned.contains(&id) {
            id = RequestId(id.0.wrapping_add(1));
        }
        self.next = id.0.wrapping_add(1);
        self.waiting.insert(id, who);
        id
    }

    /// Notes that the caller no longer waits. Does nothing when the request is answered.
    pub fn abandon(&mut self, id: RequestId) {
        if self.waiting.remove(&id).is_none() {
            return;
        }
        if self.abandoned.len() >= self.abandoned_max {
            self.abandoned.clear();
            self.forgot = true;
        }
        self.abandoned.insert(id);
    }

    /// Notes the answer. Returns the caller, if it still waits.
    pub fn answered(&mut self, id: RequestId) -> Result<Option<T>, Misbehaved> {
        let waiting = self.waiting.remove(&id);
        if waiting.is_some() || self.abandoned.remove(&id) || self.forgot {
            return Ok(waiting);
        }
        Err(Misbehaved::NumberNotInUse(FrameKind::Response))
    }

    /// How many requests have a waiting caller.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets all requests: the trunk has ended.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}
