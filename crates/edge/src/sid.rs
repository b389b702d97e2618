//! The `Sid`: where a session lives, and a secret that cannot be guessed.
//!
//! 21 bytes, written as 28 characters of base64url: node (2), shard (1), slot (3), secret (15). The
//! first six route a request without a table lookup; the 120 secret bits are compared in constant
//! time before anything is done with the request.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

const BYTES: usize = 21;
/// Slots of one shard fit in three bytes.
pub(crate) const SLOTS_MAX: usize = 1 << 24;

/// The part of a `Sid` that makes it unguessable.
#[derive(Clone, Copy)]
pub(crate) struct SidSecret(pub(crate) [u8; 15]);

impl fmt::Debug for SidSecret {
    /// Hides the secret: it gives access to the session, so it must not appear in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl SidSecret {
    /// Compares in constant time, so that timing tells nothing about the secret.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        bool::from(self.0.ct_eq(&other.0))
    }
}

/// A session id that a node has made: it says where its session is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sid {
    pub(crate) node: u16,
    pub(crate) shard: u8,
    pub(crate) slot: u32,
    pub(crate) secret: SidSecret,
}

impl Sid {
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.to_bytes())
    }

    /// The bytes of the text.
    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..2].copy_from_slice(&self.node.to_be_bytes());
        bytes[2] = self.shard;
        bytes[3..6].copy_from_slice(&self.slot.to_be_bytes()[1..]);
        bytes[6..].copy_from_slice(&self.secret.0);
        bytes
    }

    /// Parses a sid; `None` for text that this product did not write.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        if text.len() != BYTES / 3 * 4 {
            return None;
        }
        URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        Some(Self::from_bytes(bytes))
    }

    /// The sid with these bytes.
    pub(crate) fn from_bytes(bytes: [u8; BYTES]) -> Self {
        let mut secret = [0; 15];
        secret.copy_from_slice(&bytes[6..]);
        Self {
            node: u16::from_be_bytes([bytes[0], bytes[1]]),
            shard: bytes[2],
            slot: u32::from_be_bytes([0, bytes[3], bytes[4], bytes[5]]),
            secret: SidSecret(secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let sid = Sid { node: 513, shard: 7, slot: 0x01_02_03, secret: SidSecret([9; 15]) };
        let text = sid.encode();
        assert_eq!(text.len(), 28);
        let back = Sid::parse(&text).expect("own text");
        assert_eq!((back.node, back.shard, back.slot), (513, 7, 0x01_02_03));
        assert!(back.secret.matches(&sid.secret));
    }

    #[test]
    fn strangers_texts_are_no_sids() {
        for text in ["", "abc", "lv_VI97HAXpY6yYWAAAC", &"!".repeat(28), &"a".repeat(29)] {
            assert!(Sid::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn one_flipped_secret_bit_does_not_match() {
        let mut other = [9; 15];
        other[14] ^= 1;
        assert!(!SidSecret([9; 15]).matches(&SidSecret(other)));
    }
}
