//! Sessions between two app servers: their sockets stay where they are, and belong to nobody until
//! the next app server attaches them again.

use alloc::vec::Vec;

use crate::records::Socket;
use crate::{NamespaceKey, SessionKey, Switchboard};

/// The owner of a socket whose app server has gone. No app server has this key.
const NOBODY: u32 = u32::MAX;

/// A socket of a session, as the switchboard has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placed<'b> {
    /// The key of its namespace.
    pub nsp: NamespaceKey,
    /// The name of its namespace.
    pub nsp_name: &'b str,
    /// Its Socket.IO id.
    pub id: &'b str,
    /// Its rooms, without the one that has its id as its name.
    pub rooms: Vec<&'b str>,
    /// Whether it is in the room that has its id as its name.
    pub in_own_room: bool,
}

impl Switchboard {
    /// Notes that the app server of the session's sockets has gone. They get broadcasts as before,
    /// except those for the sockets of one app server.
    pub fn disown(&mut self, session: SessionKey) {
        let slots: Vec<u32> = self.sockets.of_session(session.0).map(|(slot, _)| slot).collect();
        for slot in slots {
            self.sockets.receivers[slot as usize].server = NOBODY;
        }
    }

    /// Ends the session's sockets that belong to nobody.
    pub fn drop_disowned(&mut self, session: SessionKey) {
        let receivers = &self.sockets.receivers;
        let is_disowned = |slot: u32| receivers[slot as usize].server == NOBODY;
        let sockets = self.sockets.of_session(session.0).filter(|(slot, _)| is_disowned(*slot));
        let gone: Vec<(u32, u32)> = sockets.map(|(slot, socket)| (slot, socket.nsp)).collect();
        for (slot, nsp) in gone {
            self.remove(slot);
            self.namespaces.remove_if_idle(nsp);
        }
    }

    /// Whether the session has a socket with this id in the namespace.
    pub fn has_socket(&self, session: SessionKey, nsp: NamespaceKey, socket_id: &str) -> bool {
        let is_it = |socket: &Socket| socket.nsp == nsp.0 && socket.id.is(socket_id);
        self.sockets.of_session(session.0).any(|(_, socket)| is_it(socket))
    }

    /// The session's sockets, in the order in which they were attached or chosen.
    pub fn sockets_of<'b>(&'b self, session: SessionKey) -> Vec<Placed<'b>> {
        let placed = |socket: &'b Socket| Placed {
            nsp: NamespaceKey(socket.nsp),
            nsp_name: self.namespaces.slab[socket.nsp].name.as_str(),
            id: socket.id.as_str(),
            rooms: socket
                .memberships
                .iter()
                .map(|membership| self.rooms.slab[membership.room].name.as_str())
                .collect(),
            in_own_room: socket.in_own_room,
        };
        let mut sockets: Vec<_> =
            self.sockets.of_session(session.0).map(|(_, socket)| placed(socket)).collect();
        sockets.reverse();
        sockets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Selection, ServerKey};

    const ROOT: NamespaceKey = NamespaceKey::DEFAULT;
    const SESSION: SessionKey = SessionKey(3);

    fn board() -> Switchboard {
        let mut board = Switchboard::new([7; 16]);
        let admin = board.namespace("/admin");
        board.attach(SESSION, ServerKey(1), ROOT, "s", ["red", "blue"]).unwrap();
        board.attach(SESSION, ServerKey(1), admin, "t", ["red"]).unwrap();
        board.release_namespace(admin);
        board
    }

    fn reached(board: &mut Switchboard, server: Option<ServerKey>) -> usize {
        let mut visits = 0;
        board.select(ROOT, &Selection { server, ..Selection::default() }, &mut |_| visits += 1);
        visits
    }

    #[test]
    fn the_sockets_of_a_session_come_with_their_namespaces_and_rooms() {
        let board = board();
        let sockets = board.sockets_of(SESSION);
        assert_eq!(sockets.len(), 2);
        let said: Vec<_> =
            sockets.iter().map(|one| (one.nsp_name, one.id, &one.rooms[..])).collect();
        assert_eq!(said, [("/", "s", &["red", "blue"][..]), ("/admin", "t", &["red"][..])]);
        assert!(board.has_socket(SESSION, ROOT, "s") && !board.has_socket(SESSION, ROOT, "t"));
        assert!(!board.has_socket(SessionKey(0), ROOT, "s"), "it is another session's");
    }

    #[test]
    fn sockets_without_an_owner_get_what_is_for_all_and_nothing_local() {
        let mut board = board();
        assert_eq!((reached(&mut board, None), reached(&mut board, Some(ServerKey(1)))), (1, 1));
        board.disown(SESSION);
        assert_eq!((reached(&mut board, None), reached(&mut board, Some(ServerKey(1)))), (1, 0));
    }

    #[test]
    fn a_socket_that_the_next_app_server_attaches_stays_and_the_others_end() {
        let mut board = board();
        board.disown(SESSION);
        board.attach(SESSION, ServerKey(2), ROOT, "s", ["green"]).unwrap();
        assert_eq!(reached(&mut board, Some(ServerKey(2))), 1);
        board.drop_disowned(SESSION);
        let sockets = board.sockets_of(SESSION);
        assert_eq!(sockets.len(), 1);
        assert_eq!((sockets[0].id, &sockets[0].rooms[..]), ("s", &["green"][..]));
        assert_eq!(board.counts().namespaces, 1, "a namespace goes with its last socket");
    }

    #[test]
    fn a_namespace_lives_as_long_as_a_socket_that_waits_in_it() {
        let mut board = board();
        board.disown(SESSION);
        assert_eq!(board.counts().namespaces, 2);
        assert_eq!(board.sockets_of(SESSION)[1].nsp_name, "/admin");
        board.remove_session(SESSION);
        assert_eq!(board.counts().namespaces, 1);
    }
}
