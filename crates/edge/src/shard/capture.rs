//! What comes for a session that is on its way to this shard: broadcasts, and what its app server
//! says. It takes effect once the session is here, in the order in which it came.

use std::rc::Rc;

use trunkline_engineio::Outgoing;
use trunkline_switchboard::recovery::{Had, Origin};
use trunkline_switchboard::{Selection, ServerKey, SessionKey};
use trunkline_trunk::{Broadcast, Frame, NamespaceNumber};

use super::Shard;
use super::downlink::outgoing;
use super::slot::State;
use crate::hub::TrunkNumber;

/// Bytes counted for each entry of a queue in addition to its data.
const ENTRY_BYTES: usize = 64;

/// What waits for one session.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: Vec<Queued>,
    bytes: usize,
    /// What had come to this node before the first entry.
    pub(super) before: Had,
    /// Set when the app server has answered whether the session is its own.
    pub(super) is_answered: bool,
}

#[derive(Debug)]
pub(super) enum Queued {
    Broadcast(Rc<Captured>),
    /// A frame about the session, with the name of its namespace: the number may have another
    /// meaning by the time at which the frame takes effect.
    Frame(Box<Frame>, Option<Box<str>>),
}

/// A broadcast that some arriving sessions may receive.
#[derive(Debug)]
pub(super) struct Captured {
    nsp: Box<str>,
    rooms: Vec<Box<str>>,
    except: Vec<Box<str>>,
    server: Option<ServerKey>,
    volatile: bool,
    messages: Vec<Rc<Outgoing>>,
    origin: Origin,
    bytes: usize,
}

impl Queue {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, entry: Queued, bytes: usize) {
        self.bytes += ENTRY_BYTES + bytes;
        self.entries.push(entry);
    }

    /// Whether broadcasts are missing between those that the session has had and those that are
    /// queued; `last` has the number of an app server's last broadcast here, while it has a trunk.
    ///
    /// The owner has waited for what had come here before. What it did not get of an app server that
    /// has no trunk there is missing for all of its sessions, and no fault of the move.
    pub(super) fn has_gap(
        &self,
        had: &Had,
        last: impl Fn(trunkline_switchboard::recovery::SourceKey) -> Option<u64>,
    ) -> bool {
        had.positions().any(|(source, number)| {
            let number = self.before.of(source).map_or(number, |before| before.max(number));
            let mut next = number + 1;
            for entry in &self.entries {
                if let Queued::Broadcast(one) = entry
                    && one.origin.source == source
                    && one.origin.number > number
                {
                    if one.origin.number != next {
                        return true;
                    }
                    next += 1;
                }
            }
            last(source).is_some_and(|last| last >= next)
        })
    }
}

