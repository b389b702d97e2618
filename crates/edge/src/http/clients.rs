//! Clients' tokens: each says who the client is, signed by a holder of a key of the hub, or
//! verified by a [`Voucher`](crate::Voucher).
//!
//! The token is `access_token` in the query. At `/clients/socketio/hubs/{hub}` it is checked if
//! present; where the hub requires tokens, it must be present, at every path. It is checked at the
//! handshake only: a session outlives its token, unless the hub ends it with the token.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::HOST;
use hyper::{Request, StatusCode};
use trunkline_clock::Timestamp;
use trunkline_token::{Claims, Endpoint, Place, SKEW_S, TextMark, TokenRefused, verify_marked};
use trunkline_trunk::Str;

use super::connection::Connection;
use super::query::Query;
use super::{Reply, answer, visitor};
use crate::environment::Environment;
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
    hub: &Arc<Hub>,
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
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let Judged { claims, mut token } = judge(connection.door.env(), hub, token, Some(host)).await?;
    if hub.revocations.has(connection.door.env().now(), &token) {
        return Err(TokenRefused::Revoked);
    }
    if let Some(user) = token.user.filter(|_| rules.user_sessions.max > 0) {
        let place = hub.enter_user(user, rules.user_sessions).ok_or(TokenRefused::UserFull)?;
        token.place = Some(place);
    }
    Ok(Admitted { claims: as_json(claims), token })
}

/// A token that is good for a hub.
pub(crate) struct Judged {
    pub(crate) claims: Claims,
    pub(crate) token: ClientToken,
}

/// Checks a client's token. `host` is the client's name for this node; without one, any audience of
/// the hub counts where names are not configured.
pub(crate) async fn judge(
    env: &Environment,
    hub: &Hub,
    token: &str,
    host: Option<&str>,
) -> Result<Judged, TokenRefused> {
    let rules = hub.rules();
    let now_s = unix_seconds();
    let judged = |claims: Claims, key| {
        let ends = rules.tokens_end.then(|| ends(&claims, now_s, env.now())).flatten();
        let mark = |name| claims.0.get(name).and_then(TextMark::of_value);
        let (user, id) = (mark("sub"), mark("jti"));
        let signed_s = claims.seconds("iat").map_or(0, whole_seconds);
        let token = ClientToken { key, ends, user, id, signed_s, place: None, is_revoked: false };
        Judged { claims, token }
    };
    if rules.vouched
        && let Some(voucher) = &env.voucher
        && let Some(vouched) = voucher.vouch(&hub.name, token).await
    {
        return vouched.map(|claims| judged(claims, None));
    }
    let (claims, key) = verify_marked(token, &rules.keys, now_s, SKEW_S)?;
    // A token is valid for a hub, whichever path its clients use.
    let own = format!("{HUBS_PREFIX}{}", hub.name);
    let names = env.names.get();
    let is_meant_by = |audience: &str| {
        let of_audience = Endpoint::parse(audience).map(|url| url.authority().to_owned());
        let host = host.map(str::to_owned).or(of_audience).unwrap_or_default();
        Place { host: &host, path: &own, query: "", names: &names }.is_meant_by(audience)
    };
    if !claims.audiences().into_iter().any(is_meant_by) {
        return Err(TokenRefused::Audience);
    }
    Ok(judged(claims, Some(key)))
}

/// Now, in seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer stops at its bounds, and a time before 1970 is none"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds as u64
}

pub(crate) fn as_json(claims: Claims) -> Str {
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
