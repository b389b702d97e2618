//! A provider with elliptic-curve keys, made here; RSA is tested end to end.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::EncodePrivateKey as _;
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;
const SKEW: u64 = 300;
const ISSUER: &str = "https://id.example.com/tenant";
const AUDIENCE: &str = "https://webpubsub.azure.com";

/// A key of the provider, made from a number.
fn secret(seed: u8) -> SecretKey {
    SecretKey::from_slice(&[seed; 32]).expect("small enough for the curve")
}

fn jwk(kid: &str, seed: u8) -> Value {
    let point = secret(seed).public_key().to_encoded_point(false);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let x = text(point.x().expect("it is not compressed"));
    let y = text(point.y().expect("it is not compressed"));
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": x, "y": y})
}

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a JWK set")
}

fn rules() -> Rules {
    Rules {
        issuer: ISSUER.into(),
        audiences: alloc::vec![AUDIENCE.into()],
        algorithms: alloc::vec![ProviderAlgorithm::Es256],
        claims: Vec::new(),
    }
}

fn token(kid: Option<&str>, seed: u8, claims: &Value) -> String {
    let header = Header { kid: kid.map(Into::into), ..Header::new(Algorithm::ES256) };
    let der = secret(seed).to_pkcs8_der().expect("encodes");
    encode(&header, claims, &EncodingKey::from_ec_der(der.as_bytes())).expect("signs")
}

fn good() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "app", "roles": ["send", "read"]})
}

/// The claims with one claim changed.
fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn verified(rules: &Rules, token: &str, keys: &KeySet) -> Result<Claims, TokenRefused> {
    let head = Head::read(token).expect("a token of some provider");
    rules.verify(token, &head, keys, NOW, SKEW)
}

#[test]
fn each_rule_has_its_own_refusal() {
    let keys = key_set(&[jwk("k1", 1), jwk("k2", 2)]);
    let signed = |claims: &Value| token(Some("k1"), 1, claims);
    let refused = |rule| Err(rule);
    let table = [
        ("good", signed(&good()), Ok(())),
        ("its other key", token(Some("k2"), 2, &good()), Ok(())),
        ("several audiences", signed(&with("aud", json!(["a", AUDIENCE]))), Ok(())),
        ("other clock", signed(&with("exp", json!(NOW - 299))), Ok(())),
        ("expired", signed(&with("exp", json!(NOW - 301))), refused(TokenRefused::Expired)),
        ("no end", signed(&with("exp", Value::Null)), refused(TokenRefused::Malformed)),
        ("not yet", signed(&with("nbf", json!(NOW + 600))), refused(TokenRefused::NotYet)),
        ("audience", signed(&with("aud", json!("https://a"))), refused(TokenRefused::Audience)),
        ("no audience", signed(&with("aud", Value::Null)), refused(TokenRefused::Audience)),
        ("issuer", signed(&with("iss", json!("https://a"))), refused(TokenRefused::Issuer)),
        ("slash", signed(&with("iss", json!([ISSUER, "/"]))), refused(TokenRefused::Issuer)),
        ("key unknown", token(Some("k3"), 1, &good()), refused(TokenRefused::KeyUnknown)),
        ("no name, two keys", token(None, 1, &good()), refused(TokenRefused::KeyUnknown)),
        ("another's key", token(Some("k1"), 2, &good()), refused(TokenRefused::Signature)),
    ];
    for (name, token, expected) in table {
        assert_eq!(verified(&rules(), &token, &keys).map(|_| ()), expected, "{name}");
    }
}

#[test]
fn a_nameless_key_is_found_when_there_is_no_choice() {
    let keys = key_set(&[jwk("k1", 1)]);
    assert!(verified(&rules(), &token(None, 1, &good()), &keys).is_ok());
}

#[test]
fn a_changed_token_is_refused() {
    let keys = key_set(&[jwk("k1", 1)]);
    let token = token(Some("k1"), 1, &good());
    let parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(with("sub", json!("root")).to_string());
    let forged = alloc::format!("{}.{claims}.{}", parts[0], parts[2]);
    let unsigned = alloc::format!("{}.{}.", parts[0], parts[1]);
    for token in [forged, unsigned] {
        assert_eq!(verified(&rules(), &token, &keys), Err(TokenRefused::Signature));
    }
}

