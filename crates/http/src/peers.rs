//! What the doors of this node learn of the other nodes of its cluster.

use bytes::Bytes;
use trunkline_mesh::{PeerKey, Str};

/// Something about the other nodes, for every [`super::SideDoor`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PeerNotice {
    /// Who this node is.
    Own {
        /// The life of its process, as in its own [`PeerKey`] at others.
        incarnation: u64,
        /// The number of its new sids.
        number: u16,
    },
    /// Another node is there, or says something new of itself.
    Known {
        /// The node.
        peer: PeerKey,
        /// Its name, for people.
        name: String,
        /// The numbers of its sids.
        numbers: Vec<u16>,
    },
    /// Words can be sent to a known node; nothing of an earlier link is left.
    Linked(PeerKey),
    /// The link ended: what was sent and not yet answered may or may not have arrived, and nothing
    /// more comes for it.
    Unlinked(PeerKey),
    /// Whether a node's beats are heard.
    Heard(PeerKey, bool),
    /// Whether there is a bus between the nodes.
    Bus(bool),
    /// A node is dead, or has left.
    Gone(PeerKey),
    /// A word to this node was dropped, because too much waits for it.
    Dropped {
        /// The node.
        peer: PeerKey,
        /// The word's hub.
        hub: Str,
    },
    /// A word of the same door of another node.
    Word {
        /// The node.
        peer: PeerKey,
        /// Which door.
        door: u8,
        /// The name of the hub.
        hub: Str,
        /// The word's place among those of this door and hub.
        number: u32,
        /// The word.
        word: Bytes,
    },
}
