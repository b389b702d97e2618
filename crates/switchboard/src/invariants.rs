//! The invariants between any two commands, checked the slow way by tests and fuzz targets.

use alloc::collections::BTreeSet;

use crate::Switchboard;

impl Switchboard {
    /// Panics when the registry contradicts itself.
    pub fn check_invariants(&self) {
        self.check_sockets();
        self.check_rooms();
        self.check_namespaces();
    }

    fn check_sockets(&self) {
        let mut memberships = 0;
        for (slot, socket) in self.sockets.slab.iter() {
            let session = self.sockets.receivers[slot as usize].session;
            let listed = self.sockets.of_session(session).filter(|&(other, _)| other == slot);
            assert_eq!(listed.count(), 1, "once in its session's list");
            assert_eq!(self.sockets.find_id(socket.nsp, socket.id.as_str()), Some(slot));
            let namespace = &self.namespaces.slab[socket.nsp];
            assert_eq!(namespace.members[socket.place as usize], slot);
            let mut rooms = BTreeSet::new();
            for (place, membership) in socket.memberships.iter().enumerate() {
                let room = &self.rooms.slab[membership.room];
                assert!(rooms.insert(membership.room), "a socket is in a room once");
                assert_eq!(room.nsp, socket.nsp);
                assert!(!room.name.is(socket.id.as_str()), "the own room needs no record");
                let member = room.members[membership.place as usize];
                assert_eq!((member.socket, member.place as usize), (slot, place));
            }
            memberships += rooms.len();
        }
        assert_eq!(self.memberships, memberships);
        assert_eq!(self.sockets.ids_len(), self.sockets.slab.len());
    }

    fn check_rooms(&self) {
        let mut members = 0;
        for (slot, room) in self.rooms.slab.iter() {
            assert!(!room.members.is_empty(), "empty rooms are freed");
            assert_eq!(self.rooms.find(room.nsp, room.name.as_str()), Some(slot));
            members += room.members.len();
        }
        // Together with `check_sockets` this proves that the two sides match one to one.
        assert_eq!(self.memberships, members);
        assert_eq!(self.rooms.names_len(), self.rooms.slab.len());
    }

    fn check_namespaces(&self) {
        let mut members = 0;
        for (slot, namespace) in self.namespaces.slab.iter() {
            assert!(namespace.holds > 0 || !namespace.members.is_empty(), "idle ones are freed");
            assert_eq!(self.namespaces.find(namespace.name.as_str()), Some(slot));
            members += namespace.members.len();
        }
        assert_eq!(self.sockets.slab.len(), members);
        assert_eq!(self.namespaces.names_len(), self.namespaces.slab.len());
        assert_eq!(self.namespaces.find("/"), Some(0));
    }
}
