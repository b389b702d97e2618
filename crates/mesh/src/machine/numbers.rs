//! Which numbers are whose (section 4).

use trunkline_clock::Timestamp;

use super::peer::Peer;
use super::{Event, Mesh, Owner};
use crate::beat::NUMBERS_MAX;
use crate::bus::Transmit;

impl Mesh {
    /// Whose sessions a number names. If several nodes have had it, this is the one that is asked
    /// first; [`Self::claimants`] has all of them.
    #[must_use]
    pub fn owner_of(&self, number: u16) -> Owner {
        self.claimants(number).next().unwrap_or(Owner::Unknown)
    }

    /// All nodes that have sessions under this number, present ones first: the secret in a sid tells
    /// whose it is. A peer without a link counts only if nobody else has the number: anybody on the
    /// bus may repeat the beats of a life that is over.
    pub fn claimants(&self, number: u16) -> impl Iterator<Item = Owner> {
        let own = self.numbers.contains(&number).then_some(Owner::Own);
        let peers = move || self.peers.values().filter(move |peer| peer.owns(number));
        let any_sure = own.is_some() || peers().any(|peer| peer.member.presence.is_linked());
        let counts = move |peer: &&Peer| {
            if any_sure { peer.member.presence.is_linked() } else { peer.is_present() }
        };
        let now = peers().filter(counts).filter(move |peer| peer.member.number == number);
        let former = peers().filter(counts).filter(move |peer| peer.member.number != number);
        let gone = peers().filter(|peer| !peer.is_present());
        own.into_iter()
            .chain(now.chain(former).map(|peer| Owner::Peer(peer.member.key)))
            .chain(gone.map(|peer| Owner::Dead { since: peer.member.since }))
    }

    /// The newcomer has listened for long enough.
    pub(super) fn take_first_number(&mut self, now: Timestamp) {
        self.listening_until = None;
        let wanted = self.identity.number;
        // A node that restarts may have its own number again, although its former life counts.
        let free = wanted.filter(|wanted| {
            let others = self.peers.values().filter(|peer| peer.is_present());
            let held = others
                .filter(|peer| peer.member.node_id != self.identity.node_id)
                .any(|peer| peer.owns(*wanted));
            !held && !self.foreign.contains_key(wanted)
        });
        self.fixed = free.is_some();
        let number = free.unwrap_or_else(|| self.free_number());
        self.take(number);
        self.events.push_back(Event::Ready { number });
        self.beat_soon(now);
        let all: alloc::vec::Vec<u64> = self.peers.keys().copied().collect();
        for incarnation in all {
            self.open_link(now, incarnation);
        }
    }

    /// A peer has this node's number. The older one keeps it. The link is the proof that the peer
    /// lives: its beats may be repeated by anybody.
    pub(super) fn settle(&mut self, now: Timestamp, incarnation: u64) {
        let Some(peer) = self.peers.get(&incarnation) else { return };
        if !peer.member.presence.is_linked() {
            return;
        }
        let Some(own) = self.number().filter(|own| *own == peer.member.number) else { return };
        let theirs = (!peer.fixed, peer.rank, incarnation);
        if (!self.fixed, self.rank, self.identity.incarnation) < theirs {
            // The other one must hear of it.
            self.beat_soon(now);
            return;
        }
        self.fixed = false;
        let number = self.free_number();
        self.take(number);
        self.events.push_back(Event::Renumbered { from: own, to: number });
        self.beat_soon(now);
    }

    fn take(&mut self, number: u16) {
        self.numbers.retain(|old| *old != number);
        self.numbers.insert(0, number);
        self.numbers.truncate(NUMBERS_MAX);
        let ranks = self.peers.values().map(|peer| peer.rank);
        self.rank = ranks.max().unwrap_or_default() + 1;
        self.transmits.push_back(Transmit::Subscribe { number });
    }

    /// A random number that nobody has, as far as this node has heard.
    fn free_number(&mut self) -> u16 {
        let is_taken = |number: u16| {
            self.numbers.contains(&number)
                || self.foreign.contains_key(&number)
                || self.peers.values().any(|peer| peer.owns(number))
        };
        let start = self.random.below(1 << 16) as u16;
        if !is_taken(start) {
            return start;
        }
        // Nearly always free; the search ends even if every number is taken.
        let step = self.random.below(1 << 15) as u16 * 2 + 1;
        (1..=u16::MAX)
            .map(|times| start.wrapping_add(times.wrapping_mul(step)))
            .find(|number| !is_taken(*number))
            .unwrap_or(start)
    }
}
