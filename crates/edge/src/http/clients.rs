//! Clients' tokens: each says who the client is, signed by a holder of a key of the hub, or
//! verified by a [`Voucher`](crate::Voucher).
//!
//! The token is `access_token` in the query. At `/clients/socketio/hubs/{hub}` it is checked if
//! present; where the hub requires tokens, it must be present, at every path. It is checked at the
//! handshake only: a session outlives its token.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::HOST;
use hyper::{Request, StatusCode};
use trunkline_token::{Claims, Place, SKEW_S, TokenRefused, verify};
use trunkline_trunk::Str;

use super::connection::Connection;
use super::query::Query;
use super::{Reply, answer};
use crate::hub::{HUBS_PREFIX, Hub};
use crate::metrics::Cause;

/// The verified claims as JSON; empty for a client without a token.
pub(super) async fn admit<B>(
    connection: &Connection,
    hub: &Hub,
    query: &Query,
    request: &Request<B>,
) -> Result<Str, TokenRefused> {
    let path = request.uri().path();
    let at_hub = path.starts_with(HUBS_PREFIX);
    if !at_hub && !hub.tokens_required {
        return Ok(Str::EMPTY); // Here the parameter belongs to the app.
    }
    let Some(token) = query.access_token.as_deref().filter(|token| !token.is_empty()) else {
        return if hub.tokens_required { Err(TokenRefused::Missing) } else { Ok(Str::EMPTY) };
    };
    if let Some(voucher) = &connection.door.env().voucher
        && let Some(judged) = voucher.vouch(&hub.name, token).await
    {
        return judged.map(as_json);
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let keys = hub.keys.iter().map(|key| key.expose());
    let claims = verify(token, keys, now_s, SKEW_S)?;
    // A token is valid for a hub, whichever path its clients use.
    let own = format!("{HUBS_PREFIX}{}", hub.name);
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let names = &connection.door.env().names;
    let place = Place { host, path: &own, query: "", names };
    if !claims.audiences().iter().any(|audience| place.is_meant_by(audience)) {
        return Err(TokenRefused::Audience);
    }
    Ok(as_json(claims))
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
    let message = refused.to_string();
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = answer::error(status, refused.slug(), &message);
    if super::upgrade::is_asked(request) {
        answer::close_after(&mut response);
    }
    Ok(response)
}
