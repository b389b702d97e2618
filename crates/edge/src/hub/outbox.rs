//! What waits for the writer of a trunk.

use bytes::BytesMut;

/// Encoded frames, and the position among them at which the list of peers is to be sent. The list
/// itself is made when the frames are taken: changes that the app server has not read yet take no
/// memory.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) frames: BytesMut,
    /// The cost of all data frames that were ever in here.
    data_bytes: u64,
    pub(super) peers_at: Option<usize>,
    /// Set when the list of nodes is to be sent, after all frames.
    pub(super) nodes_due: bool,
}

/// What was taken out of an outbox.
pub(super) struct Taken {
    pub(super) frames: BytesMut,
    /// The cost of all data frames that were ever taken out.
    pub(super) data_bytes: u64,
    pub(super) peers_at: Option<usize>,
    pub(super) nodes_due: bool,
}

impl Outbox {
    /// Appends whole frames; `data_bytes` is the cost of the data frames among them.
    pub(super) fn push(&mut self, frames: &[u8], data_bytes: u64) {
        self.frames.extend_from_slice(frames);
        self.data_bytes += data_bytes;
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> Taken {
        Taken {
            frames: std::mem::take(&mut self.frames),
            data_bytes: self.data_bytes,
            peers_at: self.peers_at.take(),
            nodes_due: std::mem::take(&mut self.nodes_due),
        }
    }
}
