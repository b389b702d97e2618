//! Clients' tokens: each says who the client is, signed by a holder of a key of the hub, or
//! verified by a [`Voucher`](crate::Voucher).
//!
//! The token is `access_token` in the query. At `/clients/socketio/hubs/{hub}` it is checked if
//! present; where the hub requires tokens, it must be present, at every path. It is checked at the
//! handshake only: a session outlives its token, unless the hub ends it with the token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::HOST;
use hyper::{Request, StatusCode};
use trunkline_clock::Timestamp;
use trunkline_token::{Claims, Place, SKEW_S, TokenRefused, verify_marked};
use trunkline_trunk::Str;

use super::connection::Connection;
use super::query::Query;
use super::{Reply, answer, visitor};
use crate::hub::{HUBS_PREFIX, Hub};
use crate::metrics::Cause;
use crate::shard::ClientToken;

/// Longer than any process lives: a token that ends later does not end.
const LIFE_S_MAX: f64 = 1e9;

/// What a client's token says.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// The verified claims as JSON; empty for a client without a token.
    pub(super) claims: Str,
    /// What it says of the session.
    pub(super) token: ClientToken,
}

/// When a session ends that ends with its token. A token that has ended already was taken because
/// clocks may differ; then the session lasts as long as they may.
fn ends(claims: &Claims, now_s: u64, now: Timestamp) -> Option<Timestamp> {
    let exp = claims.seconds("exp")?;
    let left = exp - now_s as f64;
    let left = if left > 0.0 { left } else { left + SKEW_S as f64 };
    Some(now + Duration::from_secs_f64(left.clamp(0.0, LIFE_S_MAX)))
}

/// Checks the client's token, if it has one or needs one.
pub(super) async fn admit<B>(
    connection: &Connection,
    hub: &Hub,
    query: &Query,
    request: &Request<B>,
) -> Result<Admitted, TokenRefused> {
    let path = request.uri().path();
    let at_hub = path.starts_with(HUBS_PREFIX);
    let rules = hub.rules();
    if !at_hub && !rules.tokens_required {
        return Ok(Admitted::default()); // Here the parameter belongs to the app.
    }
    let Some(token) = query.access_token.as_deref().filter(|token| !token.is_empty()) else {
        return if rules.tokens_required {
            Err(TokenRefused::Missing)
        } else {
            Ok(Admitted::default())
        };
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = connection.door.env().now();
    let ends_of = |claims: &Claims| rules.tokens_end.then(|| ends(claims, now_s, now)).flatten();
    if rules.vouched
        && let Some(voucher) = &connection.door.env().voucher
        && let Some(judged) = voucher.vouch(&hub.name, token).await
    {
        return judged.map(|claims| {
            let token = ClientToken { key: None, ends: ends_of(&claims) };
            Admitted { claims: as_json(claims), token }
        });
    }
    let (claims, key) = verify_marked(token, &rules.keys, now_s, SKEW_S)?;
    // A token is valid for a hub, whichever path its clients use.
    let own = format!("{HUBS_PREFIX}{}", hub.name);
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let names = connection.door.env().names.get();
    let place = Place { host, path: &own, query: "", names: &names };
    if !claims.audiences().iter().any(|audience| place.is_meant_by(audience)) {
        return Err(TokenRefused::Audience);
    }
    let token = ClientToken { key: Some(key), ends: ends_of(&claims) };
    Ok(Admitted { claims: as_json(claims), token })
}

fn as_json(claims: Claims) -> Str {
    Str::from(serde_json::Value::Object(claims.0).to_string())
}

/// The answer to a client with a bad token.
pub(super) fn refuse<B>(
    connection: &Connection,
    request: &Request<B>,
    refused: TokenRefused,
) -> Reply {
    let metrics = &connection.door.env().metrics;
    metrics.client_tokens_refused.get_or_create(&Cause { cause: refused.slug() }).inc();
    if let Some(answer) = visitor::failed(connection) {
        return Ok(answer);
    }
    let message = refused.to_string();
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = answer::error(status, refused.slug(), &message);
    if super::upgrade::is_asked(request) {
        answer::close_after(&mut response);
    }
    Ok(response)
}
