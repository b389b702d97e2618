//! Pairs of texts that many sessions share: most headers of most handshakes are the same.

use std::collections::HashMap;
use std::rc::Rc;

use slab::Slab;

/// The longest text of a pair that is shared.
const TEXT_BYTES_MAX: usize = 512;
/// The most pairs at a time. Pairs beyond it are not shared.
const PAIRS_MAX: usize = 65_536;
/// Between the two texts of a pair: no header has it.
const BETWEEN: char = '\n';

/// Pairs by number. Each is kept as long as it is used.
#[derive(Debug, Default)]
pub(super) struct Interner {
    pairs: Slab<Pair>,
    numbers: HashMap<Rc<str>, u32>,
    /// Reused for the text that is looked up.
    wanted: String,
}

#[derive(Debug)]
struct Pair {
    text: Rc<str>,
    uses: u32,
}

impl Interner {
    /// The number of a pair, which is used once more. `None`: the pair is not shared.
    pub(super) fn hold(&mut self, first: &str, second: &str) -> Option<u32> {
        if first.len() + second.len() > TEXT_BYTES_MAX || first.contains(BETWEEN) {
            return None;
        }
        self.wanted.clear();
        self.wanted.push_str(first);
        self.wanted.push(BETWEEN);
        self.wanted.push_str(second);
        if let Some(number) = self.numbers.get(&*self.wanted) {
            self.pairs.get_mut(*number as usize)?.uses += 1;
            return Some(*number);
        }
        if self.pairs.len() >= PAIRS_MAX {
            return None;
        }
        let text: Rc<str> = self.wanted.as_str().into();
        let pair = Pair { text: Rc::clone(&text), uses: 1 };
        let number = u32::try_from(self.pairs.insert(pair)).ok()?;
        self.numbers.insert(text, number);
        Some(number)
    }

    /// The pair of a number that is in use.
    pub(super) fn get(&self, number: u32) -> (&str, &str) {
        let text = self.pairs.get(number as usize).map_or("", |pair| &pair.text);
        text.split_once(BETWEEN).unwrap_or_default()
    }

    /// Ends one use.
    pub(super) fn release(&mut self, number: u32) {
        let Some(pair) = self.pairs.get_mut(number as usize) else { return };
        pair.uses -= 1;
        if pair.uses == 0 {
            let pair = self.pairs.remove(number as usize);
            self.numbers.remove(&pair.text);
        }
    }

    /// The number of uses of all pairs.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn uses(&self) -> usize {
        assert_eq!(self.pairs.len(), self.numbers.len());
        self.pairs.iter().map(|(_, pair)| pair.uses as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pairs_have_one_number_until_the_last_use_ends() {
        let mut interner = Interner::default();
        let first = interner.hold("accept", "*/*").unwrap();
        assert_eq!(interner.hold("accept", "*/*"), Some(first));
        let other = interner.hold("accept", "text/html").unwrap();
        assert_ne!(other, first);
        assert_eq!(interner.get(first), ("accept", "*/*"));
        interner.release(first);
        assert_eq!((interner.get(first), interner.uses()), (("accept", "*/*"), 2));
        interner.release(first);
        assert_eq!((interner.pairs.len(), interner.get(other)), (1, ("accept", "text/html")));
    }

    #[test]
    fn strangers_cannot_fill_it() {
        let mut interner = Interner::default();
        assert_eq!(interner.hold("x", &"y".repeat(TEXT_BYTES_MAX)), None);
        for number in 0..PAIRS_MAX {
            assert!(interner.hold("x", &number.to_string()).is_some());
        }
        assert_eq!(interner.hold("x", "one more"), None);
        assert!(interner.hold("x", "7").is_some(), "one that is there is shared");
    }
}
