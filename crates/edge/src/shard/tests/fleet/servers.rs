//! The app servers: as much of an SDK as a cluster needs, and an app that talks all the time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_trunk::{CloseReason, Frame, Origin, SessionNumber, State};

use super::{Event, Fleet, Way};
use crate::shard::tests::app::{MAIN, accept_as, broadcast, broadcast_of, close, send};

/// The time for which an app server waits for the other half of a move.
const PATIENCE: Duration = Duration::from_secs(10);

/// A place of an app server: processes come and go there.
pub(super) struct Server {
    place: usize,
    life: u32,
    pub(super) is_alive: bool,
    /// The number of its next broadcast.
    pub(super) next_number: u64,
    /// The number of its next message, of whatever kind. It goes on over lives.
    next_message: u32,
    /// The messages of its broadcasts to all, in order.
    pub(super) to_all: Vec<u32>,
    /// Set once a trunk of it was lost while its node lives: broadcasts may be missing then.
    pub(super) is_lossy: bool,
    pub(super) conns: BTreeMap<String, Conn>,
    /// What the numbers on its trunks mean.
    numbers: HashMap<(usize, SessionNumber), Use>,
    /// For each node, how many trunks it has had, and whether there is one.
    trunks: Vec<(u32, bool)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Use {
    Session(String),
    /// We have sent `Close`.
    Closed,
}

/// A session as its app server knows it.
pub(super) struct Conn {
    pub(super) line: (usize, SessionNumber),
    /// The first node says that the session leaves.
    left_at: Option<Timestamp>,
    /// The second node says that the session comes.
    adopt: Option<(usize, SessionNumber, Timestamp)>,
    pub(super) is_open: bool,
    rooms: BTreeSet<&'static str>,
    /// The messages that its client is to get from this app server, in order.
    pub(super) expected: Vec<u32>,
    /// The client's messages that have come.
    pub(super) heard: u32,
    pub(super) upgraded: bool,
}

impl Server {
    pub(super) fn new(place: usize, nodes: usize) -> Self {
        Self {
            place,
            life: 1,
            is_alive: true,
            next_number: 1,
            next_message: 0,
            to_all: Vec::new(),
            is_lossy: false,
            conns: BTreeMap::new(),
            numbers: HashMap::new(),
            trunks: vec![(0, false); nodes],
        }
    }

    /// The id of the process.
    pub(super) fn id(&self) -> String {
        format!("server{}.{}", self.place, self.life)
    }

    pub(super) fn connected(&mut self, node: usize) -> u32 {
        self.trunks[node] = (self.trunks[node].0 + 1, true);
        self.trunks[node].0
    }

    /// Its trunk to this node is lost, and with it the sessions there.
    pub(super) fn disconnected(&mut self, node: usize) {
        self.trunks[node].1 = false;
        self.numbers.retain(|(at, _), _| *at != node);
        for conn in self.conns.values_mut().filter(|conn| conn.is_open) {
            conn.adopt = conn.adopt.filter(|(at, ..)| *at != node);
            if conn.line.0 == node {
                conn.is_open = false;
            }
        }
    }

    /// Its process ends. Its trunks are gone already.
    pub(super) fn dies(&mut self) {
        self.is_alive = false;
        self.numbers.clear();
        self.conns.values_mut().for_each(|conn| conn.is_open = false);
    }

    pub(super) fn starts(&mut self) {
        self.life += 1;
        self.is_alive = true;
        self.next_number = 1;
    }

    pub(super) fn trunk_of(&self, node: usize) -> Option<u32> {
        let (trunk, is_up) = self.trunks[node];
        is_up.then_some(trunk)
    }

    fn message(&mut self) -> (u32, String) {
        let number = self.next_message;
        self.next_message += 1;
        (number, format!("{}.{number}", self.place))
    }

    /// Sessions that are open, in order.
    pub(super) fn open(&self) -> Vec<String> {
        let open = self.conns.iter().filter(|(_, conn)| conn.is_open);
        open.map(|(sid, _)| sid.clone()).collect()
    }
}

impl Fleet {
    fn server_says(&mut self, server: usize, node: usize, frames: Vec<Frame>) {
        if let Some(trunk) = self.servers[server].trunk_of(node) {
            self.later(Way::Down(node, server), Event::ToNode { node, server, trunk, frames });
        }
    }

