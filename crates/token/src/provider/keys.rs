//! The public keys of an identity provider: a JWK set (RFC 7517).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::{Head, ProviderAlgorithm};

/// Keys of a set that are looked at; providers have a handful.
pub const KEYS_MAX: usize = 100;
/// A modulus of 2048 bits in base64url. Shorter ones can be factored.
const MODULUS_CHARS_MIN: usize = 342;
/// 4096 bits: the library takes no longer ones.
const MODULUS_CHARS_MAX: usize = 683;

const RSA: &[ProviderAlgorithm] = &[
    ProviderAlgorithm::Ps256,
    ProviderAlgorithm::Ps384,
    ProviderAlgorithm::Ps512,
    ProviderAlgorithm::Rs256,
    ProviderAlgorithm::Rs384,
    ProviderAlgorithm::Rs512,
];

/// Keys for signatures.
#[derive(Clone, Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    /// What it may be used for.
    algorithms: Vec<ProviderAlgorithm>,
    key: DecodingKey,
}

/// Why a text gives no keys. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeySetError {
    /// All are for something else, of an unknown kind, or too weak.
    #[error("no key of it can be used for signatures")]
    Empty,
    /// It is something else.
    #[error("it is no JSON object with a list `keys`")]
    Malformed,
    /// More than [`KEYS_MAX`].
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
}

impl KeySet {
    /// Reads a JWK set. Keys that are of no use here are passed over, as RFC 7517 has it.
    ///
    /// # Errors
    ///
    /// It is no JWK set, or has no key of use.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        if listed.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Key> = listed.iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether the key that a token names is here.
    pub fn holds(&self, head: &Head) -> bool {
        self.find(head).is_some()
    }

    /// The key of that name and kind. A token that names none must leave no choice (OpenID Connect Core, 10.1).
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
