//! The switchboard's records of sockets, rooms and namespaces.

use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::name::{Index, Name, Seed};
use crate::slab::{NONE, Slab, push_lean, swap_remove_lean};

/// The part of a socket that a broadcast reads for each receiver; separate from the rest to touch
/// less memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub(crate) session: u32,
    pub(crate) server: u32,
    /// The last broadcast that visited or excluded this socket: this replaces a set of visited
    /// sockets.
    pub(crate) mark: u32,
}

/// One session in one namespace.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) id: Name,
    pub(crate) nsp: u32,
    /// The next socket of the same session, or [`NONE`].
    pub(crate) next: u32,
    /// The socket's position in the namespace's members.
    pub(crate) place: u32,
    /// Whether the socket is in the room named by its id; this flag is all that such a room needs.
    pub(crate) in_own_room: bool,
    /// The socket's other rooms; the first two need no allocation.
    pub(crate) memberships: SmallVec<[Membership; 2]>,
}

/// A socket's side of being in a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) room: u32,
    /// The socket's position in the room's members.
    pub(crate) place: u32,
}

/// A room's side of having a socket in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) socket: u32,
    /// The room's position in the socket's memberships.
    pub(crate) place: u32,
}

/// All sockets of a switchboard, by slot and by session.
pub(crate) struct Sockets {
    pub(crate) slab: Slab<Socket>,
    /// The receivers by slot; as long as the slab has ever been.
    pub(crate) receivers: Vec<Receiver>,
    /// The first socket of each session's list, by session.
    first: Vec<u32>,
    ids: Index,
    mark: u32,
}

impl Sockets {
    pub(crate) fn new(seed: Seed) -> Self {
        let ids = Index::new(seed);
        Self { slab: Slab::new(), receivers: Vec::new(), first: Vec::new(), ids, mark: 0 }
    }

    /// Walks the session's sockets. There are few: one per namespace that the client asked for.
    pub(crate) fn of_session(&self, session: u32) -> impl Iterator<Item = (u32, &Socket)> {
        let mut slot = self.first.get(session as usize).copied().unwrap_or(NONE);
        core::iter::from_fn(move || {
            let socket = self.slab.get(slot)?;
            let found = (slot, socket);
            slot = socket.next;
            Some(found)
        })
    }

    /// The session's socket in a namespace; the chosen one, if there are several.
    pub(crate) fn find(&self, session: u32, nsp: u32) -> Option<u32> {
        self.of_session(session).find(|(_, socket)| socket.nsp == nsp).map(|(slot, _)| slot)
    }

    pub(crate) fn find_id(&self, nsp: u32, id: &str) -> Option<u32> {
        self.ids.find(nsp, id, |slot| {
            let socket = &self.slab[slot];
            socket.nsp == nsp && socket.id.is(id)
        })
    }

    /// Adds a socket; its id must be free in the namespace.
    pub(crate) fn insert(
        &mut self,
        session: u32,
        server: u32,
        nsp: u32,
        place: u32,
        id: &str,
    ) -> u32 {
        while self.first.len() <= session as usize {
            push_lean(&mut self.first, NONE);
        }
        let first = &mut self.first[session as usize];
        let socket = Socket {
            id: Name::new(id),
            nsp,
            next: *first,
            place,
            in_own_room: true,
            memberships: SmallVec::new(),
        };
        let slot = self.slab.insert(socket);
        *first = slot;
        let receiver = Receiver { session, server, mark: 0 };
        match self.receivers.get_mut(slot as usize) {
            Some(place) => *place = receiver,
            None => push_lean(&mut self.receivers, receiver),
        }
        let slab = &self.slab;
        self.ids.insert(nsp, id, slot, |slot| (slab[slot].nsp, &slab[slot].id));
        slot
    }

    /// Moves a socket to the front of its session's list, where [`Self::find`] looks first.
    pub(crate) fn choose(&mut self, slot: u32) {
        self.unlink(slot);
        let session = self.receivers[slot as usize].session;
        let first = &mut self.first[session as usize];
        self.slab[slot].next = *first;
        *first = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let session = self.receivers[slot as usize].session;
        let before = self.of_session(session).take_while(|&(other, _)| other != slot).last();
        let before = before.map(|(slot, _)| slot);
        let next = self.slab[slot].next;
        match before {
            Some(before) => self.slab[before].next = next,
            None => self.first[session as usize] = next,
        }
    }

