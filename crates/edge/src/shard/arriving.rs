//! Sessions that come from other nodes, because their clients have opened their WebSockets here.
//!
//! Until the client changes to its WebSocket, the session goes on at its owner, and this shard only
//! answers the probe. Then the session is taken: from now on this shard queues what concerns it
//! (`capture.rs`). When the owner has sent it, and the app server has said on its trunk to this node
//! that the session is its own, it is put together here, what was queued takes effect, and reading
//! goes on. Each broadcast reaches the client once: those that the owner delivered are told apart by
//! their numbers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::{CloseReason, ForeignProbe, Protocol, Session, TransportKind};
use trunkline_mesh::Position;
use trunkline_switchboard::SessionKey;
use trunkline_switchboard::recovery::Cut;
use trunkline_trunk::{
    Adopt, ClientRequest, CloseReason as WireReason, EioVersion, Frame, FrameKind, NumberState,
    Origin, Str, Transport,
};
use trunkline_websocket::{Opcode, encode};

use super::Shard;
use super::capture::Queue;
use super::command::Asked;
use super::export::{Export, MovedSocket};
use super::keepsake::SocketState;
use super::poller::{Kind, Token};
use super::recovery::keep_time;
use super::slot::{Carrier, Extra, Live, State, number_of};
use super::streams::Stream;
use super::uplink::Held;
use crate::cluster::{MoveKey, MoveStep};
use crate::hub::{Seat, Trunk, TrunkNumber};
use crate::sid::Sid;

/// The longest time from the client's change until the session is here.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// The sessions that are on their way to a shard.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    pub(super) count: usize,
    /// The slots of those of which their owners know, by the numbers of their moves.
    pub(super) slots: HashMap<u32, u32>,
    /// Hub and slot of those for which broadcasts are queued.
    taken: Vec<(u16, u32)>,
    /// Slots of sessions that did not come, whose app servers may still want their sockets kept.
    denied: HashSet<u32>,
}

impl Arrivals {
    /// The slots of a hub's sessions for which broadcasts are queued.
    pub(super) fn capturing(&self, hub: u16) -> Vec<u32> {
        if self.taken.is_empty() {
            return Vec::new();
        }
        self.taken.iter().filter(|(of, _)| *of == hub).map(|(_, index)| *index).collect()
    }

    fn end(&mut self, index: u32, key: Option<MoveKey>) {
        self.count -= 1;
        if let Some(key) = key {
            self.slots.remove(&key.id);
        }
        self.taken.retain(|(_, other)| *other != index);
    }

    /// Whether nothing is to be kept of this session: what its client has had is not known here.
    pub(super) fn is_denied(&self, index: u32) -> bool {
        self.denied.contains(&index)
    }

    pub(super) fn release(&mut self, index: u32) {
        if !self.denied.is_empty() {
            self.denied.remove(&index);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.slots.is_empty() && self.taken.is_empty() && self.denied.is_empty()
    }
}

/// A session on its way, in its slot.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(super) asked: Asked,
    /// The move, once the owner knows of it.
    pub(super) key: Option<MoveKey>,
    pub(super) sid_text: Box<str>,
    pub(super) trunk: TrunkNumber,
    pub(super) base64_only: bool,
    /// The client's address.
    pub(super) client: IpAddr,
    /// The session in the count of its hub.
    pub(super) seat: Seat,
    pub(super) probe: ForeignProbe,
    pub(super) stream: Stream,
    /// Bytes that came after the client's change.
    pub(super) unheard: Vec<u8>,
    pub(super) stage: Stage,
    pub(super) until: Timestamp,
    pub(super) queue: Queue,
    pub(super) export: Option<Box<Export>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// The client may still change its mind.
    Probing,
    /// The owner was asked for the session.
    Taking,
    /// The session leaves its owner, and the app server was asked.
    Asked,
}

impl Arriving {
    pub(super) const fn deadline(&self) -> Timestamp {
        self.until
    }
}

impl Shard {
    pub(super) fn arriving(&mut self, index: u32) -> Option<&mut Arriving> {
        match &mut self.slots.get_mut(index)?.state {
            State::Arriving(arriving) => Some(arriving),
            State::Opening(_) | State::Live(_) | State::Ended => None,
        }
    }

