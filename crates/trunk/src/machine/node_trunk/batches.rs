//! Batches as bytes: payloads that outlive their batch, and the cutting of frames into batches.

use bytes::Bytes;

use crate::HEAD_BYTES_MAX;
use crate::frame::{Frame, Part};

/// Copies small payloads out of their batch.
///
/// A payload may wait a long time for its client, and a slice keeps its whole batch alive. Payloads
/// shorter than half of the batch are copied, so waiting payloads never hold more than twice the
/// bytes that are counted for them.
pub(super) fn detach(frame: &mut Frame, batch_bytes: usize) {
    let own = |bytes: &mut Bytes| {
        if bytes.len() * 2 < batch_bytes {
            *bytes = Bytes::copy_from_slice(bytes);
        }
    };
    let own_parts = |parts: &mut [Part]| parts.iter_mut().for_each(|part| own(&mut part.data));
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others are done with when the batch is"
    )]
    match frame {
        Frame::Send { payload, .. } => own(payload),
        Frame::Broadcast(broadcast) | Frame::Recorded { broadcast, .. } => {
            own_parts(&mut broadcast.parts);
        }
        _ => (),
    }
}

/// Cuts encoded frames into batches of limited size, without copying them. A longer frame is alone
/// in its batch.
///
/// The frames are this crate's own encoding; malformed bytes stay in one piece.
#[derive(Clone, Debug)]
pub struct Batches {
    frames: Bytes,
    bytes_max: usize,
}

impl Batches {
    /// Cuts `frames`.
    pub const fn new(frames: Bytes, bytes_max: usize) -> Self {
        Self { frames, bytes_max }
    }
}

impl Iterator for Batches {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.frames.is_empty() {
            return None;
        }
        if self.frames.len() <= self.bytes_max {
            return Some(core::mem::take(&mut self.frames));
        }
        let mut end = frame_bytes(&self.frames);
        while end < self.bytes_max {
            let next = end + frame_bytes(&self.frames[end..]);
            if next > self.bytes_max {
                break;
            }
            end = next;
        }
        Some(self.frames.split_to(end))
    }
}

/// The length of the complete frame at the front.
fn frame_bytes(frames: &[u8]) -> usize {
    let mut length = 0;
    for (index, byte) in frames.iter().skip(1).enumerate().take(HEAD_BYTES_MAX - 1) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return frames.len().min(2 + index + length);
        }
    }
    frames.len()
}
