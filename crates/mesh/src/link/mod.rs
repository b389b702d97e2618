//! One link: two lanes between two lives of two nodes (section 5).
//!
//! A link knows nothing of beats and members. Its owner checks the epochs of a datagram before it
//! hands it over.

mod receiving;
mod rtt;
mod sending;

use alloc::boxed::Box;
use core::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_trunk::Rule;

use crate::bus::Lane;
use crate::datagram::{Datagram, EndCode};
use crate::frame::{Frame, FrameError};
use receiving::Receiving;
pub(crate) use receiving::Taken;
use rtt::Rtt;
use sending::Sending;

/// The time after which an opening is repeated for the first time; doubled each time.
const OPENING_AGAIN: Duration = Duration::from_millis(50);
/// The longest time between two openings.
const OPENING_AGAIN_MAX: Duration = Duration::from_secs(1);

/// Why a link ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LinkEnd {
    /// The peer sent bytes that are no frame, or a frame of an unknown type.
    #[error("the peer broke the protocol: {0}")]
    Broken(#[source] FrameError),
    /// The peer ended it.
    #[error("the peer ended the link (code {})", .0.0)]
    ByPeer(EndCode),
    /// The peer left.
    #[error("the peer left")]
    Left,
    /// The peer confirmed something that was never sent.
    #[error("the peer confirmed what was never sent")]
    Misbehaved,
    /// The peer opened a new link: it has ended this one.
    #[error("the peer opened a new link")]
    Reopened,
    /// The peer's beats are missing.
    #[error("the peer is silent")]
    Silent,
    /// The peer confirmed nothing for too long.
    #[error("the peer confirmed nothing for too long")]
    Unanswered,
    /// The peer's inbox is gone.
    #[error("the peer's inbox is gone")]
    Unreachable,
}

impl LinkEnd {
    /// What the peer is told.
    pub(crate) const fn code(self) -> EndCode {
        match self {
            Self::Broken(FrameError { rule: Rule::UnknownType, .. }) => EndCode::UNKNOWN_FRAME,
            Self::Broken(_) | Self::Misbehaved => EndCode::BROKEN,
            Self::Silent | Self::Unreachable => EndCode::SILENT,
            Self::Unanswered => EndCode::UNANSWERED,
            Self::ByPeer(_) | Self::Left | Self::Reopened => EndCode::UNKNOWN,
        }
    }

    /// Whether it would end again for the same reason.
    pub(crate) const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::Broken(_)
                | Self::Misbehaved
                | Self::ByPeer(EndCode::BROKEN | EndCode::UNKNOWN_FRAME)
        )
    }
}

/// What a link's datagrams need to know of the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) number: u16,
    /// Bytes that may be under way on each lane.
    pub(crate) window: usize,
    /// The longest piece.
    pub(crate) piece_max: usize,
}

/// One lane of a link.
#[derive(Debug, Default)]
struct LaneState {
    sending: Sending,
    receiving: Receiving,
    /// What the peer said that it can keep out of order; `None` until it said anything.
    peer_window: Option<usize>,
}

/// This node's end of one link.
#[derive(Debug)]
pub(crate) struct Link {
    /// This end's name for the link.
    pub(crate) epoch: u64,
    /// The peer's name for it, once known.
    pub(crate) peer_epoch: Option<u64>,
    /// Since when the peer is known to know this end's epoch.
    pub(crate) opened: Option<Timestamp>,
    opening_at: Timestamp,
    tries: u32,
    /// Whether the next datagram is to be answered at once.
    urgent: bool,
    rtt: Rtt,
    control: LaneState,
    bulk: Option<Box<LaneState>>,
}

