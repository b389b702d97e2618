//! The life of a session's number (section 4): in use from `Open` until both ends have sent
//! `Close`, or the app server `Reject`.

use alloc::vec::Vec;

use super::misbehaved::{CannotNow, Misbehaved};
use crate::kind::FrameKind;

/// What to do with a frame that came for a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// The app server accepts the session. Only at the node.
    Accepted,
    /// The peer closed the session: end it, then answer with `Close`, which frees the number.
    Closed,
    /// Let the frame take effect.
    Deliver,
    /// The peer answered our `Close`: the number is free.
    Freed,
    /// Ignore the frame: it was under way when the number's state changed. Its credit is returned.
    Ignore,
    /// A client asks for a session. Only at the app server.
    Opened,
    /// The app server refused the session; the number is free. Only at the node.
    Rejected,
}

/// A number as the node sees it. One byte, stored in the session's slot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NumberState {
    /// The peer sent `Close`; ours is due.
    ClosedByPeer,
    /// We sent `Close` after `Accept`; the peer's is due.
    ClosedByUs,
    /// We sent `Close` before an answer came; `Close` or `Reject` is due.
    ClosedUnanswered,
    /// The number is not in use.
    #[default]
    Free,
    /// Accepted.
    Open,
    /// We sent `Open`.
    Opening,
}

impl NumberState {
    /// Whether the number may be given out again.
    pub const fn is_free(self) -> bool {
        matches!(self, Self::Free)
    }

    /// Judges a frame of this type that came for this number.
    pub fn handle(&mut self, kind: FrameKind) -> Result<Action, Misbehaved> {
        use FrameKind::{
            Accept, Attach, Beside, Choose, Close, Detach, Join, Leave, Mark, Persist, Prove,
            Reattach, Reject, Send,
        };
        let rooms = matches!(kind, Choose | Detach | Join | Leave);
        let others = matches!(
            kind,
            Accept | Attach | Beside | Close | Mark | Persist | Prove | Reattach | Reject | Send
        );
        if !rooms && !others {
            return Err(Misbehaved::WrongDirection(kind));
        }
        let (next, action) = match (*self, kind) {
            (Self::Opening, Accept) => (Self::Open, Action::Accepted),
            (Self::Opening, Reject) => (Self::Free, Action::Rejected),
            (Self::Opening | Self::Open, Close) => (Self::ClosedByPeer, Action::Closed),
            (Self::ClosedUnanswered, Accept) => (Self::ClosedByUs, Action::Ignore),
            (Self::ClosedUnanswered, Reject | Close) | (Self::ClosedByUs, Close) => {
                (Self::Free, Action::Freed)
            }
            (Self::Open | Self::ClosedByUs, Accept | Reject) => {
                return Err(Misbehaved::AnsweredTwice(kind));
            }
            (Self::Open, _) => (Self::Open, Action::Deliver),
            // This `Persist` is not late but an answer: a socket is persisted when its client has
            // gone (section 9).
            (Self::ClosedByUs, Persist) => (Self::ClosedByUs, Action::Deliver),
            (Self::ClosedByUs, _) => (Self::ClosedByUs, Action::Ignore),
            // The frame is for a socket that does not exist: it may have ended just now (section
            // 7).
            (state, _) if rooms => (state, Action::Ignore),
            (Self::Opening | Self::ClosedUnanswered, _) => {
                return Err(Misbehaved::BeforeAccept(kind));
            }
            (Self::ClosedByPeer, _) => return Err(Misbehaved::AfterClose(kind)),
            (Self::Free, _) => return Err(Misbehaved::NumberNotInUse(kind)),
        };
        *self = next;
        Ok(action)
    }

    /// Notes that the node is about to send a frame of this type for this number.
    pub fn send(&mut self, kind: FrameKind) -> Result<(), CannotNow> {
        use FrameKind::{Close, Marked, Message, Open, Upgraded};
        *self = match (*self, kind) {
            (Self::Free, Open) => Self::Opening,
            (Self::Open, Marked | Message | Upgraded) => Self::Open,
            (Self::Opening, Close) => Self::ClosedUnanswered,
            (Self::Open, Close) => Self::ClosedByUs,
            (Self::ClosedByPeer, Close) => Self::Free,
            (_, _) => return Err(CannotNow::State(kind)),
        };
        Ok(())
    }
}

