//! Names chosen by strangers, stored compactly, and the index that finds their owners.

use alloc::boxed::Box;
use core::hash::Hasher;
use core::str;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// A socket id, room or namespace name in 24 bytes; a name longer than [`INLINE_BYTES_MAX`] is
/// allocated.
#[derive(Debug)]
pub(crate) enum Name {
    Heap(Box<str>),
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
}

/// Socket.IO's own socket ids have 20 bytes.
const INLINE_BYTES_MAX: usize = 22;

impl Name {
    pub(crate) fn new(name: &str) -> Self {
        let mut bytes = [0; INLINE_BYTES_MAX];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(prefix), Ok(len)) => {
                prefix.copy_from_slice(name.as_bytes());
                Self::Inline { len, bytes }
            }
            _ => Self::Heap(name.into()),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Heap(name) => name.as_bytes(),
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("the bytes are those of a str")
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.as_bytes() == name.as_bytes()
    }
}

/// The secret that hashes depend on.
///
/// SipHash-1-3, as in Rust's own maps: clients and apps choose the names, so with a faster hash
/// without a proof against chosen input they could give all their names the same hash. A broadcast
/// hashes one name per room, not per receiver, so the difference in speed does not show.
#[derive(Clone, Copy)]
pub(crate) struct Seed(pub(crate) [u8; 16]);

impl Seed {
    /// Hashes a name; `scope` is the namespace that the name belongs to.
    pub(crate) fn hash(self, scope: u32, name: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u32(scope);
        hasher.write(name);
        hasher.finish()
    }
}

/// Finds a slot by the name of its content; the names themselves stay in the slots.
///
/// The index is split into parts by hash. A table that grows hashes all of its names again; for one
/// part of a million names this takes a fraction of the time for which a single table would stop
/// the shard.
pub(crate) struct Index {
    seed: Seed,
    parts: [HashTable<u32>; PARTS],
}

const PARTS: usize = 64;

/// The part for a hash, from bits that the tables do not use: they use the lowest bits and the
/// seven highest.
fn part(hash: u64) -> usize {
    (hash >> 48) as usize % PARTS
}

impl Index {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { seed, parts: [const { HashTable::new() }; PARTS] }
    }

    /// Finds a slot; `bears` says whether the content of a slot is in `scope` and has this name.
    pub(crate) fn find(
        &self,
        scope: u32,
        name: &str,
        mut bears: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let hash = self.seed.hash(scope, name.as_bytes());
        self.parts[part(hash)].find(hash, |&slot| bears(slot)).copied()
    }

    /// Inserts a name, which must not be in the index. `name_of` gives scope and name of a slot
    /// that is in the index already.
    pub(crate) fn insert<'n>(
        &mut self,
        scope: u32,
        name: &str,
        slot: u32,
        name_of: impl Fn(u32) -> (u32, &'n Name),
    ) {
        let seed = self.seed;
        let rehash = |&slot: &u32| {
            let (scope, name) = name_of(slot);
            seed.hash(scope, name.as_bytes())
        };
        let hash = seed.hash(scope, name.as_bytes());
        self.parts[part(hash)].insert_unique(hash, slot, rehash);
    }

    pub(crate) fn remove(&mut self, scope: u32, name: &Name, slot: u32) {
        let hash = self.seed.hash(scope, name.as_bytes());
        if let Ok(entry) = self.parts[part(hash)].find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(HashTable::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn a_name_reads_back_at_every_length() {
        assert_eq!(size_of::<Name>(), 24);
        for len in 0..=2 * INLINE_BYTES_MAX {
            let text: String = ('a'..='z').cycle().take(len).collect();
            let name = Name::new(&text);
            assert_eq!(name.as_str(), text);
            assert_eq!(matches!(name, Name::Inline { .. }), len <= INLINE_BYTES_MAX, "{len}");
            assert!(name.is(&text) && !name.is("other"));
        }
        assert_eq!(Name::new("ünïcödé €").as_str(), "ünïcödé €");
    }

    #[test]
    fn hashes_depend_on_seed_and_scope() {
        let hash = |seed, scope| Seed([seed; 16]).hash(scope, b"room");
        assert_ne!(hash(1, 0), hash(2, 0));
        assert_ne!(hash(1, 0), hash(1, 1));
        assert_eq!(hash(1, 1), hash(1, 1));
    }
}
