//! Checks who may open a trunk: an app server with a short-lived HS256 token, signed with one of
//! the hub's keys.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use trunkline_token::{Claims, KeyMark, SKEW_S, TokenRefused, unverified, verify_marked};

use crate::hub::{Directory, Hub};

const AUDIENCE: &str = "trunkline";
const LIFE_S_MAX: u64 = 3600;

/// Finds the hub that the token names and checks the token against its keys. Tells which key has
/// signed it.
///
/// `authorization` is the value of the `Authorization` header, if there was one.
pub(crate) fn authorise(
    directory: &Directory,
    authorization: Option<&str>,
) -> Result<(Arc<Hub>, KeyMark), TrunkRefused> {
    let token = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(TrunkRefused::TokenMissing)?;
    // The hub is read from the unverified claims, only to choose the keys for verification.
    let claimed = unverified(token)?;
    let name = claimed.text("hub").ok_or(TrunkRefused::TokenMalformed)?;
    let rules = directory.rules_of(name).ok_or(TrunkRefused::HubUnknown)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let verified = verify_marked(token, &rules.keys, now_s, SKEW_S);
    let (claims, key) = verified.map_err(|refused| {
        if refused == TokenRefused::Expired {
            // Its signature is valid, so an app server signed it a moment ago by its own clock.
            return expired(&claimed, now_s);
        }
        refused.into()
    })?;
    if !claims.audiences().contains(&AUDIENCE) {
        return Err(TrunkRefused::TokenAudience);
    }
    check_life(&claims, now_s)?;
    let hub = directory.enter(name).ok_or(TrunkRefused::HubUnknown)?;
    Ok((hub, key))
}

/// Checks the lifetime: the token has not expired, is valid for at most an hour, and was not signed
/// in the future.
fn check_life(claims: &Claims, now_s: u64) -> Result<(), TrunkRefused> {
    let time = |name| claims.seconds(name).ok_or(TrunkRefused::TokenMalformed);
    let (iat, exp) = (time("iat")?, time("exp")?);
    if !(0.0..=LIFE_S_MAX as f64).contains(&(exp - iat)) {
        return Err(TrunkRefused::TokenLifetime);
    }
    let ahead_s = whole_seconds(iat - now_s as f64);
    if ahead_s > SKEW_S { Err(TrunkRefused::TokenNotYetValid { ahead_s }) } else { Ok(()) }
}

fn expired(claims: &Claims, now_s: u64) -> TrunkRefused {
    let signed = claims.seconds("iat").or_else(|| claims.seconds("exp"));
    let behind_s = whole_seconds(now_s as f64 - signed.unwrap_or_default());
    TrunkRefused::TokenExpired { behind_s }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast saturates, and less than nothing is nothing"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

/// One variant per reason for refusing a trunk's request, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TrunkRefused {
    #[error(
        "this is no WebSocket upgrade of version 13; trunks are opened by an SDK such as @trunkline/socket.io"
    )]
    BadRequest,
    #[error("this node is draining; connect to another one")]
    Draining,
    #[error(
        "this node does not serve the hub that the token names; check the hub option of the app server and the hubs in the node's configuration"
    )]
    HubUnknown,
    #[error("the token's audience must be \"trunkline\"")]
    TokenAudience,
    #[error(
        "the token was signed {behind_s} s ago by this node's clock and has expired: the app server's clock is behind, or this node's is ahead; set both (NTP), up to {SKEW_S} s are allowed for"
    )]
    TokenExpired { behind_s: u64 },
    #[error("the token lives longer than an hour; sign a short-lived one for each connection")]
    TokenLifetime,
    #[error(
        "the bearer token is no JWT signed with HS256 that has the claims hub, aud, iat and exp"
    )]
    TokenMalformed,
    #[error("there is no Authorization: Bearer header with a token")]
    TokenMissing,
    #[error(
        "the token was signed {ahead_s} s in the future by this node's clock: the app server's clock is ahead, or this node's is behind; set both (NTP), up to {SKEW_S} s are allowed for"
    )]
    TokenNotYetValid { ahead_s: u64 },
    #[error(
        "the token is not signed with a key of this hub; check the key option (TRUNKLINE_KEY) of the app server and of the node"
    )]
    TokenSignature,
    #[error("this hub has as many trunks to this node as it may (trunks_per_hub_max)")]
    TrunksFull,
}

impl TrunkRefused {
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Draining => "draining",
            Self::HubUnknown => "hub_unknown",
            Self::TokenAudience => "token_audience",
            Self::TokenExpired { .. } => "token_expired",
            Self::TokenLifetime => "token_lifetime",
            Self::TokenMalformed => "token_malformed",
            Self::TokenMissing => "token_missing",
            Self::TokenNotYetValid { .. } => "token_not_yet_valid",
            Self::TokenSignature => "token_signature",
            Self::TrunksFull => "trunks_full",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Draining | Self::TrunksFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::HubUnknown => StatusCode::NOT_FOUND,
            Self::TokenAudience
            | Self::TokenExpired { .. }
            | Self::TokenLifetime
            | Self::TokenMalformed
            | Self::TokenMissing
            | Self::TokenNotYetValid { .. }
            | Self::TokenSignature => StatusCode::UNAUTHORIZED,
        }
    }
}

