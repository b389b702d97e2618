//! Connection state recovery: the sockets and packets that the shard keeps for clients that return,
//! and the answers to the requests of app servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::{CloseReason, Delivery, Outgoing};
use trunkline_switchboard::SessionKey;
use trunkline_switchboard::recovery::{
    Audience, Cut, Found, Origin, Persisted, Recovery, Restored, Return, Unproved,
};
use trunkline_trunk::settings::EngineSettings;
use trunkline_trunk::{
    self as wire, Broadcast, Frame, Misbehaved, Part, Persist, Position, Reattach, RequestId,
    RestoredAt, Str,
};

use super::Shard;
use crate::hub::{Answered, Hub, TrunkNumber};

/// The log of packets as they were sent, and of sockets' data as the SDK encoded it.
pub(super) type Log = Recovery<Vec<Part>, Bytes>;

/// An app server's request for a socket that this shard kept.
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

/// A socket that an app server returns because it did not use it.
#[derive(Debug)]
pub(crate) struct GiveBack {
    pub(crate) hub: u16,
    /// The namespace's name.
    pub(crate) nsp: Box<str>,
    pub(crate) pid: Str,
}

fn boxed(names: &[Str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(name.as_str())).collect()
}

fn text(name: &str) -> Str {
    Str::from(String::from(name))
}

impl Shard {
    /// Sets the number of the app server's next broadcast.
    pub(super) fn number(&mut self, trunk: TrunkNumber, next: u64) {
        let Some(shard_trunk) = self.trunks.get_mut(&trunk) else { return };
        let hub = usize::from(shard_trunk.trunk.hub.number);
        let Some(feed) = &mut shard_trunk.feed else { return };
        if self.recoveries[hub].number(feed, next).is_err() {
            shard_trunk.trunk.misbehaved(Misbehaved::NumberRepeats);
        }
    }

