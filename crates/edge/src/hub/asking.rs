//! Requests that open no session, on their way between the clients that wait and the trunk's own
//! task. Their numbers, and the check of the answers, are up to the machine.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use trunkline_trunk::{ClientRequest, RequestCode, Response, Str};

use super::{Trunk, locked};
use crate::reply::{self, Awaited, Reply};

/// The clients that wait, and the requests that the trunk's own task has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Asking {
    next_key: u64,
    waiting: HashMap<u64, Reply<Response>>,
    /// Requests that the trunk's own task has not taken, in the order in which they were made.
    fresh: BTreeMap<u64, Asked>,
    /// Set when the trunk has ended: there will be no more answers.
    ended: bool,
}

/// A request to an app server.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) code: RequestCode,
    pub(crate) context: Str,
    pub(crate) request: ClientRequest,
}

impl Asked {
    /// The request's approximate size in memory.
    fn bytes(&self) -> usize {
        let headers = self.request.headers.iter();
        let headers: usize = headers.map(|one| one.name.len() + one.value.len()).sum();
        self.context.len() + self.request.url.len() + self.request.claims.len() + headers
    }
}

impl Trunk {
    /// Asks the app server how to answer a request that opens no session. `None` when too many
    /// requests wait already.
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
            // When the trunk has ended, the reply is dropped, so the caller is notified at once.
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

    /// Passes on an answer of the app server.
    pub(crate) fn response(&self, key: u64, response: Response) {
        if let Some(waiting) = locked(&self.asking).waiting.remove(&key) {
            // The client may have just gone.
            let _ = waiting.send(response);
        }
    }

    /// Takes the requests to send now, by key.
    pub(crate) fn take_asked(&self) -> BTreeMap<u64, Asked> {
        let fresh = std::mem::take(&mut locked(&self.asking).fresh);
        if !fresh.is_empty() {
            let bytes = fresh.values().map(Asked::bytes).sum();
            self.asking_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fresh
    }

    /// Requests that open no session and wait for the app server's answer.
    pub(crate) fn requests_pending(&self) -> usize {
        locked(&self.asking).waiting.len()
    }

    /// Notes that the trunk has ended: requests that wait fail at once, and so do later ones.
    pub(crate) fn fail_requests(&self) {
        let mut asking = locked(&self.asking);
        asking.ended = true;
        asking.waiting.clear();
        asking.fresh.clear();
        self.asking_bytes.store(0, Ordering::Relaxed);
    }
}

/// A request whose client waits; dropping it means that the client no longer waits.
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