impl From<TokenRefused> for TrunkRefused {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::Audience => Self::TokenAudience,
            TokenRefused::Expired => Self::TokenExpired { behind_s: 0 },
            // Tokens of identity providers open no trunk: here they count as invalid tokens.
            TokenRefused::Algorithm
            | TokenRefused::Claims
            | TokenRefused::Issuer
            | TokenRefused::KeyUnknown
            | TokenRefused::KeysMissing
            // Only clients' tokens are revoked, and counted by user.
            | TokenRefused::Malformed
            | TokenRefused::Revoked
            | TokenRefused::UserFull => Self::TokenMalformed,
            TokenRefused::Missing => Self::TokenMissing,
            TokenRefused::NotYet => Self::TokenNotYetValid { ahead_s: 0 },
            TokenRefused::Signature => Self::TokenSignature,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trunkline_token::sign;

    use super::*;
    use crate::{HubConfig, Secret};

    const KEY: &str = "the-hub's-own-key-of-32-bytes-ok";
    const OLD: &str = "the-previous-key-in-a-rotation-o";

    fn directory() -> Directory {
        let keys = vec![Secret::new(KEY), Secret::new(OLD)];
        Directory::new(
            &[HubConfig { name: "Chat".into(), keys, ..HubConfig::default() }],
            "Chat",
            0,
        )
    }

    fn token(key: &str, hub: &str, aud: &str, iat_offset: i64, exp_offset: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let at = |offset: i64| now.saturating_add_signed(offset);
        let claims =
            json!({ "hub": hub, "aud": aud, "iat": at(iat_offset), "exp": at(exp_offset) });
        let Value::Object(claims) = claims else { panic!("an object") };
        sign(&claims, key.as_bytes()).expect("signs")
    }

    #[test]
    fn every_refusal_has_its_own_answer() {
        let unsigned =
            format!("{}.", token(KEY, "chat", AUDIENCE, 0, 60).rsplit_once('.').expect("dots").0);
        let table: &[(&str, Option<String>, Result<(), TrunkRefused>)] = &[
            ("good", Some(token(KEY, "chat", AUDIENCE, 0, 60)), Ok(())),
            ("previous key", Some(token(OLD, "CHAT", AUDIENCE, 0, 60)), Ok(())),
            ("slow clock", Some(token(KEY, "chat", AUDIENCE, -550, -250)), Ok(())),
            ("fast clock", Some(token(KEY, "chat", AUDIENCE, 290, 590)), Ok(())),
            ("no token", None, Err(TrunkRefused::TokenMissing)),
            ("no jwt", Some("abc".into()), Err(TrunkRefused::TokenMalformed)),
            ("unsigned", Some(unsigned), Err(TrunkRefused::TokenSignature)),
            ("other hub", Some(token(KEY, "game", AUDIENCE, 0, 60)), Err(TrunkRefused::HubUnknown)),
            (
                "wrong key",
                Some(token("not the key of this hub at all!!", "chat", AUDIENCE, 0, 60)),
                Err(TrunkRefused::TokenSignature),
            ),
            (
                "expired",
                Some(token(KEY, "chat", AUDIENCE, -700, -400)),
                Err(TrunkRefused::TokenExpired { behind_s: 700 }),
            ),
            (
                "expired, previous key",
                Some(token(OLD, "chat", AUDIENCE, -700, -400)),
                Err(TrunkRefused::TokenExpired { behind_s: 700 }),
            ),
            ("audience", Some(token(KEY, "chat", "else", 0, 60)), Err(TrunkRefused::TokenAudience)),
            (
                "signed in the future",
                Some(token(KEY, "chat", AUDIENCE, 600, 900)),
                Err(TrunkRefused::TokenNotYetValid { ahead_s: 600 }),
            ),
            (
                "signed after its end",
                Some(token(KEY, "chat", AUDIENCE, 50, 40)),
                Err(TrunkRefused::TokenLifetime),
            ),
            (
                "long life",
                Some(token(KEY, "chat", AUDIENCE, 0, 86_400)),
                Err(TrunkRefused::TokenLifetime),
            ),
        ];
        let directory = directory();
        for (name, token, expected) in table {
            let header = token.as_ref().map(|token| format!("Bearer {token}"));
            let got = authorise(&directory, header.as_deref()).map(|_| ());
            // A second may have passed since the table was made.
            let rounded = |seconds: u64| (seconds + 50) / 100 * 100;
            let got = got.map_err(|refused| {
                if let TrunkRefused::TokenExpired { behind_s } = refused {
                    return TrunkRefused::TokenExpired { behind_s: rounded(behind_s) };
                }
                if let TrunkRefused::TokenNotYetValid { ahead_s } = refused {
                    return TrunkRefused::TokenNotYetValid { ahead_s: rounded(ahead_s) };
                }
                refused
            });
            assert_eq!(got, *expected, "{name}");
        }
    }
}
