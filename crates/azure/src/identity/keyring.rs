//! The keys of one provider, and the one task that fetches them.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use trunkline_token::{Head, KeySet, TokenRefused};

use super::Limits;

/// Fetches keys; logs its failures itself.
pub(super) trait Fetch {
    async fn fetch(&mut self) -> Option<KeySet>;
}

/// The keyring's knowledge of a provider's keys.
#[derive(Clone, Debug)]
struct Known {
    /// The last valid keys.
    keys: Option<Arc<KeySet>>,
    /// The number of fetches that have ended.
    tries: u64,
    /// The time before which a request for new keys has no effect.
    wish_from: Instant,
}

/// Reads keys, and requests new ones.
#[derive(Debug)]
pub(super) struct Keyring {
    known: watch::Receiver<Known>,
    wish: Arc<Notify>,
    /// The longest time that a caller waits for a fetch.
    patience: Duration,
}

/// The task that fetches the keys.
#[derive(Debug)]
pub(super) struct Task<F> {
    fetcher: F,
    known: watch::Sender<Known>,
    wish: Arc<Notify>,
    refresh: Duration,
    retry: Duration,
}

/// A keyring and its task. Nothing is fetched before the task runs.
pub(super) fn new<F: Fetch>(fetcher: F, limits: &Limits) -> (Keyring, Task<F>) {
    let first = Known { keys: None, tries: 0, wish_from: Instant::now() };
    let (sender, receiver) = watch::channel(first);
    let wish = Arc::new(Notify::new());
    // A fetch can be two requests: the first finds out where the keys are.
    let patience = limits.timeout.saturating_mul(2).saturating_add(Duration::from_secs(1));
    let keyring = Keyring { known: receiver, wish: Arc::clone(&wish), patience };
    let Limits { refresh, retry, .. } = *limits;
    (keyring, Task { fetcher, known: sender, wish, refresh, retry })
}

impl Keyring {
    /// The keys, once the one that a token names is among them. Waits for a fetch if one is due or
    /// under way.
    pub(super) async fn with_key_of(&self, head: &Head) -> Result<Arc<KeySet>, TokenRefused> {
        let mut known = self.known.clone();
        let (found, tries, may_wish) = {
            let known = known.borrow();
            (known.find(head), known.tries, known.wish_from <= Instant::now())
        };
        if found.is_ok() || !may_wish {
            return found;
        }
        self.wish.notify_one();
        // The wait fails if the provider is slower than that or the node stops: then the known keys
        // are used.
        let _ = timeout(self.patience, known.wait_for(|known| known.tries != tries)).await;
        known.borrow().find(head)
    }
}

impl Known {
    fn find(&self, head: &Head) -> Result<Arc<KeySet>, TokenRefused> {
        let keys = self.keys.as_ref().ok_or(TokenRefused::KeysMissing)?;
        if keys.holds(head) { Ok(Arc::clone(keys)) } else { Err(TokenRefused::KeyUnknown) }
    }
}

impl<F: Fetch> Task<F> {
    /// Fetches until told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let fetched = tokio::select! {
                _ = stop.changed() => return,
                fetched = self.fetcher.fetch() => fetched,
            };
            let ended_at = Instant::now();
            let next_at = ended_at + if fetched.is_some() { self.refresh } else { self.retry };
            let wish_from = ended_at + self.retry;
            self.known.send_modify(|known| {
                known.tries += 1;
                known.wish_from = wish_from;
                if let Some(keys) = fetched {
                    known.keys = Some(Arc::new(keys));
                }
            });
            tokio::select! {
                _ = stop.changed() => return,
                () = sleep_until(next_at) => (),
                () = wished(&self.wish, wish_from) => (),
            }
        }
    }
}

/// Waits for a request for new keys that may have an effect.
async fn wished(wish: &Notify, from: Instant) {
    loop {
        wish.notified().await;
        // A request may be left over that the last fetch has already answered.
        if from <= Instant::now() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
