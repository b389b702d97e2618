//! Queries: the receivers of a broadcast, and others.

use crate::records::{Member, Rooms, Socket, Sockets};
use crate::{NamespaceKey, Selection, SessionKey, Switchboard};

impl Switchboard {
    /// Visits the session of each selected socket: once, unless the session has several sockets
    /// there.
    pub fn select(
        &mut self,
        nsp: NamespaceKey,
        selection: &Selection<'_>,
        visit: &mut dyn FnMut(SessionKey),
    ) {
        let Some(namespace) = self.namespaces.slab.get(nsp.0) else { return };
        let seen = self.sockets.fresh_mark();
        for room in selection.except {
            let (own, members) = room_members(&self.sockets, &self.rooms, nsp, room);
            let receivers = &mut self.sockets.receivers;
            for slot in own.into_iter().chain(members.iter().map(|member| member.socket)) {
                receivers[slot as usize].mark = seen;
            }
        }
        let server = selection.server.map(|server| server.0);
        if selection.rooms.is_empty() {
            for &slot in &namespace.members {
                let receiver = self.sockets.receivers[slot as usize];
                if receiver.mark != seen && server.is_none_or(|server| server == receiver.server) {
                    visit(SessionKey(receiver.session));
                }
            }
        }
        for room in selection.rooms {
            let (own, members) = room_members(&self.sockets, &self.rooms, nsp, room);
            let receivers = &mut self.sockets.receivers;
            for slot in own.into_iter().chain(members.iter().map(|member| member.socket)) {
                let receiver = &mut receivers[slot as usize];
                if receiver.mark != seen && server.is_none_or(|server| server == receiver.server) {
                    receiver.mark = seen;
                    visit(SessionKey(receiver.session));
                }
            }
        }
    }

    /// The number of the session's sockets that [`select`](Self::select) would visit.
    pub fn selects(
        &self,
        session: SessionKey,
        nsp: NamespaceKey,
        selection: &Selection<'_>,
    ) -> usize {
        let sockets = self.sockets.of_session(session.0).filter(|(_, socket)| socket.nsp == nsp.0);
        let is_selected = |slot: u32, socket: &Socket| {
            let is_in = |names: &[&str]| names.iter().any(|name| self.is_in_room(socket, name));
            let server = self.sockets.receivers[slot as usize].server;
            selection.server.is_none_or(|only| only.0 == server)
                && (selection.rooms.is_empty() || is_in(selection.rooms))
                && !is_in(selection.except)
        };
        sockets.filter(|(slot, socket)| is_selected(*slot, socket)).count()
    }

    fn is_in_room(&self, socket: &Socket, name: &str) -> bool {
        let of_room = |room: u32| self.rooms.slab[room].name.as_str() == name;
        socket.in_own_room && socket.id.is(name)
            || socket.memberships.iter().any(|membership| of_room(membership.room))
    }

    /// The session whose socket in `nsp` has this id.
    pub fn session_of(&self, nsp: NamespaceKey, socket_id: &str) -> Option<SessionKey> {
        let slot = self.sockets.find_id(nsp.0, socket_id)?;
        Some(SessionKey(self.sockets.receivers[slot as usize].session))
    }

    /// The id of the session's (chosen) socket in `nsp`.
    pub fn socket_id(&self, session: SessionKey, nsp: NamespaceKey) -> Option<&str> {
        let slot = self.sockets.find(session.0, nsp.0)?;
        Some(self.sockets.slab[slot].id.as_str())
    }

    /// The rooms of the session's (chosen) socket in `nsp`, that of its own id first; none when there is no socket.
    pub fn rooms_of(&self, session: SessionKey, nsp: NamespaceKey) -> impl Iterator<Item = &str> {
        let socket = self.sockets.find(session.0, nsp.0).map(|slot| &self.sockets.slab[slot]);
        let own = socket.filter(|socket| socket.in_own_room).map(|socket| socket.id.as_str());
        let memberships = socket.into_iter().flat_map(|socket| &socket.memberships);
        let names = memberships.map(|membership| self.rooms.slab[membership.room].name.as_str());
        own.into_iter().chain(names)
    }

    /// The namespace of each of the session's sockets, starting with the one attached or chosen
    /// last.
    pub fn namespaces_of(&self, session: SessionKey) -> impl Iterator<Item = NamespaceKey> {
        self.sockets.of_session(session.0).map(|(_, socket)| NamespaceKey(socket.nsp))
    }

    /// The name behind a key that is held.
    pub fn namespace_name(&self, nsp: NamespaceKey) -> Option<&str> {
        self.namespaces.slab.get(nsp.0).map(|namespace| namespace.name.as_str())
    }
}

