//! The cluster's key, and what is signed with it (section 3).

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The length of a whole signature, in bytes.
pub(crate) const SIGNATURE_BYTES: usize = 32;
/// The length of the tag of an ordinary datagram, in bytes.
pub(crate) const TAG_BYTES: usize = 8;

/// The secret that all nodes of a cluster share. It prints as `[hidden]`.
#[derive(Clone)]
pub struct ClusterKey(Bytes);

impl ClusterKey {
    /// Wraps a key of any length.
    pub fn new(key: impl Into<Bytes>) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[hidden]")
    }
}

/// A datagram whose signature is wrong: it comes from another cluster, or from a stranger.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the signature is wrong")]
pub struct Forged;

/// The keys that follow from the cluster's key and name: one for beats, one for links.
#[derive(Clone)]
pub struct Keys {
    beat: Hmac<Sha256>,
    link: Hmac<Sha256>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[hidden]")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

impl Keys {
    /// Derives the keys.
    #[must_use]
    pub fn new(key: &ClusterKey, cluster: &str) -> Self {
        let derive = |purpose: &[u8]| {
            let mut mac = keyed(&key.0);
            mac.update(purpose);
            mac.update(cluster.as_bytes());
            keyed(&mac.finalize().into_bytes())
        };
        Self { beat: derive(b"trunkline mesh beat 1 "), link: derive(b"trunkline mesh link 1 ") }
    }

    pub(crate) fn sign_beat(&self, out: &mut BytesMut) {
        sign(&self.beat, out, SIGNATURE_BYTES);
    }

    pub(crate) fn verify_beat(&self, datagram: &Bytes) -> Result<Bytes, Forged> {
        verify(&self.beat, datagram, SIGNATURE_BYTES)
    }

    /// Appends the tag of a link's datagram; an opening carries a whole signature.
    pub(crate) fn sign_link(&self, out: &mut BytesMut, opening: bool) {
        sign(&self.link, out, tag_bytes(opening));
    }

    pub(crate) fn verify_link(&self, datagram: &Bytes, opening: bool) -> Result<Bytes, Forged> {
        verify(&self.link, datagram, tag_bytes(opening))
    }
}

pub(crate) const fn tag_bytes(opening: bool) -> usize {
    if opening { SIGNATURE_BYTES } else { TAG_BYTES }
}

fn sign(keyed: &Hmac<Sha256>, out: &mut BytesMut, length: usize) {
    let mut mac = keyed.clone();
    mac.update(out);
    let signature = mac.finalize().into_bytes();
    out.put_slice(signature.get(..length).expect("a signature has 32 bytes"));
}

/// The bytes before the signature, if it is right. Compares in constant time.
fn verify(keyed: &Hmac<Sha256>, datagram: &Bytes, length: usize) -> Result<Bytes, Forged> {
    let end = datagram.len().checked_sub(length).ok_or(Forged)?;
    let (body, signature) = datagram.split_at(end);
    let mut mac = keyed.clone();
    mac.update(body);
    mac.verify_truncated_left(signature).map_err(|_| Forged)?;
    Ok(datagram.slice(..end))
}
