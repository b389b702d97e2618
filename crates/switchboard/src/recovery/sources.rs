//! Who broadcasts, and how far each has come: the numbers that mean the same in every shard of every node.
//!
//! Each app server numbers its broadcasts, and every shard gets them in that order. So what a client has of one app
//! server is one number, and of all of them a [`Cut`]. Order between app servers does not exist.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use trunkline_clock::Timestamp;

use super::Seat;

/// An app server, as one [`Recovery`](super::Recovery) numbers them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceKey(u32);

/// Which broadcast it is, over all nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Who sent it.
    pub source: SourceKey,
    /// Its number there.
    pub number: u64,
}

/// Of each app server that a shard knows the number of the last broadcast: all up to it were delivered there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cut(pub Vec<(Box<str>, u64)>);

/// One trunk of an app server: the number of what comes next.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    source: SourceKey,
    /// `None` while the app server has not said: an older one never does.
    next: Option<u64>,
}

impl Feed {
    /// Whose trunk it is.
    pub const fn source(&self) -> SourceKey {
        self.source
    }
}

/// A number of an app server that goes backwards or is zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NumberRepeats;

/// The same cut by this shard's keys.
pub(super) type OwnCut = BTreeMap<SourceKey, u64>;

#[derive(Debug)]
struct Source {
    id: Box<str>,
    trunks: u32,
    /// `None` until the app server numbers.
    numbers: Option<Numbers>,
    /// Its entries in all logs.
    entries: usize,
    /// Until then an entry would have been kept that had to go before its time.
    trimmed_until: Timestamp,
    gone_at: Option<Timestamp>,
    /// Sockets that have had more of it than this shard, and up to which number.
    ahead: BTreeMap<Seat, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    /// The last broadcast that came.
    last: u64,
    /// All recorded ones from this number on are in the logs.
    whole_from: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: BTreeMap<SourceKey, Source>,
    keys: BTreeMap<Box<str>, SourceKey>,
    next_key: u32,
    /// Until then something that was recorded by nobody's number might be missed.
    unnumbered_until: Timestamp,
}

impl Sources {
    pub(super) fn up(&mut self, id: &str) -> Feed {
        let key = match self.keys.get(id) {
            Some(key) => *key,
            None => self.add(id),
        };
        if let Some(source) = self.sources.get_mut(&key) {
            source.trunks += 1;
            source.gone_at = None;
        }
        Feed { source: key, next: None }
    }

    fn add(&mut self, id: &str) -> SourceKey {
        let key = SourceKey(self.next_key);
        self.next_key += 1;
        self.keys.insert(id.into(), key);
        let source = Source {
            id: id.into(),
            trunks: 0,
            numbers: None,
            entries: 0,
            trimmed_until: Timestamp::ORIGIN,
            gone_at: None,
            ahead: BTreeMap::new(),
        };
        self.sources.insert(key, source);
        key
    }

    pub(super) fn down(&mut self, now: Timestamp, feed: Feed) {
        let Some(source) = self.sources.get_mut(&feed.source) else { return };
        source.trunks -= 1;
        if source.trunks == 0 {
            source.gone_at = Some(now);
        }
    }

    /// Somebody is to be forgotten some time.
    pub(super) fn has_gone(&self) -> bool {
        self.sources.values().any(|source| source.gone_at.is_some())
    }

    /// Forgets who went so long ago that no shard of any node has anything of it.
    pub(super) fn expire(&mut self, now: Timestamp, remember: Duration) {
        let keys = &mut self.keys;
        self.sources.retain(|_, source| {
            let keep = source.entries > 0 || source.gone_at.is_none_or(|at| at + remember > now);
            if !keep {
                keys.remove(&source.id);
            }
            keep
        });
    }

    /// The next broadcast of this trunk has this number. True when some of those before it never came here.
    pub(super) fn number(&mut self, feed: &mut Feed, next: u64) -> Result<bool, NumberRepeats> {
        let Some(source) = self.sources.get_mut(&feed.source) else { return Err(NumberRepeats) };
        let expected = source.numbers.map_or(1, |numbers| numbers.last + 1);
        if next == 0 || next < expected || feed.next.is_some_and(|at| next < at) {
            return Err(NumberRepeats);
        }
        feed.next = Some(next);
        let is_whole = next == expected;
        let whole_from = match source.numbers {
            Some(numbers) if is_whole => numbers.whole_from,
            Some(_) | None => next,
        };
        source.numbers = Some(Numbers { last: next - 1, whole_from });
        Ok(!is_whole)
    }

