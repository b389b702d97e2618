//! Who may open a trunk: a short-lived HS256 token signed with one of the hub's keys.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use trunkline_token::{Claims, Secret, TokenRefused, unverified, verify};

use crate::hub::{Directory, Hub};

const AUDIENCE: &str = "trunkline";
const SKEW_S: u64 = 60;
const LIFE_S_MAX: u64 = 3600;

/// Finds the hub that the token names and checks the token against its keys.
///
/// `authorization` is the value of the `Authorization` header, if there was one.
pub(crate) fn authorise(
    directory: &Directory,
    authorization: Option<&str>,
) -> Result<Arc<Hub>, TrunkRefused> {
    let token = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(TrunkRefused::TokenMissing)?;
    // The hub is read from the unverified claims, only to know whose keys to verify with.
    let claimed = unverified(token)?;
    let claimed = claimed.text("hub").ok_or(TrunkRefused::TokenMalformed)?;
    let hub = directory.by_name(claimed).ok_or(TrunkRefused::HubUnknown)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let claims = verify(token, hub.keys.iter().map(Secret::expose), now_s, SKEW_S)?;
    if !claims.audiences().contains(&AUDIENCE) {
        return Err(TrunkRefused::TokenAudience);
    }
    if !lives_shortly(&claims, now_s)? {
        return Err(TrunkRefused::TokenLifetime);
    }
    Ok(Arc::clone(hub))
}

/// Signed before it ends, not in the future, and for at most an hour.
fn lives_shortly(claims: &Claims, now_s: u64) -> Result<bool, TrunkRefused> {
    let time = |name| claims.seconds(name).ok_or(TrunkRefused::TokenMalformed);
    let (iat, exp) = (time("iat")?, time("exp")?);
    let lives = (0.0..=LIFE_S_MAX as f64).contains(&(exp - iat));
    Ok(lives && iat <= (now_s + SKEW_S) as f64)
}

/// One variant per way in which a trunk's request can be wrong. Alphabetical.
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
    #[error("the token has expired; check the clocks of both machines")]
    TokenExpired,
    #[error("the token lives longer than an hour; sign a short-lived one for each connection")]
    TokenLifetime,
    #[error(
        "the bearer token is no JWT signed with HS256 that has the claims hub, aud, iat and exp"
    )]
    TokenMalformed,
    #[error("there is no Authorization: Bearer header with a token")]
    TokenMissing,
    #[error(
        "the token is not signed with a key of this hub; check the key option (TRUNKLINE_KEY) of the app server and of the node"
    )]
    TokenSignature,
}

impl TrunkRefused {
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Draining => "draining",
            Self::HubUnknown => "hub_unknown",
            Self::TokenAudience => "token_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenLifetime => "token_lifetime",
            Self::TokenMalformed => "token_malformed",
            Self::TokenMissing => "token_missing",
            Self::TokenSignature => "token_signature",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::HubUnknown => StatusCode::NOT_FOUND,
            Self::TokenAudience
            | Self::TokenExpired
            | Self::TokenLifetime
            | Self::TokenMalformed
            | Self::TokenMissing
            | Self::TokenSignature => StatusCode::UNAUTHORIZED,
        }
    }
}

impl From<TokenRefused> for TrunkRefused {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::Audience => Self::TokenAudience,
            TokenRefused::Expired => Self::TokenExpired,
            // Those of identity providers open no trunk: to it they are no tokens.
            TokenRefused::Algorithm
            | TokenRefused::Claims
            | TokenRefused::Issuer
            | TokenRefused::KeyUnknown
            | TokenRefused::KeysMissing
            | TokenRefused::Malformed => Self::TokenMalformed,
            TokenRefused::Missing => Self::TokenMissing,
            TokenRefused::NotYet => Self::TokenLifetime,
            TokenRefused::Signature => Self::TokenSignature,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trunkline_token::sign;

    use super::*;
    use crate::HubConfig;

    const KEY: &str = "the-hub's-own-key-of-32-bytes-ok";
    const OLD: &str = "the-previous-key-in-a-rotation-o";

    fn directory() -> Directory {
        let keys = vec![Secret::new(KEY), Secret::new(OLD)];
        Directory::new(
            &[HubConfig { name: "Chat".into(), keys, tokens_required: false, paths: Vec::new() }],
            "Chat",
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
            ("slow clock", Some(token(KEY, "chat", AUDIENCE, -90, -30)), Ok(())),
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
                Some(token(KEY, "chat", AUDIENCE, -300, -120)),
                Err(TrunkRefused::TokenExpired),
            ),
            (
                "expired, previous key",
                Some(token(OLD, "chat", AUDIENCE, -300, -120)),
                Err(TrunkRefused::TokenExpired),
            ),
            ("audience", Some(token(KEY, "chat", "else", 0, 60)), Err(TrunkRefused::TokenAudience)),
            (
                "signed in the future",
                Some(token(KEY, "chat", AUDIENCE, 600, 900)),
                Err(TrunkRefused::TokenLifetime),
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
            assert_eq!(got, *expected, "{name}");
        }
    }
}