    /// Handles one frame of a node.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other frame comes in these plays")]
    pub(super) fn server_hears(&mut self, server: usize, node: usize, frame: Frame) {
        match frame {
            Frame::Open(open) => {
                let custom = if self.make.own_ids {
                    let own = &mut self.servers[server];
                    let (number, _) = own.message();
                    format!("own-{server}-{number}")
                } else {
                    String::new()
                };
                let sid = if custom.is_empty() { open.sid.to_string() } else { custom.clone() };
                let socket: String = format!("s-{sid}");
                let mut frames = vec![
                    accept_as(open.session, &custom),
                    Frame::Attach {
                        session: open.session,
                        nsp: MAIN,
                        socket: socket.as_str().into(),
                        rooms: ["base".into()].into(),
                    },
                ];
                if self.make.recovers {
                    frames.push(Frame::State(Box::new(State {
                        session: open.session,
                        nsp: MAIN,
                        socket: socket.as_str().into(),
                        pid: format!("p-{sid}").as_str().into(),
                        state: bytes::Bytes::from_static(b"state"),
                    })));
                }
                let conn = Conn {
                    line: (node, open.session),
                    left_at: None,
                    adopt: None,
                    is_open: true,
                    rooms: ["base"].into(),
                    expected: Vec::new(),
                    heard: 0,
                    upgraded: false,
                };
                let own = &mut self.servers[server];
                let before = own.numbers.insert((node, open.session), Use::Session(sid.clone()));
                assert_eq!(before, None, "a number is used once");
                let before = own.conns.insert(sid, conn);
                assert!(before.is_none(), "a session opens once");
                self.server_says(server, node, frames);
            }
            // It was under way when the app closed the session.
            Frame::Message { session, .. } | Frame::Upgraded { session, .. }
                if self.servers[server].numbers.get(&(node, session)) == Some(&Use::Closed) => {}
            Frame::Message { session, payload, .. } => {
                let (sid, conn) = self.conn(server, (node, session));
                assert_eq!(conn.line, (node, session), "{sid}: messages come on the line");
                let text = String::from_utf8_lossy(&payload).into_owned();
                assert_eq!(text, format!("u{}", conn.heard), "{sid}: once and in order");
                conn.heard += 1;
                self.note(("heard", sid, text));
            }
            Frame::Upgraded { session, .. } => {
                let (sid, conn) = self.conn(server, (node, session));
                assert!(!std::mem::replace(&mut conn.upgraded, true), "{sid}: once");
            }
            Frame::Close { session, reason, .. } => {
                self.server_hears_close(server, (node, session), reason.reason());
            }
            Frame::Adopt(adopt) => {
                assert_eq!(adopt.origin, Origin::Moved);
                let sid = adopt.sid.to_string();
                let now = self.now;
                let own = &mut self.servers[server];
                let line = (node, adopt.session);
                let conn = own.conns.get_mut(&sid).filter(|conn| conn.is_open);
                let Some(conn) = conn else {
                    assert_eq!(own.numbers.insert(line, Use::Closed), None);
                    let reason = CloseReason::AppClosed;
                    return self.server_says(server, node, vec![close(adopt.session, reason)]);
                };
                assert!(conn.adopt.is_none(), "{sid}: it comes to one node");
                conn.adopt = Some((node, adopt.session, now));
                assert_eq!(own.numbers.insert(line, Use::Session(sid.clone())), None);
                self.change_line(server, &sid);
            }
            Frame::Proved { .. } | Frame::RestoredAt(_) | Frame::Peers { .. } => (),
            other => panic!("{other:?}"),
        }
    }

    fn conn(&mut self, server: usize, line: (usize, SessionNumber)) -> (String, &mut Conn) {
        let own = &mut self.servers[server];
        let Some(Use::Session(sid)) = own.numbers.get(&line).cloned() else {
            panic!("{line:?} is not in use")
        };
        let conn = own.conns.get_mut(&sid).expect("whoever has a number is known");
        (sid, conn)
    }

    fn server_hears_close(
        &mut self,
        server: usize,
        (node, session): (usize, SessionNumber),
        reason: CloseReason,
    ) {
        let now = self.now;
        let own = &mut self.servers[server];
        let sid = match own.numbers.get(&(node, session)).cloned() {
            Some(Use::Session(sid)) => sid,
            Some(Use::Closed) => {
                own.numbers.remove(&(node, session));
                return;
            }
            None => panic!("a number that is not in use is closed"),
        };
        let conn = own.conns.get_mut(&sid).expect("it is known");
        if reason == CloseReason::Moved && conn.is_open && conn.line == (node, session) {
            conn.left_at = Some(now);
            return self.change_line(server, &sid);
        }
        // The session is over, on whichever line it says so.
        own.numbers.remove(&(node, session));
        self.note(("closed", &sid, format!("{reason:?}")));
        self.server_says(server, node, vec![close(session, reason)]);
        self.end_conn(server, &sid, CloseReason::AppShutdown);
    }