    /// A broadcast came. `None`: the app server does not number.
    pub(super) fn advance(&mut self, feed: &mut Feed) -> Option<Origin> {
        let number = feed.next?;
        feed.next = Some(number + 1);
        let source = self.sources.get_mut(&feed.source)?;
        let numbers = source.numbers.as_mut()?;
        // A trunk that was replaced may still bring its last words.
        numbers.last = numbers.last.max(number);
        if !source.ahead.is_empty() {
            source.ahead.retain(|_, up_to| *up_to >= number);
        }
        Some(Origin { source: feed.source, number })
    }

    pub(super) fn unnumbered(&mut self, until: Timestamp) {
        self.unnumbered_until = self.unnumbered_until.max(until);
    }

    pub(super) fn recorded(&mut self, origin: Origin) {
        if let Some(source) = self.sources.get_mut(&origin.source) {
            source.entries += 1;
        }
    }

    /// An entry went.
    pub(super) fn dropped(&mut self, now: Timestamp, origin: Origin, until: Timestamp) {
        let Some(source) = self.sources.get_mut(&origin.source) else { return };
        source.entries -= 1;
        if until > now {
            source.trimmed_until = source.trimmed_until.max(until);
        }
        if let Some(numbers) = &mut source.numbers {
            numbers.whole_from = numbers.whole_from.max(origin.number + 1);
        }
    }

    /// How far each has come here, or got elsewhere by `had`.
    pub(super) fn cut_beyond(&self, had: &OwnCut) -> Cut {
        let numbered = self.sources.iter().filter_map(|(key, source)| {
            let last = source.numbers?.last;
            Some((source.id.clone(), had.get(key).map_or(last, |had| last.max(*had))))
        });
        Cut(numbered.collect())
    }

    /// The cut by our keys, when the logs have all that was recorded beyond it.
    pub(super) fn resolve(&self, now: Timestamp, cut: &Cut) -> Option<OwnCut> {
        let mut own = OwnCut::new();
        for (id, number) in &cut.0 {
            own.insert(*self.keys.get(id)?, *number);
        }
        // Whoever is not in the cut had no trunk where it was made: what it said is then nobody's to judge.
        let strangers = self.sources.iter().filter(|(key, _)| !own.contains_key(*key));
        let is_known = strangers.map(|(_, source)| source).all(|source| source.entries == 0);
        (is_known && self.holds(now, &own)).then_some(own)
    }

    /// Whether the logs have all that was recorded beyond the cut, of those in it and of those who came later.
    pub(super) fn holds(&self, now: Timestamp, cut: &OwnCut) -> bool {
        if now < self.unnumbered_until {
            return false;
        }
        let known = cut.keys().all(|key| self.sources.contains_key(key));
        known
            && self.sources.iter().all(|(key, source)| match cut.get(key) {
                Some(number) => {
                    source.numbers.is_some_and(|numbers| numbers.whole_from <= number + 1)
                }
                None => source.trimmed_until <= now,
            })
    }

    /// This seat has had everything up to the cut, whatever of it is still to come here.
    pub(super) fn skip_up_to(&mut self, seat: Seat, cut: &OwnCut) {
        for (key, up_to) in cut {
            let Some(source) = self.sources.get_mut(key) else { continue };
            if source.numbers.is_some_and(|numbers| numbers.last < *up_to) {
                let ahead = source.ahead.entry(seat).or_default();
                *ahead = (*ahead).max(*up_to);
            }
        }
    }

    pub(super) fn has_had(&self, origin: Origin, seat: Seat) -> bool {
        let Some(source) = self.sources.get(&origin.source) else { return false };
        source.ahead.get(&seat).is_some_and(|up_to| *up_to >= origin.number)
    }

    /// Whether anybody may have had this broadcast before it came here.
    pub(super) fn has_ahead(&self, origin: Origin) -> bool {
        self.sources.get(&origin.source).is_some_and(|source| !source.ahead.is_empty())
    }

    pub(super) fn leave(&mut self, seat: Seat) {
        for source in self.sources.values_mut() {
            source.ahead.remove(&seat);
        }
    }
}
