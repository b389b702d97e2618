//! The sending half of a lane: what waits, and what is under way.

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;

use super::rtt::Rtt;
use crate::datagram::Data;
use crate::frame::Frame;

/// The most pieces under way.
const PIECES_MAX: usize = 1024;
/// A piece is taken for lost when one this far after it has arrived.
const REORDER: u64 = 3;

#[derive(Debug)]
struct Piece {
    payload: Bytes,
    sent_at: Timestamp,
    sends: u32,
    /// It has arrived out of order, so it is not sent again.
    arrived: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Sending {
    unsent: BytesMut,
    under_way: VecDeque<Piece>,
    under_way_bytes: usize,
    /// Pieces to send again.
    lost: BTreeSet<u64>,
    /// All pieces up to this number are confirmed; `under_way` begins after it.
    confirmed: u64,
    /// When a piece was last confirmed, or the first one sent.
    progress_at: Timestamp,
}

impl Sending {
    pub(crate) fn push(&mut self, frame: &Frame) {
        frame.encode(&mut self.unsent);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.unsent.len()
    }

    fn piece_mut(&mut self, sequence: u64) -> Option<&mut Piece> {
        let at = sequence.checked_sub(self.confirmed + 1)?;
        self.under_way.get_mut(usize::try_from(at).ok()?)
    }

    /// The next piece to send, and whether it was sent before.
    pub(crate) fn next_piece(
        &mut self,
        now: Timestamp,
        window: usize,
        piece_max: usize,
    ) -> Option<(Data, bool)> {
        while let Some(sequence) = self.lost.pop_first() {
            let Some(piece) = self.piece_mut(sequence).filter(|piece| !piece.arrived) else {
                continue;
            };
            piece.sent_at = now;
            piece.sends += 1;
            return Some((Data { sequence, payload: piece.payload.clone() }, true));
        }
        let length = self.unsent.len().min(piece_max);
        let fits = self.under_way.is_empty() || self.under_way_bytes + length <= window;
        if length == 0 || !fits || self.under_way.len() >= PIECES_MAX {
            return None;
        }
        if self.under_way.is_empty() {
            self.progress_at = now;
        }
        let payload = self.unsent.split_to(length).freeze();
        if self.unsent.is_empty() {
            // An idle lane owns no memory.
            self.unsent = BytesMut::new();
        }
        self.under_way_bytes += length;
        let piece = Piece { payload: payload.clone(), sent_at: now, sends: 1, arrived: false };
        self.under_way.push_back(piece);
        let sequence = self.confirmed + self.under_way.len() as u64;
        Some((Data { sequence, payload }, false))
    }

    /// The peer has everything up to `received`, and what the bits of `beyond` say. Returns false
    /// when it cannot have.
    pub(crate) fn confirm(
        &mut self,
        now: Timestamp,
        received: u64,
        beyond: u64,
        rtt: &mut Rtt,
    ) -> bool {
        let last = self.confirmed + self.under_way.len() as u64;
        let highest = match beyond {
            0 => received,
            bits => received.saturating_add(2 + u64::from(63 - bits.leading_zeros())),
        };
        if highest > last {
            return false;
        }
        let mut sample = None;
        while self.confirmed < received {
            let Some(piece) = self.under_way.pop_front() else { break };
            self.confirmed += 1;
            self.under_way_bytes -= piece.payload.len();
            // A piece that was sent twice does not tell which time was answered.
            sample = (piece.sends == 1 && !piece.arrived).then(|| now.since(piece.sent_at));
            self.progress_at = now;
        }
        if let Some(sample) = sample {
            rtt.measure(sample);
        }
        self.lost = self.lost.split_off(&(self.confirmed + 1));
        if self.under_way.is_empty() {
            self.under_way = VecDeque::new();
        }
        if beyond != 0 && received == self.confirmed {
            self.note_holes(now, beyond, highest, *rtt);
        }
        true
    }

    fn note_holes(&mut self, now: Timestamp, beyond: u64, highest: u64, rtt: Rtt) {
        let first = self.confirmed + 1;
        for bit in (0..64).filter(|bit| beyond & (1 << bit) != 0) {
            if let Some(piece) = self.piece_mut(first + 1 + bit) {
                piece.arrived = true;
            }
        }
        let patience = rtt.smoothed().unwrap_or(Duration::from_millis(20));
        for sequence in first..highest.saturating_sub(REORDER - 1) {
            let Some(piece) = self.piece_mut(sequence) else { break };
            if !piece.arrived && now.since(piece.sent_at) >= patience {
                self.lost.insert(sequence);
            }
        }
    }

    /// Takes the pieces whose time is over for lost.
    pub(crate) fn expire(&mut self, now: Timestamp, rtt: Rtt) {
        let is_due =
            |piece: &Piece| !piece.arrived && now >= piece.sent_at + rtt.resend_after(piece.sends);
        if !self.under_way.front().is_some_and(is_due) {
            return;
        }
        let first = self.confirmed + 1;
        let due = self.under_way.iter().zip(first..).filter(|(piece, _)| is_due(piece));
        self.lost.extend(due.map(|(_, sequence)| sequence));
    }

    pub(crate) fn is_unanswered(&self, now: Timestamp, unanswered_max: Duration) -> bool {
        !self.under_way.is_empty() && now >= self.progress_at + unanswered_max
    }

    pub(crate) fn deadline(&self, rtt: Rtt, unanswered_max: Duration) -> Option<Timestamp> {
        // The first piece is never out of order: it is the one that the others wait for.
        let first = self.under_way.front()?;
        let again = first.sent_at + rtt.resend_after(first.sends);
        Some(again.min(self.progress_at + unanswered_max))
    }

    pub(crate) fn excuse(&mut self, now: Timestamp) {
        self.progress_at = now;
        let first = self.confirmed + 1;
        let missing = self.under_way.iter().zip(first..).filter(|(piece, _)| !piece.arrived);
        self.lost.extend(missing.map(|(_, sequence)| sequence));
    }
}
