//! Runs every fuzz target over bounded, seeded input: the same seed gives the same inputs on every
//! machine.
//!
//! `fuzz_smoke [--seed N] [--inputs N] [TARGET-PREFIX]`. Exit code 1, with the failing input in
//! hex, when a target panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use fuzz::{TARGETS, Target};

/// The longest input made from nothing but random bytes.
const RANDOM_BYTES_MAX: u64 = 512;
/// Mutations are stacked on a seed up to this many times.
const MUTATIONS_MAX: u64 = 8;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("fuzz_smoke: {message}");
            return ExitCode::from(2);
        }
    };
    let chosen = TARGETS.iter().filter(|target| target.name.starts_with(&options.prefix));
    let failed = chosen.filter(|target| !smoke(target, &options)).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Options {
    seed: u64,
    inputs: u64,
    prefix: String,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { seed: 1, inputs: 20_000, prefix: String::new() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seed" => options.seed = number(words.next())?,
                "--inputs" => options.inputs = number(words.next())?,
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                prefix => prefix.clone_into(&mut options.prefix),
            }
        }
        Ok(options)
    }
}

fn number(word: Option<String>) -> Result<u64, String> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| "a number must follow".to_owned())
}

/// True when the target held for every input.
fn smoke(target: &Target, options: &Options) -> bool {
    let mut random = Random(options.seed);
    let seeds = target.seeds.iter().map(|seed| seed.to_vec());
    let made = (0..options.inputs).map(|_| random.input(target.seeds));
    for input in seeds.chain(made) {
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("FAILED {} seed {} input {hex}", target.name, options.seed);
            return false;
        }
    }
    println!("ok {} ({} inputs)", target.name, options.inputs);
    true
}

/// SplitMix64: small, seedable, good enough to mutate with.
struct Random(u64);

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

    fn input(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
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
