//! JSON Web Tokens, signed with a hub's key or by an identity provider: signatures, lifetimes and
//! audiences.
//!
//! Pure: the caller passes the time, and an identity provider's keys. [`verify`] is for a hub's own
//! keys and checks everything but the audience, which depends on the purpose of the token: a fixed
//! word, or a URL as [`Place`] reads it. [`Rules::verify`] is for tokens of identity providers.
#![no_std]
extern crate alloc;

mod audience;
mod provider;
mod secret;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use audience::{Endpoint, Names, Place};
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
pub use provider::{Head, KEYS_MAX, KeySet, KeySetError, ProviderAlgorithm, Rules};
pub use secret::{KeyMark, MarkedKey, Secret, TextMark};
use serde_json::{Map, Value};

/// How far the clocks of app servers, callers and identity providers may differ from ours, in
/// seconds.
pub const SKEW_S: u64 = 300;

/// The longest accepted token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The claims of a token with a valid signature and lifetime.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(pub Map<String, Value>);

impl Claims {
    /// The value of a claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// The value of a claim that is a time, in seconds since 1970.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    /// The audiences: one or a list.
    pub fn audiences(&self) -> Vec<&str> {
        match self.0.get("aud") {
            Some(Value::String(one)) => alloc::vec![one.as_str()],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                Vec::new()
            }
        }
    }

    /// Checks the lifetime: `exp` must exist and not have passed; `nbf`, if it exists, must have
    /// passed.
    fn check_life(&self, now_s: u64, skew_s: u64) -> Result<(), TokenRefused> {
        let time = |name: &str| self.0.get(name).and_then(Value::as_f64);
        let now = now_s as f64;
        let skew = skew_s as f64;
        let Some(exp) = time("exp") else { return Err(TokenRefused::Malformed) };
        if exp + skew < now {
            return Err(TokenRefused::Expired);
        }
        if self.0.contains_key("nbf") && time("nbf").is_none_or(|nbf| nbf > now + skew) {
            return Err(TokenRefused::NotYet);
        }
        Ok(())
    }
}

/// One variant per rule that a token can break, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenRefused {
    /// The identity provider is not configured for this algorithm.
    #[error("the token is signed with an algorithm that is not allowed for its identity provider")]
    Algorithm,
    /// The token is for another audience.
    #[error(
        "the token is for another audience; signed with a key of the hub, it names this node by one of the public_endpoints of the node's configuration"
    )]
    Audience,
    /// The token is valid, but its bearer is none of those that the configuration names.
    #[error("the token is good, but its claims have none of the values that this hub asks for")]
    Claims,
    /// The token has expired.
    #[error("the token has expired; check the clocks of both machines")]
    Expired,
    /// No identity provider of this hub issued the token.
    #[error("the token's issuer is no identity provider of this hub")]
    Issuer,
    /// The provider has published no such key.
    #[error("the token names a key that its identity provider has not published")]
    KeyUnknown,
    /// The provider's keys are not known yet. This is not the token's fault.
    #[error("the keys of the token's identity provider could not be fetched; try again")]
    KeysMissing,
    /// The text is not a token, or the token never expires.
    #[error(
        "the token is no JWT that has the claim exp and is signed in a way that this hub takes"
    )]
    Malformed,
    /// There is no token.
    #[error("there is no token")]
    Missing,
    /// The token is not valid yet.
    #[error("the token is not valid yet; check the clocks of both machines")]
    NotYet,
    /// An app server has revoked the token, or all tokens of its user.
    #[error("the token was revoked")]
    Revoked,
    /// No key of the hub, or of its identity provider, has signed the token.
    #[error("the token is not signed with a key that counts for this hub")]
    Signature,
    /// The user has as many sessions as it may.
    #[error("this user has as many connections as it may have")]
    UserFull,
}

