//! The app servers that broadcast, and how far each has come: numbers that mean the same in every
//! shard of every node.
//!
//! Each app server numbers its broadcasts, and every shard receives them in that order. So one
//! number says what a client has received of one app server, and a [`Cut`] says it for all of them.
//! Order between app servers does not exist.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use trunkline_clock::Timestamp;

use super::Seat;
use crate::SessionKey;

/// An app server, as numbered by one [`Recovery`](super::Recovery).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceKey(u32);

/// The identity of a broadcast among all nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The app server that sent it.
    pub source: SourceKey,
    /// The number among that app server's broadcasts.
    pub number: u64,
}

/// The number of the last broadcast of each app server that a shard knows: all up to it were
/// delivered there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cut(pub Vec<(Box<str>, u64)>);

/// One trunk of an app server: the number of its next broadcast.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    source: SourceKey,
    /// `None` until the app server has sent a number; an older SDK never does.
    next: Option<u64>,
}

impl Feed {
    /// The app server whose trunk this is.
    pub const fn source(&self) -> SourceKey {
        self.source
    }
}

/// The app server sent a number that goes backwards or is zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NumberRepeats;

/// A cut in terms of this shard's own keys.
pub(super) type OwnCut = BTreeMap<SourceKey, u64>;

#[derive(Debug)]
struct Source {
    id: Box<str>,
    trunks: u32,
    /// `None` until the app server numbers its broadcasts.
    numbers: Option<Numbers>,
    /// The app server's entries in all logs.
    entries: usize,
    /// Entries were removed early; without that, they would have been kept until this time.
    trimmed_until: Timestamp,
    gone_at: Option<Timestamp>,
    /// Sockets that have received more of this app server than this shard has, and up to which
    /// number.
    ahead: BTreeMap<Seat, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    /// The number of the last broadcast that came.
    last: u64,
    /// All recorded broadcasts from this number on are in the logs.
    whole_from: u64,
}

/// The app servers that a shard knows.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: BTreeMap<SourceKey, Source>,
    keys: BTreeMap<Box<str>, SourceKey>,
    next_key: u32,
    /// Until this time, a recorded broadcast without a number might be missing.
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

    /// Whether a departed app server must be forgotten at some time.
    pub(super) fn has_gone(&self) -> bool {
        self.sources.values().any(|source| source.gone_at.is_some())
    }

    /// Forgets app servers that left so long ago that no shard of any node keeps anything of them.
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

    /// Notes the number of this trunk's next broadcast. True when some broadcasts before it never
    /// arrived here.
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

    /// Notes a broadcast. `None`: the app server does not number broadcasts.
    pub(super) fn advance(&mut self, feed: &mut Feed) -> Option<Origin> {
        let number = feed.next?;
        feed.next = Some(number + 1);
        let source = self.sources.get_mut(&feed.source)?;
        let numbers = source.numbers.as_mut()?;
        // A trunk that was replaced may still deliver its last broadcasts.
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

    /// Notes that an entry was removed.
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

    /// How far each app server has come here, or elsewhere according to `had`.
    pub(super) fn cut_beyond(&self, had: &OwnCut) -> Cut {
        let numbered = self.sources.iter().filter_map(|(key, source)| {
            let last = source.numbers?.last;
            Some((source.id.clone(), had.get(key).map_or(last, |had| last.max(*had))))
        });
        Cut(numbered.collect())
    }

    /// How far each app server with a trunk has come here.
    pub(super) fn positions(&self) -> Cut {
        let numbered = self.sources.values().filter(|source| source.trunks > 0);
        Cut(numbered.filter_map(|one| Some((one.id.clone(), one.numbers?.last))).collect())
    }

    pub(super) fn has_reached(&self, server: &str, number: u64) -> bool {
        let Some(source) = self.keys.get(server).and_then(|key| self.sources.get(key)) else {
            return true;
        };
        source.trunks == 0 || source.numbers.is_some_and(|numbers| numbers.last >= number)
    }

    pub(super) fn last_of(&self, source: SourceKey) -> Option<u64> {
        let source = self.sources.get(&source).filter(|source| source.trunks > 0)?;
        Some(source.numbers?.last)
    }

    /// The cut in terms of our keys, as far as we know its app servers.
    pub(super) fn own(&self, cut: &Cut) -> OwnCut {
        cut.0.iter().filter_map(|(id, number)| Some((*self.keys.get(id)?, *number))).collect()
    }

    /// The cut in terms of our keys, if the logs have everything that was recorded after it.
    pub(super) fn resolve(&self, now: Timestamp, cut: &Cut) -> Option<OwnCut> {
        let mut own = OwnCut::new();
        for (id, number) in &cut.0 {
            own.insert(*self.keys.get(id)?, *number);
        }
        // An app server that is not in the cut had no trunk where the cut was made, so the cut says
        // nothing about its broadcasts.
        let strangers = self.sources.iter().filter(|(key, _)| !own.contains_key(*key));
        let is_known = strangers.map(|(_, source)| source).all(|source| source.entries == 0);
        (is_known && self.holds(now, &own)).then_some(own)
    }

    /// Whether the logs have everything that was recorded after the cut, by app servers in it and
    /// by those that came later.
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

    /// Notes that this seat has received everything up to the cut, even broadcasts that have not
    /// arrived here yet.
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

    /// Whether any socket may have received this broadcast before it arrived here.
    pub(super) fn has_ahead(&self, origin: Origin) -> bool {
        self.sources.get(&origin.source).is_some_and(|source| !source.ahead.is_empty())
    }

    /// Whether any socket may have received a broadcast of any app server before it arrives here.
    pub(super) fn any_ahead(&self) -> bool {
        self.sources.values().any(|source| !source.ahead.is_empty())
    }

    pub(super) fn leave_session(&mut self, session: SessionKey) {
        for source in self.sources.values_mut().filter(|source| !source.ahead.is_empty()) {
            source.ahead.retain(|(of, _), _| *of != session);
        }
    }

    pub(super) fn leave(&mut self, seat: Seat) {
        for source in self.sources.values_mut() {
            source.ahead.remove(&seat);
        }
    }
}
