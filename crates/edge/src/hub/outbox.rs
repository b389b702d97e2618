//! What waits for the writer of a trunk.

use bytes::BytesMut;

/// Encoded frames, and the position among them at which the list of peers is to be sent. The list
/// itself is made when the frames are taken: changes that the app server has not read yet take no
/// memory.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) frames: BytesMut,
    /// The weight of all messages that were ever in here.
    weight: u64,
    pub(super) peers_at: Option<usize>,
    /// Set when the list of nodes is to be sent, after all frames.
    pub(super) nodes_due: bool,
}

/// What was taken out of an outbox.
pub(super) struct Taken {
    pub(super) frames: BytesMut,
    /// The weight of all messages that were ever taken out.
    pub(super) weight: u64,
    pub(super) peers_at: Option<usize>,
    pub(super) nodes_due: bool,
}

impl Outbox {
    /// Appends whole frames; `weight` is that of the messages among them.
    pub(super) fn push(&mut self, frames: &[u8], weight: u64) {
        self.frames.extend_from_slice(frames);
        self.weight += weight;
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> Taken {
        Taken {
            frames: std::mem::take(&mut self.frames),
            weight: self.weight,
            peers_at: self.peers_at.take(),
            nodes_due: std::mem::take(&mut self.nodes_due),
        }
    }
}
