//! The slots of a shard, by their index.

use slab::{Slab, VacantEntry};

use super::command::SlotKey;
use super::slot::{Live, Slot};

/// Slots by index. Indices have 32 bits, like everything that names a slot: a sid, a session
/// number, a token of the poller.
#[derive(Debug, Default)]
pub(super) struct Slots(Slab<Slot>);

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The end of the indices in use: no slot has this index or a higher one.
    pub(super) fn end(&self) -> u32 {
        index_of(self.0.capacity())
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        self.0.get(index as usize)
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.0.get_mut(index as usize)
    }

    /// The live session in a slot, if one is in it.
    pub(super) fn live(&mut self, index: u32) -> Option<&mut Live> {
        self.get_mut(index)?.live()
    }

    /// The slot of a key, if the same session is still in it.
    pub(super) fn of(&mut self, key: SlotKey) -> Option<&mut Slot> {
        self.get_mut(key.slot).filter(|slot| key.is_of(slot))
    }

    /// A slot that the caller has just seen.
    ///
    /// # Panics
    ///
    /// The slot is not in use.
    pub(super) fn at(&mut self, index: u32) -> &mut Slot {
        self.get_mut(index).expect("the caller has just seen this slot")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.0.iter().map(|(index, slot)| (index_of(index), slot))
    }

    /// A free place for one more slot.
    pub(super) fn vacant(&mut self) -> Vacant<'_> {
        Vacant(self.0.vacant_entry())
    }

    pub(super) fn remove(&mut self, index: u32) -> Slot {
        self.0.remove(index as usize)
    }
}

/// A free place, to be filled with [`Self::insert`].
#[derive(Debug)]
pub(super) struct Vacant<'a>(VacantEntry<'a, Slot>);

impl Vacant<'_> {
    pub(super) fn index(&self) -> u32 {
        index_of(self.0.key())
    }

    pub(super) fn insert(self, slot: Slot) {
        self.0.insert(slot);
    }
}

fn index_of(place: usize) -> u32 {
    u32::try_from(place).expect("there are at most `SLOTS_MAX`")
}
