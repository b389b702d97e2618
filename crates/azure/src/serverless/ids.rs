//! Socket ids, as long and as random as Socket.IO's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

/// 15 bytes are 120 bits, or 20 characters.
const ID_BYTES: usize = 15;

/// Makes ids; equal seeds make equal ids.
#[derive(Debug)]
pub(crate) struct SocketIds(StdRng);

impl SocketIds {
    /// A generator. `seed` must be random.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(StdRng::from_seed(seed))
    }

    pub(crate) fn next(&mut self) -> Box<str> {
        let mut bytes = [0; ID_BYTES];
        self.0.fill_bytes(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_twenty_characters_and_differ() {
        let mut ids = SocketIds::new([7; 32]);
        let (first, second) = (ids.next(), ids.next());
        assert_eq!((first.len(), second.len()), (20, 20));
        assert_ne!(first, second);
    }
}
