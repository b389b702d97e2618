//! Checks who may open tunnels and make calls.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, Uri};
use serde_json::{Map, Value, json};
pub(super) use trunkline_token::SKEW_S;
use trunkline_token::{Claims, KeyMark, Names, Place, TokenRefused, sign, verify_marked};

use super::hubs::HubHandle;
use crate::identity::Bearer;
use crate::rest::TokenWish;

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A valid token.
pub(super) struct Verified {
    pub(super) claims: Claims,
    /// The hub's key that has signed it, if one has: then its subject is the app server's own name.
    pub(super) by_hub_key: Option<KeyMark>,
}

/// Checks a token: one of an identity provider against its configuration, others against the hub's
/// keys and the address that was requested.
async fn check(token: &str, hub: &HubHandle, place: &Place<'_>) -> Result<Verified, TokenRefused> {
    let now_s = now_s();
    let by_provider = hub.identity.verify(Bearer::AppServer, token, now_s, SKEW_S).await;
    if let Some(verified) = by_provider {
        return Ok(Verified { claims: verified?, by_hub_key: None });
    }
    let (claims, key) = verify_marked(token, &hub.keys, now_s, SKEW_S)?;
    if claims.audiences().iter().any(|audience| place.is_meant_by(audience)) {
        Ok(Verified { claims, by_hub_key: Some(key) })
    } else {
        Err(TokenRefused::Audience)
    }
}

fn host<B>(request: &Request<B>) -> &str {
    request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Checks the bearer token of a call.
pub(super) async fn check_call<B>(
    request: &Request<B>,
    hub: &HubHandle,
    names: &Names,
) -> Result<(), TokenRefused> {
    let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(TokenRefused::Missing)?;
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let place = Place { host: host(request), path: uri.path(), query, names };
    check(token, hub, &place).await.map(drop)
}

/// Checks the token of a tunnel, which is in the query; the audience is the rest of the URL.
pub(super) async fn check_tunnel<B>(
    request: &Request<B>,
    hub: &HubHandle,
    names: &Names,
) -> Result<Verified, TokenRefused> {
    let (token, query) = without_token(request.uri());
    let token = token.ok_or(TokenRefused::Missing)?;
    let place = Place { host: host(request), path: request.uri().path(), query: &query, names };
    check(&token, hub, &place).await
}

/// `access_token` and the query without it.
fn without_token(uri: &Uri) -> (Option<String>, String) {
    let query = uri.query().unwrap_or_default();
    let is_token = |part: &&str| part.split('=').next() == Some("access_token");
    let rest: Vec<&str> = query.split('&').filter(|part| !is_token(part)).collect();
    let token = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "access_token")
        .map(|(_, value)| value.into_owned());
    (token, rest.join("&"))
}

/// Makes a token for a client. `endpoint` is the node's address as the caller named it, with a
/// slash at the end.
pub(super) fn for_client(hub: &HubHandle, endpoint: &str, wish: &TokenWish) -> Option<String> {
    let now = now_s();
    let mut claims = Map::new();
    claims.insert("aud".into(), format!("{endpoint}clients/socketio/hubs/{}", hub.name).into());
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), now.saturating_add(wish.minutes.saturating_mul(60)).into());
    if let Some(user) = &wish.user {
        claims.insert("sub".into(), Value::from(user.as_str()));
    }
    for (name, values) in [("role", &wish.roles), ("webpubsub.group", &wish.groups)] {
        if !values.is_empty() {
            claims.insert(name.into(), json!(values));
        }
    }
    sign(&claims, hub.keys.first()?.secret().expose()).ok()
}
