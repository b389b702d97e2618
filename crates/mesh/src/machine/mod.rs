//! One node's view of its cluster.

mod event;
mod links;
mod members;
mod numbers;
mod peer;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use trunkline_clock::Timestamp;

use crate::bus::{BusEvent, Lane, Transmit};
use crate::frame::Frame;
use crate::identity::{Config, Identity, Load, Member, NodeState, PeerKey, Presence};
use crate::key::{ClusterKey, Keys};
use crate::random::Random;
pub use event::{DeathCause, Event, NotNow, Owner, Reach, Stats, Stranger};
use peer::Peer;

/// One node's view of its cluster: who is there, which number is whose, and a link to each peer.
///
/// See the crate's page for the order of calls.
#[derive(Debug)]
pub struct Mesh {
    identity: Identity,
    config: Config,
    keys: Keys,
    random: Random,
    /// The time of the last call.
    now: Timestamp,
    /// The longest datagram of the bus, while it can be used.
    bus: Option<usize>,
    /// Until then peers may be about to connect as well: a missing inbox proves nothing.
    settled_at: Timestamp,
    state: NodeState,
    load: Load,
    /// This node's numbers: the present one, then former ones.
    numbers: Vec<u16>,
    rank: u64,
    fixed: bool,
    /// Set while the node has no number and listens.
    listening_until: Option<Timestamp>,
    beat_at: Timestamp,
    beat_sent_at: Option<Timestamp>,
    sequence: u64,
    /// The last name that was given to a link.
    epochs: u64,
    /// By incarnation. Those that went are kept for a while.
    peers: BTreeMap<u64, Peer>,
    timers: BTreeSet<(Timestamp, u64)>,
    /// Peers whose links may have something to send.
    ready: VecDeque<u64>,
    linked: usize,
    /// Numbers of nodes of other versions.
    foreign: BTreeMap<u16, Timestamp>,
    reported: [Option<Timestamp>; 3],
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    stats: Stats,
}

impl Mesh {
    /// A node that has heard of nobody yet. It begins when the bus is connected.
    #[must_use]
    pub fn new(
        now: Timestamp,
        identity: Identity,
        key: &ClusterKey,
        config: Config,
        seed: u64,
    ) -> Self {
        let keys = Keys::new(key, &identity.cluster);
        Self {
            identity,
            config,
            keys,
            random: Random::new(seed),
            now,
            bus: None,
            settled_at: now,
            state: NodeState::Up,
            load: Load::default(),
            numbers: Vec::new(),
            rank: 0,
            fixed: false,
            listening_until: None,
            beat_at: now,
            beat_sent_at: None,
            sequence: 0,
            epochs: 0,
            peers: BTreeMap::new(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            linked: 0,
            foreign: BTreeMap::new(),
            reported: [None; 3],
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes something that the bus reports.
    pub fn handle_bus(&mut self, now: Timestamp, event: BusEvent) {
        self.advance(now);
        match event {
            BusEvent::Datagram { lane, payload } => {
                self.stats.bytes_received += payload.len() as u64;
                match lane {
                    None => self.handle_beat(now, &payload),
                    Some(lane) => self.handle_datagram(now, lane, &payload),
                }
            }
            BusEvent::Unreachable { number: _, incarnation } => {
                self.handle_unreachable(now, incarnation);
            }
            BusEvent::Connected { payload_max } => self.handle_connected(now, payload_max),
            BusEvent::Disconnected { cause } => self.handle_disconnected(cause),
            BusEvent::Overflowed => self.stats.overflows += 1,
        }
    }

    /// Does what is due. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        if self.bus.is_none() {
            return;
        }
        if self.listening_until.is_some_and(|until| until <= now) {
            self.take_first_number(now);
        }
        while let Some(&(at, incarnation)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(peer) = self.peers.get_mut(&incarnation) {
                peer.timer = None;
                self.handle_peer_timeout(now, incarnation);
            }
        }
        if self.beat_at <= now {
            self.forget_old(now);
        }
    }

    /// When to call [`Self::handle_timeout`] at the latest, and then [`Self::poll_transmit`];
    /// `None` while only the bus can bring something new.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        self.bus?;
        let peer = self.timers.first().map(|(at, _)| *at);
        [Some(self.beat_at), self.listening_until, peer].into_iter().flatten().min()
    }

