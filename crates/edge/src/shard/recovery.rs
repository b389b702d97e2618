//! Connection state recovery: what the shard keeps for clients that come back, and the answers to app servers that ask.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::{Delivery, Outgoing};
use trunkline_switchboard::recovery::{Audience, Persisted, Recovery};
use trunkline_switchboard::{NamespaceKey, ServerKey};
use trunkline_trunk::{Broadcast, Frame, Part, Persist, RequestId, Restored, Str};

use super::Shard;
use crate::hub::Hub;
use crate::trunks::TrunkNumber;

/// Packets as they were sent, and sockets' data as the SDK wrote it.
pub(super) type Log = Recovery<Packet, Bytes>;

/// A recorded broadcast. Every shard records the same ones, each in the order in which it delivered them.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    parts: Vec<Part>,
    /// Which it is, over all shards: the trunk that it came over and its number there.
    origin: (TrunkNumber, u64),
}

/// What a shard had recorded when it answered a `Restore`: the last number of each trunk. Whatever another shard has
/// beyond it is what a socket that comes back there still has to get.
pub(crate) type Seen = HashMap<TrunkNumber, u64>;

/// An app server asks for a socket that this shard kept.
#[derive(Debug)]
pub(crate) struct RestoreRequest {
    pub(crate) trunk: TrunkNumber,
    pub(crate) hub: Arc<Hub>,
    pub(crate) request_id: RequestId,
    /// The namespace's name.
    pub(crate) nsp: Box<str>,
    pub(crate) pid: Str,
    pub(crate) offset: Str,
}

fn boxed(names: &[Str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(name.as_str())).collect()
}

impl Shard {
    /// Keeps a broadcast behind those that were delivered before it.
    pub(super) fn record(
        &mut self,
        (trunk, number): (TrunkNumber, u64),
        offset: &Str,
        broadcast: &Broadcast,
    ) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let Some(keep) = keep_time(&shard_trunk.trunk.settings) else { return };
        let Some(&nsp) = shard_trunk.namespaces.get(&broadcast.nsp.0) else { return };
        let hub = usize::from(shard_trunk.trunk.hub.number);
        let Some(name) = self.boards[hub].namespace_name(nsp) else { return };
        let audience = Audience {
            rooms: boxed(&broadcast.rooms),
            except: boxed(&broadcast.except),
            server: broadcast.flags.local.then_some(ServerKey(trunk)),
        };
        let bytes = broadcast.parts.iter().map(|part| part.data.len()).sum();
        let packet = Packet { parts: broadcast.parts.clone(), origin: (trunk, number) };
        let packet = (packet, bytes);
        self.recorded.insert(trunk, number);
        self.recoveries[hub].record(self.now, keep, name, offset, audience, packet);
    }

    /// Keeps a socket whose session has ended or is about to.
    pub(super) fn persist(&mut self, trunk: TrunkNumber, persist: &Persist) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let Some(keep) = keep_time(&shard_trunk.trunk.settings) else { return };
        let Some(&nsp) = shard_trunk.namespaces.get(&persist.nsp.0) else { return };
        let hub = Arc::clone(&shard_trunk.trunk.hub);
        let board = &self.boards[usize::from(hub.number)];
        let Some(name) = board.namespace_name(nsp) else { return };
        let mut rooms = boxed(&persist.rooms);
        rooms.push(persist.socket.as_str().into());
        let socket = Persisted {
            nsp: name.into(),
            socket: persist.socket.as_str().into(),
            server: ServerKey(trunk),
            rooms,
            // A copy of its own: a slice would keep the whole batch that it came in.
            data: Bytes::copy_from_slice(&persist.data),
            data_bytes: persist.data.len(),
        };
        let log = &mut self.recoveries[usize::from(hub.number)];
        let gone = log.persist(self.now, keep, &persist.pid, socket);
        hub.kept_by(&persist.pid, self.index);
        hub.forget_kept(&gone);
    }

    /// Answers an app server that has a client with this private id.
    pub(super) fn restore(&mut self, request: &RestoreRequest) {
        let RestoreRequest { trunk, hub, request_id, nsp, pid, offset } = request;
        let log = &self.recoveries[usize::from(hub.number)];
        let restored = match log.restore(self.now, nsp, pid, offset) {
            None => not_found(*request_id),
            Some((socket, missed)) => {
                hub.restored(&socket.socket, self.recorded.clone());
                Restored {
                    request_id: *request_id,
                    found: true,
                    socket: Str::from(String::from(&*socket.socket)),
                    rooms: socket
                        .rooms
                        .iter()
                        .filter(|room| **room != socket.socket)
                        .map(|room| Str::from(String::from(&**room)))
                        .collect(),
                    data: socket.data.clone(),
                    missed: missed.into_iter().map(|packet| packet.parts.clone()).collect(),
                }
            }
        };
        let found = if restored.found { "found" } else { "not_found" };
        self.env
            .metrics
            .recoveries
            .get_or_create(&crate::metrics::Outcome { outcome: found })
            .inc();
        if let Some(shard_trunk) = self.trunks.get_mut(trunk) {
            shard_trunk.trunk.restore_ends(*request_id);
            Frame::Restored(Box::new(restored)).encode(&mut shard_trunk.out);
        }
    }

    /// A socket came back to this shard: what was recorded here since its `Restored` goes out before it is live.
    pub(super) fn catch_up(
        &mut self,
        (trunk, index): (TrunkNumber, u32),
        (hub, nsp): (usize, NamespaceKey),
        socket: &Str,
        rooms: &[Str],
    ) {
        let Some(seen) = self.env.directory.hubs()[hub].take_restored(socket) else { return };
        let Some(name) = self.boards[hub].namespace_name(nsp) else { return };
        let mut in_rooms: BTreeSet<&str> = rooms.iter().map(Str::as_str).collect();
        in_rooms.insert(socket.as_str());
        let packets: Vec<Vec<Part>> = self.recoveries[hub]
            .recorded(name, ServerKey(trunk), &in_rooms)
            .filter(|packet| {
                let (trunk, number) = packet.origin;
                seen.get(&trunk).is_none_or(|last| number > *last)
            })
            .map(|packet| packet.parts.clone())
            .collect();
        for part in packets.into_iter().flatten() {
            let message = Outgoing::new(part.binary, part.data);
            self.deliver(index, &message, Delivery::Reliable);
        }
    }

    pub(super) fn expire_recoveries(&mut self) {
        for (hub, log) in self.env.directory.hubs().iter().zip(&mut self.recoveries) {
            let gone = log.expire(self.now);
            if !gone.is_empty() {
                hub.forget_kept(&gone);
            }
        }
        // What is recorded of a trunk that has ended counts for as long as it is kept.
        if self.recoveries.iter().all(|log| log.bytes() == 0) {
            self.recorded.retain(|trunk, _| self.trunks.contains_key(trunk));
        }
    }
}

/// How long the app wants clients to be able to come back.
fn keep_time(settings: &trunkline_trunk::settings::EngineSettings) -> Option<Duration> {
    settings.connection_state_recovery.map(|recovery| recovery.max_disconnection)
}

/// The answer when nobody keeps it.
pub(crate) fn not_found(request_id: RequestId) -> Restored {
    Restored {
        request_id,
        found: false,
        socket: Str::EMPTY,
        rooms: Vec::new(),
        data: Bytes::new(),
        missed: Vec::new(),
    }
}
