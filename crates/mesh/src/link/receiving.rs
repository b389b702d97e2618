//! The receiving half of a lane: puts pieces in order and cuts them into frames.

use alloc::collections::BTreeMap;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;

use crate::datagram::Data;
use crate::frame::{Frame, FrameError, split_head};

/// The longest time until a piece is confirmed: a frame in the other direction may do it meanwhile.
const CONFIRM_AFTER: Duration = Duration::from_millis(5);
/// So many pieces, or bytes, are confirmed at once.
const CONFIRM_PIECES: u32 = 16;
const CONFIRM_BYTES: usize = 64 << 10;
/// The most pieces that are kept out of order.
const AHEAD_MAX: u64 = 1024;

/// What became of a piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// The datagram had none.
    Nothing,
    /// It is new.
    New,
    /// It had arrived before.
    Repeated,
    /// There is no room for it now; the peer will send it again.
    Dropped,
}

#[derive(Debug, Default)]
pub(crate) struct Receiving {
    /// All pieces up to this number have arrived.
    received: u64,
    ahead: BTreeMap<u64, Bytes>,
    ahead_bytes: usize,
    confirm_at: Option<Timestamp>,
    unconfirmed: u32,
    unconfirmed_bytes: usize,
    /// The beginning of a frame.
    partial: BytesMut,
}

impl Receiving {
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        data: Data,
        window: usize,
        frame_bytes_max: usize,
        mut out: impl FnMut(Frame),
    ) -> Result<Taken, FrameError> {
        let Data { sequence, payload } = data;
        if sequence <= self.received || self.ahead.contains_key(&sequence) {
            self.confirm_at(now);
            return Ok(Taken::Repeated);
        }
        if sequence > self.received + 1 {
            // There is a hole: the peer should know soon.
            self.confirm_at(now);
            let fits =
                self.ahead_bytes + payload.len() <= window && sequence - self.received <= AHEAD_MAX;
            if !fits {
                return Ok(Taken::Dropped);
            }
            self.ahead_bytes += payload.len();
            self.ahead.insert(sequence, payload);
            return Ok(Taken::New);
        }
        let has_hole = !self.ahead.is_empty();
        self.advance(payload, frame_bytes_max, &mut out)?;
        while let Some(payload) = self.ahead.remove(&(self.received + 1)) {
            self.ahead_bytes -= payload.len();
            self.advance(payload, frame_bytes_max, &mut out)?;
        }
        let soon = self.unconfirmed >= CONFIRM_PIECES || self.unconfirmed_bytes >= CONFIRM_BYTES;
        self.confirm_at(if soon || has_hole { now } else { now + CONFIRM_AFTER });
        Ok(Taken::New)
    }

    fn advance(
        &mut self,
        payload: Bytes,
        frame_bytes_max: usize,
        out: &mut impl FnMut(Frame),
    ) -> Result<(), FrameError> {
        self.received += 1;
        self.unconfirmed += 1;
        self.unconfirmed_bytes += payload.len();
        if self.partial.is_empty() {
            let rest = frames_of(payload, frame_bytes_max, out)?;
            if !rest.is_empty() {
                self.partial.extend_from_slice(&rest);
            }
            return Ok(());
        }
        self.partial.extend_from_slice(&payload);
        let complete = match split_head(&self.partial, frame_bytes_max)? {
            Some(head) => head.end <= self.partial.len(),
            None => false,
        };
        if complete {
            let whole = core::mem::take(&mut self.partial).freeze();
            let rest = frames_of(whole, frame_bytes_max, out)?;
            self.partial.extend_from_slice(&rest);
        }
        Ok(())
    }

    /// What to confirm; the next confirmation is due when more has arrived.
    pub(crate) fn confirm(&mut self) -> (u64, u64) {
        self.confirm_at = None;
        self.unconfirmed = 0;
        self.unconfirmed_bytes = 0;
        let first = self.received + 2;
        let bits = self.ahead.range(first..first + 64).map(|(sequence, _)| 1 << (sequence - first));
        (self.received, bits.fold(0, |all, bit: u64| all | bit))
    }

    /// Confirms at this time, or earlier.
    pub(crate) fn confirm_at(&mut self, at: Timestamp) {
        self.confirm_at = Some(self.confirm_at.map_or(at, |set| set.min(at)));
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.confirm_at.is_some_and(|at| at <= now)
    }

    pub(crate) const fn deadline(&self) -> Option<Timestamp> {
        self.confirm_at
    }
}

/// Hands out the whole frames at the beginning of `bytes`; the rest is the beginning of another.
fn frames_of(
    mut bytes: Bytes,
    frame_bytes_max: usize,
    out: &mut impl FnMut(Frame),
) -> Result<Bytes, FrameError> {
    while let Some(head) = split_head(&bytes, frame_bytes_max)? {
        if head.end > bytes.len() {
            break;
        }
        let mut body = bytes.split_to(head.end);
        let body = body.split_off(head.body);
        if let Some(frame) = Frame::decode_body(head.wire, body)? {
            out(frame);
        }
    }
    Ok(bytes)
}
