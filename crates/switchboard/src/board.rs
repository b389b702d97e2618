//! The registry and its commands.

use core::fmt;

use crate::name::Seed;
use crate::records::{Member, Membership, Namespaces, Rooms, Sockets};
use crate::slab::{push_lean, slot_number, swap_remove_lean};
use crate::{AttachError, Counts, NamespaceKey, ServerKey, SessionKey};

/// Sessions, their sockets and rooms, of one hub in one shard.
pub struct Switchboard {
    pub(crate) sockets: Sockets,
    pub(crate) rooms: Rooms,
    pub(crate) namespaces: Namespaces,
    pub(crate) memberships: usize,
}

impl Switchboard {
    /// An empty switchboard. `seed` must be random: strangers choose socket ids and room names, and
    /// a known seed would let them choose names with equal hashes.
    pub fn new(seed: [u8; 16]) -> Self {
        let seed = Seed(seed);
        Self {
            sockets: Sockets::new(seed),
            rooms: Rooms::new(seed),
            namespaces: Namespaces::new(seed),
            memberships: 0,
        }
    }

    /// Interns a namespace name and holds it: return each hold with [`Self::release_namespace`].
    pub fn namespace(&mut self, name: &str) -> NamespaceKey {
        NamespaceKey(self.namespaces.hold(name))
    }

    /// Returns one hold. Once a namespace has neither a hold nor a socket, it is forgotten and its
    /// number is used again. `/` stays.
    pub fn release_namespace(&mut self, nsp: NamespaceKey) {
        let holds_min = u32::from(nsp == NamespaceKey::DEFAULT);
        let Some(namespace) = self.namespaces.slab.get_mut(nsp.0) else { return };
        if namespace.holds > holds_min {
            namespace.holds -= 1;
            self.namespaces.remove_if_idle(nsp.0);
        }
    }

