//! Frames of requests under way that a link does not take now.

use std::collections::{BTreeMap, VecDeque};

use trunkline_mesh::{Frame, Lane, PeerKey};

/// The most bytes of frames that wait for one lane; what the link itself keeps comes on top.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Frames up to this length always may wait: a request has few of them, and they end it.
const SHORT: usize = 1024;

/// The frames that wait, in their order, for each lane of each peer.
#[derive(Debug, Default)]
pub(super) struct Backlog(BTreeMap<(PeerKey, Lane), Waiting>);

#[derive(Debug, Default)]
pub(super) struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether other frames for this lane have to go first.
    pub(super) fn is_behind(&self, peer: PeerKey, lane: Lane) -> bool {
        self.0.contains_key(&(peer, lane))
    }

    /// Keeps a frame for later. Returns it when too much waits already: it will not be sent.
    pub(super) fn push(&mut self, peer: PeerKey, frame: Frame) -> Option<Frame> {
        let length = frame.encoded_length();
        let waiting = self.0.entry((peer, frame.fitting_lane())).or_default();
        if length > SHORT && !waiting.frames.is_empty() && waiting.bytes + length > BYTES_MAX {
            return Some(frame);
        }
        waiting.bytes += length;
        waiting.frames.push_back(frame);
        None
    }

    pub(super) fn peer_gone(&mut self, peer: PeerKey) {
        self.0.retain(|(of, _), _| *of != peer);
    }

    pub(super) fn take(&mut self) -> Vec<(PeerKey, Lane, Waiting)> {
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|((peer, lane), waiting)| (peer, lane, waiting))
            .collect()
    }

    /// Keeps what could not be sent again, before what was added meanwhile.
    pub(super) fn put_back(&mut self, peer: PeerKey, lane: Lane, mut waiting: Waiting) {
        let newer = self.0.remove(&(peer, lane)).unwrap_or_default();
        waiting.bytes += newer.bytes;
        waiting.frames.extend(newer.frames);
        if !waiting.frames.is_empty() {
            self.0.insert((peer, lane), waiting);
        }
    }
}

impl Waiting {
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.encoded_length());
        Some(frame)
    }

    pub(super) fn unpop(&mut self, frame: Frame) {
        self.bytes += frame.encoded_length();
        self.frames.push_front(frame);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trunkline_mesh::RequestId;

    use super::*;

    #[test]
    fn what_waits_is_bounded_for_each_lane_and_short_frames_always_may_wait() {
        let mut backlog = Backlog::default();
        let peer = PeerKey { number: 1, incarnation: 1 };
        let long =
            |id| Frame::Export { id: RequestId(id), snapshot: Bytes::from(vec![0; 1 << 20]) };
        let mut taken = 0;
        while backlog.push(peer, long(taken)).is_none() {
            taken += 1;
            assert!(taken < 9, "there is a bound");
        }
        assert_eq!(taken, 7);
        assert!(backlog.is_behind(peer, Lane::Bulk) && !backlog.is_behind(peer, Lane::Control));
        assert!(backlog.push(peer, Frame::Taken { id: RequestId(100) }).is_none());
        assert!(backlog.push(peer, Frame::Cut { id: RequestId(101) }).is_none());
        for (peer, lane, mut waiting) in backlog.take() {
            if lane == Lane::Bulk {
                let first = waiting.pop().expect("there is one");
                assert_eq!(first.id(), RequestId(0));
            }
            assert!(backlog.push(peer, Frame::Cut { id: RequestId(102) }).is_none());
            backlog.put_back(peer, lane, waiting);
        }
        assert!(backlog.push(peer, long(200)).is_none(), "one has gone");
        assert!(backlog.push(peer, long(201)).is_some());
        backlog.peer_gone(peer);
        assert!(backlog.is_empty());
    }
}
