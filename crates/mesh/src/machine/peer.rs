//! What a mesh holds of each life of a peer.

use core::time::Duration;

use trunkline_clock::Timestamp;

use crate::beat::Beat;
use crate::identity::{Config, Member, PeerKey, Presence};
use crate::link::Link;

/// How soon a life is dead when another life of the same node has appeared.
const REPLACED_AFTER: Duration = Duration::from_millis(1500);
/// How long no beat must have come for a second word that an inbox is gone to be believed: longer
/// than a live peer lets pass between two beats. Anybody on the bus may say such a word.
pub(super) const UNREACHABLE_AGAIN: Duration = Duration::from_millis(1500);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) member: Member,
    /// The number of its last beat.
    pub(super) sequence: u64,
    pub(super) rank: u64,
    pub(super) fixed: bool,
    /// Whether the owner was told that it joined, and not yet that it went.
    pub(super) joined: bool,
    /// The silence counts from here: its last beat, or the end of a time that excuses it.
    pub(super) heard_at: Timestamp,
    /// When another life of its node appeared.
    pub(super) replaced_at: Option<Timestamp>,
    /// When its inbox was first gone, since its last beat.
    pub(super) unreachable_at: Option<Timestamp>,
    /// When to look again whether its inbox is gone.
    pub(super) probe_at: Option<Timestamp>,
    /// The highest epoch that it has named.
    pub(super) epoch_seen: u64,
    pub(super) link: Option<Link>,
    /// When this node may open a link again.
    pub(super) reopen_at: Timestamp,
    /// Links that ended soon after they had opened, in a row.
    pub(super) failures: u32,
    pub(super) timer: Option<Timestamp>,
    pub(super) is_ready: bool,
    /// The digest of hubs that the owner was told to differ.
    pub(super) differs: Option<[u8; 8]>,
}

impl Peer {
    pub(super) fn new(now: Timestamp, number: u16, beat: &Beat) -> Self {
        let member = Member {
            key: PeerKey { number, incarnation: beat.incarnation },
            number,
            former_numbers: beat.numbers.get(1..).unwrap_or_default().to_vec(),
            node_id: beat.node_id.clone(),
            advertise: beat.advertise.clone(),
            version: beat.version.clone(),
            state: beat.state,
            load: beat.load,
            hubs_digest: beat.hubs_digest,
            presence: Presence::Heard,
            since: now,
            last_beat: now,
            rtt: None,
        };
        Self {
            member,
            sequence: 0,
            rank: beat.rank,
            fixed: beat.fixed,
            joined: false,
            heard_at: now,
            replaced_at: None,
            unreachable_at: None,
            probe_at: None,
            epoch_seen: 0,
            link: None,
            reopen_at: now,
            failures: 0,
            timer: None,
            is_ready: false,
            differs: None,
        }
    }

    pub(super) fn is_present(&self) -> bool {
        self.member.presence.is_present()
    }

    pub(super) fn set_presence(&mut self, now: Timestamp, presence: Presence) {
        if self.member.presence != presence {
            self.member.presence = presence;
            self.member.since = now;
        }
    }

    /// Takes over what a beat says. Returns whether the owner should know.
    pub(super) fn update(&mut self, now: Timestamp, number: u16, beat: Beat) -> bool {
        self.sequence = beat.sequence;
        self.rank = beat.rank;
        self.fixed = beat.fixed;
        self.heard_at = now;
        self.replaced_at = None;
        self.unreachable_at = None;
        self.probe_at = None;
        let member = &mut self.member;
        member.last_beat = now;
        let former = beat.numbers.get(1..).unwrap_or_default();
        let changed = member.number != number
            || member.former_numbers != former
            || member.state != beat.state
            || member.advertise != beat.advertise
            || member.hubs_digest != beat.hubs_digest
            || member.load.own_sids != beat.load.own_sids
            || member.load.app_servers_digest != beat.load.app_servers_digest;
        if member.former_numbers != former {
            member.former_numbers = former.to_vec();
        }
        member.number = number;
        member.state = beat.state;
        member.advertise = beat.advertise;
        member.hubs_digest = beat.hubs_digest;
        member.load = beat.load;
        changed
    }

    pub(super) fn dead_at(&self, config: &Config) -> Timestamp {
        let silent = self.heard_at + config.dead_after;
        self.replaced_at.map_or(silent, |at| silent.min(at + REPLACED_AFTER))
    }

    pub(super) fn suspect_at(&self, config: &Config) -> Timestamp {
        self.heard_at + config.suspect_after
    }

    /// When something is to be done about this peer next.
    pub(super) fn deadline(&self, config: &Config, may_open: bool) -> Option<Timestamp> {
        if !self.is_present() {
            return None;
        }
        let dead = Some(self.dead_at(config));
        let suspect = (self.member.presence == Presence::Up).then(|| self.suspect_at(config));
        let link = match &self.link {
            Some(link) => link.deadline(config.unanswered_max),
            None => may_open.then_some(self.reopen_at),
        };
        [dead, suspect, self.probe_at, link].into_iter().flatten().min()
    }

    pub(super) fn owns(&self, number: u16) -> bool {
        self.member.number == number || self.member.former_numbers.contains(&number)
    }

    pub(super) fn snapshot(&self) -> Member {
        let rtt = self.link.as_ref().and_then(Link::rtt);
        Member { rtt, ..self.member.clone() }
    }
}