impl TokenRefused {
    /// The code of every rule, as labels of metrics need them from the start.
    pub const SLUGS: [&'static str; 13] = [
        Self::Algorithm.slug(),
        Self::Audience.slug(),
        Self::Claims.slug(),
        Self::Expired.slug(),
        Self::Issuer.slug(),
        Self::KeyUnknown.slug(),
        Self::KeysMissing.slug(),
        Self::Malformed.slug(),
        Self::Missing.slug(),
        Self::NotYet.slug(),
        Self::Revoked.slug(),
        Self::Signature.slug(),
        Self::UserFull.slug(),
    ];

    /// The HTTP status for the refusal. It shows which side is responsible, and whether another
    /// token, or waiting, would help.
    pub const fn status(self) -> u16 {
        match self {
            Self::Claims => 403,
            Self::KeysMissing => 503,
            Self::UserFull => 429,
            Self::Algorithm
            | Self::Audience
            | Self::Expired
            | Self::Issuer
            | Self::KeyUnknown
            | Self::Malformed
            | Self::Missing
            | Self::NotYet
            | Self::Revoked
            | Self::Signature => 401,
        }
    }

    /// The code for programs.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Algorithm => "token_algorithm",
            Self::Audience => "token_audience",
            Self::Claims => "token_claims",
            Self::Expired => "token_expired",
            Self::Issuer => "token_issuer",
            Self::KeyUnknown => "token_key_unknown",
            Self::KeysMissing => "token_keys_missing",
            Self::Malformed => "token_malformed",
            Self::Missing => "token_missing",
            Self::NotYet => "token_not_yet_valid",
            Self::Revoked => "token_revoked",
            Self::Signature => "token_signature",
            Self::UserFull => "user_sessions_full",
        }
    }
}

/// Checks the signature with each key in turn, and the lifetime: `exp` must exist, `nbf` may.
///
/// `now_s` is in seconds since 1970; the clocks may differ by `skew_s`.
///
/// # Errors
///
/// The rule that the token breaks.
pub fn verify<'k>(
    token: &str,
    keys: impl IntoIterator<Item = &'k [u8]>,
    now_s: u64,
    skew_s: u64,
) -> Result<Claims, TokenRefused> {
    verify_among(token, keys.into_iter().map(|key| (key, ())), now_s, skew_s)
        .map(|(claims, ())| claims)
}

/// Like [`verify`]; tells as well which key has signed the token.
///
/// # Errors
///
/// The rule that the token breaks.
pub fn verify_marked<'k>(
    token: &str,
    keys: impl IntoIterator<Item = &'k MarkedKey>,
    now_s: u64,
    skew_s: u64,
) -> Result<(Claims, KeyMark), TokenRefused> {
    let keys = keys.into_iter().map(|key| (key.secret().expose(), key.mark()));
    verify_among(token, keys, now_s, skew_s)
}

fn verify_among<'k, M>(
    token: &str,
    keys: impl Iterator<Item = (&'k [u8], M)>,
    now_s: u64,
    skew_s: u64,
) -> Result<(Claims, M), TokenRefused> {
    check_length(token)?;
    let mut signed = keys.map(|(key, mark)| (signed_by(token, key), mark));
    let (claims, mark) = signed
        .find(|(verified, _)| *verified != Err(TokenRefused::Signature))
        .ok_or(TokenRefused::Signature)?;
    let claims = Claims(claims?);
    claims.check_life(now_s, skew_s)?;
    Ok((claims, mark))
}

/// The claims of a token whose signature is not checked: use them only to choose the keys for
/// [`verify`].
///
/// # Errors
///
/// The token is missing, or cannot be read.
pub fn unverified(token: &str) -> Result<Claims, TokenRefused> {
    check_length(token)?;
    let data = insecure_decode::<Map<String, Value>>(token);
    data.map(|data| Claims(data.claims)).map_err(|_| TokenRefused::Malformed)
}

const fn check_length(token: &str) -> Result<(), TokenRefused> {
    match token.len() {
        0 => Err(TokenRefused::Missing),
        1..=TOKEN_BYTES_MAX => Ok(()),
        _ => Err(TokenRefused::Malformed),
    }
}

