//! The trunk's batches by number: what is kept of those that were sent, and the way on to another
//! stream.

use alloc::vec::Vec;

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::NodeTrunk;
use super::hello::NodeInfo;
use crate::frame::Frame;
use crate::machine::retained::{
    CannotResume, Keeps, RETAINED_BYTES_MAX, Received, Retained, Unhandled,
};

/// The batches of both directions.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) retained: Retained,
    pub(super) received: Received,
    /// Set once the message with `Hello` has come, which does not count.
    began: bool,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            retained: Retained::new(Keeps::Nothing, RETAINED_BYTES_MAX),
            received: Received::default(),
            began: false,
        }
    }
}

impl NodeTrunk {
    /// Keeps the batches that are sent from now on. Call it before the first [`Self::sent`].
    pub fn keep(&mut self, keeps: Keeps) {
        self.counts.retained = Retained::new(keeps, RETAINED_BYTES_MAX);
    }

    /// Notes a batch that is about to be sent; the one with `Welcome` does not count.
    pub fn sent(&mut self, batch: &Bytes) {
        self.counts.retained.note(batch);
    }

    /// Whether all kept batches were forgotten since the last call, because they were too many.
    pub const fn take_forgotten(&mut self) -> bool {
        self.counts.retained.take_forgotten()
    }

    /// The confirmation for batches that have been received, to be put into a batch that is sent
    /// anyway.
    pub fn confirmation(&mut self) -> Option<Frame> {
        self.counts.received.take().map(|batches| Frame::Got { batches })
    }

    /// Continues the trunk on another stream, whose other end has received this many batches.
    /// Returns `Welcome`, which does not count, and the batches to send again, which are counted
    /// already. After an error nothing has changed.
    pub fn resume(
        &mut self,
        now: Timestamp,
        received: u64,
        info: NodeInfo<'_>,
    ) -> Result<(Frame, Vec<Bytes>), CannotResume> {
        if !self.link.is_up() {
            return Err(CannotResume::Over);
        }
        let again = self.counts.retained.resume(received)?.collect();
        let info = NodeInfo { resumed: Some(self.counts.received.count()), ..info };
        let info = info.to_json(self.config.namespaces_max);
        let welcome = self.link.resume(now, info).ok_or(CannotResume::Over)?;
        Ok((welcome, again))
    }

    /// What the app server has not handled; see [`Retained::unhandled`].
    pub fn unhandled(&self, unwritten: u64, stopped: bool) -> Unhandled {
        self.counts.retained.unhandled(unwritten, stopped)
    }

    /// Bytes of batches that are kept.
    pub const fn retained_bytes(&self) -> usize {
        self.counts.retained.bytes()
    }

    pub(super) fn count_batch(&mut self, now: Timestamp, bytes: usize) {
        if !self.counts.began {
            self.counts.began = true;
            return;
        }
        let owes = self.counts.retained.keeps() != Keeps::Nothing;
        self.counts.received.note(now, bytes, owes);
        self.confirm_if_due(now);
    }

    pub(super) fn confirm_if_due(&mut self, now: Timestamp) {
        if self.counts.received.is_due(now)
            && let Some(frame) = self.confirmation()
        {
            self.link.send(frame);
        }
    }
}
