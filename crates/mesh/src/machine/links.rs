//! Opens and ends links, and gives datagrams to them (section 5).

use core::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::{Event, Mesh, Stranger};
use crate::bus::{Destination, Lane, Transmit};
use crate::datagram::{Datagram, DatagramError, EndCode, OVERHEAD_BYTES_MAX};
use crate::identity::Presence;
use crate::link::{Ends, Link, LinkEnd, Taken};

/// A link that lived so long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// The time before a link is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(100);
/// The same, when it would end again for the same reason.
const REOPEN_AFTER_LASTING: Duration = Duration::from_secs(10);

impl Mesh {
    /// Begins to open a link, if there is none and it is time for one.
    pub(super) fn open_link(&mut self, now: Timestamp, incarnation: u64) {
        if self.numbers.is_empty() {
            return;
        }
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        if !peer.is_present() || peer.link.is_some() || peer.reopen_at > now {
            return;
        }
        self.epochs += 1;
        peer.link = Some(Link::new(now, self.epochs));
        self.set_ready(incarnation);
        self.set_timer(incarnation);
    }

    pub(super) fn handle_datagram(&mut self, now: Timestamp, lane: Lane, payload: &Bytes) {
        let datagram = match Datagram::decode(payload, &self.keys) {
            Ok(datagram) => datagram,
            Err(DatagramError::Forged(_)) => return self.report(now, Stranger::Forged),
            Err(DatagramError::Broken(_)) => return self.report(now, Stranger::Broken),
        };
        self.stats.datagrams_received += 1;
        let from = datagram.from;
        let Some(peer) = self.peers.get_mut(&from) else {
            // Its beat will come, and it will try again.
            self.stats.stale += 1;
            return;
        };
        let for_us = datagram.to == self.identity.incarnation && datagram.lane == lane;
        if !for_us
            || !peer.is_present()
            || self.numbers.is_empty()
            || datagram.epoch == 0 && datagram.ended.is_none()
        {
            self.stats.stale += 1;
            let is_dead = peer.member.presence == Presence::Dead;
            if for_us && is_dead && datagram.to_epoch != 0 && datagram.ended.is_none() {
                // The peer may still take its link for open.
                self.deny(&datagram);
            }
            return;
        }
        if let Some(code) = datagram.ended {
            if peer.link.as_ref().is_some_and(|link| link.epoch == datagram.to_epoch) {
                self.end_link(now, from, LinkEnd::ByPeer(code));
                self.set_timer(from);
            }
            return;
        }
        if datagram.to_epoch == 0 {
            self.handle_opening(now, &datagram);
        } else {
            self.handle_linked(now, datagram);
        }
        self.set_ready(from);
        self.set_timer(from);
    }