fn signed_by(token: &str, key: &[u8]) -> Result<Map<String, Value>, TokenRefused> {
    let mut rules = Validation::new(Algorithm::HS256);
    // The library would use the system's clock, and does not know how we compare audiences.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    match decode::<Map<String, Value>>(token, &DecodingKey::from_secret(key), &rules) {
        Ok(data) => Ok(data.claims),
        #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list of errors is open")]
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidSignature => TokenRefused::Signature,
            _ => TokenRefused::Malformed,
        }),
    }
}

/// Signs claims with HS256.
///
/// # Errors
///
/// An error of the library; never for a map of JSON values.
pub fn sign(claims: &Map<String, Value>, key: &[u8]) -> Result<String, SignError> {
    encode(&Header::default(), claims, &EncodingKey::from_secret(key))
        .map_err(|error| SignError(error.to_string()))
}

/// The library could not make a token.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SignError(String);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &[u8] = b"the-hub's-own-key-of-32-bytes-ok";
    const OLD: &[u8] = b"the-previous-key-in-a-rotation-o";
    const NOW: u64 = 1_800_000_000;
    const SKEW: u64 = 300;

    fn token(key: &[u8], claims: Value) -> String {
        let Value::Object(claims) = claims else { panic!("an object") };
        sign(&claims, key).expect("signs")
    }

    #[test]
    fn each_rule_has_its_own_refusal() {
        let good = token(KEY, json!({"exp": NOW + 60, "sub": "ann"}));
        let (body, _) = good.rsplit_once('.').expect("three parts");
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let unsigned = alloc::format!("{none}.{}.", body.split_once('.').expect("dots").1);
        let table = [
            ("good", good.clone(), Ok(())),
            ("old key", token(OLD, json!({"exp": NOW + 60})), Ok(())),
            ("other clock", token(KEY, json!({"exp": NOW - 299})), Ok(())),
            ("fractions", token(KEY, json!({"exp": NOW as f64 + 0.5})), Ok(())),
            ("expired", token(KEY, json!({"exp": NOW - 301})), Err(TokenRefused::Expired)),
            ("no end", token(KEY, json!({"sub": "ann"})), Err(TokenRefused::Malformed)),
            ("text for end", token(KEY, json!({"exp": "now"})), Err(TokenRefused::Malformed)),
            (
                "not yet",
                token(KEY, json!({"exp": NOW + 900, "nbf": NOW + 600})),
                Err(TokenRefused::NotYet),
            ),
            ("other key", token(b"another", json!({"exp": NOW})), Err(TokenRefused::Signature)),
            ("cut off", alloc::format!("{body}."), Err(TokenRefused::Signature)),
            ("unsigned", unsigned, Err(TokenRefused::Malformed)),
            ("no token", String::new(), Err(TokenRefused::Missing)),
            ("no jwt", "abc".into(), Err(TokenRefused::Malformed)),
            ("long", "a".repeat(TOKEN_BYTES_MAX + 1), Err(TokenRefused::Malformed)),
        ];
        for (name, token, expected) in table {
            assert_eq!(verify(&token, [KEY, OLD], NOW, SKEW).map(|_| ()), expected, "{name}");
        }
    }

    #[test]
    fn the_key_that_signed_a_token_is_told() {
        let texts = [KEY, OLD].map(|key| core::str::from_utf8(key).expect("a text"));
        let keys = texts.map(|key| MarkedKey::new(Secret::new(key)));
        for (key, marked) in [KEY, OLD].into_iter().zip(&keys) {
            let token = token(key, json!({"exp": NOW + 60}));
            let verified = verify_marked(&token, &keys, NOW, SKEW);
            assert_eq!(verified.map(|(_, mark)| mark), Ok(marked.mark()));
        }
    }

    #[test]
    fn audiences_are_one_or_many() {
        let claims = |aud: Value| {
            let Value::Object(map) = json!({ "aud": aud }) else { panic!("an object") };
            Claims(map)
        };
        assert_eq!(claims(json!("a")).audiences(), ["a"]);
        assert_eq!(claims(json!(["a", 1, "b"])).audiences(), ["a", "b"]);
        assert_eq!(claims(json!(1)).audiences().len(), 0);
    }
}