    /// Sends a step to the owner, if it knows of the move.
    fn tell_owner(&self, index: u32, step: MoveStep) {
        let Some(slot) = self.slots.get(index) else { return };
        let State::Arriving(arriving) = &slot.state else { return };
        if let Some(key) = arriving.key {
            self.send_step(key, step);
        }
    }

    /// Asks the owner for the session: its client has changed to the WebSocket here.
    pub(super) fn want(&mut self, index: u32) {
        let until = self.now + ARRIVAL_MAX;
        if !self.note_probe(index) {
            return self.fail_arrival(index, "overloaded", true);
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        let hub = slot.hub;
        let State::Arriving(arriving) = &mut slot.state else { return };
        let log = &self.recoveries[usize::from(hub)];
        let positions = log.positions();
        arriving.stage = Stage::Taking;
        arriving.until = until;
        arriving.queue.before = log.had(&positions);
        self.arrivals.taken.push((hub, index));
        self.arm(index, Some(until));
        let positions = positions
            .0
            .into_iter()
            .map(|(server, number)| Position { server: String::from(server).into(), number });
        self.tell_owner(index, MoveStep::Take(positions.collect()));
        if !self.hub(hub).is_some_and(|hub| hub.all_move()) {
            self.fail_arrival(index, "cannot_move", true);
        }
    }

    /// Handles a step of the owner.
    pub(super) fn arrival_step(&mut self, id: u32, step: MoveStep) {
        let Some(index) = self.arrivals.slots.get(&id).copied() else { return };
        let Some(arriving) = self.arriving(index) else { return };
        match step {
            MoveStep::Taken if arriving.stage == Stage::Taking => self.ask(index),
            MoveStep::Export(bytes) if arriving.stage == Stage::Asked => {
                match Export::decode(bytes) {
                    Ok(export) => {
                        arriving.export = Some(Box::new(export));
                        self.arrive_if_ready(index);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a session from another node cannot be read");
                        self.fail_arrival(index, "bad_export", true);
                    }
                }
            }
            MoveStep::Failed(cause) => self.fail_arrival(index, &cause, false),
            MoveStep::Taken
            | MoveStep::Export(_)
            | MoveStep::ProbeBegun { .. }
            | MoveStep::ProbeGone
            | MoveStep::Take(_)
            | MoveStep::Arrived => (),
        }
    }

    /// Asks the app server to keep the session, which comes to this node.
    fn ask(&mut self, index: u32) {
        let session = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let State::Arriving(arriving) = &mut slot.state else { return };
        let trunk = arriving.trunk;
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else {
            return self.fail_arrival(index, "app_server_lost", true);
        };
        if slot.number.send(FrameKind::Adopt).is_err() {
            return;
        }
        arriving.stage = Stage::Asked;
        slot.trunk = trunk;
        shard_trunk.trunk.session_added();
        let adopt = Adopt {
            session,
            eio: match arriving.asked.protocol {
                Protocol::V3 => EioVersion::V3,
                Protocol::V4 => EioVersion::V4,
            },
            sid: text(&arriving.sid_text),
            transport: Transport::WebSocket,
            origin: Origin::Moved,
            request: nothing_asked(),
            sockets: Vec::new(),
        };
        Frame::Adopt(Box::new(adopt)).encode(&mut shard_trunk.out);
    }

    /// Puts the session together once both its owner and its app server have sent their part.
    pub(super) fn arrive_if_ready(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let State::Arriving(arriving) = &slot.state else { return };
        if arriving.export.is_none() || !arriving.queue.is_answered {
            return;
        }
        let trunk = slot.trunk;
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let config = Rc::clone(&shard_trunk.config);
        let window = arriving.stream.deflate_window;
        let deflate = window.and_then(|bits| shard_trunk.agreed(bits));
        let trunk_of = Arc::clone(&shard_trunk.trunk);
        let key = arriving.key;
        self.tell_owner(index, MoveStep::Arrived);
        self.arrivals.end(index, key);
        let slot = self.slots.at(index);
        let token = Token::new(Kind::Session, index, slot.generation);
        let secret = slot.secret;
        let State::Arriving(arriving) = std::mem::replace(&mut slot.state, State::Ended) else {
            return;
        };
        let Arriving { sid_text, client, seat, base64_only, stream, .. } = *arriving;
        let Arriving { unheard, queue, export, .. } = *arriving;
        let Some(export) = export else { return };
        let Export {
            engine,
            custom_sid,
            lasting,
            held,
            request,
            standing,
            closed,
            sockets,
            cut,
            token: moved_token,
        } = *export;
        let protocol = engine.protocol();
        let mut session = Session::import(self.now, config, engine);
        session.set_base64_only(base64_only);
        session.set_deflate(deflate);
        let mut keepsake = request.and_then(|request| self.keepsake(&trunk_of, protocol, &request));
        if let Some(keepsake) = &mut keepsake {
            keepsake.standing = standing;
        }
        if let Some((custom, node)) = custom_sid.zip(self.env.numbers.present()) {
            let is_first = !trunk_of.hub.has_own_sids();
            let sid = Sid { node, shard: self.index, slot: index, secret };
            // If another session has the id by now, requests that name it are for that one.
            let _ = trunk_of.hub.remember_custom_sid(&custom, sid);
            if let Some(cluster) = self.env.cluster.as_ref().filter(|_| is_first) {
                cluster.has_own_ids();
            }
        }
        let extra = Extra {
            lasting: (!lasting.is_empty()).then(|| Arc::from(lasting)),
            jsonp: None,
            custom_sid: Some(sid_text),
        };
        // The descriptor is watched already and only gets another token.
        let _ = self.poller.retarget(&stream.socket, token);
        let slot = self.slots.at(index);
        slot.guest = self.env.gate.add_session(client);
        slot.state = State::Live(Live {
            session,
            carrier: Carrier::Stream(stream),
            probe: None,
            held: Held::of_moved(held, unheard).map(Box::new),
            keepsake,
            extra: Some(Box::new(extra)),
        });
        self.count_session(TransportKind::WebSocket, 1);
        seat.keep();
        match closed {
            None => self.place_sockets(index, &trunk_of, &sockets, &cut),
            // Nothing that came after that is for it.
            Some(code) => self.close_moved(index, code.reason()),
        }
        let had = self.recoveries[usize::from(trunk_of.hub.number)].had(&cut);
        // A session that its app has closed gets no broadcasts any longer.
        let is_open = self.slots.live(index).is_some_and(|live| live.session.is_open());
        let log = &self.recoveries[usize::from(trunk_of.hub.number)];
        let has_gap = is_open && queue.has_gap(&had, |source| log.last_of(source));
        if has_gap {
            self.with(index, |live, now| live.session.abort(now, CloseReason::MoveFailed));
        }
        self.play(trunk, index, queue, &had);
        self.count_move(if has_gap { "failed" } else { "moved" });
        self.count_upgrade("done");
        self.begin_anew(index, standing.leaves);
        // The key may have been taken away, or the token, while the session was on its way.
        let token = moved_token.map(|token| token.at(self.now, &trunk_of.hub)).unwrap_or_default();
        let user = token.user.filter(|_| token.place.is_some());
        self.note_token(index, &trunk_of.hub, token);
        self.check_user(index, &trunk_of.hub, user);
    }

    /// Closes a session whose app had closed it before it left its owner.
    fn close_moved(&mut self, index: u32, reason: WireReason) {
        let is_shutdown = reason == WireReason::AppShutdown;
        let reason =
            if is_shutdown { CloseReason::ServerShuttingDown } else { CloseReason::Forced };
        let parked = self.end_keepsake(index, None, "ended");
        debug_assert!(parked.is_empty(), "no post waits for a session over a WebSocket");
        self.with(index, |live, now| live.session.close(now, reason));
    }

    /// Enters the sockets of a session that has just come.
    fn place_sockets(&mut self, index: u32, trunk: &Trunk, sockets: &[MovedSocket], cut: &Cut) {
        let now = self.now;
        let hub = usize::from(trunk.hub.number);
        let is_recoverable = keep_time(&trunk.settings).is_some();
        let session = SessionKey(index);
        for socket in sockets {
            let board = &mut self.boards[hub];
            let nsp = board.namespace(&socket.nsp);
            let rooms = socket.rooms.iter().map(|room| &**room);
            if let Err(error) = board.attach_beside(session, trunk.server, nsp, &socket.id, rooms)
                && let Some(times) = self.env.directory.note("not_attached")
            {
                tracing::warn!(trunk = trunk.number, times, %error, "a socket was not attached; broadcasts will not reach it");
            }
            if !socket.in_own_room {
                board.leave(session, nsp, &socket.id);
            }
            board.release_namespace(nsp);
            let log = &mut self.recoveries[hub];
            if is_recoverable {
                log.arrive(now, (session, nsp), cut, socket.last.as_deref());
            } else {
                log.skip((session, nsp), cut);
            }
            if let Some((pid, state)) = &socket.kept
                && let Some(keepsake) =
                    self.slots.live(index).and_then(|live| live.keepsake.as_mut())
            {
                keepsake.set_state(nsp, SocketState { socket: &socket.id, pid, state });
            }
        }
    }

    /// Goes on with a session that has come: its client is heard from now on.
    fn begin_anew(&mut self, index: u32, leaves: bool) {
        self.mark_dirty(index);
        let Some(slot) = self.slots.get(index) else { return };
        let State::Live(live) = &slot.state else { return };
        if slot.number != NumberState::Open || !live.session.is_open() {
            return; // It is about to end.
        }
        self.tell_upgraded(index);
        if leaves {
            self.begin_leaving(index);
        }
        if self.send_held(index) {
            self.read_stream(index);
        }
    }

    /// Ends an arrival: the client's WebSocket is closed. `tell`: the owner does not know it yet.
    pub(super) fn fail_arrival(&mut self, index: u32, cause: &str, tell: bool) {
        self.end_arrival(index, cause, tell, encode(Opcode::Close, &[], None));
    }

    pub(super) fn end_arrival(&mut self, index: u32, cause: &str, tell: bool, last_frame: Bytes) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let State::Arriving(arriving) = &slot.state else { return };
        let stage = arriving.stage;
        let key = arriving.key;
        if tell {
            self.tell_owner(
                index,
                match stage {
                    Stage::Probing => MoveStep::ProbeGone,
                    Stage::Taking | Stage::Asked => MoveStep::Failed(cause.to_owned().into()),
                },
            );
        }
        tracing::debug!(cause, "a session from another node has not come");
        self.arrivals.end(index, key);
        let slot = self.slots.at(index);
        let (trunk, asked) = (slot.trunk, slot.number == NumberState::Adopting);
        let State::Arriving(arriving) = std::mem::replace(&mut slot.state, State::Ended) else {
            return;
        };
        let Arriving { stream, queue, .. } = *arriving;
        self.linger(stream, Some(last_frame));
        if stage == Stage::Probing {
            self.count_upgrade(if cause == "stream_closed" { "stream_closed" } else { "failed" });
        } else {
            self.count_upgrade("failed");
            self.count_move("failed");
        }
        if asked {
            // What the app server has said by now is taken back with its `Close`.
            self.arrivals.denied.insert(index);
            self.play_frames(trunk, queue);
        }
        if self.slots.get(index).is_some() {
            self.close_number(index, WireReason::NodeShutdown, "the session could not move");
            self.release(index);
        }
    }

    /// Handles that the time of a session on its way may be over.
    pub(super) fn look_at_arrival(&mut self, index: u32) {
        let now = self.now;
        let Some(arriving) = self.arriving(index) else { return };
        let until = arriving.until;
        if until <= now {
            self.fail_arrival(index, "timeout", true);
        } else {
            self.arm(index, Some(until));
        }
    }

    fn count_move(&self, outcome: &'static str) {
        self.env.metrics.moves.get_or_create(&crate::metrics::Outcome { outcome }).inc();
    }
}

fn text(text: &str) -> Str {
    Str::from(String::from(text))
}

/// The request of an `Adopt` whose app server has the session already.
fn nothing_asked() -> ClientRequest {
    ClientRequest {
        transport: Transport::WebSocket,
        secure: false,
        address: Str::EMPTY,
        port: 0,
        method: Str::EMPTY,
        url: Str::EMPTY,
        headers: Vec::new(),
        claims: Str::EMPTY,
    }
}