    /// The peer opens a link, and does not know this end's epoch.
    fn handle_opening(&mut self, now: Timestamp, datagram: &Datagram) {
        let (from, epoch) = (datagram.from, datagram.epoch);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if epoch <= peer.epoch_seen {
            let known = peer.link.as_ref().and_then(|link| link.peer_epoch);
            if epoch == peer.epoch_seen && known != Some(epoch) {
                // This end has ended the link that the peer still tries to open.
                self.deny(datagram);
            }
            self.stats.stale += 1;
            return;
        }
        peer.epoch_seen = epoch;
        if peer.link.as_ref().is_some_and(|link| link.peer_epoch.is_some()) {
            self.end_link(now, from, LinkEnd::Reopened);
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.link.is_none() {
            self.epochs += 1;
        }
        let link = peer.link.get_or_insert_with(|| Link::new(now, self.epochs));
        link.answer_opening(now, epoch);
    }

    /// A datagram that names this end's epoch.
    fn handle_linked(&mut self, now: Timestamp, datagram: Datagram) {
        let from = datagram.from;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let matches = peer.link.as_mut().is_some_and(|link| {
            let ours = link.epoch == datagram.to_epoch;
            // The answer to this end's opening tells the peer's epoch.
            if ours && link.peer_epoch.is_none() && datagram.epoch > peer.epoch_seen {
                peer.epoch_seen = datagram.epoch;
                link.peer_epoch = Some(datagram.epoch);
            }
            ours && link.peer_epoch == Some(datagram.epoch)
        });
        if !matches {
            self.stats.stale += 1;
            if datagram.epoch >= peer.epoch_seen {
                self.deny(&datagram);
            }
            return;
        }
        let key = peer.member.key;
        let was_open = peer.link.as_ref().is_some_and(|link| link.opened.is_some());
        if !was_open {
            self.linked += 1;
            self.stats.links_opened += 1;
        }
        let ends = self.ends(from);
        let (Some(peer), Some(ends)) = (self.peers.get_mut(&from), ends) else { return };
        let Some(link) = peer.link.as_mut() else { return };
        if !was_open {
            peer.member.presence = Presence::Up;
            peer.member.since = now;
            if !core::mem::replace(&mut peer.joined, true) {
                self.events.push_back(Event::Joined(peer.member.clone()));
            }
            self.events.push_back(Event::LinkUp(key));
        }
        let (events, stats) = (&mut self.events, &mut self.stats);
        let taken = link.handle(now, datagram, &ends, self.config.frame_bytes_max, |frame| {
            stats.frames_received += 1;
            events.push_back(Event::Frame { from: key, frame });
        });
        match taken {
            Ok(Taken::New | Taken::Nothing) => {}
            Ok(Taken::Repeated) => self.stats.pieces_repeated += 1,
            Ok(Taken::Dropped) => self.stats.pieces_dropped += 1,
            Err(end) => self.end_link(now, from, end),
        }
        if !was_open {
            self.compare_hubs(from);
            self.settle(now, from);
        }
    }

    /// Tells the sender that its link does not exist here.
    fn deny(&mut self, datagram: &Datagram) {
        self.send_end(datagram.from, 0, datagram.epoch, EndCode::UNKNOWN);
    }

    fn send_end(&mut self, to: u64, epoch: u64, to_epoch: u64, code: EndCode) {
        let Some(ends) = self.ends(to) else { return };
        let datagram = Datagram {
            from: ends.from,
            to,
            number: ends.number,
            lane: Lane::Control,
            epoch,
            to_epoch,
            received: 0,
            beyond: 0,
            window: 0,
            urgent: false,
            data: None,
            ended: Some(code),
        };
        if let Some(transmit) = self.transmit(&datagram) {
            self.transmits.push_back(transmit);
        }
    }

    /// Ends the link, if there is one. All that hung on it fails now.
    pub(super) fn end_link(&mut self, now: Timestamp, incarnation: u64, cause: LinkEnd) {
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        let Some(link) = peer.link.take() else { return };
        let lived = link.opened.map(|opened| now.since(opened));
        peer.failures = match lived {
            Some(lived) if lived >= GOOD_AFTER => 0,
            Some(_) | None => peer.failures.saturating_add(1),
        };
        let wait = REOPEN_AFTER.saturating_mul(1 << peer.failures.min(6));
        peer.reopen_at = now + if cause.is_lasting() { REOPEN_AFTER_LASTING } else { wait };
        peer.probe_at = None;
        if lived.is_some() {
            self.linked = self.linked.saturating_sub(1);
            self.stats.links_ended += 1;
            peer.set_presence(now, Presence::Heard);
            self.events.push_back(Event::LinkEnded { peer: peer.member.key, cause });
        }
        if let Some(peer_epoch) = link.peer_epoch
            && !matches!(cause, LinkEnd::ByPeer(_) | LinkEnd::Left)
            && self.bus.is_some()
        {
            self.send_end(incarnation, link.epoch, peer_epoch, cause.code());
        }
    }

    pub(super) fn handle_link_timeout(&mut self, now: Timestamp, incarnation: u64) {
        self.open_link(now, incarnation);
        let unanswered_max = self.config.unanswered_max;
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        if let Some(link) = &mut peer.link
            && let Err(end) = link.handle_timeout(now, unanswered_max)
        {
            self.end_link(now, incarnation, end);
        }
    }

    pub(super) fn poll_peer(&mut self, now: Timestamp, incarnation: u64) -> Option<Transmit> {
        let ends = self.ends(incarnation)?;
        let peer = self.peers.get_mut(&incarnation).filter(|peer| peer.is_present())?;
        let (datagram, again) = peer.link.as_mut()?.poll(now, &ends)?;
        self.stats.pieces_resent += u64::from(again);
        self.transmit(&datagram)
    }

    fn transmit(&mut self, datagram: &Datagram) -> Option<Transmit> {
        // The inbox under the number that the peer joined with stays open when the number changes.
        let number = self.peers.get(&datagram.to)?.member.key.number;
        let payload = datagram.encode(&self.keys);
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        let to = Destination::Node { number, incarnation: datagram.to, lane: datagram.lane };
        Some(Transmit::Publish { to, payload })
    }

    fn ends(&self, incarnation: u64) -> Option<Ends> {
        Some(Ends {
            from: self.identity.incarnation,
            to: incarnation,
            number: self.number()?,
            window: self.window(),
            piece_max: self.datagram_bytes_max().saturating_sub(OVERHEAD_BYTES_MAX).max(1),
        })
    }
}
