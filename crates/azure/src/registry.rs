//! The hub's connections as this door names them, and their groups.
//!
//! A connection is a session that this door's app server accepted: its connection id is the
//! session's sid. Memberships live in a [`Switchboard`] of their own: groups that name a Socket.IO
//! room are rooms of that namespace; all others are rooms of one namespace that no client can
//! enter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trunkline_switchboard::{NamespaceKey, Selection, ServerKey, SessionKey, Switchboard};
use trunkline_trunk::SessionNumber;

use crate::group::Group;

/// The namespace of groups that name no Socket.IO room. A client cannot enter it: the names that
/// clients can enter begin with `/`.
const PLAIN: &str = "groups";

/// One client connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) session: SessionNumber,
    /// The session's sid.
    pub(crate) id: Box<str>,
    pub(crate) user: Option<Box<str>>,
    /// The app server of the connection; the caller chooses the [`ServerKey`]s.
    pub(crate) server: ServerKey,
    /// The namespaces that the client has entered, with the Socket.IO id that it has there.
    pub(crate) sockets: BTreeMap<Box<str>, Box<str>>,
    /// Permissions as the REST API grants them: the name, and the group it is for.
    pub(crate) permissions: BTreeSet<(Box<str>, Option<Box<str>>)>,
}

/// All connections of a hub.
#[derive(Debug)]
pub(crate) struct Registry {
    board: Switchboard,
    plain: NamespaceKey,
    connections: HashMap<u32, Connection>,
    by_id: HashMap<Box<str>, SessionNumber>,
    by_user: HashMap<Box<str>, BTreeSet<SessionNumber>>,
}

