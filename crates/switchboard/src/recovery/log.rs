//! The recorded packets of one namespace, in the order in which the shard delivered them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use trunkline_clock::Timestamp;

use super::sources::{Origin, SourceKey};

/// The receivers of a recorded packet, like [`Selection`](crate::Selection) but owned.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Audience {
    /// A socket must have been in one of these; empty means all of the namespace.
    pub rooms: Vec<Box<str>>,
    /// A socket must have been in none of these.
    pub except: Vec<Box<str>>,
    /// Only the sockets of this app server.
    pub server: Option<SourceKey>,
}

/// The log of one namespace.
#[derive(Debug)]
pub(super) struct Log<P> {
    /// The number of the oldest entry.
    first: u64,
    entries: VecDeque<Entry<P>>,
    /// Numbers of the entries by their offsets.
    places: BTreeMap<Box<str>, u64>,
    /// A packet is missing before the entry with this number: earlier offsets do not tell what a
    /// client has received.
    whole_from: u64,
}

/// One recorded packet.
#[derive(Debug)]
pub(super) struct Entry<P> {
    pub(super) offset: Box<str>,
    pub(super) audience: Audience,
    pub(super) packet: P,
    pub(super) origin: Origin,
    pub(super) until: Timestamp,
    pub(super) bytes: usize,
}

impl<P> Log<P> {
    pub(super) const fn new() -> Self {
        Self { first: 0, entries: VecDeque::new(), places: BTreeMap::new(), whole_from: 0 }
    }

    pub(super) fn push(&mut self, entry: Entry<P>) {
        self.places.insert(entry.offset.clone(), self.end());
        self.entries.push_back(entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The time at which the oldest entry is too old.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.entries.front().map(|entry| entry.until)
    }

    pub(super) fn drop_oldest(&mut self) -> Option<Entry<P>> {
        let entry = self.entries.pop_front()?;
        // An offset that came twice belongs to its later packet.
        if self.places.get(&*entry.offset) == Some(&self.first) {
            self.places.remove(&*entry.offset);
        }
        self.first += 1;
        Some(entry)
    }

    /// Notes a missing packet: from here on, earlier offsets are worthless.
    pub(super) fn break_off(&mut self) {
        self.whole_from = self.end();
    }

    /// The position of the packet with this offset, and the packet's origin.
    pub(super) fn find(&self, offset: &str) -> Option<(usize, Origin)> {
        let number = *self.places.get(offset)?;
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let origin = self.entries.get(place)?.origin;
        (number >= self.whole_from).then_some((place, origin))
    }

    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry<P>> {
        self.entries.iter()
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

impl Audience {
    pub(super) fn reaches(&self, server: SourceKey, rooms: &BTreeSet<&str>) -> bool {
        if self.server.is_some_and(|only| only != server) {
            return false;
        }
        let is_in = |names: &[Box<str>]| names.iter().any(|name| rooms.contains(&**name));
        (self.rooms.is_empty() || is_in(&self.rooms)) && !is_in(&self.except)
    }
}
