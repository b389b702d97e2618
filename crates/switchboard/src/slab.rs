//! Numbered places that are used again, and lists that give memory back.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// Values under small integers. The number of the value removed last is given out next.
///
/// The slab keeps the memory of its largest size. It grows by chunks that never move: with a
/// million sockets the half-empty tail of one doubled list would be the largest thing in the
/// switchboard, and copying it would stop every session of the shard.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// All chunks but the last are full.
    chunks: Vec<Vec<Entry<T>>>,
    first_free: u32,
    len: usize,
}

#[derive(Debug)]
enum Entry<T> {
    Free { next: u32 },
    Full(T),
}

const CHUNK: usize = 1024;

/// No slot: the end of a list of slots.
pub(crate) const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), first_free: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        let slot = self.first_free;
        if let Some(entry) = self.entry_mut(slot) {
            if let Entry::Free { next } = core::mem::replace(entry, Entry::Full(value)) {
                self.first_free = next;
            }
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::new());
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("one was pushed if there was none");
        chunk.push(Entry::Full(value));
        slot_number(full + chunk.len() - 1)
    }

    fn entry(&self, slot: u32) -> Option<&Entry<T>> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry<T>> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)
    }

    /// Removes a value; `slot` must be in use.
    pub(crate) fn remove(&mut self, slot: u32) -> T {
        let free = Entry::Free { next: self.first_free };
        let entry = self.entry_mut(slot).expect("lists name only slots in use");
        let removed = core::mem::replace(entry, free);
        self.first_free = slot;
        self.len -= 1;
        match removed {
            Entry::Full(value) => value,
            Entry::Free { .. } => unreachable!("slot {slot} is free"),
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        match self.entry(slot) {
            Some(Entry::Full(value)) => Some(value),
            Some(Entry::Free { .. }) | None => None,
        }
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.entry_mut(slot) {
            Some(Entry::Full(value)) => Some(value),
            Some(Entry::Free { .. }) | None => None,
        }
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let slots = slot_number(self.chunks.iter().map(Vec::len).sum());
        (0..slots).filter_map(|slot| Some((slot, self.get(slot)?)))
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        self.get(slot).expect("lists name only slots in use")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.get_mut(slot).expect("lists name only slots in use")
    }
}

/// A position in a list, as the four bytes that records keep.
pub(crate) fn slot_number(position: usize) -> u32 {
    u32::try_from(position).expect("four thousand million records do not fit in memory")
}

/// Appends; a full list grows by a quarter only.
pub(crate) fn push_lean<T>(list: &mut Vec<T>, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 4).max(4));
    }
    list.push(value);
}

/// Removes an entry by moving the last one into the gap; shrinks the list when three quarters are
/// unused.
pub(crate) fn swap_remove_lean<T>(list: &mut Vec<T>, position: u32) {
    list.swap_remove(position as usize);
    if list.capacity() > 64 && list.len() < list.capacity() / 4 {
        list.shrink_to(list.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut slab = Slab::new();
        assert_eq!([slab.insert('a'), slab.insert('b'), slab.insert('c')], [0, 1, 2]);
        assert_eq!((slab.remove(0), slab.remove(2), slab.len()), ('a', 'c', 1));
        assert_eq!((slab.get(0), slab.get(1), slab.get(NONE)), (None, Some(&'b'), None));
        assert_eq!([slab.insert('d'), slab.insert('e'), slab.insert('f')], [2, 0, 3]);
        assert_eq!(slab.iter().count(), 4);
    }

    #[test]
    fn numbers_go_on_from_chunk_to_chunk() {
        let mut slab = Slab::new();
        for number in 0..3 * slot_number(CHUNK) + 1 {
            assert_eq!(slab.insert(number), number);
        }
        assert!(slab.iter().all(|(slot, &number)| slot == number));
        let last = slot_number(CHUNK) - 1;
        assert_eq!((slab.remove(last), slab.remove(last + 1)), (last, last + 1));
        assert_eq!((slab.insert(7), slab.insert(8)), (last + 1, last));
    }

    #[test]
    fn a_list_gives_memory_back() {
        let mut list = Vec::new();
        for value in 0..10_000 {
            push_lean(&mut list, value);
        }
        assert!(list.capacity() <= 12_500, "{}", list.capacity());
        while list.len() > 10 {
            swap_remove_lean(&mut list, 0);
        }
        assert!(list.capacity() <= 64, "{}", list.capacity());
    }
}
