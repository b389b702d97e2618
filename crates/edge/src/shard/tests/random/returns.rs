//! Connection state recovery: records, and sockets that return.
//!
//! Every record goes to all sockets, so a client that returns must have missed exactly the records
//! between its offset and now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;
use trunkline_trunk::{Found, Frame, Persist, Reattach, RequestId, RestoredAt, SessionNumber, Str};

use super::Play;
use super::servers::Use;
use crate::hub::TrunkNumber;
use crate::shard::command::Command;
use crate::shard::recovery::{GiveBack, RestoreRequest};
use crate::shard::tests::app::{MAIN, broadcast_of};

/// The time for which clients may return.
pub(super) const KEEP: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Returns {
    /// The time at which each record was sent, and its app server.
    records: Vec<(Timestamp, Str)>,
    /// The next record for each client that has or had a socket.
    pub(super) next: HashMap<u32, usize>,
    kept: Vec<Kept>,
    requests: u32,
    /// Requests that wait for their answer, with the client that each concerns.
    pub(super) asked: HashMap<u32, u32>,
    /// The number of records before the last gap in an app server's numbers: they are no longer
    /// valid offsets.
    broken_off: usize,
    /// The time at which the first app server went, if one has.
    pub(super) server_gone_at: Option<Timestamp>,
    /// Clients whose sockets have returned.
    came_back: HashSet<u32>,
}

/// A socket that an app server has given to the node.
#[derive(Debug)]
struct Kept {
    player: u32,
    /// The last record that the client has.
    offset: usize,
    kept_at: Timestamp,
    given: Option<Given>,
}

/// A kept socket as an app server got it.
#[derive(Debug)]
struct Given {
    to: TrunkNumber,
    restored: RestoredAt,
    /// The number of records at that time.
    records: usize,
    at: Timestamp,
}

fn pid_of(player: u32) -> Str {
    format!("p{player}").as_str().into()
}

impl Returns {
    /// Whether the node may answer that the socket's positions can no longer be proved.
    fn may_be_unproved(
        &self,
        now: Timestamp,
        restored: &RestoredAt,
        records: usize,
        at: Timestamp,
    ) -> bool {
        // If an app server came after the cut, it is unknown whether the client had any of its
        // records.
        let mut since = self.records.iter().skip(records);
        let is_strange = |id: &Str| !restored.cut.iter().any(|position| position.server == *id);
        let is_forgotten = self.server_gone_at.is_some_and(|at| now >= at + KEEP);
        since.any(|(_, id)| is_strange(id))
            || now >= at + KEEP
            || self.broken_off >= records
            || is_forgotten
    }
}

