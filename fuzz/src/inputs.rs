//! Inputs made from a seed: the same seed gives the same inputs on every machine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Target;

/// The longest input made from nothing but random bytes.
const RANDOM_BYTES_MAX: u64 = 512;
/// Mutations are stacked on a seed up to this many times.
const MUTATIONS_MAX: u64 = 8;

/// Runs the target over `inputs` of this seed. The first input for which it panics is the error.
pub fn run(target: &Target, seed: u64, inputs: u64) -> Result<(), Vec<u8>> {
    let mut random = Random(seed);
    for _ in 0..inputs {
        one(target, random.input(target.seeds))?;
    }
    Ok(())
}

/// Runs the target over its own seeds, as they are.
pub fn run_seeds(target: &Target) -> Result<(), Vec<u8>> {
    target.seeds.iter().try_for_each(|seed| one(target, seed.to_vec()))
}

fn one(target: &Target, input: Vec<u8>) -> Result<(), Vec<u8>> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).map_err(|_| input)
}

/// The digits in which a failing input is printed.
pub fn hex(input: &[u8]) -> String {
    input.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64: small, seedable, good enough to mutate with.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be zero.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// An input of a target: random bytes, or one of its seeds, mutated.
    pub fn input(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        if seeds.is_empty() || self.below(4) == 0 {
            let len = self.below(RANDOM_BYTES_MAX);
            return (0..len).map(|_| self.byte()).collect();
        }
        let mut input = seeds[self.index(seeds.len())].to_vec();
        for _ in 0..=self.below(MUTATIONS_MAX) {
            self.mutate(&mut input, seeds);
        }
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>, seeds: &[&[u8]]) {
        let at = self.index(input.len() + 1);
        match self.below(6) {
            0 => input.insert(at, self.byte()),
            1 if at < input.len() => input[at] ^= 1 << self.below(8),
            2 if at < input.len() => input[at] = self.byte(),
            3 => input.truncate(at),
            4 if at < input.len() => {
                input.remove(at);
            }
            _ => {
                let other = seeds[self.index(seeds.len())];
                let start = self.index(other.len() + 1);
                input.splice(at..at, other[start..].iter().copied());
            }
        }
    }
}
