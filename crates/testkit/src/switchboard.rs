//! A switchboard and the oracle, driven by the same operations.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_switchboard::{
    AttachError, Counts, NamespaceKey, Selection, ServerKey, SessionKey, Switchboard,
};

use crate::oracle::Oracle;

/// Ids and rooms share one small set of names, so that they collide. Two are too long to be stored
/// inline.
pub const NAMES: [&str; 8] = [
    "a",
    "b",
    "c",
    "",
    "Ab1_-Ab1_-Ab1_-Ab1_-",
    "é",
    "a room's name that is longer than an id",
    "another name that is longer than an id",
];
const NAMESPACES: [&str; 4] = ["/", "/a", "/b", "/a namespace with a long name"];
const SESSIONS: u8 = 6;
const SERVERS: u8 = 3;

/// One operation; numbers are indexes into [`NAMES`] and similar lists, so every byte is valid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Op {
    /// `attach`: session, app server, namespace, id, rooms.
    Attach(u8, u8, u8, u8, Vec<u8>),
    /// `attach_beside`: session, app server, namespace, id, rooms.
    Beside(u8, u8, u8, u8, Vec<u8>),
    /// `choose`: session, namespace, id.
    Choose(u8, u8, u8),
    /// `detach`: session, namespace.
    Detach(u8, u8),
    /// `namespace`.
    Hold(u8),
    /// `join`: session, namespace, room.
    Join(u8, u8, u8),
    /// `leave`: session, namespace, room.
    Leave(u8, u8, u8),
    /// `release_namespace`.
    Release(u8),
    /// `remove_session`.
    RemoveSession(u8),
    /// `select`: namespace, rooms, except, app server.
    Select(u8, Vec<u8>, Vec<u8>, Option<u8>),
}

impl Op {
    /// The bytes of one encoded operation.
    pub const BYTES: usize = 5;

    /// Decodes an operation from five bytes: a form that fuzzers and shrinkers handle best.
    pub fn decode([kind, who, what, some, others]: [u8; Self::BYTES]) -> Self {
        let (session, nsp) = (who % SESSIONS, (who / SESSIONS) % 4);
        match kind % 16 {
            0..=2 => Self::Attach(session, kind / 16 % SERVERS, nsp, what % 8, names(some)),
            3 => Self::Beside(session, kind / 16 % SERVERS, nsp, what % 8, names(some)),
            4 => Self::Detach(session, nsp),
            5 | 6 => Self::Hold(nsp),
            7 => Self::Release(nsp),
            8..=10 => Self::Join(session, nsp, what % 8),
            11 | 12 => Self::Leave(session, nsp, what % 8),
            13 => Self::RemoveSession(session),
            14 => Self::Choose(session, nsp, what % 8),
            _ => {
                // Some rooms are named twice, as an app may do.
                let rooms = names(some).into_iter().chain(names(what & some)).collect();
                let server = (kind / 16).checked_sub(8).map(|server| server % SERVERS);
                Self::Select(nsp, rooms, names(others), server)
            }
        }
    }

    /// Decodes as many operations as `bytes` contain.
    pub fn decode_all(bytes: &[u8]) -> Vec<Self> {
        let codes = bytes.chunks_exact(Self::BYTES);
        codes.map(|code| Self::decode(code.try_into().expect("chunks of this size"))).collect()
    }
}

fn names(mask: u8) -> Vec<u8> {
    (0..8).filter(|bit| mask & 1 << bit != 0).collect()
}

fn texts(names: &[u8]) -> Vec<&'static str> {
    names.iter().map(|&name| NAMES[usize::from(name)]).collect()
}

/// A switchboard and an oracle, and the keys that the switchboard gave for namespaces.
#[derive(Debug)]
pub struct Pair {
    board: Switchboard,
    oracle: Oracle,
    keys: BTreeMap<&'static str, NamespaceKey>,
}

impl Pair {
    /// A pair without sockets.
    pub fn new() -> Self {
        let keys = BTreeMap::from([("/", NamespaceKey::DEFAULT)]);
        Self { board: Switchboard::new([42; 16]), oracle: Oracle::new(), keys }
    }

    /// Runs the operations one by one on both.
    ///
    /// # Panics
    ///
    /// When an answer or the state after an operation differs, or an invariant is broken.
    pub fn run(ops: &[Op]) {
        let mut pair = Self::new();
        for op in ops {
            pair.apply(op);
            pair.compare();
        }
    }

