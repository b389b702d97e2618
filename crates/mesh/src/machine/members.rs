//! Beats, and who is there (section 4).

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::peer::{Peer, UNREACHABLE_AGAIN};
use super::{DeathCause, Event, Mesh, Stranger};
use crate::beat::{Beat, BeatError};
use crate::bus::{Destination, Transmit};
use crate::identity::{NodeState, Presence};
use crate::link::LinkEnd;

/// The shortest time between two beats.
const BEATS_APART: Duration = Duration::from_millis(50);
/// How long a peer that went is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many of them.
const REMEMBERED_MAX: usize = 1024;
/// The time between two reports of the same kind of stranger.
const REPORTS_APART: Duration = Duration::from_secs(10);

impl Mesh {
    /// Beats at once, or as soon as the last beat is long enough ago.
    pub(super) fn beat_soon(&mut self, now: Timestamp) {
        let at = self.beat_sent_at.map_or(now, |sent| now.max(sent + BEATS_APART));
        self.beat_at = self.beat_at.min(at);
    }

    pub(super) fn beat(&mut self, now: Timestamp) {
        self.sequence += 1;
        let state = self.state();
        let beat = Beat {
            incarnation: self.identity.incarnation,
            sequence: self.sequence,
            numbers: self.numbers.clone(),
            state,
            rank: self.rank,
            fixed: self.fixed,
            node_id: self.identity.node_id.clone(),
            advertise: self.identity.advertise.clone(),
            version: self.identity.version.clone(),
            hubs_digest: self.identity.hubs_digest,
            load: self.load,
        };
        let payload = beat.encode(&self.keys);
        self.stats.beats_sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        self.transmits.push_back(Transmit::Publish { to: Destination::Everybody, payload });
        self.beat_sent_at = Some(now);
        let interval = self.config.beat_interval;
        let jitter = u32::try_from(self.random.below(201)).unwrap_or_default();
        self.beat_at = if state == NodeState::Leaving {
            // The process ends soon, and the bus may lose this: whoever misses it sees a death.
            now + BEATS_APART
        } else {
            now + interval * (900 + jitter) / 1000
        };
    }

    pub(super) fn handle_beat(&mut self, now: Timestamp, payload: &Bytes) {
        let beat = match Beat::decode(payload, &self.keys) {
            Ok(beat) => beat,
            Err(BeatError::Forged(_)) => return self.report(now, Stranger::Forged),
            Err(BeatError::Broken(_)) => return self.report(now, Stranger::Broken),
            Err(BeatError::Version { min, max, numbers }) => {
                self.foreign.extend(numbers.into_iter().map(|number| (number, now)));
                return self.report(now, Stranger::Version { min, max });
            }
        };
        let incarnation = beat.incarnation;
        let Some(number) = beat.numbers.first().copied() else { return };
        if incarnation == self.identity.incarnation {
            return;
        }
        let known = self.peers.contains_key(&incarnation);
        let peer = self.peers.entry(incarnation).or_insert_with(|| Peer::new(now, number, &beat));
        if beat.sequence <= peer.sequence || peer.member.presence == Presence::Left {
            self.stats.stale += 1;
            return;
        }
        self.stats.beats_received += 1;
        if known {
            self.stats.beats_missed += beat.sequence - peer.sequence - 1;
        }
        let changed = peer.update(now, number, beat);
        if peer.member.state == NodeState::Leaving {
            return self.leave(now, incarnation);
        }
        if changed && peer.joined {
            self.events.push_back(Event::Changed(peer.snapshot()));
        }
        match peer.member.presence {
            Presence::Suspect => {
                peer.set_presence(now, Presence::Up);
                self.events.push_back(Event::Trusted(peer.member.key));
            }
            Presence::Dead => {
                peer.set_presence(now, Presence::Heard);
                peer.reopen_at = now;
                peer.failures = 0;
            }
            Presence::Heard | Presence::Up | Presence::Left => {}
        }
        if !known {
            self.note_former_lives(now, incarnation);
        }
        if changed {
            self.compare_hubs(incarnation);
        }
        self.settle(now, incarnation);
        self.open_link(now, incarnation);
        self.set_timer(incarnation);
    }

    /// A new life of a node makes its older ones doubtful.
    fn note_former_lives(&mut self, now: Timestamp, incarnation: u64) {
        let Some(node_id) = self.peers.get(&incarnation).map(|peer| peer.member.node_id.clone())
        else {
            return;
        };
        let former: Vec<u64> = self
            .peers
            .iter_mut()
            .filter(|(key, peer)| {
                **key != incarnation && peer.is_present() && peer.member.node_id == node_id
            })
            .map(|(key, peer)| {
                peer.replaced_at = Some(now);
                *key
            })
            .collect();
        former.into_iter().for_each(|key| self.set_timer(key));
    }

