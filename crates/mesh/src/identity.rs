//! Who a node is, and what the others know of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use trunkline_clock::Timestamp;

/// Who this node is, for the life of its process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The name of the cluster. Nodes with another name never understand one another.
    pub cluster: String,
    /// The node's name, the same over restarts.
    pub node_id: String,
    /// 64 random bits: the life of this process.
    pub incarnation: u64,
    /// The number that the operator configured, if any. It is taken if no other node holds it.
    pub number: Option<u16>,
    /// The URL that app servers use to reach this node; empty: none.
    pub advertise: String,
    /// The version of the program.
    pub version: String,
    /// A digest of the hubs' names and keys.
    pub hubs_digest: [u8; 8],
}

/// Limits and spans of a mesh.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The longest frame, in bytes.
    pub frame_bytes_max: usize,
    /// Bytes under way to all peers together; each peer's link has an equal share.
    pub window_bytes: usize,
    /// Bytes that may wait on each lane of a link in addition to those under way.
    pub queue_bytes_max: usize,
    /// The span between two beats, with a jitter of 10 %.
    pub beat_interval: Duration,
    /// For how long a newcomer listens before it takes a number.
    pub listen: Duration,
    /// A peer without a beat for this long is suspect.
    pub suspect_after: Duration,
    /// A peer without a beat for this long is dead.
    pub dead_after: Duration,
    /// A link that acknowledges nothing for this long, although bytes are under way, is ended.
    pub unanswered_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            frame_bytes_max: 32 << 20,
            window_bytes: 32 << 20,
            queue_bytes_max: 8 << 20,
            beat_interval: Duration::from_secs(1),
            listen: Duration::from_millis(2500),
            suspect_after: Duration::from_secs(3),
            dead_after: Duration::from_secs(5),
            unanswered_max: Duration::from_secs(6),
        }
    }
}

/// The name of one life of a peer. It stays the same when the peer changes its number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerKey {
    /// The number that the peer had when it joined.
    pub number: u16,
    /// The life of the peer's process.
    pub incarnation: u64,
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum NodeState {
    /// It has no number yet.
    #[default]
    Joining,
    /// It takes new sessions.
    Up,
    /// It takes no new sessions; those it has go on.
    Draining,
    /// Its process ends now.
    Leaving,
}

/// What a node says of its present load. It travels with the beats.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Load {
    /// The number of sessions.
    pub sessions: u64,
    /// A digest of the app servers that have a trunk to the node.
    pub app_servers_digest: [u8; 8],
    /// Whether any hub has session ids that the app made: they carry no node number, so the node
    /// must be asked for them.
    pub own_sids: bool,
    /// Whether it takes [`crate::Frame::Post`].
    pub whole_posts: bool,
}

/// What this node thinks of a peer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Presence {
    /// Its beats are heard, but its link is not open: nothing can be sent.
    Heard,
    /// Its link is open.
    Up,
    /// Its link is open, but its beats are missing: nothing new should be sent.
    Suspect,
    /// It has been silent for too long, or its inbox is gone.
    Dead,
    /// It said that it leaves.
    Left,
}

impl Presence {
    /// Whether frames can be sent.
    #[must_use]
    pub const fn is_linked(self) -> bool {
        matches!(self, Self::Up | Self::Suspect)
    }

    /// Whether the peer still counts as a node of the cluster.
    #[must_use]
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Heard | Self::Up | Self::Suspect)
    }

    /// The word for log lines and status pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }
}

/// A peer as this node sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its name in this crate's calls.
    pub key: PeerKey,
    /// The number of its new sessions.
    pub number: u16,
    /// Numbers that its older sessions carry.
    pub former_numbers: Vec<u16>,
    /// Its node's name.
    pub node_id: String,
    /// The URL that app servers use; empty: none.
    pub advertise: String,
    /// The version of its program.
    pub version: String,
    /// What it says of itself.
    pub state: NodeState,
    /// What it says of its load.
    pub load: Load,
    /// Its digest of the hubs.
    pub hubs_digest: [u8; 8],
    /// What this node thinks of it.
    pub presence: Presence,
    /// The time of the last change of `presence`.
    pub since: Timestamp,
    /// The time of its last beat.
    pub last_beat: Timestamp,
    /// The round trip of its link; `None` until one is measured.
    pub rtt: Option<Duration>,
}
