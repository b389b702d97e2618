//! Targets of the crate `token`: tokens from strangers, and keys from an identity provider.

use trunkline_token::{Head, KeySet, ProviderAlgorithm, Rules};

/// A token, a line break, a JWK set. The tokens are not signed.
pub const PROVIDER_SEEDS: &[&[u8]] = &[
    b"eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJpIiwiYXVkIjoiYSIsImV4cCI6OX0.AAAA\n{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"use\":\"sig\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
    b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIiwiYXVkIjpbImEiXSwiZXhwIjo5fQ.AAAA\n{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"},{\"kty\":\"oct\",\"k\":\"AA\"},7]}",
    b"eyJhbGciOiJFUzI1NiIsImNyaXQiOlsiYjY0Il19.e30.\n{\"keys\":[]}",
];

/// Any token and any keys are read or refused, and an unsigned token is never accepted.
pub fn provider(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let token = parts.next().and_then(|token| std::str::from_utf8(token).ok());
    let keys = parts.next().map(KeySet::parse);
    let (Some(token), Some(Ok(keys))) = (token, keys) else { return };
    let Some(head) = Head::read(token) else { return };
    let rules = Rules {
        issuer: "i".into(),
        audiences: vec!["a".into()],
        algorithms: vec![ProviderAlgorithm::Es256, ProviderAlgorithm::Rs256],
        claims: Vec::new(),
    };
    assert!(rules.verify(token, &head, &keys, 0, 0).is_err(), "nobody has signed it");
}