    /// Removes a socket; its memberships must have ended.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let socket = self.slab.remove(slot);
        self.ids.remove(socket.nsp, &socket.id, slot);
    }

    /// A mark that no socket has yet.
    pub(crate) fn fresh_mark(&mut self) -> u32 {
        self.mark = self.mark.wrapping_add(1);
        if self.mark == 0 {
            self.receivers.iter_mut().for_each(|receiver| receiver.mark = 0);
            self.mark = 1;
        }
        self.mark
    }

    #[cfg(test)]
    pub(crate) fn wind_marks_to_the_end(&mut self) {
        self.mark = u32::MAX - 1;
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn ids_len(&self) -> usize {
        self.ids.len()
    }
}

/// A room with members other than the socket whose id is the room's name.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: Name,
    pub(crate) nsp: u32,
    pub(crate) members: Vec<Member>,
}

/// All rooms of a switchboard.
pub(crate) struct Rooms {
    pub(crate) slab: Slab<Room>,
    names: Index,
}

impl Rooms {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { slab: Slab::new(), names: Index::new(seed) }
    }

    pub(crate) fn find(&self, nsp: u32, name: &str) -> Option<u32> {
        self.names.find(nsp, name, |slot| {
            let room = &self.slab[slot];
            room.nsp == nsp && room.name.is(name)
        })
    }

    pub(crate) fn find_or_insert(&mut self, nsp: u32, name: &str) -> u32 {
        if let Some(slot) = self.find(nsp, name) {
            return slot;
        }
        let slot = self.slab.insert(Room { name: Name::new(name), nsp, members: Vec::new() });
        let slab = &self.slab;
        self.names.insert(nsp, name, slot, |slot| (slab[slot].nsp, &slab[slot].name));
        slot
    }

    /// Removes a member, and the room with its last member. Returns the member that moved to
    /// `place`.
    pub(crate) fn remove_member(&mut self, slot: u32, place: u32) -> Option<Member> {
        let members = &mut self.slab[slot].members;
        swap_remove_lean(members, place);
        if members.is_empty() {
            let room = self.slab.remove(slot);
            self.names.remove(room.nsp, &room.name, slot);
            return None;
        }
        members.get(place as usize).copied()
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn names_len(&self) -> usize {
        self.names.len()
    }
}

/// One namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: Name,
    /// Slots of the namespace's sockets.
    pub(crate) members: Vec<u32>,
    pub(crate) holds: u32,
}

/// All namespaces of a switchboard, by number and by name.
pub(crate) struct Namespaces {
    pub(crate) slab: Slab<Namespace>,
    names: Index,
}

impl Namespaces {
    pub(crate) fn new(seed: Seed) -> Self {
        let mut namespaces = Self { slab: Slab::new(), names: Index::new(seed) };
        // The first namespace is number 0, and its hold is never returned.
        namespaces.hold("/");
        namespaces
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.names.find(NONE, name, |slot| self.slab[slot].name.is(name))
    }

    pub(crate) fn hold(&mut self, name: &str) -> u32 {
        if let Some(slot) = self.find(name) {
            self.slab[slot].holds += 1;
            return slot;
        }
        let namespace = Namespace { name: Name::new(name), members: Vec::new(), holds: 1 };
        let slot = self.slab.insert(namespace);
        let slab = &self.slab;
        self.names.insert(NONE, name, slot, |slot| (NONE, &slab[slot].name));
        slot
    }

    pub(crate) fn remove_if_idle(&mut self, slot: u32) {
        let namespace = &self.slab[slot];
        if namespace.holds == 0 && namespace.members.is_empty() {
            let namespace = self.slab.remove(slot);
            self.names.remove(NONE, &namespace.name, slot);
        }
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn names_len(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record sizes that make up the memory per socket.
    #[test]
    fn records_are_small() {
        assert_eq!(size_of::<Receiver>(), 12);
        assert_eq!(size_of::<Socket>(), 64);
        assert_eq!(size_of::<Option<Socket>>(), 64);
        assert_eq!(size_of::<Room>(), 56);
        assert_eq!(size_of::<Membership>() + size_of::<Member>(), 16);
    }
}
