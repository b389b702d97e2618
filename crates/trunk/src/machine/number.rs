//! The life of a session's number (section 4): in use from `Open` or `Adopt` until both ends have
//! sent `Close`, or the app server `Reject`.

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
    /// The app server closed a session that we had agreed to take back from it: the number is free.
    /// The session waits for another app server if the reason is `HandedOver`, and goes to another
    /// node if it is `Moved`. Only at the node.
    HandedBack,
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
    /// We sent `Adopt`. The app server may send what it may send when the session is open; we send
    /// nothing but `Close` before its `Accept`.
    Adopting,
    /// We sent `Close` before the answer to `Adopt`; the peer's is due, maybe after an `Accept`.
    ClosedAdopting,
    /// The peer sent `Close`; ours is due.
    ClosedByPeer,
    /// We sent `Close` after `Accept`; the peer's is due.
    ClosedByUs,
    /// We sent `Close` before an answer came; `Close` or `Reject` is due.
    ClosedUnanswered,
    /// The number is not in use.
    #[default]
    Free,
    /// We sent `Close` because the app server asked to hand the session over, or because the session
    /// goes to another node; what the app server sends before its own still takes effect.
    Leaving,
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
            Reattach, Reject, Send, Standing, State,
        };
        let rooms = matches!(kind, Choose | Detach | Join | Leave);
        let others = matches!(
            kind,
            Accept
                | Attach
                | Beside
                | Close
                | Mark
                | Persist
                | Prove
                | Reattach
                | Reject
                | Send
                | Standing
                | State
        );
        if !rooms && !others {
            return Err(Misbehaved::WrongDirection(kind));
        }
        let (next, action) = match (*self, kind) {
            (Self::Opening | Self::Adopting, Accept) => (Self::Open, Action::Accepted),
            (Self::Opening, Reject) => (Self::Free, Action::Rejected),
            (Self::Opening | Self::Adopting | Self::Open, Close) => {
                (Self::ClosedByPeer, Action::Closed)
            }
            (Self::Leaving, Close) => (Self::Free, Action::HandedBack),
            (Self::ClosedUnanswered | Self::ClosedAdopting, Accept) => {
                (Self::ClosedByUs, Action::Ignore)
            }
            (Self::ClosedUnanswered, Reject | Close)
            | (Self::ClosedAdopting | Self::ClosedByUs, Close) => (Self::Free, Action::Freed),
            // A session that is adopted was answered when it opened.
            (Self::Adopting | Self::ClosedAdopting, Reject)
            | (Self::Open | Self::Leaving | Self::ClosedByUs, Accept | Reject) => {
                return Err(Misbehaved::AnsweredTwice(kind));
            }
            (Self::Adopting, _) => (Self::Adopting, Action::Deliver),
            (Self::Leaving, _) => (Self::Leaving, Action::Deliver),
            (Self::Open, _) => (Self::Open, Action::Deliver),
            // This `Persist` is not late but an answer: a socket is persisted when its client has
            // gone (section 9).
            (state @ (Self::ClosedByUs | Self::ClosedAdopting), Persist) => {
                (state, Action::Deliver)
            }
            (state @ (Self::ClosedByUs | Self::ClosedAdopting), _) => (state, Action::Ignore),
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
        use FrameKind::{Adopt, Close, Marked, Message, Open, Upgraded};
        *self = match (*self, kind) {
            (Self::Free, Open) => Self::Opening,
            (Self::Free, Adopt) => Self::Adopting,
            (Self::Open, Marked | Message | Upgraded) => Self::Open,
            (Self::Adopting, Close) => Self::ClosedAdopting,
            (Self::Opening, Close) => Self::ClosedUnanswered,
            (Self::Open, Close) => Self::ClosedByUs,
            (Self::ClosedByPeer, Close) => Self::Free,
            (_, _) => return Err(CannotNow::State(kind)),
        };
        Ok(())
    }

    /// Notes that the node is about to send `Close` with the reason `HandedOver`, because the app
    /// server asked for it, or `Moved`: what the app server sends before its own `Close` still takes
    /// effect.
    pub const fn send_hand_over(&mut self) -> Result<(), CannotNow> {
        if !matches!(self, Self::Open) {
            return Err(CannotNow::State(FrameKind::Close));
        }
        *self = Self::Leaving;
        Ok(())
    }

    /// Notes that a session ended while it was [`Self::Leaving`]: our `Close` is sent already, and
    /// all frames of the app server up to its own are ignored. False in any other state.
    ///
    /// If the session was to go to another node, a second `Close` may follow, which says that it
    /// does not.
    pub const fn end_leaving(&mut self) -> bool {
        let leaving = matches!(self, Self::Leaving);
        if leaving {
            *self = Self::ClosedByUs;
        }
        leaving
    }
}

