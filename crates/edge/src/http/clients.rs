//! Clients' tokens: each says who the client is, signed by a holder of a key of the hub, or
//! verified by a [`Voucher`](crate::Voucher).
//!
//! The token is `access_token` in the query. At `/clients/socketio/hubs/{hub}` it is checked if
//! present; where the hub requires tokens, it must be present, at every path. It is checked at the
//! handshake only: a session outlives its token.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::HOST;
use hyper::{Request, StatusCode};
use trunkline_token::{Claims, KeyMark, Place, SKEW_S, TokenRefused, verify_marked};
use trunkline_trunk::Str;

use super::connection::Connection;
use super::query::Query;
use super::{Reply, answer, visitor};
use crate::hub::{HUBS_PREFIX, Hub};
use crate::metrics::Cause;

/// What a client's token says.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// The verified claims as JSON; empty for a client without a token.
    pub(super) claims: Str,
    /// The hub's key that signed the token; `None` when others vouched for it.
    pub(super) key: Option<KeyMark>,
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
    if rules.vouched
        && let Some(voucher) = &connection.door.env().voucher
        && let Some(judged) = voucher.vouch(&hub.name, token).await
    {
        return judged.map(|claims| Admitted { claims: as_json(claims), key: None });
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (claims, key) = verify_marked(token, &rules.keys, now_s, SKEW_S)?;
    // A token is valid for a hub, whichever path its clients use.
    let own = format!("{HUBS_PREFIX}{}", hub.name);
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let names = connection.door.env().names.get();
    let place = Place { host, path: &own, query: "", names: &names };
    if !claims.audiences().iter().any(|audience| place.is_meant_by(audience)) {
        return Err(TokenRefused::Audience);
    }
    Ok(Admitted { claims: as_json(claims), key: Some(key) })
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