impl Link {
    pub(crate) fn new(now: Timestamp, epoch: u64) -> Self {
        Self {
            epoch,
            peer_epoch: None,
            opened: None,
            opening_at: now,
            tries: 0,
            urgent: false,
            rtt: Rtt::default(),
            control: LaneState::default(),
            bulk: None,
        }
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// The peer's opening arrived: it names its epoch, and waits for this end's.
    pub(crate) fn answer_opening(&mut self, now: Timestamp, peer_epoch: u64) {
        self.peer_epoch = Some(peer_epoch);
        self.opening_at = now;
        self.tries = 0;
    }

    /// Asks the peer for a sign of life.
    pub(crate) fn probe(&mut self) {
        self.urgent = true;
    }

    /// Bytes that wait for the window of a lane.
    pub(crate) fn waiting(&self, lane: Lane) -> usize {
        self.lane(lane).map_or(0, |lane| lane.sending.waiting())
    }

    pub(crate) fn send(&mut self, lane: Lane, frame: &Frame) {
        self.lane_mut(lane).sending.push(frame);
    }

    fn lane(&self, lane: Lane) -> Option<&LaneState> {
        match lane {
            Lane::Control => Some(&self.control),
            Lane::Bulk => self.bulk.as_deref(),
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Bulk => self.bulk.get_or_insert_default(),
        }
    }

    fn lanes_mut(&mut self) -> impl Iterator<Item = &mut LaneState> {
        core::iter::once(&mut self.control).chain(self.bulk.as_deref_mut())
    }

    /// Takes a datagram whose epochs are those of this link, and hands out the frames that are
    /// complete now.
    pub(crate) fn handle(
        &mut self,
        now: Timestamp,
        datagram: Datagram,
        ends: &Ends,
        frame_bytes_max: usize,
        out: impl FnMut(Frame),
    ) -> Result<Taken, LinkEnd> {
        if self.opened.is_none() {
            self.opened = Some(now);
            self.urgent = false;
        }
        let Datagram { lane, received, beyond, window, urgent, data, .. } = datagram;
        if lane == Lane::Bulk && self.bulk.is_none() && data.is_none() && received == 0 {
            return Ok(Taken::Nothing);
        }
        let mut rtt = core::mem::take(&mut self.rtt);
        let state = self.lane_mut(lane);
        state.peer_window = Some(usize::try_from(window).unwrap_or(usize::MAX));
        let confirmed = state.sending.confirm(now, received, beyond, &mut rtt);
        if urgent {
            state.receiving.confirm_at(now);
        }
        let taken = match (confirmed, data) {
            (false, _) => Err(LinkEnd::Misbehaved),
            (true, None) => Ok(Taken::Nothing),
            (true, Some(data)) => state
                .receiving
                .take(now, data, ends.window, frame_bytes_max, out)
                .map_err(LinkEnd::Broken),
        };
        self.rtt = rtt;
        taken
    }

    /// The next datagram that is due. The flag says whether its piece was sent before.
    pub(crate) fn poll(&mut self, now: Timestamp, ends: &Ends) -> Option<(Datagram, bool)> {
        if self.opened.is_none() {
            return self.poll_opening(now, ends).map(|datagram| (datagram, false));
        }
        for lane in [Lane::Control, Lane::Bulk] {
            let urgent = self.urgent && lane == Lane::Control;
            if lane == Lane::Bulk && self.bulk.is_none() {
                return None;
            }
            let state = self.lane_mut(lane);
            let window = ends.window.min(state.peer_window.unwrap_or(ends.window));
            let piece = state.sending.next_piece(now, window, ends.piece_max);
            if piece.is_none() && !urgent && !state.receiving.is_due(now) {
                continue;
            }
            let mut datagram = state.head(ends, lane);
            let (data, again) = piece.map_or((None, false), |(data, again)| (Some(data), again));
            datagram.data = data;
            datagram.urgent = urgent;
            datagram.epoch = self.epoch;
            datagram.to_epoch = self.peer_epoch.unwrap_or_default();
            self.urgent &= !urgent;
            return Some((datagram, again));
        }
        None
    }

    fn poll_opening(&mut self, now: Timestamp, ends: &Ends) -> Option<Datagram> {
        if now < self.opening_at {
            return None;
        }
        let again = OPENING_AGAIN.saturating_mul(1 << self.tries.min(8)).min(OPENING_AGAIN_MAX);
        self.opening_at = now + again;
        self.tries += 1;
        let mut datagram = self.control.head(ends, Lane::Control);
        datagram.epoch = self.epoch;
        datagram.to_epoch = self.peer_epoch.unwrap_or_default();
        datagram.urgent = true;
        Some(datagram)
    }

    /// When [`Self::handle_timeout`] or [`Self::poll`] has something to do next.
    pub(crate) fn deadline(&self, unanswered_max: Duration) -> Option<Timestamp> {
        if self.opened.is_none() {
            return Some(self.opening_at);
        }
        let lanes = core::iter::once(&self.control).chain(self.bulk.as_deref());
        lanes
            .filter_map(|lane| {
                let sending = lane.sending.deadline(self.rtt, unanswered_max);
                [sending, lane.receiving.deadline()].into_iter().flatten().min()
            })
            .min()
    }

    pub(crate) fn handle_timeout(
        &mut self,
        now: Timestamp,
        unanswered_max: Duration,
    ) -> Result<(), LinkEnd> {
        let rtt = self.rtt;
        for lane in self.lanes_mut() {
            if lane.sending.is_unanswered(now, unanswered_max) {
                return Err(LinkEnd::Unanswered);
            }
            lane.sending.expire(now, rtt);
        }
        Ok(())
    }

    /// The bus was away, or this process did not run: nothing that happened meanwhile is the peer's
    /// fault, and all that was under way may be lost.
    pub(crate) fn excuse(&mut self, now: Timestamp) {
        self.opening_at = self.opening_at.min(now);
        self.lanes_mut().for_each(|lane| lane.sending.excuse(now));
    }
}

impl LaneState {
    /// A datagram that confirms what has arrived on this lane.
    fn head(&mut self, ends: &Ends, lane: Lane) -> Datagram {
        let (received, beyond) = self.receiving.confirm();
        Datagram {
            from: ends.from,
            to: ends.to,
            number: ends.number,
            lane,
            epoch: 0,
            to_epoch: 0,
            received,
            beyond,
            window: u64::try_from(ends.window).unwrap_or(u64::MAX),
            urgent: false,
            data: None,
            ended: None,
        }
    }
}