    /// Records a broadcast after those that were delivered before it.
    pub(super) fn record(
        &mut self,
        trunk: TrunkNumber,
        origin: Option<Origin>,
        offset: &Str,
        broadcast: &Broadcast,
    ) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let Some(keep) = keep_time(&shard_trunk.trunk.settings) else { return };
        let Some(&nsp) = shard_trunk.namespaces.get(&broadcast.nsp.0) else { return };
        let hub = usize::from(shard_trunk.trunk.hub.number);
        let Some(name) = self.boards[hub].namespace_name(nsp) else { return };
        let source = shard_trunk.feed.map(|feed| feed.source());
        let audience = Audience {
            rooms: boxed(&broadcast.rooms),
            except: boxed(&broadcast.except),
            server: source.filter(|_| broadcast.flags.local),
        };
        let bytes = broadcast.parts.iter().map(|part| part.data.len()).sum();
        let packet = (broadcast.parts.clone(), bytes);
        let gone =
            self.recoveries[hub].record(self.now, keep, (name, offset), origin, audience, packet);
        if let Some(hub) = self.env.directory.hub(hub) {
            hub.forget_kept(&gone, self.index);
        }
    }

    /// Keeps a socket whose session has ended or is about to end.
    pub(super) fn persist(&mut self, trunk: TrunkNumber, index: u32, persist: &Persist) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let hub = Arc::clone(&shard_trunk.trunk.hub);
        let key = shard_trunk.namespaces.get(&persist.nsp.0).copied();
        let name = key.and_then(|key| self.boards[usize::from(hub.number)].namespace_name(key));
        let feed = shard_trunk.feed.filter(|_| !self.arrivals.is_denied(index));
        let feed = feed.zip(keep_time(&shard_trunk.trunk.settings));
        let log = &mut self.recoveries[usize::from(hub.number)];
        if let Some((feed, keep)) = feed
            && let Some((key, name)) = key.zip(name)
        {
            let mut rooms = boxed(&persist.rooms);
            rooms.push(persist.socket.as_str().into());
            let socket = Persisted {
                nsp: name.into(),
                socket: persist.socket.as_str().into(),
                server: feed.source(),
                rooms,
                // A copy, because a slice would keep the complete batch that it arrived in.
                data: Bytes::copy_from_slice(&persist.data),
                data_bytes: persist.data.len(),
            };
            let seat = (SessionKey(index), key);
            let gone = log.persist(self.now, keep, &persist.pid, socket, seat);
            hub.forget_kept(&gone, self.index);
        }
        if !log.keeps(&persist.pid) {
            self.forget_kept(&hub, &persist.pid);
        }
    }

    /// Notes in the hub that this shard does not keep a socket that it was asked to keep.
    pub(super) fn forget_kept(&self, hub: &Hub, pid: &Str) {
        hub.forget_kept(&[Box::from(pid.as_str())], self.index);
    }

    /// Answers an app server whose client has sent this private id.
    pub(super) fn restore(&mut self, request: &RestoreRequest) {
        let RestoreRequest { trunk, hub, request_id, nsp, pid, offset } = request;
        let log = &mut self.recoveries[usize::from(hub.number)];
        let id = text(log.id());
        let (outcome, restored) = match log.restore(self.now, nsp, pid, offset) {
            Restored::Found(found) => ("found", found_at(*request_id, id, &found)),
            Restored::Taken(socket) => {
                let socket = text(socket);
                let nothing = RestoredAt::nothing(*request_id);
                ("taken", RestoredAt { found: wire::Found::Taken, socket, ..nothing })
            }
            Restored::Unknown => ("not_found", RestoredAt::nothing(*request_id)),
        };
        self.count_recovery(outcome);
        if let Some(shard_trunk) = self.trunks.get_mut(trunk) {
            shard_trunk.trunk.answered(Answered::Restore(*request_id));
            Frame::RestoredAt(Box::new(restored)).encode(&mut shard_trunk.out);
        }
    }

    fn count_recovery(&self, outcome: &'static str) {
        self.env.metrics.count_recovery(outcome);
    }

    /// Tells an app server whether a socket with these positions could return to this shard.
    pub(super) fn prove(&mut self, trunk: TrunkNumber, request_id: RequestId, cut: Vec<Position>) {
        let Some(shard_trunk) = self.trunks.get(&trunk) else { return };
        let hub = usize::from(shard_trunk.trunk.hub.number);
        let holds = self.recoveries[hub].proves(self.now, &cut_of(&cut));
        if !holds {
            self.count_recovery("unproved");
        }
        self.answer_prove(trunk, request_id, holds);
    }

    /// Answers a `Prove`: whether the shard holds everything after these positions.
    pub(super) fn answer_prove(&mut self, trunk: TrunkNumber, request_id: RequestId, holds: bool) {
        if let Some(shard_trunk) = self.trunks.get_mut(&trunk) {
            shard_trunk.trunk.answered(Answered::Prove(request_id));
            Frame::Proved { request_id, holds }.encode(&mut shard_trunk.out);
        }
    }

    /// Attaches a returning socket to this session: sends the packets that it missed before it is
    /// live. When the log can no longer provide them, the session ends, and the client connects as
    /// a new one.
    pub(super) fn reattach(&mut self, trunk: TrunkNumber, index: u32, reattach: &Reattach) {
        let Some((hub, key)) = self.socket_on(trunk, index, reattach.nsp) else { return };
        let Some(name) = self.boards[hub].namespace_name(key) else { return };
        let Some(feed) = self.trunks.get(&trunk).and_then(|one| one.feed) else { return };
        let mut rooms: BTreeSet<&str> = reattach.rooms.iter().map(Str::as_str).collect();
        rooms.insert(reattach.socket.as_str());
        let cut = cut_of(&reattach.cut);
        let back =
            Return { pid: &reattach.pid, log: &reattach.log, cut: &cut, last: &reattach.last };
        let seat = (SessionKey(index), key);
        let resumed =
            self.recoveries[hub].resume(self.now, seat, (name, feed.source()), &rooms, &back);
        let packets: Vec<Vec<Part>> = match resumed {
            Ok(packets) => packets.into_iter().cloned().collect(),
            Err(Unproved) => {
                self.count_recovery("unproved");
                self.with(index, |live, now| {
                    live.session.abort(now, CloseReason::RecoveryUnproved)
                });
                return;
            }
        };
        for part in packets.into_iter().flatten() {
            let message = Outgoing::new(part.binary, part.data);
            self.deliver(index, &message, Delivery::Reliable);
        }
        self.attach((trunk, index), (hub, key), &reattach.socket, &reattach.rooms, false);
    }

    /// Removes old entries from the logs, and notifies the hubs of the sockets among them.
    pub(super) fn expire_recoveries(&mut self) {
        for (hub, log) in self.env.directory.hubs().zip(&mut self.recoveries) {
            hub.forget_kept(&log.expire(self.now), self.index);
        }
    }
}

/// The time for which the app wants clients to be able to return.
pub(super) fn keep_time(settings: &EngineSettings) -> Option<Duration> {
    settings.connection_state_recovery.map(|recovery| recovery.max_disconnection)
}

fn cut_of(positions: &[Position]) -> Cut {
    Cut(positions.iter().map(|at| (Box::from(at.server.as_str()), at.number)).collect())
}

fn found_at(
    request_id: RequestId,
    log: Str,
    Found { socket, missed, cut, last }: &Found<'_, Vec<Part>, Bytes>,
) -> RestoredAt {
    let other_rooms = socket.rooms.iter().filter(|room| **room != socket.socket);
    RestoredAt {
        request_id,
        found: wire::Found::Yes,
        socket: text(&socket.socket),
        rooms: other_rooms.map(|room| text(room)).collect(),
        data: socket.data.clone(),
        missed: missed.iter().map(|&parts| parts.clone()).collect(),
        log,
        last: text(last),
        cut: cut
            .0
            .iter()
            .map(|(server, number)| Position { server: text(server), number: *number })
            .collect(),
    }
}