    /// The next thing that the bus is to do.
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit> {
        self.bus?;
        if self.beat_at <= now {
            self.beat(now);
        }
        if let Some(transmit) = self.transmits.pop_front() {
            return Some(transmit);
        }
        while let Some(&incarnation) = self.ready.front() {
            if let Some(transmit) = self.poll_peer(now, incarnation) {
                return Some(transmit);
            }
            self.ready.pop_front();
            if let Some(peer) = self.peers.get_mut(&incarnation) {
                peer.is_ready = false;
            }
            self.set_timer(incarnation);
        }
        None
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > 1024 {
            self.events = VecDeque::new();
        }
        event
    }

    /// Sends a frame on one lane of the peer's link.
    ///
    /// The frames of a lane arrive in order; between lanes there is no order. Frames longer than
    /// 64 KiB belong on [`Lane::Bulk`]: see [`Frame::fitting_lane`].
    ///
    /// # Errors
    ///
    /// The frame was not taken. Nothing that was sent before is affected.
    pub fn send(
        &mut self,
        now: Timestamp,
        to: PeerKey,
        lane: Lane,
        frame: &Frame,
    ) -> Result<(), NotNow> {
        self.advance(now);
        let window = self.window();
        let Some(peer) = self.peers.get_mut(&to.incarnation) else { return Err(NotNow::Gone) };
        let is_linked = peer.member.presence.is_linked();
        let Some(link) = peer.link.as_mut().filter(|_| is_linked) else {
            return Err(NotNow::Gone);
        };
        if frame.encoded_length() > self.config.frame_bytes_max {
            return Err(NotNow::TooLong);
        }
        // A frame that is longer than the whole queue is taken when the queue is empty.
        if link.waiting(lane) >= window + self.config.queue_bytes_max {
            self.stats.full += 1;
            return Err(NotNow::Full);
        }
        link.send(lane, frame);
        self.stats.frames_sent += 1;
        self.set_ready(to.incarnation);
        Ok(())
    }

    /// Whether a peer can be asked something new.
    #[must_use]
    pub fn reach(&self, peer: PeerKey) -> Reach {
        match self.peers.get(&peer.incarnation).map(|peer| peer.member.presence) {
            Some(Presence::Up | Presence::Suspect) if self.bus.is_none() => Reach::BusDown,
            Some(Presence::Up) => Reach::Open,
            Some(Presence::Suspect) => Reach::Suspect,
            Some(Presence::Heard | Presence::Dead | Presence::Left) | None => Reach::Gone,
        }
    }

    /// Says what this node is up to; the others learn it at once. After [`NodeState::Leaving`] the
    /// peers end their links: send everything else first.
    pub fn set_state(&mut self, now: Timestamp, state: NodeState) {
        self.advance(now);
        if self.state != state {
            self.state = state;
            self.beat_soon(now);
        }
    }

    /// Says what this node's load is; the others learn it with the next beat.
    pub fn set_load(&mut self, now: Timestamp, load: Load) {
        self.advance(now);
        let urgent = load.own_sids != self.load.own_sids
            || load.app_servers_digest != self.load.app_servers_digest;
        self.load = load;
        if urgent {
            self.beat_soon(now);
        }
    }

    /// Says that this node's hubs have changed.
    pub fn set_hubs_digest(&mut self, now: Timestamp, digest: [u8; 8]) {
        self.advance(now);
        if self.identity.hubs_digest != digest {
            self.identity.hubs_digest = digest;
            self.beat_soon(now);
            let all: Vec<u64> = self.peers.keys().copied().collect();
            all.into_iter().for_each(|incarnation| self.compare_hubs(incarnation));
        }
    }

