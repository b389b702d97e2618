//! Operations of app servers on sockets that belong to no app server: those of sessions on their way
//! from one to another.
//!
//! The other app servers carry an operation out on their own sockets. Here the members of rooms
//! change at once, so that broadcasts find them; the next app server learns of them with `Adopt`. A
//! socket that is to be disconnected gets no more broadcasts. The next app server makes it like the
//! others and disconnects it, because only an app knows how to tell a client.
//!
//! An app server that is about to lose or to hand over a session may carry an operation out itself,
//! or not. So it is kept, with the sessions for which it was meant, and repeated when one of them
//! begins to wait: that changes nothing where it was carried out.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use trunkline_clock::Timestamp;

use trunkline_engineio::CloseReason;
use trunkline_switchboard::{NamespaceKey, Selection, SessionKey};
use trunkline_trunk::{Adopted, Frame, NumberState, Operate, Operation, Str};

use super::keepsake::Journey;
use super::leaving::LEAVING_MAX;
use super::slot::Live;
use super::{Shard, ShardTrunk};
use crate::hub::TrunkNumber;

/// The most bytes of operations on one session that an app server has to be told. A session with more
/// is closed; its client can return.
const PENDING_BYTES_MAX: usize = 16 * 1024;
/// The most bytes of operations that are kept for one hub.
const LATELY_BYTES_MAX: usize = 1024 * 1024;
/// The time before a session's app server begins to lose it from which operations are repeated: they
/// go to the app server on another way, and may meet it later.
const MARGIN: Duration = Duration::from_millis(100);
/// The time for which operations are kept: as long as a session can be about to be handed over.
const LATELY: Duration = LEAVING_MAX.saturating_add(MARGIN);
/// The bytes that each operation, and each text of it, takes in addition.
const OVERHEAD_BYTES: usize = 64;

/// An operation on one socket that the next app server has to carry out.
#[derive(Debug)]
pub(crate) struct Operated {
    nsp: Str,
    socket: Str,
    op: Operation,
    args: Vec<Str>,
    /// The socket, if it is in the switchboard no longer.
    unseated: Option<Adopted>,
}

/// What app servers have lately done to sockets of one hub whose app servers are on their way out.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    operations: VecDeque<Rc<Late>>,
    bytes: usize,
}

#[derive(Debug)]
struct Late {
    at: Timestamp,
    operate: Operate,
    /// The sockets for which it was meant, in order.
    sockets: Vec<Meant>,
}

/// A socket by its session's slot and generation and the hash of its id.
type Meant = (u32, u32, u64);

fn hash_of(id: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// A copy, because a slice would keep its batch.
fn text(text: &Str) -> Str {
    Str::from(String::from(text.as_str()))
}

fn texts(list: &[Str]) -> Vec<Str> {
    list.iter().map(text).collect()
}

fn bytes_of<'t>(texts: impl IntoIterator<Item = &'t Str>) -> usize {
    let each = texts.into_iter().map(|text| OVERHEAD_BYTES + text.as_bytes().len());
    OVERHEAD_BYTES + each.sum::<usize>()
}

fn disconnects(op: Operation) -> bool {
    matches!(op, Operation::Disconnect | Operation::Close)
}

impl Journey {
    /// The sockets that only wait to be disconnected.
    pub(super) fn unseated(&self) -> impl Iterator<Item = Adopted> {
        self.operations.iter().filter_map(|one| one.unseated.clone())
    }
}

impl Lately {
    /// Keeps an operation. False when others had to go for it.
    fn note(&mut self, now: Timestamp, operate: &Operate, mut sockets: Vec<Meant>) -> bool {
        let Operate { nsp, op, rooms, except, args } = operate;
        let (rooms, except, args) = (texts(rooms), texts(except), texts(args));
        let operate = Operate { nsp: text(nsp), op: *op, rooms, except, args };
        sockets.sort_unstable();
        let late = Late { at: now, operate, sockets };
        self.bytes += late.bytes();
        self.operations.push_back(Rc::new(late));
        self.forget(now);
        let before = self.operations.len();
        while self.bytes > LATELY_BYTES_MAX && self.pop() {}
        self.operations.len() == before
    }

    fn forget(&mut self, now: Timestamp) {
        while self.operations.front().is_some_and(|late| late.at + LATELY < now) && self.pop() {}
    }