    pub(super) fn handle_unreachable(&mut self, now: Timestamp, incarnation: u64) {
        if self.bus.is_none() || now < self.settled_at {
            return;
        }
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        if !peer.member.presence.is_linked() {
            return;
        }
        match peer.unreachable_at {
            None => {
                peer.unreachable_at = Some(now);
                peer.probe_at = Some(now + UNREACHABLE_AGAIN);
                self.suspect(now, incarnation);
            }
            Some(first) if now.since(first) >= UNREACHABLE_AGAIN => {
                self.bury(now, incarnation, DeathCause::Unreachable);
            }
            Some(_) => {}
        }
        self.set_timer(incarnation);
    }

    pub(super) fn handle_peer_timeout(&mut self, now: Timestamp, incarnation: u64) {
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        if !peer.is_present() {
            return;
        }
        if peer.dead_at(&self.config) <= now {
            let silent = peer.heard_at + self.config.dead_after <= now;
            let cause = if silent { DeathCause::Silent } else { DeathCause::Replaced };
            return self.bury(now, incarnation, cause);
        }
        if peer.suspect_at(&self.config) <= now {
            self.suspect(now, incarnation);
        }
        if let Some(peer) = self.peers.get_mut(&incarnation)
            && peer.probe_at.is_some_and(|at| at <= now)
        {
            peer.probe_at = None;
            if let Some(link) = &mut peer.link {
                link.probe();
            }
        }
        self.handle_link_timeout(now, incarnation);
        self.set_ready(incarnation);
    }

    fn suspect(&mut self, now: Timestamp, incarnation: u64) {
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        if peer.member.presence == Presence::Up {
            peer.set_presence(now, Presence::Suspect);
            self.events.push_back(Event::Suspect(peer.member.key));
        }
    }

    fn bury(&mut self, now: Timestamp, incarnation: u64, cause: DeathCause) {
        let end = match cause {
            DeathCause::Unreachable => LinkEnd::Unreachable,
            DeathCause::Silent | DeathCause::Replaced => LinkEnd::Silent,
        };
        self.end_link(now, incarnation, end);
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        peer.set_presence(now, Presence::Dead);
        if core::mem::take(&mut peer.joined) {
            self.events.push_back(Event::Dead { member: peer.snapshot(), cause });
        }
        self.set_timer(incarnation);
    }

    fn leave(&mut self, now: Timestamp, incarnation: u64) {
        self.end_link(now, incarnation, LinkEnd::Left);
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        peer.set_presence(now, Presence::Left);
        if core::mem::take(&mut peer.joined) {
            self.events.push_back(Event::Left(peer.snapshot()));
        }
        self.set_timer(incarnation);
    }

    pub(super) fn compare_hubs(&mut self, incarnation: u64) {
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        let theirs = peer.member.hubs_digest;
        if theirs == self.identity.hubs_digest {
            peer.differs = None;
        } else if peer.joined && peer.differs != Some(theirs) {
            peer.differs = Some(theirs);
            self.events.push_back(Event::DiffersInHubs(peer.snapshot()));
        }
    }

    pub(super) fn report(&mut self, now: Timestamp, stranger: Stranger) {
        let kind = match stranger {
            Stranger::Forged => 0,
            Stranger::Broken => 1,
            Stranger::Version { .. } => 2,
        };
        match stranger {
            Stranger::Forged => self.stats.forged += 1,
            Stranger::Broken => self.stats.broken += 1,
            Stranger::Version { .. } => {}
        }
        let last = &mut self.reported[kind];
        if last.is_none_or(|at| now.since(at) >= REPORTS_APART) {
            *last = Some(now);
            self.events.push_back(Event::Stranger(stranger));
        }
    }

    /// Forgets peers that went long ago, and numbers of other versions' nodes that are silent.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        let dead_after = self.config.dead_after;
        self.foreign.retain(|_, heard| now.since(*heard) < dead_after);
        let mut gone: Vec<(Timestamp, u64)> = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.is_present())
            .map(|(key, peer)| (peer.member.since, *key))
            .collect();
        gone.sort_unstable();
        let beyond = gone.len().saturating_sub(REMEMBERED_MAX);
        for (at, (since, incarnation)) in gone.into_iter().enumerate() {
            if at < beyond || now.since(since) >= REMEMBERED {
                self.peers.remove(&incarnation);
            }
        }
    }
}