    /// The peers that are present, in the order of their incarnations.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.peers.values().filter(|peer| peer.joined && peer.is_present()).map(Peer::snapshot)
    }

    /// The peers that died or left in the last ten minutes.
    pub fn departed(&self) -> impl Iterator<Item = Member> {
        self.peers.values().filter(|peer| !peer.is_present()).map(Peer::snapshot)
    }

    /// The peers that are present and have session ids that the app made. Soon after the bus has
    /// connected these may be peers whose links are about to open for the first time.
    pub fn peers_with_own_sids(&self) -> impl Iterator<Item = PeerKey> {
        let is_early = self.now < self.settled_at;
        let present = self.peers.values().filter(|peer| peer.is_present());
        let present = present.filter(move |peer| peer.joined || is_early);
        present.filter(|peer| peer.member.load.own_sids).map(|peer| peer.member.key)
    }

    /// What a peer, present or not, says of its load.
    #[must_use]
    pub fn load_of(&self, peer: PeerKey) -> Option<Load> {
        self.peers.get(&peer.incarnation).map(|peer| peer.member.load)
    }

    /// One peer, present or not.
    #[must_use]
    pub fn member(&self, peer: PeerKey) -> Option<Member> {
        self.peers.get(&peer.incarnation).map(Peer::snapshot)
    }

    /// The number of this node's new sessions, once it has one.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        self.numbers.first().copied()
    }

    /// All numbers of this node's sessions: the present one, then former ones.
    #[must_use]
    pub fn numbers(&self) -> &[u16] {
        &self.numbers
    }

    /// What this node says of itself.
    #[must_use]
    pub fn state(&self) -> NodeState {
        if self.numbers.is_empty() { NodeState::Joining } else { self.state }
    }

    /// What this node says of its load.
    #[must_use]
    pub const fn load(&self) -> Load {
        self.load
    }

    /// Who this node is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the bus can be used.
    #[must_use]
    pub const fn is_bus_up(&self) -> bool {
        self.bus.is_some()
    }

    /// Counters, since the start.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// The longest datagram that is sent: `min(256 KiB, payload_max / 2, window / 4)`.
    fn datagram_bytes_max(&self) -> usize {
        let payload_max = self.bus.unwrap_or(64 << 10);
        (256 << 10).min(payload_max / 2).min(self.window() / 4)
    }

    /// Bytes under way to one peer.
    fn window(&self) -> usize {
        (self.config.window_bytes / self.linked.max(1)).max(64 << 10)
    }

    /// Notes the time. A process that was stopped for a while must not take its own silence for
    /// that of its peers: their beats may wait in its queue.
    fn advance(&mut self, now: Timestamp) {
        let gap = now.since(self.now);
        self.now = self.now.max(now);
        if self.bus.is_some() && gap > self.config.beat_interval * 5 / 2 {
            self.excuse_all(now);
        }
    }

    fn set_ready(&mut self, incarnation: u64) {
        if let Some(peer) = self.peers.get_mut(&incarnation)
            && !peer.is_ready
        {
            peer.is_ready = true;
            self.ready.push_back(incarnation);
        }
    }

    fn set_timer(&mut self, incarnation: u64) {
        let may_open = !self.numbers.is_empty();
        let Some(peer) = self.peers.get_mut(&incarnation) else { return };
        let deadline = peer.deadline(&self.config, may_open);
        if peer.timer == deadline {
            return;
        }
        if let Some(old) = core::mem::replace(&mut peer.timer, deadline) {
            self.timers.remove(&(old, incarnation));
        }
        if let Some(new) = deadline {
            self.timers.insert((new, incarnation));
        }
    }

    fn handle_connected(&mut self, now: Timestamp, payload_max: usize) {
        self.bus = Some(payload_max);
        self.settled_at = now + self.config.dead_after;
        self.events.push_back(Event::BusUp);
        for number in self.numbers.iter().copied() {
            self.transmits.push_back(Transmit::Subscribe { number });
        }
        if self.numbers.is_empty() {
            self.listening_until = Some(now + self.config.listen);
        }
        self.excuse_all(now);
        self.beat_at = now;
    }

    fn handle_disconnected(&mut self, cause: String) {
        if self.bus.take().is_some() {
            self.listening_until = None;
            // A datagram that was not sent yet is lost, as those that were.
            self.transmits.clear();
            self.events.push_back(Event::BusDown { cause });
        }
    }

    /// Nothing that did not happen until now is a peer's fault.
    fn excuse_all(&mut self, now: Timestamp) {
        if self.listening_until.is_some() {
            self.listening_until = Some(now + self.config.listen);
        }
        let present: Vec<u64> =
            self.peers.iter().filter(|(_, peer)| peer.is_present()).map(|(key, _)| *key).collect();
        for incarnation in present {
            if let Some(peer) = self.peers.get_mut(&incarnation) {
                peer.heard_at = now;
                peer.replaced_at = None;
                peer.unreachable_at = None;
                peer.probe_at = None;
                if let Some(link) = &mut peer.link {
                    link.excuse(now);
                }
            }
            self.set_ready(incarnation);
        }
    }
}