impl Play<'_> {
    /// Sends a record to all sockets; clients that are away must get it later.
    pub(super) fn server_records(&mut self) {
        let place = self.choices.below(self.servers.len());
        let rare = self.choices.below(64);
        let Some(server) = self.servers.get_mut(place) else { return };
        let mut frames = Vec::new();
        if rare == 0 {
            server.next_number += 3;
            frames.push(Frame::Number { next: server.next_number });
            self.returns.broken_off = self.returns.records.len();
        }
        server.next_number += 1;
        let number = self.returns.records.len();
        let server = Str::from(&*self.servers[place].app.trunk.server_id);
        self.returns.records.push((self.world.now, server));
        let offset = format!("o{number}").as_str().into();
        let broadcast = broadcast_of(&[], &[], &format!("r{number}"));
        frames.push(Frame::Recorded { offset, broadcast });
        self.says(place, frames);
    }

    /// Attaches a new socket to the namespace, or one that was kept and returns.
    pub(super) fn socket_joins(&mut self, place: usize, number: u32) {
        let comes_back = self.choices.below(2) == 0;
        let trunk = self.servers[place].app.trunk.number;
        let Some(one) = self.servers[place].uses.get_mut(&number) else { return };
        if one.app_closed || one.node_closed {
            return;
        }
        one.attached = true;
        let (session, player) = (SessionNumber(number), one.player);
        let is_ours = |kept: &Kept| kept.given.as_ref().is_some_and(|given| given.to == trunk);
        let ours = self.returns.kept.iter().position(is_ours).filter(|_| comes_back);
        let Some(at) = ours else {
            self.returns.next.insert(player, self.returns.records.len());
            let attach = Frame::Attach {
                session,
                nsp: MAIN,
                socket: format!("s{player}").as_str().into(),
                rooms: vec!["room".into()],
            };
            return self.says(place, vec![attach]);
        };
        let kept = self.returns.kept.swap_remove(at);
        let Some(Given { restored, records, at, .. }) = kept.given else { return };
        let may_fail = self.returns.may_be_unproved(self.world.now, &restored, records, at);
        self.returns.came_back.insert(player);
        // The app server sends the records that it missed until then.
        self.returns.next.insert(player, records);
        let reattach = Reattach {
            session,
            nsp: MAIN,
            socket: restored.socket,
            rooms: restored.rooms,
            pid: pid_of(kept.player),
            log: restored.log,
            last: restored.last,
            cut: restored.cut,
        };
        let unproved = CloseReason::RecoveryUnproved;
        let before = self.world.closed(unproved);
        self.says(place, vec![Frame::Reattach(Box::new(reattach))]);
        if self.world.closed(unproved) > before {
            assert!(may_fail, "what came since then is there");
            if let Some(one) = self.servers[place].uses.get_mut(&number) {
                one.attached = false;
            }
        }
    }

    /// Ends the session; its socket may return.
    pub(super) fn leaves_to_the_node(&mut self, one: &Use, number: u32) -> Option<Frame> {
        let forgets = self.choices.below(4) == 3;
        let offset = self.returns.next.get(&one.player)?.checked_sub(1)?;
        if forgets || !one.attached {
            return None;
        }
        let player = one.player;
        let kept_at = self.world.now;
        self.returns.kept.push(Kept { player, offset, kept_at, given: None });
        Some(Frame::Persist(Box::new(Persist {
            session: SessionNumber(number),
            nsp: MAIN,
            pid: pid_of(player),
            socket: format!("s{player}").as_str().into(),
            rooms: vec!["room".into()],
            data: Bytes::from_static(b"data"),
        })))
    }

    /// Lets an app server ask for a socket, return one, or ask whether one could return.
    pub(super) fn recovers(&mut self) {
        let (place, at) =
            (self.choices.below(self.servers.len()), self.choices.below(self.returns.kept.len()));
        let way = self.choices.below(6);
        let (Some(server), Some(kept)) = (self.servers.get(place), self.returns.kept.get_mut(at))
        else {
            return;
        };
        self.returns.requests += 1;
        let request_id = RequestId(self.returns.requests);
        let player = kept.player;
        match (way, &kept.given) {
            (4, Some(_)) => {
                kept.given = None;
                let back = GiveBack { hub: 0, nsp: "/".into(), pid: pid_of(player) };
                self.world.tell(Command::GiveBack(Box::new(back)));
            }
            (5, Some(given)) => {
                let cut = given.restored.cut.clone();
                let uses = &self.servers[place].uses;
                let open = uses.iter().filter(|(_, one)| one.accepted && !one.app_closed);
                let Some(number) = open.map(|(number, _)| *number).min() else { return };
                self.returns.asked.insert(request_id.0, player);
                let session = SessionNumber(number);
                self.says(place, vec![Frame::Prove { session, request_id, cut }]);
            }
            _ => {
                self.returns.asked.insert(request_id.0, player);
                let offset = format!("o{}", kept.offset).as_str().into();
                let trunk = server.app.trunk.number;
                self.world.tell(Command::Restore(Box::new(RestoreRequest {
                    trunk,
                    hub: Arc::clone(&self.world.hub),
                    request_id,
                    nsp: "/".into(),
                    pid: pid_of(player),
                    offset,
                })));
            }
        }
        self.look_at_server(place);
    }

    pub(super) fn is_restored(&mut self, place: usize, restored: RestoredAt) {
        let player = self.returns.asked.remove(&restored.request_id.0).expect("somebody asked");
        let trunk = self.servers[place].app.trunk.number;
        let Returns { records, kept, broken_off, server_gone_at, came_back, .. } =
            &mut self.returns;
        let at = kept.iter().position(|one| one.player == player).expect("it is known");
        let one = &mut kept[at];
        let now = self.world.now;
        let is_old = now >= one.kept_at + KEEP || now >= records[one.offset].0 + KEEP;
        // An earlier cut cannot be used once one of its app servers is forgotten.
        let is_forgotten = server_gone_at.is_some_and(|at| now >= at + KEEP);
        let is_unsure = one.offset < *broken_off || came_back.contains(&player) && is_forgotten;
        match restored.found {
            Found::Yes => {
                assert!(one.given.is_none(), "given out once");
                let missed = restored.missed.iter().flatten();
                let missed: Vec<_> =
                    missed.map(|part| String::from_utf8_lossy(&part.data).into_owned()).collect();
                let expected: Vec<_> =
                    (one.offset + 1..records.len()).map(|number| format!("r{number}")).collect();
                assert_eq!(missed, expected, "all that it missed");
                assert_eq!(*restored.socket, *format!("s{player}"));
                one.given = Some(Given { to: trunk, restored, records: records.len(), at: now });
            }
            Found::Taken => assert!(one.given.is_some(), "nobody has it"),
            Found::No => {
                assert!(is_old || is_unsure, "it is kept for a while: {one:?}");
                kept.swap_remove(at);
            }
        }
    }
}