    /// Makes `session` a socket of `nsp`, in `rooms` and in the room named by its id. The session's chosen
    /// socket in this namespace, if it has one, ends first.
    pub fn attach<'r>(
        &mut self,
        session: SessionKey,
        server: ServerKey,
        nsp: NamespaceKey,
        socket_id: &str,
        rooms: impl IntoIterator<Item = &'r str>,
    ) -> Result<(), AttachError> {
        if self.namespaces.slab.get(nsp.0).is_none() {
            return Err(AttachError::NamespaceUnknown);
        }
        let earlier = self.sockets.find(session.0, nsp.0);
        let owner = self.sockets.find_id(nsp.0, socket_id);
        if owner.is_some() && owner != earlier {
            return Err(AttachError::IdTaken);
        }
        if let Some(earlier) = earlier {
            self.remove(earlier);
        }
        self.insert(session, server, nsp, socket_id, rooms);
        Ok(())
    }

    /// Like [`Self::attach`], but keeps the sockets that `session` already has in `nsp`. The new
    /// socket becomes the chosen one.
    pub fn attach_beside<'r>(
        &mut self,
        session: SessionKey,
        server: ServerKey,
        nsp: NamespaceKey,
        socket_id: &str,
        rooms: impl IntoIterator<Item = &'r str>,
    ) -> Result<(), AttachError> {
        if self.namespaces.slab.get(nsp.0).is_none() {
            return Err(AttachError::NamespaceUnknown);
        }
        if self.sockets.find_id(nsp.0, socket_id).is_some() {
            return Err(AttachError::IdTaken);
        }
        self.insert(session, server, nsp, socket_id, rooms);
        Ok(())
    }

    /// Chooses the session's socket in `nsp` that later commands mean, by its id. False when there
    /// is no such socket.
    pub fn choose(&mut self, session: SessionKey, nsp: NamespaceKey, socket_id: &str) -> bool {
        let found = self.sockets.find_id(nsp.0, socket_id);
        let own = found.filter(|&slot| self.sockets.receivers[slot as usize].session == session.0);
        own.inspect(|&slot| self.sockets.choose(slot)).is_some()
    }

    fn insert<'r>(
        &mut self,
        session: SessionKey,
        server: ServerKey,
        nsp: NamespaceKey,
        socket_id: &str,
        rooms: impl IntoIterator<Item = &'r str>,
    ) {
        let members = &mut self.namespaces.slab[nsp.0].members;
        let place = slot_number(members.len());
        let socket = self.sockets.insert(session.0, server.0, nsp.0, place, socket_id);
        push_lean(members, socket);
        for room in rooms {
            self.add(socket, room);
        }
    }

    /// Ends the (chosen) socket of `session` in `nsp`; false when there is none.
    pub fn detach(&mut self, session: SessionKey, nsp: NamespaceKey) -> bool {
        let Some(socket) = self.sockets.find(session.0, nsp.0) else { return false };
        self.remove(socket);
        self.namespaces.remove_if_idle(nsp.0);
        true
    }

    /// Adds the socket to a room; false when there is no such socket or it is in the room already.
    pub fn join(&mut self, session: SessionKey, nsp: NamespaceKey, room: &str) -> bool {
        self.sockets.find(session.0, nsp.0).is_some_and(|socket| self.add(socket, room))
    }

    /// Removes the socket from a room; false when there is no such socket or it is not in the room.
    pub fn leave(&mut self, session: SessionKey, nsp: NamespaceKey, room: &str) -> bool {
        let Some(slot) = self.sockets.find(session.0, nsp.0) else { return false };
        let socket = &mut self.sockets.slab[slot];
        if socket.id.is(room) {
            return core::mem::take(&mut socket.in_own_room);
        }
        let Some(room) = self.rooms.find(nsp.0, room) else { return false };
        let Some(place) = self.membership(slot, room) else { return false };
        self.remove_membership(slot, place);
        true
    }

    /// Ends all sockets of `session`.
    pub fn remove_session(&mut self, session: SessionKey) {
        loop {
            let last = self.sockets.of_session(session.0).next().map(|(slot, at)| (slot, at.nsp));
            let Some((socket, nsp)) = last else { return };
            self.remove(socket);
            self.namespaces.remove_if_idle(nsp);
        }
    }

    /// The number of sockets of `session`, and the number of rooms in which they are, without those
    /// named by their ids; O(sockets).
    pub fn counts_of(&self, session: SessionKey) -> (usize, usize) {
        self.sockets.of_session(session.0).fold((0, 0), |(count, rooms), (_, socket)| {
            (count + 1, rooms + socket.memberships.len())
        })
    }

    /// How much the switchboard holds now; O(1).
    pub fn counts(&self) -> Counts {
        Counts {
            sockets: self.sockets.slab.len(),
            rooms: self.rooms.slab.len(),
            memberships: self.memberships,
            namespaces: self.namespaces.slab.len(),
        }
    }

    fn add(&mut self, slot: u32, name: &str) -> bool {
        let socket = &mut self.sockets.slab[slot];
        if socket.id.is(name) {
            return !core::mem::replace(&mut socket.in_own_room, true);
        }
        let room = self.rooms.find_or_insert(socket.nsp, name);
        if self.membership(slot, room).is_some() {
            return false;
        }
        let memberships = &mut self.sockets.slab[slot].memberships;
        let members = &mut self.rooms.slab[room].members;
        let member = Member { socket: slot, place: slot_number(memberships.len()) };
        memberships.push(Membership { room, place: slot_number(members.len()) });
        push_lean(members, member);
        self.memberships += 1;
        true
    }

    /// The position of `room` in the socket's memberships. Searches the shorter of the two lists,
    /// so that neither a full room nor a socket in very many rooms makes joining slow.
    fn membership(&self, socket: u32, room: u32) -> Option<u32> {
        let memberships = &self.sockets.slab[socket].memberships;
        let members = &self.rooms.slab[room].members;
        if memberships.len() <= members.len() {
            memberships.iter().position(|membership| membership.room == room).map(slot_number)
        } else {
            members.iter().find(|member| member.socket == socket).map(|member| member.place)
        }
    }

    /// Removes a membership. In both lists the last entry fills the gap, and the other side of that
    /// entry learns its new position.
    fn remove_membership(&mut self, slot: u32, place: u32) {
        let memberships = &mut self.sockets.slab[slot].memberships;
        let removed = memberships.swap_remove(place as usize);
        if let Some(moved) = memberships.get(place as usize) {
            self.rooms.slab[moved.room].members[moved.place as usize].place = place;
        }
        if let Some(moved) = self.rooms.remove_member(removed.room, removed.place) {
            let memberships = &mut self.sockets.slab[moved.socket].memberships;
            memberships[moved.place as usize].place = removed.place;
        }
        self.memberships -= 1;
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        while let Some(last) = self.sockets.slab[slot].memberships.len().checked_sub(1) {
            self.remove_membership(slot, slot_number(last));
        }
        let socket = &self.sockets.slab[slot];
        let place = socket.place;
        let members = &mut self.namespaces.slab[socket.nsp].members;
        swap_remove_lean(members, place);
        if let Some(&moved) = members.get(place as usize) {
            self.sockets.slab[moved].place = place;
        }
        self.sockets.remove(slot);
    }
}

/// Prints counts only: names belong to the app, and there may be a million.
impl fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switchboard").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
