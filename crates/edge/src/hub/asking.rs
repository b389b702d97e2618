//! Requests that open no session, between those who wait for the answers and the trunk's own task. Their numbers, and
//! which answer is a lie, are the machine's to know.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use trunkline_trunk::{ClientRequest, RequestCode, Response, Str};

use super::{Trunk, locked};
use crate::reply::{self, Awaited, Reply};

/// Who waits, and what the trunk's own task has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Asking {
    next_key: u64,
    waiting: HashMap<u64, Reply<Response>>,
    /// Not taken by the trunk's own task. In the order in which they were asked.
    fresh: BTreeMap<u64, Asked>,
    /// Nobody will answer any more.
    ended: bool,
}

/// What an app server is asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) code: RequestCode,
    pub(crate) context: Str,
    pub(crate) request: ClientRequest,
}

impl Asked {
    /// What it takes in memory, roughly.
    fn bytes(&self) -> usize {
        let headers = self.request.headers.iter();
        let headers: usize = headers.map(|one| one.name.len() + one.value.len()).sum();
        self.context.len() + self.request.url.len() + self.request.claims.len() + headers
    }
}

impl Trunk {
    /// Asks the app server what to answer to a request that opens no session. `None`: it has enough to answer.
    pub(crate) fn request(
        self: &Arc<Self>,
        waiting_max: usize,
        code: RequestCode,
        context: &str,
        request: ClientRequest,
    ) -> Option<(PendingRequest, Awaited<Response>)> {
        let (reply, answer) = reply::pair();
        let asked = Asked { code, context: Str::from(context.to_owned()), request };
        let key = {
            let mut asking = locked(&self.asking);
            if asking.waiting.len() >= waiting_max {
                return None;
            }
            let key = asking.next_key;
            asking.next_key += 1;
            // Who asks a trunk that is gone learns so at once: the reply is dropped.
            if !asking.ended {
                self.asking_bytes.fetch_add(asked.bytes(), Ordering::Relaxed);
                asking.waiting.insert(key, reply);
                asking.fresh.insert(key, asked);
            }
            key
        };
        self.wake_writer.notify_one();
        Some((PendingRequest { trunk: Arc::clone(self), key }, answer))
    }

    /// An answer came.
    pub(crate) fn response(&self, key: u64, response: Response) {
        if let Some(waiting) = locked(&self.asking).waiting.remove(&key) {
            // The client may have gone in this moment.
            let _ = waiting.send(response);
        }
    }

    /// What is to be asked now, by key.
    pub(crate) fn take_asked(&self) -> BTreeMap<u64, Asked> {
        let fresh = std::mem::take(&mut locked(&self.asking).fresh);
        if !fresh.is_empty() {
            let bytes = fresh.values().map(Asked::bytes).sum();
            self.asking_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fresh
    }

    /// Requests that open no session and wait for its word.
    pub(crate) fn requests_pending(&self) -> usize {
        locked(&self.asking).waiting.len()
    }

    /// The trunk is gone: whoever waits for it learns so at once, and whoever asks from now on.
    pub(crate) fn fail_requests(&self) {
        let mut asking = locked(&self.asking);
        asking.ended = true;
        asking.waiting.clear();
        asking.fresh.clear();
        self.asking_bytes.store(0, Ordering::Relaxed);
    }
}

/// A request that somebody waits for; dropping it says that nobody does any more.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    trunk: Arc<Trunk>,
    key: u64,
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        let mut asking = locked(&self.trunk.asking);
        if asking.waiting.remove(&self.key).is_none() {
            return;
        }
        match asking.fresh.remove(&self.key) {
            Some(asked) => {
                self.trunk.asking_bytes.fetch_sub(asked.bytes(), Ordering::Relaxed);
            }
            None => self.trunk.abandoned(self.key),
        }
    }
}