/// A number as the app server sees it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AppNumberState {
    /// The peer sent `Close` after our `Accept`; our `Close` is due, and `Persist` is allowed
    /// before it.
    ClosedByPeer,
    /// We sent `Close`; the peer's is due.
    ClosedByUs,
    /// The peer sent `Close` before we answered; ours is due.
    ClosedUnanswered,
    /// The number is not in use.
    #[default]
    Free,
    /// We accepted.
    Open,
    /// `Open` came; our answer is due.
    Opening,
}

impl AppNumberState {
    /// Whether the number may come in an `Open`.
    pub const fn is_free(self) -> bool {
        matches!(self, Self::Free)
    }

    /// Judges a frame of this type that came for this number.
    pub fn handle(&mut self, kind: FrameKind) -> Result<Action, Misbehaved> {
        use FrameKind::{Close, Marked, Message, Open, Upgraded};
        if !matches!(kind, Close | Marked | Message | Open | Upgraded) {
            return Err(Misbehaved::WrongDirection(kind));
        }
        let (next, action) = match (*self, kind) {
            (Self::Free, Open) => (Self::Opening, Action::Opened),
            (_, Open) => return Err(Misbehaved::NumberInUse(kind)),
            (Self::Opening, Close) => (Self::ClosedUnanswered, Action::Closed),
            (Self::Open, Close) => (Self::ClosedByPeer, Action::Closed),
            (Self::ClosedByUs, Close) => (Self::Free, Action::Freed),
            // The `Close` crossed our `Reject`. An answer could meet the number's next session.
            (Self::Free, Close) => (Self::Free, Action::Ignore),
            (Self::Open, _) => (Self::Open, Action::Deliver),
            (Self::ClosedByUs, _) => (Self::ClosedByUs, Action::Ignore),
            (Self::Opening, _) => return Err(Misbehaved::BeforeAccept(kind)),
            (Self::ClosedByPeer | Self::ClosedUnanswered, _) => {
                return Err(Misbehaved::AfterClose(kind));
            }
            (Self::Free, _) => return Err(Misbehaved::NumberNotInUse(kind)),
        };
        *self = next;
        Ok(action)
    }

    /// Notes that the app server is about to send a frame of this type for this number.
    pub fn send(&mut self, kind: FrameKind) -> Result<(), CannotNow> {
        use FrameKind::{
            Accept, Attach, Beside, Choose, Close, Detach, Join, Leave, Mark, Persist, Prove,
            Reattach, Reject, Send,
        };
        *self = match (*self, kind) {
            (Self::Opening, Accept) => Self::Open,
            (Self::Opening, Reject) => Self::Free,
            (
                Self::Open,
                Attach | Beside | Choose | Detach | Join | Leave | Mark | Persist | Prove
                | Reattach | Send,
            ) => Self::Open,
            (Self::ClosedByPeer, Persist) => Self::ClosedByPeer,
            (Self::Opening | Self::Open, Close) => Self::ClosedByUs,
            (Self::ClosedByPeer | Self::ClosedUnanswered, Close) => Self::Free,
            (_, _) => return Err(CannotNow::State(kind)),
        };
        Ok(())
    }
}

/// Gives out numbers, freed ones first, so that they stay short on the wire.
///
/// Owners that share one trunk each have a lane of their own: `first`, `first + step`, and so on.
#[derive(Clone, Debug)]
pub struct Numbers {
    freed: Vec<u32>,
    next: u32,
    step: u32,
}

impl Default for Numbers {
    fn default() -> Self {
        Self::lane(0, 1)
    }
}

impl Numbers {
    /// The numbers that leave the remainder `first` when divided by `step` (at least 1).
    pub const fn lane(first: u32, step: u32) -> Self {
        Self { freed: Vec::new(), next: first, step: if step == 0 { 1 } else { step } }
    }

    /// A number that is not in use. `None` when all numbers of the lane are in use.
    pub fn take(&mut self) -> Option<u32> {
        if let Some(number) = self.freed.pop() {
            return Some(number);
        }
        let number = self.next;
        self.next = number.checked_add(self.step)?;
        Some(number)
    }

    /// Takes a number back that [`Self::take`] gave out and that is free now.
    pub fn free(&mut self, number: u32) {
        debug_assert!(number < self.next && !self.freed.contains(&number), "{number} was not out");
        self.freed.push(number);
    }
}
