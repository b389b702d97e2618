//! Socket.IO's rooms in the simplest form: maps of sets of strings, redundant only where
//! Socket.IO's in-memory adapter is, and not fast. The [switchboard](trunkline_switchboard) must
//! give the same answers.

use std::collections::{BTreeMap, BTreeSet};

/// All sockets of one hub, by namespace name.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    namespaces: BTreeMap<String, Namespace>,
}

#[derive(Clone, Debug, Default)]
struct Namespace {
    holds: usize,
    /// Members' socket ids by room, as `adapter.rooms`.
    rooms: BTreeMap<String, BTreeSet<String>>,
    /// Rooms by socket id, as `adapter.sids`.
    sids: BTreeMap<String, BTreeSet<String>>,
    /// Session and app server by socket id.
    owners: BTreeMap<String, (u32, u32)>,
    /// The ids of all sockets in order. Among those of one session the last is the chosen one.
    order: Vec<String>,
}

/// The same numbers as the switchboard's `Counts`, but counted one by one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Sockets in all namespaces.
    pub sockets: usize,
    /// Rooms with a member whose id is not the room's name.
    pub rooms: usize,
    /// Pairs of room and member, without those whose id is the room's name.
    pub memberships: usize,
    /// Namespaces that have a socket or are held, `/` included.
    pub namespaces: usize,
}

impl Oracle {
    /// An oracle with only `/`, and no socket in it.
    pub fn new() -> Self {
        let mut oracle = Self::default();
        oracle.hold("/");
        oracle
    }

    /// Adds a hold to the namespace.
    pub fn hold(&mut self, nsp: &str) {
        self.namespaces.entry(nsp.to_owned()).or_default().holds += 1;
    }

    /// Removes a hold, if there is one; `/` keeps one.
    pub fn release(&mut self, nsp: &str) {
        let holds_min = usize::from(nsp == "/");
        if let Some(namespace) = self.namespaces.get_mut(nsp) {
            namespace.holds = namespace.holds.saturating_sub(1).max(holds_min);
        }
        self.forget_idle();
    }

    /// Whether the namespace is held or has a socket.
    pub fn knows(&self, nsp: &str) -> bool {
        self.namespaces.contains_key(nsp)
    }

    /// Like the switchboard's `attach`; false when a socket other than the session's chosen one has
    /// the id. The namespace must be known.
    pub fn attach(
        &mut self,
        session: u32,
        server: u32,
        nsp: &str,
        id: &str,
        rooms: &[&str],
    ) -> bool {
        let namespace = self.namespaces.get_mut(nsp).expect("the namespace is known");
        let chosen = namespace.chosen(session);
        if namespace.owners.contains_key(id) && chosen.as_deref() != Some(id) {
            return false;
        }
        namespace.remove(session);
        namespace.enter(session, server, id, rooms);
        true
    }

    /// Like the switchboard's `attach_beside`; false when any socket has the id.
    pub fn attach_beside(
        &mut self,
        session: u32,
        server: u32,
        nsp: &str,
        id: &str,
        rooms: &[&str],
    ) -> bool {
        let namespace = self.namespaces.get_mut(nsp).expect("the namespace is known");
        let is_free = !namespace.owners.contains_key(id);
        if is_free {
            namespace.enter(session, server, id, rooms);
        }
        is_free
    }

    /// Chooses a socket; false when the session has no such socket.
    pub fn choose(&mut self, session: u32, nsp: &str, id: &str) -> bool {
        let Some(namespace) = self.namespaces.get_mut(nsp) else { return false };
        let found = namespace.owners.get(id).is_some_and(|owner| owner.0 == session);
        if found {
            namespace.order.retain(|other| other != id);
            namespace.order.push(id.to_owned());
        }
        found
    }

    /// Ends a socket; false when there is none.
    pub fn detach(&mut self, session: u32, nsp: &str) -> bool {
        let found = self.namespaces.get_mut(nsp).is_some_and(|namespace| namespace.remove(session));
        self.forget_idle();
        found
    }

