//! socket.io-client's reconnection delays: 1 s doubling to 5 s, spread by half of each.

/// `reconnectionDelay` of socket.io-client.
const DELAY_MS_MIN: u64 = 1_000;
/// `reconnectionDelayMax` of socket.io-client.
const DELAY_MS_MAX: u64 = 5_000;

/// Milliseconds to wait before reconnection number `attempt` (0 is the first), with `randomizationFactor` 0.5;
/// `random` is uniform over all of `u32`.
pub(crate) fn delay_ms(attempt: u8, random: u32) -> u64 {
    let base = DELAY_MS_MIN << attempt.min(8);
    // Uniform in 0.5..1.5 of the base, as a sign and a deviation give it.
    let spread = base / 2 + (base * u64::from(random)) / (u64::from(u32::MAX) + 1);
    spread.min(DELAY_MS_MAX)
}

/// A small reproducible random source (xorshift64*): its only purpose is that workers do not all
/// have the same spread.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_follow_the_clients_bounds() {
        for (attempt, lowest, highest) in [
            (0, 500, 1_499),
            (1, 1_000, 2_999),
            (2, 2_000, 5_000),
            (3, 4_000, 5_000),
            (255, 5_000, 5_000),
        ] {
            assert_eq!(delay_ms(attempt, 0), lowest, "attempt {attempt}");
            assert_eq!(delay_ms(attempt, u32::MAX), highest, "attempt {attempt}");
        }
    }

    #[test]
    fn random_spreads() {
        let mut random = Random::new(7);
        let low = (0..1_000).filter(|_| random.next_u32() < u32::MAX / 2).count();
        assert!((400..600).contains(&low), "{low} of 1000 in the lower half");
    }
}