    fn pop(&mut self) -> bool {
        let Some(oldest) = self.operations.pop_front() else { return false };
        self.bytes -= oldest.bytes();
        true
    }
}

impl Late {
    fn bytes(&self) -> usize {
        let Operate { nsp, rooms, except, args, .. } = &self.operate;
        let texts = [nsp].into_iter().chain(rooms).chain(except).chain(args);
        bytes_of(texts) + self.sockets.len() * size_of::<Meant>()
    }
}

impl Shard {
    /// Carries an operation out on the sockets of all sessions between two app servers.
    pub(super) fn operate(&mut self, trunk: TrunkNumber, operate: &Operate) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let hub = shard_trunk.trunk.hub.number;
        let board = &mut self.boards[usize::from(hub)];
        // Held, so that it does not end with one of these sockets.
        let nsp = board.namespace(&operate.nsp);
        let rooms: Vec<&str> = operate.rooms.iter().map(Str::as_str).collect();
        let except: Vec<&str> = operate.except.iter().map(Str::as_str).collect();
        let selection = Selection { rooms: &rooms, except: &except, server: None };
        let (slots, trunks) = (&self.slots, &self.trunks);
        let leaves = |trunk| {
            let trunk = trunks.get(&trunk).map(|one: &ShardTrunk| &one.trunk);
            trunk.is_some_and(|trunk| trunk.is_on_its_way_out())
        };
        let (mut here, mut there) = (Vec::new(), Vec::new());
        board.select(nsp, &selection, &mut |session| {
            let Some(slot) = slots.get(session.0) else { return };
            let is_leaving = slot.number == NumberState::Leaving;
            if slot.is_between() && !is_leaving {
                here.push(session.0);
            } else if is_leaving || leaves(slot.trunk) {
                there.push((session.0, slot.generation));
            }
        });
        let meant = |(index, generation)| {
            (index, generation, hash_of(board.socket_id(SessionKey(index), nsp)))
        };
        let there: Vec<Meant> = there.into_iter().map(meant).collect();
        for index in here {
            self.operate_on_session(index, nsp, operate);
        }
        self.boards[usize::from(hub)].release_namespace(nsp);
        if !there.is_empty()
            && !self.lately.entry(hub).or_default().note(self.now, operate, there)
            && let Some(times) = self.env.directory.note("operations_missed")
        {
            tracing::warn!(
                trunk,
                times,
                "operations on rooms and sockets may pass over clients that change their app server: there are too many"
            );
        }
    }

    /// Carries out on a session that has just begun to wait what its last app server may not have
    /// done since then.
    pub(super) fn repeat_lately(&mut self, index: u32, since: Timestamp) {
        let Some(slot) = self.slots.get(index) else { return };
        let (hub, generation) = (slot.hub, slot.generation);
        let Some(lately) = self.lately.get(&hub) else { return };
        let late = lately.operations.iter().rev().take_while(|late| late.at + MARGIN >= since);
        let late: Vec<_> = late.map(Rc::clone).collect();
        for late in late.into_iter().rev() {
            let board = &mut self.boards[usize::from(hub)];
            let nsp = board.namespace(&late.operate.nsp);
            let socket = hash_of(board.socket_id(SessionKey(index), nsp));
            if late.sockets.binary_search(&(index, generation, socket)).is_ok() {
                self.operate_on_session(index, nsp, &late.operate);
            }
            self.boards[usize::from(hub)].release_namespace(nsp);
        }
    }

    /// Forgets operations that nobody may have missed any longer.
    pub(super) fn forget_lately(&mut self) {
        let now = self.now;
        self.lately.retain(|_, lately| {
            lately.forget(now);
            !lately.operations.is_empty()
        });
    }

    fn operate_on_session(&mut self, index: u32, nsp: NamespaceKey, operate: &Operate) {
        let Operate { op, args, .. } = operate;
        let session = SessionKey(index);
        let Some(slot) = self.slots.get(index) else { return };
        let (hub, number) = (usize::from(slot.hub), slot.number);
        let board = &mut self.boards[hub];
        let Some(socket) = board.socket_id(session, nsp).map(|id| Str::from(String::from(id)))
        else {
            return;
        };
        match op {
            Operation::Join => {
                for room in args {
                    board.join(session, nsp, room);
                }
            }
            Operation::Leave => {
                for room in args {
                    board.leave(session, nsp, room);
                }
            }
            Operation::Disconnect | Operation::Close => (),
        }
        // The next app server has been told the rooms as they were, or will be as they are now.
        if !disconnects(*op) && number != NumberState::Adopting {
            return;
        }
        let Some(journey) = self.slots.live(index).and_then(Live::journey) else { return };
        let is_same = |one: &Operated| {
            one.socket == socket && one.nsp == operate.nsp && one.op == *op && disconnects(*op)
        };
        if journey.operations.iter().any(is_same) {
            return;
        }
        let (nsp, args) = (text(&operate.nsp), texts(args));
        journey.operations.push(Operated { nsp, socket, op: *op, args, unseated: None });
        let pending: usize = journey.operations.iter().map(|one| bytes_of(&one.args)).sum();
        if pending > PENDING_BYTES_MAX {
            self.give_up_home(index, CloseReason::AppServerLostInDoubt, "in_doubt");
        } else if number == NumberState::Free {
            self.unseat_disconnected(index);
        }
    }

    /// Takes the sockets that wait to be disconnected out of the switchboard, in a session that waits
    /// for an app server. That goes on at once. Changes of rooms are in the switchboard, and need not
    /// be told.
    pub(super) fn unseat_disconnected(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let hub = usize::from(slot.hub);
        let Some(live) = slot.live() else { return };
        let Some(keepsake) = &mut live.keepsake else { return };
        let Some(mut journey) = keepsake.journey.take() else { return };
        journey.operations.retain(|one| disconnects(one.op));
        let board = &mut self.boards[hub];
        let session = SessionKey(index);
        journey.operations.retain_mut(|one| {
            let nsp = board.namespace(&one.nsp);
            if board.choose(session, nsp, &one.socket) {
                let rooms =
                    board.rooms_of(session, nsp).filter(|room| *room != one.socket.as_str());
                let rooms = rooms.map(|room| Str::from(String::from(room))).collect();
                board.detach(session, nsp);
                if let Some((pid, state)) = keepsake.take_state(nsp, &one.socket)
                    && one.unseated.is_none()
                {
                    let (nsp, socket) = (one.nsp.clone(), one.socket.clone());
                    one.unseated = Some(Adopted { nsp, socket, pid, rooms, state });
                }
            }
            board.release_namespace(nsp);
            one.unseated.is_some()
        });
        let is_eager = !journey.operations.is_empty();
        keepsake.journey = Some(journey);
        if is_eager {
            self.note_demand(index);
        }
    }

    /// Repeats what happened to the rooms of a socket since its app server was asked to take it over:
    /// that has attached it with its former rooms.
    pub(super) fn repeat_operations(
        &mut self,
        index: u32,
        (hub, key): (usize, NamespaceKey),
        socket: &str,
    ) {
        let Some(journey) = self.slots.live(index).and_then(Live::journey) else { return };
        let board = &mut self.boards[hub];
        let session = SessionKey(index);
        let is_here = |one: &&Operated| {
            one.socket.as_str() == socket && board.namespace_name(key) == Some(one.nsp.as_str())
        };
        let here: Vec<&Operated> = journey.operations.iter().filter(is_here).collect();
        for one in here {
            for room in &one.args {
                match one.op {
                    Operation::Join => _ = board.join(session, key, room),
                    Operation::Leave => _ = board.leave(session, key, room),
                    Operation::Disconnect | Operation::Close => (),
                }
            }
        }
    }

    /// Tells the app server that has taken the session over what it has to do to its sockets. False
    /// when that cannot be told: the session is closed.
    pub(super) fn pass_operations(&mut self, index: u32, operations: &[Operated]) -> bool {
        if operations.is_empty() {
            return true;
        }
        let trunk = self.slots.at(index).trunk;
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return true };
        if !shard_trunk.trunk.own.operates {
            self.with(index, |live, now| {
                live.session.close(now, CloseReason::AppServerLostInDoubt);
            });
            return false;
        }
        for one in operations {
            let operate = Operate {
                nsp: one.nsp.clone(),
                op: one.op,
                rooms: vec![one.socket.clone()],
                except: Vec::new(),
                args: one.args.clone(),
            };
            Frame::Operate(Box::new(operate)).encode(&mut shard_trunk.out);
        }
        true
    }
}
