//! Batches of frames: what is to be known of one that was read, and how one that is to be sent is cut.

use bytes::Bytes;
use trunkline_trunk::{Frame, decode_batch};

/// A payload may wait for its client for long, and a slice of a batch keeps the whole batch: small ones get memory of
/// their own, so that what waits never takes more than twice what is counted for it.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are done with when the batch is")]
pub(super) fn detached(frame: Frame, batch_bytes: usize) -> Frame {
    let own = |bytes: Bytes| {
        if bytes.len() * 2 < batch_bytes { Bytes::copy_from_slice(&bytes) } else { bytes }
    };
    match frame {
        Frame::Send { session, flags, payload } => {
            Frame::Send { session, flags, payload: own(payload) }
        }
        Frame::Broadcast(mut broadcast) => {
            for part in &mut broadcast.parts {
                part.data = own(std::mem::take(&mut part.data));
            }
            Frame::Broadcast(broadcast)
        }
        Frame::Recorded { offset, mut broadcast } => {
            for part in &mut broadcast.parts {
                part.data = own(std::mem::take(&mut part.data));
            }
            Frame::Recorded { offset, broadcast }
        }
        other => other,
    }
}

pub(super) fn is_broadcast(frame: &Frame) -> bool {
    matches!(frame, Frame::Broadcast(_) | Frame::Recorded { .. })
}

/// Whether a frame behind the first broadcast changes who is in a room.
pub(super) fn changes_behind_broadcast(read: &[Bytes]) -> bool {
    let frames = read.iter().flat_map(|batch| decode_batch(batch.clone())).flatten();
    let mut behind = frames.skip_while(|frame| !is_broadcast(frame));
    behind.any(|frame| {
        matches!(
            frame,
            Frame::Attach { .. }
                | Frame::Beside { .. }
                | Frame::Choose { .. }
                | Frame::Close { .. }
                | Frame::Detach { .. }
                | Frame::Join { .. }
                | Frame::Leave { .. }
                | Frame::Reattach(_)
        )
    })
}

/// Cuts encoded frames into batches of at most `bytes_max`, between frames. A longer frame is alone in its batch.
pub(super) fn split(mut frames: &[u8], bytes_max: usize) -> Vec<&[u8]> {
    let mut batches = Vec::new();
    while frames.len() > bytes_max {
        let mut end = 0;
        loop {
            let next = end + frame_length(&frames[end..]);
            if next > bytes_max && end > 0 {
                break;
            }
            end = next;
            if end >= bytes_max {
                break;
            }
        }
        let (batch, rest) = frames.split_at(end.min(frames.len()));
        batches.push(batch);
        frames = rest;
    }
    if !frames.is_empty() {
        batches.push(frames);
    }
    batches
}

/// Length of the whole frame at the front: our own encoding, so it is well-formed.
fn frame_length(frames: &[u8]) -> usize {
    let mut length = 0;
    for (index, byte) in frames.iter().skip(1).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return 2 + index + length;
        }
    }
    frames.len()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use trunkline_trunk::SessionNumber;
    use trunkline_trunk::encode::encode_message;

    use super::*;

    #[test]
    fn long_batches_are_cut_between_frames() {
        let mut frames = BytesMut::new();
        let sizes = [10, 200, 3000, 1, 90];
        for size in sizes {
            encode_message(&mut frames, SessionNumber(1), false, &vec![b'x'; size]);
        }
        for bytes_max in [1, 100, 220, 4000, 10_000] {
            let batches = split(&frames, bytes_max);
            assert_eq!(batches.concat(), frames, "{bytes_max}");
            for batch in batches {
                let count = decode_batch(Bytes::copy_from_slice(batch))
                    .inspect(|frame| assert!(frame.is_ok(), "{bytes_max}"))
                    .count();
                assert!(count == 1 || batch.len() <= bytes_max, "{bytes_max}");
            }
        }
    }
}
