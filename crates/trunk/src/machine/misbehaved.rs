//! The rules that a peer can break, and the reasons why our own end cannot send a frame now.

use crate::credit::Violation;
use crate::decode::DecodeError;
use crate::frame::NamespaceNumber;
use crate::kind::FrameKind;
use crate::values::ErrorCode;

/// One variant per rule of the protocol that a peer can break. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misbehaved {
    /// An answer to `Adopt` has values that only an answer to `Open` may have.
    #[error("Accept of a session that is taken over with a session id or headers")]
    AdoptedAnew,
    /// A frame for a session that the peer has closed.
    #[error("{0} for a session that its sender has closed")]
    AfterClose(FrameKind),
    /// A second answer to one `Open`.
    #[error("{0} for a session that is already answered")]
    AnsweredTwice(FrameKind),
    /// Batches are confirmed that were never sent, or finished that were never begun.
    #[error("{0} counts batches that were not sent, or not begun")]
    BatchesNotSent(FrameKind),
    /// A frame for a session that is not accepted yet.
    #[error("{0} for a session that is not accepted")]
    BeforeAccept(FrameKind),
    /// Another frame came before `Hello`.
    #[error("{0} before Hello")]
    BeforeHello(FrameKind),
    /// Another frame came before `Welcome`.
    #[error("{0} before Welcome")]
    BeforeWelcome(FrameKind),
    /// More data came than the credit allows.
    #[error(transparent)]
    Credit(#[from] Violation),
    /// A batch cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The peer's `Hello` did not come in time.
    #[error("no Hello in time")]
    HelloTimeout,
    /// A second `Hello` came.
    #[error("a second Hello")]
    HelloTwice,
    /// A namespace number that is in use already.
    #[error("namespace {} is given twice", .0.0)]
    NamespaceGivenTwice(NamespaceNumber),
    /// The app server uses more namespaces than the receiver allows.
    #[error("more than {0} namespaces")]
    NamespaceLimit(usize),
    /// A frame uses a namespace number that has no `Namespace` frame yet.
    #[error("namespace {} is not given", .0.0)]
    NamespaceUnknown(NamespaceNumber),
    /// The ranges of versions do not overlap.
    #[error(
        "no common version: the app server speaks {min} to {max}, the node {our_min} to {our_max}"
    )]
    NoCommonVersion {
        /// The peer's lowest version.
        min: u32,
        /// The peer's highest version.
        max: u32,
        /// Our lowest version.
        our_min: u32,
        /// Our highest version.
        our_max: u32,
    },
    /// `Open`, `Request` or `Restore` with a number that is in use.
    #[error("{0} with a number that is in use")]
    NumberInUse(FrameKind),
    /// A frame for a number that is not in use.
    #[error("{0} for a number that is not in use")]
    NumberNotInUse(FrameKind),
    /// Numbers of broadcasts must increase.
    #[error("a Number that is zero or goes backwards")]
    NumberRepeats,
    /// No frame came for three intervals.
    #[error("nothing came for three ping intervals")]
    Silence,
    /// The answer to our `Hello` did not come in time.
    #[error("no Welcome in time")]
    WelcomeTimeout,
    /// A second `Welcome` came.
    #[error("a second Welcome")]
    WelcomeTwice,
    /// `Welcome` has a version that we did not offer, or a zero where the spec allows none.
    #[error("Welcome with a version that was not offered, or with a zero interval or batch")]
    WelcomeValues,
    /// A frame came that only the other end may send.
    #[error("{0} in the wrong direction")]
    WrongDirection(FrameKind),
}

impl Misbehaved {
    /// The code of the `Error` that answers the violation.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Credit(_) => ErrorCode::Credit,
            Self::NamespaceLimit(_) => ErrorCode::Limit,
            Self::NoCommonVersion { .. } => ErrorCode::NoCommonVersion,
            Self::Silence => ErrorCode::Silence,
            Self::AdoptedAnew
            | Self::AfterClose(_)
            | Self::AnsweredTwice(_)
            | Self::BatchesNotSent(_)
            | Self::BeforeAccept(_)
            | Self::BeforeHello(_)
            | Self::BeforeWelcome(_)
            | Self::Decode(_)
            | Self::HelloTimeout
            | Self::HelloTwice
            | Self::NamespaceGivenTwice(_)
            | Self::NamespaceUnknown(_)
            | Self::NumberInUse(_)
            | Self::NumberNotInUse(_)
            | Self::NumberRepeats
            | Self::WelcomeTimeout
            | Self::WelcomeTwice
            | Self::WelcomeValues
            | Self::WrongDirection(_) => ErrorCode::Protocol,
        }
    }
}

/// Why our own end may not send a frame now. Nothing has changed. In alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CannotNow {
    /// One of the two ends refuses new sessions.
    #[error("the trunk is draining")]
    Draining,
    /// Wait for [`LinkEvent::CreditReturned`](crate::LinkEvent::CreditReturned).
    #[error("out of credit")]
    NoCredit,
    /// Before `Welcome`, or after the end.
    #[error("the trunk is not up")]
    NotUp,
    /// The session's or the request's state does not allow this frame, or the frame is not this end's.
    #[error("{0} is not possible in this state")]
    State(FrameKind),
}
