//! Tokens of identity providers, in the places where Azure accepts those of Entra ID.
//!
//! An [`IdentityProvider`] is the configuration of a provider. A `Keyring` holds the keys that it
//! publishes; only the keyring's task fetches them: at the start, at intervals, and when a token
//! names an unknown key, but at most once in [`Limits::retry`], whatever tokens strangers send.
//! While the provider is down, the last valid keys stay in use. [`Identity`] puts both together for
//! the callers of one hub.

mod fetch;
mod keyring;
mod metrics;
mod source;

use core::time::Duration;
use std::sync::Arc;

pub use metrics::Metrics;
pub use source::{KeySource, ProviderUrl, ProviderUrlError};
use tokio::sync::watch;
use tokio::task::spawn_local;
use trunkline_token::{Claims, Head, TokenRefused};
pub use trunkline_token::{ProviderAlgorithm, Rules};

use self::fetch::Fetcher;
use self::keyring::Keyring;
use self::metrics::Outcome;
use crate::webhook::NoAuthorities;

/// The limits for requests to a provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Time for one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The longest answer in bytes. A longer one counts as no answer.
    pub answer_bytes_max: usize,
    /// The interval of fetches while they succeed.
    pub refresh: Duration,
    /// The shortest time between two fetches: after a failure, and when a token names an unknown
    /// key.
    pub retry: Duration,
}

/// One provider of one hub.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityProvider {
    /// The rules that its tokens must follow.
    pub rules: Rules,
    /// The place of its keys.
    pub source: KeySource,
    /// Whether app servers and tools may use its tokens, for REST and tunnels.
    pub app_servers: bool,
    /// Whether clients may use its tokens.
    pub clients: bool,
}

/// The role of a token's bearer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bearer {
    /// An app server or a tool.
    AppServer,
    /// A client of Socket.IO.
    Client,
}

/// The identity providers of one hub. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    providers: Arc<[Provider]>,
    limits: Option<Arc<Limits>>,
    metrics: Metrics,
    /// The tasks that fetch keys end with its last clone.
    _fetches: Option<Arc<watch::Sender<bool>>>,
}

#[derive(Debug)]
struct Provider {
    config: IdentityProvider,
    keys: Keyring,
}

/// The tasks that fetch keys.
pub(crate) struct Fetching(Vec<keyring::Task<Fetcher>>, watch::Receiver<bool>);

impl Fetching {
    /// Runs the tasks on this thread, which has a `LocalSet`, until told to stop.
    pub(crate) fn spawn(self, stop: &watch::Receiver<bool>) {
        for task in self.0 {
            let (fetches, mut stop) = (self.1.clone(), stop.clone());
            spawn_local(async move {
                tokio::select! {
                    () = task.run(fetches) => (),
                    _ = stop.wait_for(|stop| *stop) => (),
                }
            });
        }
    }
}

impl Identity {
    pub(crate) fn new(
        hub: &str,
        providers: &[IdentityProvider],
        limits: &Limits,
        metrics: &Metrics,
    ) -> Result<(Self, Fetching), NoAuthorities> {
        let mut tasks = Vec::new();
        let mut held = Vec::new();
        for config in providers {
            let fetcher = Fetcher::new(hub, config, limits, metrics)?;
            let (keys, task) = keyring::new(fetcher, limits);
            tasks.push(task);
            held.push(Provider { config: config.clone(), keys });
        }
        let (alive, fetches) = watch::channel(false);
        let identity = Self {
            providers: held.into(),
            limits: Some(Arc::new(limits.clone())),
            metrics: metrics.clone(),
            _fetches: Some(Arc::new(alive)),
        };
        Ok((identity, Fetching(tasks, fetches)))
    }

    /// The identity of a hub without identity providers.
    pub(crate) fn none(metrics: &Metrics) -> Self {
        let (limits, metrics) = (None, metrics.clone());
        Self { providers: Arc::default(), limits, metrics, _fetches: None }
    }

    /// Whether it was made of this configuration: then the keys that it has are worth keeping.
    pub(crate) fn is_of(&self, providers: &[IdentityProvider], limits: &Limits) -> bool {
        let own = self.providers.iter().map(|provider| &provider.config);
        own.eq(providers) && self.limits.as_deref() == Some(limits)
    }

    /// Verifies a token. `None`: no identity provider is responsible for it; the hub's own keys may
    /// be.
    pub(crate) async fn verify(
        &self,
        bearer: Bearer,
        token: &str,
        now_s: u64,
        skew_s: u64,
    ) -> Option<Result<Claims, TokenRefused>> {
        self.providers.iter().find(|provider| provider.admits(bearer))?;
        let head = Head::read(token)?;
        let verified = self.ask(bearer, token, &head, (now_s, skew_s)).await;
        let outcome = verified.as_ref().map_or_else(|refused| refused.slug(), |_| "accepted");
        self.metrics.tokens.get_or_create(&Outcome { outcome }).inc();
        Some(verified)
    }

    /// Verifies with each provider in turn until one accepts the token. Several may have one
    /// issuer, for different audiences or claims.
    async fn ask(
        &self,
        bearer: Bearer,
        token: &str,
        head: &Head,
        (now_s, skew_s): (u64, u64),
    ) -> Result<Claims, TokenRefused> {
        let mut refused = TokenRefused::Issuer;
        let named = |provider: &&Provider| {
            provider.admits(bearer) && provider.config.rules.is_named_by(head)
        };
        for provider in self.providers.iter().filter(named) {
            let rules = &provider.config.rules;
            if !rules.is_meant_by(head) {
                if refused == TokenRefused::Issuer {
                    refused = TokenRefused::Audience;
                }
                continue;
            }
            let keys = match rules.admit(head) {
                Ok(()) => provider.keys.with_key_of(head).await,
                Err(algorithm) => Err(algorithm),
            };
            match keys.and_then(|keys| rules.verify(token, head, &keys, now_s, skew_s)) {
                Ok(claims) => return Ok(claims),
                Err(rule) => refused = rule,
            }
        }
        Err(refused)
    }
}

impl Provider {
    fn admits(&self, bearer: Bearer) -> bool {
        match bearer {
            Bearer::AppServer => self.config.app_servers,
            Bearer::Client => self.config.clients,
        }
    }
}