    /// Ends a session at its app server, which says so on every line that is left.
    fn end_conn(&mut self, server: usize, sid: &str, reason: CloseReason) {
        let own = &mut self.servers[server];
        if let Some(conn) = own.conns.get_mut(sid) {
            conn.is_open = false;
        }
        let is_its = |one: &Use| matches!(one, Use::Session(of) if of == sid);
        let lines = own.numbers.iter().filter(|(_, one)| is_its(one)).map(|(line, _)| *line);
        let mut lines: Vec<_> = lines.collect();
        lines.sort_unstable();
        for (node, session) in lines {
            // A line that the node has closed already is free with our word.
            let own = &mut self.servers[server];
            let left = own
                .conns
                .get(sid)
                .is_some_and(|conn| conn.line == (node, session) && conn.left_at.is_some());
            if left {
                own.numbers.remove(&(node, session));
            } else {
                own.numbers.insert((node, session), Use::Closed);
            }
            self.server_says(server, node, vec![close(session, reason)]);
        }
    }

    /// Changes from the first node to the second once both have said that the session moves.
    fn change_line(&mut self, server: usize, sid: &str) {
        let own = &mut self.servers[server];
        let conn = own.conns.get_mut(sid).expect("it is known");
        let (Some(_), Some((node, number, _))) = (conn.left_at, conn.adopt) else { return };
        let (from, before) = std::mem::replace(&mut conn.line, (node, number));
        (conn.left_at, conn.adopt) = (None, None);
        own.numbers.remove(&(from, before));
        self.seen.moved += 1;
        self.server_says(server, from, vec![close(before, CloseReason::Moved)]);
        self.server_says(server, node, vec![accept_as(number, "")]);
    }

    /// Ends sessions of which one half of a move has not come for too long.
    pub(super) fn servers_look(&mut self) {
        for server in 0..self.servers.len() {
            for sid in self.servers[server].open() {
                let conn = &self.servers[server].conns[&sid];
                let since = conn.left_at.or(conn.adopt.map(|(.., at)| at));
                if since.is_some_and(|at| at + PATIENCE <= self.now) {
                    self.end_conn(server, &sid, CloseReason::AppShutdown);
                }
            }
        }
    }

    // What the app does.

    pub(super) fn app_sends(&mut self, server: usize, sid: &str) {
        let (number, text) = self.servers[server].message();
        let conn = self.servers[server].conns.get_mut(sid).expect("it is open");
        conn.expected.push(number);
        let (node, session) = conn.line;
        self.server_says(server, node, vec![send(session, &text)]);
    }

    /// Broadcasts to a room, or to all.
    pub(super) fn app_broadcasts(&mut self, server: usize, room: Option<&'static str>) {
        if !self.servers[server].is_alive {
            return;
        }
        let (number, text) = self.servers[server].message();
        let own = &mut self.servers[server];
        own.next_number += 1;
        if room.is_none_or(|room| room == "base") {
            own.to_all.push(number);
        }
        for conn in own.conns.values_mut().filter(|conn| conn.is_open) {
            if room.is_none_or(|room| conn.rooms.contains(room)) {
                conn.expected.push(number);
            }
        }
        let rooms = room.as_slice();
        let frame = if self.make.recovers {
            let offset = format!("o{server}-{number}").as_str().into();
            Frame::Recorded { offset, broadcast: broadcast_of(rooms, &[], &text) }
        } else {
            broadcast(rooms, &text)
        };
        for node in 0..self.nodes.len() {
            self.server_says(server, node, vec![frame.clone()]);
        }
    }

    pub(super) fn app_changes_room(&mut self, server: usize, sid: &str, room: &'static str) {
        let conn = self.servers[server].conns.get_mut(sid).expect("it is open");
        let (node, session) = conn.line;
        let rooms = vec![room.into()];
        let frame = if conn.rooms.remove(room) {
            Frame::Leave { session, nsp: MAIN, rooms }
        } else {
            conn.rooms.insert(room);
            Frame::Join { session, nsp: MAIN, rooms }
        };
        self.server_says(server, node, vec![frame]);
    }

    pub(super) fn app_closes(&mut self, server: usize, sid: &str) {
        self.note(("app closes", sid));
        self.end_conn(server, sid, CloseReason::AppClosed);
    }
}