/// The members of a room in two parts: the socket whose id is the room's name, if it is in that
/// room, and the other members. Socket.IO has one room where this crate has two records; no socket
/// is in both.
fn room_members<'b>(
    sockets: &Sockets,
    rooms: &'b Rooms,
    nsp: NamespaceKey,
    name: &str,
) -> (Option<u32>, &'b [Member]) {
    let own = sockets.find_id(nsp.0, name).filter(|&slot| sockets.slab[slot].in_own_room);
    let members = rooms.find(nsp.0, name).map_or(&[][..], |room| &rooms.slab[room].members);
    (own, members)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::ServerKey;

    const ROOT: NamespaceKey = NamespaceKey::DEFAULT;

    fn selected(board: &mut Switchboard, rooms: &[&str], except: &[&str]) -> Vec<u32> {
        let mut visited = Vec::new();
        let selection = Selection { rooms, except, server: None };
        board.select(ROOT, &selection, &mut |session| visited.push(session.0));
        visited
    }

    /// Sockets 0..4 with ids "s0".., all in "all", the even ones in "even".
    fn board() -> Switchboard {
        let mut board = Switchboard::new([7; 16]);
        for (session, id) in ["s0", "s1", "s2", "s3"].into_iter().enumerate() {
            let session = SessionKey(u32::try_from(session).unwrap());
            let rooms = if session.0.is_multiple_of(2) { &["all", "even"][..] } else { &["all"] };
            board.attach(session, ServerKey(session.0), ROOT, id, rooms.iter().copied()).unwrap();
        }
        board
    }

    #[test]
    fn selections() {
        let mut board = board();
        let cases: &[(&[&str], &[&str], &[u32])] = &[
            (&[], &[], &[0, 1, 2, 3]),
            (&[], &["even"], &[1, 3]),
            (&[], &["all"], &[]),
            (&["even"], &[], &[0, 2]),
            (&["even", "all", "even"], &[], &[0, 2, 1, 3]),
            (&["s1"], &[], &[1]),
            (&["s1", "even"], &["s2", "nobody"], &[1, 0]),
            (&["nobody"], &[], &[]),
            (&["s0", "all"], &["s0"], &[1, 2, 3]),
        ];
        for &(rooms, except, expected) in cases {
            assert_eq!(selected(&mut board, rooms, except), expected, "{rooms:?} but {except:?}");
            for session in 0..4 {
                let selection = Selection { rooms, except, server: None };
                let visits = board.selects(SessionKey(session), ROOT, &selection);
                let among = usize::from(expected.contains(&session));
                assert_eq!(visits, among, "{session}: {rooms:?} but {except:?}");
            }
        }
    }

    #[test]
    fn a_room_named_like_an_id_reaches_its_owner_and_all_who_joined() {
        let mut board = board();
        assert!(board.join(SessionKey(3), ROOT, "s1"));
        assert_eq!(selected(&mut board, &["s1"], &[]), [1, 3]);
        assert_eq!(selected(&mut board, &[], &["s1"]), [0, 2]);
        assert!(board.leave(SessionKey(1), ROOT, "s1"));
        assert!(!board.leave(SessionKey(1), ROOT, "s1"));
        assert_eq!(selected(&mut board, &["s1"], &[]), [3]);
        assert!(board.join(SessionKey(1), ROOT, "s1"));
        assert!(board.detach(SessionKey(3), ROOT));
        assert_eq!(selected(&mut board, &["s1"], &[]), [1]);
        board.check_invariants();
    }

    #[test]
    fn only_the_named_server() {
        let mut board = board();
        let mut visited = Vec::new();
        let selection = Selection { server: Some(ServerKey(2)), ..Selection::default() };
        board.select(ROOT, &selection, &mut |session| visited.push(session.0));
        let selection = Selection { rooms: &["all", "even"], ..selection };
        board.select(ROOT, &selection, &mut |session| visited.push(session.0));
        assert_eq!(visited, [2, 2]);
    }

    #[test]
    fn marks_survive_their_wrap() {
        let mut board = board();
        assert_eq!(selected(&mut board, &["s0", "all"], &["s2"]), [0, 1, 3]);
        board.sockets.wind_marks_to_the_end();
        for _ in 0..3 {
            assert_eq!(selected(&mut board, &["s0", "all"], &["s2"]), [0, 1, 3]);
        }
    }

    #[test]
    fn questions_about_one_session() {
        let mut board = board();
        let admin = board.namespace("/admin");
        board.attach(SessionKey(2), ServerKey(2), admin, "a2", ["all"]).unwrap();
        assert_eq!(board.rooms_of(SessionKey(2), ROOT).collect::<Vec<_>>(), ["s2", "all", "even"]);
        assert_eq!(board.rooms_of(SessionKey(2), admin).collect::<Vec<_>>(), ["a2", "all"]);
        assert_eq!(board.rooms_of(SessionKey(9), ROOT).count(), 0);
        assert_eq!(board.namespaces_of(SessionKey(2)).collect::<Vec<_>>(), [admin, ROOT]);
        assert_eq!(board.namespace_name(admin), Some("/admin"));
        assert_eq!(board.session_of(admin, "a2"), Some(SessionKey(2)));
        assert_eq!(board.session_of(ROOT, "a2"), None);
        assert_eq!(board.socket_id(SessionKey(2), admin), Some("a2"));
        assert_eq!(board.socket_id(SessionKey(1), admin), None);
        assert_eq!(selected(&mut board, &["all"], &[]), [0, 1, 2, 3]);
    }
}
