//! Tokens of identity providers: OpenID Connect's, OAuth's access tokens as JWTs (RFC 9068), Entra
//! ID's.
//!
//! [`Head`] reads a token's own statements before anything is verified: enough to choose the
//! provider and its key. [`Rules::verify`] then checks everything: the signature with a key of the
//! provider's [`KeySet`], and only with algorithms whose keys may be public; issuer, audience,
//! lifetime, and claims that must have certain values.

mod algorithm;
mod keys;

use alloc::string::String;
use alloc::vec::Vec;

pub use algorithm::ProviderAlgorithm;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Validation, decode};
pub use keys::{KEYS_MAX, KeySet, KeySetError};
use serde_json::{Map, Value};

use crate::{Claims, TOKEN_BYTES_MAX, TokenRefused};

/// A token's own statements. Nothing of it is verified.
#[derive(Clone, Debug)]
pub struct Head {
    algorithm: ProviderAlgorithm,
    /// The name of the key, if it has one.
    key: Option<String>,
    claims: Claims,
}

impl Head {
    /// Reads a token. `None`: it is no JWT, or it is not signed the way that identity providers
    /// sign, or it has extensions that must be understood (`crit` of RFC 7515) and are not.
    pub fn read(token: &str) -> Option<Self> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let decoded = insecure_decode::<Map<String, Value>>(token).ok()?;
        let algorithm = ProviderAlgorithm::of_library(decoded.header.alg)?;
        let understood = decoded.header.crit.is_none();
        let (key, claims) = (decoded.header.kid, Claims(decoded.claims));
        understood.then_some(Self { algorithm, key, claims })
    }
}

/// The rules for the tokens of one identity provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    /// The required claim `iss`, compared exactly.
    pub issuer: String,
    /// One of these must be in the claim `aud`, compared exactly. Not empty.
    pub audiences: Vec<String>,
    /// The allowed algorithms.
    pub algorithms: Vec<ProviderAlgorithm>,
    /// Claims, each with the values of which the token must have one.
    pub claims: Vec<(String, Vec<String>)>,
}

impl Rules {
    /// Whether a token names this provider as its issuer.
    pub fn is_named_by(&self, head: &Head) -> bool {
        head.claims.text("iss") == Some(&*self.issuer)
    }

    /// Whether a token names an audience that this provider is configured for.
    pub fn is_meant_by(&self, head: &Head) -> bool {
        self.audience_fits(&head.claims)
    }

    /// Checks whether the token's algorithm is allowed; if not, no key needs to be fetched.
    ///
    /// # Errors
    ///
    /// [`TokenRefused::Algorithm`].
    pub fn admit(&self, head: &Head) -> Result<(), TokenRefused> {
        let allowed = self.algorithms.contains(&head.algorithm);
        if allowed { Ok(()) } else { Err(TokenRefused::Algorithm) }
    }

    /// Checks a token with the keys that the provider has published. `now_s` and `skew_s` are as in
    /// [`crate::verify`].
    ///
    /// # Errors
    ///
    /// The rule that the token breaks; [`TokenRefused::KeyUnknown`] if no key is the one that it
    /// names.
    pub fn verify(
        &self,
        token: &str,
        head: &Head,
        keys: &KeySet,
        now_s: u64,
        skew_s: u64,
    ) -> Result<Claims, TokenRefused> {
        self.admit(head)?;
        let key = keys.find(head).ok_or(TokenRefused::KeyUnknown)?;
        let mut rules = Validation::new(head.algorithm.library());
        // As for the hub's own keys, time and audience are checked below.
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        // `Head::read` has shown that the token can be decoded.
        let decoded = decode::<Map<String, Value>>(token, key, &rules);
        let claims = Claims(decoded.map_err(|_| TokenRefused::Signature)?.claims);
        if claims.text("iss") != Some(&*self.issuer) {
            return Err(TokenRefused::Issuer);
        }
        if !self.audience_fits(&claims) {
            return Err(TokenRefused::Audience);
        }
        claims.check_life(now_s, skew_s)?;
        let fits = |(name, values): &(String, Vec<String>)| has_one(claims.0.get(name), values);
        if self.claims.iter().all(fits) { Ok(claims) } else { Err(TokenRefused::Claims) }
    }

    fn audience_fits(&self, claims: &Claims) -> bool {
        claims.audiences().iter().any(|audience| self.audiences.iter().any(|own| own == audience))
    }
}

/// Whether a claim, a text or a list of texts, has one of the values.
fn has_one(claim: Option<&Value>, values: &[String]) -> bool {
    let is_one =
        |value: &Value| value.as_str().is_some_and(|text| values.iter().any(|v| v == text));
    match claim {
        Some(Value::Array(list)) => list.iter().any(is_one),
        Some(one) => is_one(one),
        None => false,
    }
}

#[cfg(test)]
mod tests;