#[test]
fn other_algorithms_are_refused_before_any_key_is_looked_for() {
    let keys = key_set(&[jwk("k1", 1)]);
    let only_rsa = Rules { algorithms: alloc::vec![ProviderAlgorithm::Rs256], ..rules() };
    let token = token(Some("k1"), 1, &good());
    assert_eq!(verified(&only_rsa, &token, &keys), Err(TokenRefused::Algorithm));
}

/// The classic attack: HS256 with the text of the public key as the secret.
#[test]
fn what_is_not_signed_with_a_private_key_is_no_providers_token() {
    let public = jwk("k1", 1).to_string();
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
    let hmac =
        encode(&header, &good(), &EncodingKey::from_secret(public.as_bytes())).expect("signs");
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = alloc::format!("{}.{}.", part(json!({"alg": "none", "kid": "k1"})), part(good()));
    let extended = json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": "x"});
    let extended = alloc::format!("{}.{}.AAAA", part(extended), part(good()));
    let long = alloc::format!("{}{}", token(Some("k1"), 1, &good()), "A".repeat(TOKEN_BYTES_MAX));
    for token in [&*hmac, &none, &extended, &long, "", "a.b.c"] {
        assert!(Head::read(token).is_none(), "{token:.60}");
    }
    let hubs_own: [&[u8]; 1] = [b"the-hub's-own-key-of-32-bytes-ok"];
    assert_eq!(crate::verify(&hmac, hubs_own, NOW, SKEW), Err(TokenRefused::Signature));
    assert_eq!(crate::verify(&none, hubs_own, NOW, SKEW), Err(TokenRefused::Malformed));
}

#[test]
fn claims_can_be_asked_for() {
    let keys = key_set(&[jwk("k1", 1)]);
    let token = token(Some("k1"), 1, &good());
    let asks = |name: &str, values: &[&str]| {
        (String::from(name), values.iter().map(|&value| value.into()).collect::<Vec<String>>())
    };
    let table = [
        (alloc::vec![asks("sub", &["app"])], true),
        (alloc::vec![asks("sub", &["other", "app"])], true),
        (alloc::vec![asks("roles", &["read"])], true),
        (alloc::vec![asks("roles", &["write"])], false),
        (alloc::vec![asks("sub", &["app"]), asks("appid", &["app"])], false),
        (alloc::vec![asks("exp", &["1800000060"])], false),
    ];
    for (claims, expected) in table {
        let rules = Rules { claims: claims.clone(), ..rules() };
        let found = verified(&rules, &token, &keys).map(|_| ());
        let wanted = if expected { Ok(()) } else { Err(TokenRefused::Claims) };
        assert_eq!(found, wanted, "{claims:?}");
    }
}

#[test]
fn keys_of_no_use_are_passed_over() {
    let changed = |name: &str, value: Value| {
        let mut key = jwk("k1", 1);
        key[name] = value;
        key
    };
    let modulus = |length| "w".repeat(length);
    let table = [
        (jwk("k1", 1), Ok(1)),
        (changed("alg", json!("ES256")), Ok(1)),
        (changed("alg", json!("ES384")), Err(KeySetError::Empty)),
        (changed("use", json!("enc")), Err(KeySetError::Empty)),
        (changed("crv", json!("secp256k1")), Err(KeySetError::Empty)),
        (changed("x", json!("*")), Err(KeySetError::Empty)),
        (json!({"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}), Err(KeySetError::Empty)),
        (json!({"kty": "RSA", "kid": "k1", "n": modulus(342), "e": "AQAB"}), Ok(1)),
        (json!({"kty": "RSA", "n": modulus(171), "e": "AQAB"}), Err(KeySetError::Empty)),
        (json!({"kty": "RSA", "n": modulus(1366), "e": "AQAB"}), Err(KeySetError::Empty)),
        (json!(7), Err(KeySetError::Empty)),
    ];
    for (key, expected) in table {
        let set = json!({"keys": [key]}).to_string();
        assert_eq!(KeySet::parse(set.as_bytes()).map(|set| set.count()), expected, "{set:.120}");
    }
    let mixed = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}, jwk("k1", 1)]}).to_string();
    assert_eq!(KeySet::parse(mixed.as_bytes()).map(|set| set.count()), Ok(1));
    let many = json!({ "keys": alloc::vec![jwk("k", 1); KEYS_MAX + 1] }).to_string();
    assert_eq!(KeySet::parse(many.as_bytes()).err(), Some(KeySetError::TooMany));
    for text in ["", "[]", "{}", "{\"keys\":1}"] {
        assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(KeySetError::Malformed), "{text}");
    }
}