    fn apply(&mut self, op: &Op) {
        let (board, oracle) = (&mut self.board, &mut self.oracle);
        if let Op::RemoveSession(session) = *op {
            board.remove_session(SessionKey(session.into()));
            oracle.remove_session(session.into());
            return;
        }
        let name = NAMESPACES[usize::from(op.nsp())];
        if let Op::Hold(_) = op {
            oracle.hold(name);
            self.keys.insert(name, board.namespace(name));
            return;
        }
        // A key without a hold may belong to another namespace by now, so it must not be used.
        if !oracle.knows(name) {
            return;
        }
        let key = self.keys[name];
        match op {
            Op::Attach(session, server, _, id, rooms) => {
                let (id, rooms) = (NAMES[usize::from(*id)], texts(rooms));
                let (session, server) = (u32::from(*session), u32::from(*server));
                let attached = oracle.attach(session, server, name, id, &rooms);
                let answer = board.attach(SessionKey(session), ServerKey(server), key, id, rooms);
                assert_eq!(answer, if attached { Ok(()) } else { Err(AttachError::IdTaken) });
            }
            Op::Beside(session, server, _, id, rooms) => {
                let (id, rooms) = (NAMES[usize::from(*id)], texts(rooms));
                let (session, server) = (u32::from(*session), u32::from(*server));
                let attached = oracle.attach_beside(session, server, name, id, &rooms);
                let (session, server) = (SessionKey(session), ServerKey(server));
                let answer = board.attach_beside(session, server, key, id, rooms);
                assert_eq!(answer, if attached { Ok(()) } else { Err(AttachError::IdTaken) });
            }
            Op::Choose(session, _, id) => {
                let id = NAMES[usize::from(*id)];
                let expected = oracle.choose((*session).into(), name, id);
                assert_eq!(board.choose(SessionKey((*session).into()), key, id), expected);
            }
            Op::Detach(session, _) => {
                let expected = oracle.detach((*session).into(), name);
                assert_eq!(board.detach(SessionKey((*session).into()), key), expected);
            }
            Op::Join(session, _, room) => {
                let room = NAMES[usize::from(*room)];
                let expected = oracle.join((*session).into(), name, room);
                assert_eq!(board.join(SessionKey((*session).into()), key, room), expected);
            }
            Op::Leave(session, _, room) => {
                let room = NAMES[usize::from(*room)];
                let expected = oracle.leave((*session).into(), name, room);
                assert_eq!(board.leave(SessionKey((*session).into()), key, room), expected);
            }
            Op::Release(_) => {
                oracle.release(name);
                board.release_namespace(key);
            }
            Op::Select(_, rooms, except, server) => {
                self.select(name, &texts(rooms), &texts(except), server.map(u32::from));
            }
            Op::Hold(_) | Op::RemoveSession(_) => unreachable!("handled above"),
        }
    }

    fn select(&mut self, nsp: &str, rooms: &[&str], except: &[&str], server: Option<u32>) {
        let selection = Selection { rooms, except, server: server.map(ServerKey) };
        let mut visited = BTreeMap::new();
        self.board.select(self.keys[nsp], &selection, &mut |session| {
            *visited.entry(session.0).or_default() += 1;
        });
        assert_eq!(visited, self.oracle.select(nsp, rooms, except, server), "{selection:?}");
    }

    fn compare(&mut self) {
        self.board.check_invariants();
        let totals = self.oracle.totals();
        let counts = Counts {
            sockets: totals.sockets,
            rooms: totals.rooms,
            memberships: totals.memberships,
            namespaces: totals.namespaces,
        };
        assert_eq!(self.board.counts(), counts);
        for nsp in NAMESPACES {
            if self.oracle.knows(nsp) {
                assert_eq!(self.board.namespace_name(self.keys[nsp]), Some(nsp));
                self.compare_namespace(nsp);
            }
        }
    }

    fn compare_namespace(&mut self, nsp: &str) {
        let key = self.keys[nsp];
        for session in 0..u32::from(SESSIONS) {
            let rooms: Vec<_> = self.board.rooms_of(SessionKey(session), key).collect();
            let set: BTreeSet<String> = rooms.iter().map(|&room| room.to_owned()).collect();
            assert_eq!(set.len(), rooms.len(), "a room twice: {rooms:?}");
            assert_eq!(set, self.oracle.rooms_of(session, nsp));
            let id = self.oracle.socket_id(session, nsp);
            assert_eq!(self.board.socket_id(SessionKey(session), key), id.as_deref());
            let owner = id.and_then(|id| self.board.session_of(key, &id));
            let listed = self.board.namespaces_of(SessionKey(session)).any(|other| other == key);
            assert_eq!(
                (owner.is_some(), owner.unwrap_or(SessionKey(session)).0),
                (listed, session)
            );
        }
        for room in NAMES {
            self.select(nsp, &[room], &[], None);
        }
        self.select(nsp, &[], &[], None);
    }
}

impl Op {
    fn nsp(&self) -> u8 {
        match *self {
            Self::Attach(_, _, nsp, ..)
            | Self::Beside(_, _, nsp, ..)
            | Self::Choose(_, nsp, _)
            | Self::Detach(_, nsp)
            | Self::Hold(nsp)
            | Self::Join(_, nsp, _)
            | Self::Leave(_, nsp, _)
            | Self::Release(nsp)
            | Self::Select(nsp, ..) => nsp,
            Self::RemoveSession(_) => 0,
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}
