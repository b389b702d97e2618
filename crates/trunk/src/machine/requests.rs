//! The numbers of a node's requests (section 4): in use from `Request` until `Response`.

use alloc::collections::{BTreeMap, BTreeSet};

use super::misbehaved::Misbehaved;
use crate::frame::RequestId;
use crate::kind::FrameKind;

/// The requests that an app server has not answered, each with whoever waits for the answer.
///
/// Of requests that nobody waits for any more so many are remembered that a late answer is told from one to a request
/// that never was; of an app server that leaves more unanswered, every answer is taken.
#[derive(Clone, Debug)]
pub struct Requests<T> {
    next: u32,
    waiting: BTreeMap<RequestId, T>,
    abandoned: BTreeSet<RequestId>,
    abandoned_max: usize,
    forgot: bool,
}

impl<T> Requests<T> {
    /// None yet; remembers this many that nobody waits for.
    pub const fn new(abandoned_max: usize) -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            abandoned_max,
            forgot: false,
        }
    }

    /// Asks. Numbers are not used again before all others were, so that a late answer meets no later request.
    pub fn ask(&mut self, who: T) -> RequestId {
        let mut id = RequestId(self.next);
        while self.waiting.contains_key(&id) || self.abandoned.contains(&id) {
            id = RequestId(id.0.wrapping_add(1));
        }
        self.next = id.0.wrapping_add(1);
        self.waiting.insert(id, who);
        id
    }

    /// Nobody waits for this one any more. Nothing if it is answered.
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

    /// The answer came: who waits for it, if somebody does.
    pub fn answered(&mut self, id: RequestId) -> Result<Option<T>, Misbehaved> {
        let waiting = self.waiting.remove(&id);
        if waiting.is_some() || self.abandoned.remove(&id) || self.forgot {
            return Ok(waiting);
        }
        Err(Misbehaved::NumberNotInUse(FrameKind::Response))
    }

    /// How many are waited for.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The trunk is gone: nobody waits any more.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}