impl Registry {
    /// An empty registry. `seed` must be random, see [`Switchboard::new`].
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        let mut board = Switchboard::new(seed);
        let plain = board.namespace(PLAIN);
        Self {
            board,
            plain,
            connections: HashMap::new(),
            by_id: HashMap::new(),
            by_user: HashMap::new(),
        }
    }

    /// Adds the connection of a client whose handshake was accepted.
    pub(crate) fn insert(
        &mut self,
        session: SessionNumber,
        id: &str,
        user: Option<&str>,
        server: ServerKey,
    ) {
        self.remove(session);
        if let Some(user) = user {
            self.by_user.entry(user.into()).or_default().insert(session);
        }
        self.by_id.insert(id.into(), session);
        let connection = Connection {
            session,
            id: id.into(),
            user: user.map(Into::into),
            server,
            sockets: BTreeMap::new(),
            permissions: BTreeSet::new(),
        };
        self.connections.insert(session.0, connection);
        self.enter(session, self.plain);
    }

    /// Removes a connection and all of its memberships.
    pub(crate) fn remove(&mut self, session: SessionNumber) -> Option<Connection> {
        let connection = self.connections.remove(&session.0)?;
        self.board.remove_session(SessionKey(session.0));
        self.by_id.remove(&connection.id);
        if let Some(user) = &connection.user
            && let Some(sessions) = self.by_user.get_mut(user)
        {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.by_user.remove(user);
            }
        }
        Some(connection)
    }

    pub(crate) fn connection(&self, session: SessionNumber) -> Option<&Connection> {
        self.connections.get(&session.0)
    }

    pub(crate) fn connection_mut(&mut self, session: SessionNumber) -> Option<&mut Connection> {
        self.connections.get_mut(&session.0)
    }

    /// Every connection, in no particular order.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<SessionNumber> {
        self.by_id.get(id).copied()
    }

    /// The connections of a user, in a stable order.
    pub(crate) fn by_user(&self, user: &str) -> Vec<SessionNumber> {
        self.by_user
            .get(user)
            .map(|sessions| sessions.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Adds the connection to a group; false when the connection is unknown or in the group
    /// already.
    pub(crate) fn join(&mut self, session: SessionNumber, group: &Group) -> bool {
        if !self.connections.contains_key(&session.0) {
            return false;
        }
        let nsp = self.namespace(group);
        self.enter(session, nsp);
        let joined = self.board.join(SessionKey(session.0), nsp, group.room());
        self.release(nsp);
        joined
    }

    /// Removes the connection from a group; false when the connection is unknown or not in the
    /// group.
    pub(crate) fn leave(&mut self, session: SessionNumber, group: &Group) -> bool {
        let nsp = self.namespace(group);
        let left = self.board.leave(SessionKey(session.0), nsp, group.room());
        self.release(nsp);
        left
    }

    /// Removes the connection from a namespace and all its groups. False when it was not in the
    /// namespace.
    pub(crate) fn leave_namespace(&mut self, session: SessionNumber, namespace: &str) -> bool {
        if let Some(connection) = self.connections.get_mut(&session.0) {
            connection.sockets.remove(namespace);
        }
        let nsp = self.board.namespace(namespace);
        let left = self.board.detach(SessionKey(session.0), nsp);
        self.release(nsp);
        left
    }

    /// The names of all groups that the connection is in.
    pub(crate) fn groups_of(&self, session: SessionNumber) -> Vec<String> {
        let key = SessionKey(session.0);
        let mut groups = Vec::new();
        for nsp in self.board.namespaces_of(key) {
            let rooms = self.board.rooms_of(key, nsp);
            if nsp == self.plain {
                groups.extend(rooms.map(str::to_owned));
            } else if let Some(namespace) = self.board.namespace_name(nsp) {
                groups.extend(rooms.map(|room| Group::room_name(namespace, room)));
            }
        }
        groups
    }

    /// The rooms of a namespace that the connection is in.
    pub(crate) fn rooms_of(&mut self, session: SessionNumber, namespace: &str) -> Vec<String> {
        let nsp = self.board.namespace(namespace);
        let rooms = self.board.rooms_of(SessionKey(session.0), nsp).map(str::to_owned).collect();
        self.release(nsp);
        rooms
    }

    /// The members of a group, in a stable order.
    pub(crate) fn members(&mut self, group: &Group) -> Vec<SessionNumber> {
        let nsp = self.namespace(group);
        let members = self.select_in(nsp, &[group.room()], &[]);
        self.release(nsp);
        members
    }

    /// The members of any of `rooms` and none of `except` in one namespace, each once, in a stable order.
    pub(crate) fn select(
        &mut self,
        namespace: &str,
        rooms: &[&str],
        except: &[&str],
    ) -> Vec<SessionNumber> {
        let nsp = self.board.namespace(namespace);
        let selected = self.select_in(nsp, rooms, except);
        self.release(nsp);
        selected
    }

    fn select_in(
        &mut self,
        nsp: NamespaceKey,
        rooms: &[&str],
        except: &[&str],
    ) -> Vec<SessionNumber> {
        let mut selected = Vec::new();
        let selection = Selection { rooms, except, server: None };
        self.board.select(nsp, &selection, &mut |key| selected.push(SessionNumber(key.0)));
        selected
    }

    /// Holds the namespace of a group; return the hold with [`Self::release`].
    fn namespace(&mut self, group: &Group) -> NamespaceKey {
        match group {
            Group::Room { namespace, .. } => self.board.namespace(namespace),
            Group::Plain(_) => {
                let plain = self.board.namespace(PLAIN);
                debug_assert_eq!(plain, self.plain);
                plain
            }
        }
    }

    fn release(&mut self, nsp: NamespaceKey) {
        self.board.release_namespace(nsp);
    }

    /// Adds the connection to a namespace of the switchboard, in no room.
    fn enter(&mut self, session: SessionNumber, nsp: NamespaceKey) {
        let key = SessionKey(session.0);
        if self.board.socket_id(key, nsp).is_some() {
            return;
        }
        let Some(connection) = self.connections.get(&session.0) else { return };
        let (id, server) = (connection.id.clone(), connection.server);
        // The id is unique in the hub, so no other socket can have it here. The switchboard puts a
        // socket into the room of its id, which is no group for this door.
        if self.board.attach(key, server, nsp, &id, []).is_ok() {
            self.board.leave(key, nsp, &id);
        }
    }
}
