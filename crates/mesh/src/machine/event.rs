//! What a mesh reports to its owner.

use alloc::string::String;

use crate::frame::Frame;
use crate::identity::{Member, PeerKey};
use crate::link::LinkEnd;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The bus can be used.
    BusUp,
    /// The bus cannot be used. Nothing is decided about peers until it can.
    BusDown {
        /// The reason.
        cause: String,
    },
    /// This node has its first number.
    Ready {
        /// The number of its new sessions.
        number: u16,
    },
    /// An older node has the same number: new sessions get another one. The former number stays this
    /// node's as well.
    Renumbered {
        /// The former number.
        from: u16,
        /// The number of new sessions.
        to: u16,
    },
    /// A peer is there: it is heard, and its link opens with the [`Self::LinkUp`] that follows.
    Joined(Member),
    /// A peer says something new of itself: state, numbers, URL, hubs, own sids.
    Changed(Member),
    /// A peer's beats are missing: nothing new should be sent there.
    Suspect(PeerKey),
    /// A suspect peer is heard again.
    Trusted(PeerKey),
    /// A peer is dead. A [`Self::LinkEnded`] came before if its link was open.
    Dead {
        /// The peer as it was last seen.
        member: Member,
        /// How it is known.
        cause: DeathCause,
    },
    /// A peer left in an orderly way.
    Left(Member),
    /// Frames can be sent to the peer.
    LinkUp(PeerKey),
    /// The link to the peer ended, at both nodes: what was sent and not yet answered may or may not
    /// have arrived, and nothing more comes for it. If both nodes live, a [`Self::LinkUp`] follows.
    LinkEnded {
        /// The peer.
        peer: PeerKey,
        /// The reason.
        cause: LinkEnd,
    },
    /// A frame arrived.
    Frame {
        /// The sender.
        from: PeerKey,
        /// The frame.
        frame: Frame,
    },
    /// A datagram that belongs to no node of this cluster arrived. Each cause is reported at most
    /// once in 10 s.
    Stranger(Stranger),
    /// A peer has other hubs than this node.
    DiffersInHubs(Member),
}

/// How a death is known.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DeathCause {
    /// No beat for too long.
    Silent,
    /// Its inbox is gone, twice, and no beat in between.
    Unreachable,
    /// Another life of the same node is there, and this one is silent.
    Replaced,
}

impl DeathCause {
    /// The word for log lines and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::Replaced => "replaced",
        }
    }
}

/// Why a datagram is not one of this cluster.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Stranger {
    /// The cluster key is another one, or someone who has none sends datagrams.
    #[error("a datagram with a wrong signature: another cluster key, or a stranger")]
    Forged,
    /// The signature is right and the content is not readable.
    #[error("a signed datagram that breaks the format")]
    Broken,
    /// A node whose protocol versions are all higher or all lower.
    #[error("a node that speaks the versions {min} to {max} of the mesh protocol")]
    Version {
        /// Its lowest version.
        min: u8,
        /// Its highest version.
        max: u8,
    },
}

impl Stranger {
    /// The word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Broken => "broken",
            Self::Version { .. } => "version",
        }
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum NotNow {
    /// No link to this peer is open.
    #[error("no link to the peer is open")]
    Gone,
    /// Too much waits for this peer already.
    #[error("too much waits for the peer already")]
    Full,
    /// The frame exceeds `frame_bytes_max`.
    #[error("the frame is too long")]
    TooLong,
}

/// Whether a peer can be asked something new. [`super::Mesh::send`] takes frames in the states
/// other than `Gone` as well, so that answers keep their order; a new request is better held back.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reach {
    /// Yes.
    Open,
    /// Its beats are missing.
    Suspect,
    /// The bus cannot be used.
    BusDown,
    /// No link to it is open.
    Gone,
}

/// Whose sessions a number names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// This node's.
    Own,
    /// A peer's that is present; [`super::Mesh::reach`] says whether it can be asked.
    Peer(PeerKey),
    /// A peer's that died or left.
    Dead {
        /// Since when.
        since: trunkline_clock::Timestamp,
    },
    /// Nobody's that this node has heard of.
    Unknown,
}

/// Counters, since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Beats sent.
    pub beats_sent: u64,
    /// Beats received that were new.
    pub beats_received: u64,
    /// Beats that never arrived, known from the numbers of later ones.
    pub beats_missed: u64,
    /// Datagrams of links sent.
    pub datagrams_sent: u64,
    /// Datagrams of links received with a right tag.
    pub datagrams_received: u64,
    /// Bytes in all datagrams and beats sent.
    pub bytes_sent: u64,
    /// Bytes in all datagrams and beats received.
    pub bytes_received: u64,
    /// Pieces sent again.
    pub pieces_resent: u64,
    /// Pieces that arrived more than once.
    pub pieces_repeated: u64,
    /// Pieces out of order for which there was no room.
    pub pieces_dropped: u64,
    /// Datagrams of links and lives that are no longer.
    pub stale: u64,
    /// Datagrams with a wrong signature.
    pub forged: u64,
    /// Signed datagrams that break the format.
    pub broken: u64,
    /// Frames that were refused because too much waited.
    pub full: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Links opened.
    pub links_opened: u64,
    /// Links ended.
    pub links_ended: u64,
    /// Reports of the bus that it dropped datagrams.
    pub overflows: u64,
}