/// A number as the app server sees it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AppNumberState {
    /// `Adopt` came; our `Accept` is due, and what an open session allows may be sent before it.
    Adopting,
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
    /// The peer sent `Close` because we asked to hand the session over, or because the session goes
    /// to another node; ours is due, after all else.
    Leaving,
    /// We accepted.
    Open,
    /// `Open` came; our answer is due.
    Opening,
}

impl AppNumberState {
    /// Whether the number may come in an `Open` or `Adopt`.
    pub const fn is_free(self) -> bool {
        matches!(self, Self::Free)
    }

    /// Judges a frame of this type that came for this number.
    pub fn handle(&mut self, kind: FrameKind) -> Result<Action, Misbehaved> {
        use FrameKind::{Adopt, Close, Marked, Message, Open, Upgraded};
        if !matches!(kind, Adopt | Close | Marked | Message | Open | Upgraded) {
            return Err(Misbehaved::WrongDirection(kind));
        }
        let (next, action) = match (*self, kind) {
            (Self::Free, Open) => (Self::Opening, Action::Opened),
            (Self::Free, Adopt) => (Self::Adopting, Action::Opened),
            (_, Open | Adopt) => return Err(Misbehaved::NumberInUse(kind)),
            (Self::Opening, Close) => (Self::ClosedUnanswered, Action::Closed),
            // From `Leaving`: the session was to go to another node, and has ended.
            (Self::Open | Self::Adopting | Self::Leaving, Close) => {
                (Self::ClosedByPeer, Action::Closed)
            }
            (Self::ClosedByUs, Close) => (Self::Free, Action::Freed),
            // The `Close` crossed our `Reject`. An answer could meet the number's next session.
            (Self::Free, Close) => (Self::Free, Action::Ignore),
            (Self::Open, _) => (Self::Open, Action::Deliver),
            (Self::ClosedByUs, _) => (Self::ClosedByUs, Action::Ignore),
            (Self::Opening | Self::Adopting, _) => return Err(Misbehaved::BeforeAccept(kind)),
            (Self::ClosedByPeer | Self::ClosedUnanswered | Self::Leaving, _) => {
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
            Reattach, Reject, Send, Standing, State,
        };
        *self = match (*self, kind) {
            (Self::Opening | Self::Adopting, Accept) => Self::Open,
            (Self::Opening, Reject) => Self::Free,
            (
                state @ (Self::Open | Self::Adopting | Self::Leaving),
                Attach | Beside | Choose | Detach | Join | Leave | Mark | Persist | Prove
                | Reattach | Send | Standing | State,
            ) => state,
            (Self::ClosedByPeer, Persist) => Self::ClosedByPeer,
            (Self::Opening | Self::Adopting | Self::Open, Close) => Self::ClosedByUs,
            (Self::ClosedByPeer | Self::ClosedUnanswered | Self::Leaving, Close) => Self::Free,
            (_, _) => return Err(CannotNow::State(kind)),
        };
        Ok(())
    }

    /// Judges a `Close` with the reason `HandedOver` or `Moved`: the node takes the session back.
    pub fn handle_hand_over(&mut self) -> Result<Action, Misbehaved> {
        if *self != Self::Open {
            return self.handle(FrameKind::Close);
        }
        *self = Self::Leaving;
        Ok(Action::Deliver)
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