    /// Joins a room; false when there is no such socket or it is in the room already.
    pub fn join(&mut self, session: u32, nsp: &str, room: &str) -> bool {
        let Some(id) = self.socket_id(session, nsp) else { return false };
        self.namespaces.get_mut(nsp).is_some_and(|namespace| namespace.add(&id, room))
    }

    /// Leaves a room; false when there is no such socket or it is not in the room.
    pub fn leave(&mut self, session: u32, nsp: &str, room: &str) -> bool {
        let Some(id) = self.socket_id(session, nsp) else { return false };
        self.namespaces.get_mut(nsp).is_some_and(|namespace| namespace.del(&id, room))
    }

    /// Ends all sockets of the session.
    pub fn remove_session(&mut self, session: u32) {
        for namespace in self.namespaces.values_mut() {
            while namespace.remove(session) {}
        }
        self.forget_idle();
    }

    /// The sessions that a broadcast reaches, each with the number of its sockets that receive it.
    pub fn select(
        &self,
        nsp: &str,
        rooms: &[&str],
        except: &[&str],
        server: Option<u32>,
    ) -> BTreeMap<u32, usize> {
        let Some(namespace) = self.namespaces.get(nsp) else { return BTreeMap::new() };
        let in_any = |id: &str, rooms: &[&str]| {
            rooms.iter().any(|&room| namespace.rooms.get(room).is_some_and(|ids| ids.contains(id)))
        };
        let mut sessions = BTreeMap::new();
        for (id, &(session, owner)) in &namespace.owners {
            let included = rooms.is_empty() || in_any(id, rooms);
            let wanted = server.is_none_or(|server| server == owner);
            if included && wanted && !in_any(id, except) {
                *sessions.entry(session).or_default() += 1;
            }
        }
        sessions
    }

    /// The id of the session's chosen socket.
    pub fn socket_id(&self, session: u32, nsp: &str) -> Option<String> {
        self.namespaces.get(nsp)?.chosen(session)
    }

    /// The rooms of the session's chosen socket.
    pub fn rooms_of(&self, session: u32, nsp: &str) -> BTreeSet<String> {
        let Some(id) = self.socket_id(session, nsp) else { return BTreeSet::new() };
        self.namespaces[nsp].sids[&id].clone()
    }

    /// Counts everything.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { namespaces: self.namespaces.len(), ..Totals::default() };
        for namespace in self.namespaces.values() {
            totals.sockets += namespace.sids.len();
            for (room, ids) in &namespace.rooms {
                let strangers = ids.iter().filter(|&id| id != room).count();
                totals.memberships += strangers;
                totals.rooms += usize::from(strangers > 0);
            }
        }
        totals
    }

    fn forget_idle(&mut self) {
        self.namespaces.retain(|_, namespace| namespace.holds > 0 || !namespace.owners.is_empty());
    }
}

impl Namespace {
    fn chosen(&self, session: u32) -> Option<String> {
        self.order.iter().rev().find(|&id| self.owners[id].0 == session).cloned()
    }

    fn enter(&mut self, session: u32, server: u32, id: &str, rooms: &[&str]) {
        self.owners.insert(id.to_owned(), (session, server));
        self.order.push(id.to_owned());
        self.sids.insert(id.to_owned(), BTreeSet::new());
        self.add(id, id);
        for room in rooms {
            self.add(id, room);
        }
    }

    fn add(&mut self, id: &str, room: &str) -> bool {
        self.sids.entry(id.to_owned()).or_default().insert(room.to_owned());
        self.rooms.entry(room.to_owned()).or_default().insert(id.to_owned())
    }

    fn del(&mut self, id: &str, room: &str) -> bool {
        if let Some(rooms) = self.sids.get_mut(id) {
            rooms.remove(room);
        }
        let Some(ids) = self.rooms.get_mut(room) else { return false };
        let found = ids.remove(id);
        if ids.is_empty() {
            self.rooms.remove(room);
        }
        found
    }

    fn remove(&mut self, session: u32) -> bool {
        let Some(id) = self.chosen(session) else { return false };
        for room in self.sids.remove(&id).unwrap_or_default() {
            self.del(&id, &room);
        }
        self.owners.remove(&id);
        self.order.retain(|other| *other != id);
        true
    }
}
