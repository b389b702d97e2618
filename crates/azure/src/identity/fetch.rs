//! Fetches a provider's keys.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT};
use serde_json::Value;
use trunkline_token::{KeySet, KeySetError};

use super::keyring::Fetch;
use super::metrics::Outcome;
use super::source::{KeySource, ProviderUrl, ProviderUrlError};
use super::{IdentityProvider, Limits, Metrics};
use crate::webhook::{self, NoAuthorities, NoReply, Sender};

/// Fetches the keys of one provider.
#[derive(Debug)]
pub(super) struct Fetcher {
    hub: String,
    issuer: String,
    source: KeySource,
    sender: Sender,
    metrics: Metrics,
    state: State,
}

/// What was logged last, so that it is not logged again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Unknown,
    Up,
    Down,
}

/// Why no keys could be fetched, in alphabetical order.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the discovery document is no JSON object with issuer and jwks_uri")]
    Discovery,
    #[error("the discovery document is of another issuer")]
    IssuerDiffers,
    #[error("what was fetched is no set of keys: {0}")]
    Keys(#[from] KeySetError),
    #[error("the jwks_uri of the discovery document {0}")]
    KeysUrl(#[from] ProviderUrlError),
    #[error("{0}")]
    NoReply(#[from] NoReply),
    #[error("the answer has status {0}; only 200 counts, and redirects are not followed")]
    Status(u16),
}

impl FetchError {
    /// A metric label.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Discovery | Self::IssuerDiffers | Self::KeysUrl(_) => "discovery_unusable",
            Self::Keys(_) => "keys_unusable",
            Self::NoReply(error) => error.outcome(),
            Self::Status(_) => "refused",
        }
    }
}

impl Fetcher {
    pub(super) fn new(
        hub: &str,
        provider: &IdentityProvider,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Result<Self, NoAuthorities> {
        let client = webhook::Limits {
            timeout: limits.timeout,
            answer_bytes_max: limits.answer_bytes_max,
            concurrent_max: 1,
            pending_max: 1,
        };
        Ok(Self {
            hub: hub.to_owned(),
            issuer: provider.rules.issuer.clone(),
            source: provider.source.clone(),
            sender: Sender::new(&client, provider.source.url().is_https())?,
            metrics: metrics.clone(),
            state: State::Unknown,
        })
    }

    async fn try_fetch(&self) -> Result<KeySet, FetchError> {
        let found;
        let url = match &self.source {
            KeySource::Keys(url) => url,
            KeySource::Discovery(url) => {
                found = keys_url(&self.get(url).await?, &self.issuer, url)?;
                &found
            }
        };
        Ok(KeySet::parse(&self.get(url).await?)?)
    }

    async fn get(&self, url: &ProviderUrl) -> Result<Bytes, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("trunkline"));
        let reply = self.sender.send(Method::GET, url.uri(), &headers, Bytes::new()).await?;
        if reply.status == 200 { Ok(reply.body) } else { Err(FetchError::Status(reply.status)) }
    }

    fn report(&mut self, fetched: &Result<KeySet, FetchError>) {
        let outcome = fetched.as_ref().map_or_else(FetchError::outcome, |_| "ok");
        self.metrics.fetches.get_or_create(&Outcome { outcome }).inc();
        let (hub, issuer) = (&self.hub, &self.issuer);
        match fetched {
            Ok(keys) => {
                if self.state != State::Up {
                    let keys = keys.count();
                    tracing::info!(hub, issuer, keys, "an identity provider's keys are here");
                }
                self.state = State::Up;
            }
            Err(error) => {
                let url = self.source.url();
                tracing::warn!(
                    hub,
                    issuer,
                    %url,
                    outcome,
                    "an identity provider's keys could not be fetched; those from before stay: {error}"
                );
                self.state = State::Down;
            }
        }
    }
}

impl Fetch for Fetcher {
    async fn fetch(&mut self) -> Option<KeySet> {
        let fetched = self.try_fetch().await;
        self.report(&fetched);
        fetched.ok()
    }
}

/// The address of the keys in a discovery document.
fn keys_url(document: &[u8], issuer: &str, from: &ProviderUrl) -> Result<ProviderUrl, FetchError> {
    let document: Value = serde_json::from_slice(document).map_err(|_| FetchError::Discovery)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    // Section 4.3: the document must name exactly the issuer that was asked.
    if text("issuer").ok_or(FetchError::Discovery)? != issuer {
        return Err(FetchError::IssuerDiffers);
    }
    let url = ProviderUrl::parse(text("jwks_uri").ok_or(FetchError::Discovery)?)?;
    // A remote provider must not be able to direct the node to its own machine.
    if from.is_https() && !url.is_https() {
        return Err(FetchError::KeysUrl(ProviderUrlError::Insecure));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_document_is_believed_within_bounds() {
        const ISSUER: &str = "https://id.example.com";
        let document = |issuer: &str, keys: &str| {
            serde_json::json!({ "issuer": issuer, "jwks_uri": keys }).to_string()
        };
        let keys = "https://keys.example.com/1";
        let table = [
            (document(ISSUER, keys), "ok"),
            (document("https://id.example.com/", keys), "IssuerDiffers"),
            (document("https://other.example.com", keys), "IssuerDiffers"),
            (document(ISSUER, "http://127.0.0.1:8081/"), "KeysUrl(Insecure)"),
            (document(ISSUER, "http://keys.example.com/"), "KeysUrl(Insecure)"),
            (document(ISSUER, "keys"), "KeysUrl(Insecure)"),
            ("{}".into(), "Discovery"),
            ("<html>".into(), "Discovery"),
        ];
        let from = ProviderUrl::parse(ISSUER).expect("an address");
        for (document, expected) in table {
            let found = keys_url(document.as_bytes(), ISSUER, &from);
            let found = found.map_or_else(|error| format!("{error:?}"), |_| "ok".into());
            assert_eq!(found, expected, "{document}");
        }
        let local = ProviderUrl::parse("http://127.0.0.1:9/").expect("an address");
        let document = document("http://127.0.0.1:9", "http://127.0.0.1:9/keys");
        assert!(keys_url(document.as_bytes(), "http://127.0.0.1:9", &local).is_ok());
    }
}
