//! The public keys of an identity provider: a JWK set (RFC 7517).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::{Head, ProviderAlgorithm};

/// The most keys of a set that are read; providers have a few.
pub const KEYS_MAX: usize = 100;
/// The length of a modulus of 2048 bits in base64url. Shorter ones can be factored.
const MODULUS_CHARS_MIN: usize = 342;
/// The length of a modulus of 4096 bits: the library accepts no longer ones.
const MODULUS_CHARS_MAX: usize = 683;

const RSA: &[ProviderAlgorithm] = &[
    ProviderAlgorithm::Ps256,
    ProviderAlgorithm::Ps384,
    ProviderAlgorithm::Ps512,
    ProviderAlgorithm::Rs256,
    ProviderAlgorithm::Rs384,
    ProviderAlgorithm::Rs512,
];

/// The signature keys of a provider.
#[derive(Clone, Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    /// The algorithms that it may be used with.
    algorithms: Vec<ProviderAlgorithm>,
    key: DecodingKey,
}

/// Why a text contains no usable keys, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeySetError {
    /// All keys are for another purpose, of an unknown type, or too weak.
    #[error("no key of it can be used for signatures")]
    Empty,
    /// The text is not a JWK set.
    #[error("it is no JSON object with a list `keys`")]
    Malformed,
    /// The set has more than [`KEYS_MAX`] keys.
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot be used here are skipped, as RFC 7517 says.
    ///
    /// # Errors
    ///
    /// The text is no JWK set, or has no usable key.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        if listed.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Key> = listed.iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// The number of keys.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether the set has the key that a token names.
    pub fn holds(&self, head: &Head) -> bool {
        self.find(head).is_some()
    }

    /// The key of that name and algorithm. For a token that names no key, there must be only one
    /// candidate (OpenID Connect Core, 10.1).
    pub(super) fn find(&self, head: &Head) -> Option<&DecodingKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithms.contains(&head.algorithm));
        if let Some(id) = &head.key {
            return fitting.find(|key| key.id.as_ref() == Some(id)).map(|key| &key.key);
        }
        let only = fitting.next()?;
        fitting.next().is_none().then_some(&only.key)
    }
}

impl Key {
    fn read(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (kinds, key): (&[ProviderAlgorithm], _) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (RSA, rsa(text("n")?, text("e")?)?),
            ("EC", Some("P-256")) => (&[ProviderAlgorithm::Es256], ec(text("x")?, text("y")?)?),
            ("EC", Some("P-384")) => (&[ProviderAlgorithm::Es384], ec(text("x")?, text("y")?)?),
            ("OKP", Some("Ed25519")) => {
                (&[ProviderAlgorithm::EdDsa], DecodingKey::from_ed_components(text("x")?).ok()?)
            }
            _ => return None,
        };
        let named = |algorithm: &&ProviderAlgorithm| {
            text("alg").is_none_or(|name| name == algorithm.name())
        };
        let algorithms: Vec<_> = kinds.iter().filter(named).copied().collect();
        let id = text("kid").map(ToString::to_string);
        (!algorithms.is_empty()).then_some(Self { id, algorithms, key })
    }
}

fn rsa(modulus: &str, exponent: &str) -> Option<DecodingKey> {
    let fits = (MODULUS_CHARS_MIN..=MODULUS_CHARS_MAX).contains(&modulus.len());
    fits.then(|| DecodingKey::from_rsa_components(modulus, exponent).ok()).flatten()
}

fn ec(x: &str, y: &str) -> Option<DecodingKey> {
    DecodingKey::from_ec_components(x, y).ok()
}