fn boxed(names: &[trunkline_trunk::Str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(name.as_str())).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others name no namespace")]
const fn namespace_of(frame: &Frame) -> Option<NamespaceNumber> {
    Some(match frame {
        Frame::Attach { nsp, .. }
        | Frame::Beside { nsp, .. }
        | Frame::Choose { nsp, .. }
        | Frame::Detach { nsp, .. }
        | Frame::Join { nsp, .. }
        | Frame::Leave { nsp, .. } => *nsp,
        Frame::Persist(persist) => persist.nsp,
        Frame::Reattach(reattach) => reattach.nsp,
        Frame::State(state) => state.nsp,
        _ => return None,
    })
}

impl Shard {
    /// Queues a broadcast for the sessions that are on their way to this shard.
    pub(super) fn capture(
        &mut self,
        trunk: TrunkNumber,
        origin: Option<Origin>,
        broadcast: &Broadcast,
    ) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let hub = shard_trunk.trunk.hub.number;
        let waiting = self.arrivals.capturing(hub);
        if waiting.is_empty() {
            return;
        }
        let Some(origin) = origin else {
            // An app server without numbers has come: nobody can tell what the session has had.
            for index in waiting {
                self.fail_arrival(index, "unnumbered", true);
            }
            return;
        };
        let name = shard_trunk
            .namespaces
            .get(&broadcast.nsp.0)
            .and_then(|nsp| self.boards[usize::from(hub)].namespace_name(*nsp));
        let Some(name) = name else { return };
        let parts = broadcast.parts.iter();
        let captured = Rc::new(Captured {
            nsp: name.into(),
            rooms: boxed(&broadcast.rooms),
            except: boxed(&broadcast.except),
            server: broadcast.flags.local.then_some(shard_trunk.trunk.server),
            volatile: broadcast.flags.volatile,
            bytes: parts.clone().map(|part| part.data.len()).sum(),
            messages: parts
                .map(|part| outgoing(part.binary, broadcast.flags.compressible, part.data.clone()))
                .collect(),
            origin,
        });
        for index in waiting {
            let entry = Queued::Broadcast(Rc::clone(&captured));
            self.queue(index, entry, captured.bytes);
        }
    }

    /// Queues a frame of the app server about a session that is on its way to this shard.
    pub(super) fn queue_frame(&mut self, trunk: TrunkNumber, index: u32, frame: Frame) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let board = &self.boards[usize::from(shard_trunk.trunk.hub.number)];
        let nsp = namespace_of(&frame).and_then(|nsp| shard_trunk.namespaces.get(&nsp.0));
        let name = nsp.and_then(|nsp| board.namespace_name(*nsp)).map(Box::from);
        let bytes = frame.data_cost().unwrap_or_default() as usize;
        let is_answer = matches!(frame, Frame::Accept { .. } | Frame::Close { .. });
        self.queue(index, Queued::Frame(Box::new(frame), name), bytes);
        if is_answer
            && let Some(slot) = self.slots.get_mut(index)
            && let State::Arriving(arriving) = &mut slot.state
        {
            arriving.queue.is_answered = true;
            self.arrive_if_ready(index);
        }
    }

    fn queue(&mut self, index: u32, entry: Queued, bytes: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let State::Arriving(arriving) = &mut slot.state else { return };
        arriving.queue.push(entry, bytes);
        if arriving.queue.bytes() > self.env.limits.outbox_bytes_max {
            self.fail_arrival(index, "queue_full", true);
        }
    }

    /// Lets everything take effect that came while the session was on its way, except broadcasts
    /// that it has had.
    pub(super) fn play(&mut self, trunk: TrunkNumber, index: u32, queue: Queue, had: &Had) {
        for entry in queue.entries {
            match entry {
                Queued::Broadcast(one) if had.covers(one.origin) => (),
                Queued::Broadcast(one) => self.deliver_captured(index, &one),
                Queued::Frame(frame, nsp) => self.play_frame(trunk, *frame, nsp.as_deref()),
            }
        }
    }

    /// Lets the frames of a queue take effect, although the session has not come.
    pub(super) fn play_frames(&mut self, trunk: TrunkNumber, queue: Queue) {
        for entry in queue.entries {
            if let Queued::Frame(frame, nsp) = entry {
                self.play_frame(trunk, *frame, nsp.as_deref());
            }
        }
    }

    /// Handles a frame with the namespace that it meant when it came.
    fn play_frame(&mut self, trunk: TrunkNumber, frame: Frame, nsp: Option<&str>) {
        let number = namespace_of(&frame).map(|nsp| nsp.0);
        let Some((number, name)) = number.zip(nsp) else {
            return self.handle_frame(trunk, frame);
        };
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return };
        let hub = usize::from(shard_trunk.trunk.hub.number);
        let key = self.boards[hub].namespace(name);
        let now = shard_trunk.namespaces.insert(number, key);
        self.handle_frame(trunk, frame);
        if let Some(shard_trunk) = self.trunks.get_mut(&trunk) {
            match now {
                Some(now) => shard_trunk.namespaces.insert(number, now),
                None => shard_trunk.namespaces.remove(&number),
            };
        }
        self.boards[hub].release_namespace(key);
    }

    fn deliver_captured(&mut self, index: u32, one: &Captured) {
        let Some(slot) = self.slots.get(index) else { return };
        let hub = usize::from(slot.hub);
        let rooms: Vec<&str> = one.rooms.iter().map(|room| &**room).collect();
        let except: Vec<&str> = one.except.iter().map(|room| &**room).collect();
        let selection = Selection { rooms: &rooms, except: &except, server: one.server };
        let board = &mut self.boards[hub];
        let nsp = board.namespace(&one.nsp);
        let copies = board.selects(SessionKey(index), nsp, &selection);
        board.release_namespace(nsp);
        for _ in 0..copies {
            self.env.metrics.broadcast_deliveries.inc();
            if self.put_each(index, &one.messages, one.volatile) {
                self.mark_dirty(index);
            }
        }
    }
}
