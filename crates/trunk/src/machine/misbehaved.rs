//! What a peer can do wrong, and what our own side cannot do now.

use crate::credit::Violation;
use crate::decode::DecodeError;
use crate::frame::NamespaceNumber;
use crate::kind::FrameKind;
use crate::values::ErrorCode;

/// One variant per rule of the protocol that a peer can break. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misbehaved {
    /// A frame for a session that the peer has closed.
    #[error("{0} for a session that its sender has closed")]
    AfterClose(FrameKind),
    /// A second answer to one `Open`.
    #[error("{0} for a session that is already answered")]
    AnsweredTwice(FrameKind),
    /// A frame for a session that is not accepted yet.
    #[error("{0} for a session that is not accepted")]
    BeforeAccept(FrameKind),
    /// Something else came first.
    #[error("{0} before Hello")]
    BeforeHello(FrameKind),
    /// Something else came first.
    #[error("{0} before Welcome")]
    BeforeWelcome(FrameKind),
    /// More data than credit.
    #[error(transparent)]
    Credit(#[from] Violation),
    /// A batch that cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The peer's `Hello` did not come in time.
    #[error("no Hello in time")]
    HelloTimeout,
    /// `Hello` comes once.
    #[error("a second Hello")]
    HelloTwice,
    /// A namespace number that is in use already.
    #[error("namespace {} is given twice", .0.0)]
    NamespaceGivenTwice(NamespaceNumber),
    /// A limit of the receiver.
    #[error("more than {0} namespaces")]
    NamespaceLimit(usize),
    /// A namespace comes before the first frame that uses it.
    #[error("namespace {} is not given", .0.0)]
    NamespaceUnknown(NamespaceNumber),
    /// The versions of both ends do not meet.
    #[error(
        "no common version: the app server speaks {min} to {max}, the node {our_min} to {our_max}"
    )]
    NoCommonVersion {
        /// The peer's.
        min: u32,
        /// The peer's.
        max: u32,
        /// Ours.
        our_min: u32,
        /// Ours.
        our_max: u32,
    },
    /// `Open`, `Request` or `Restore` with a number that is in use.
    #[error("{0} with a number that is in use")]
    NumberInUse(FrameKind),
    /// A frame for a number that is not in use.
    #[error("{0} for a number that is not in use")]
    NumberNotInUse(FrameKind),
    /// Numbers of broadcasts only grow.
    #[error("a Number that is zero or goes backwards")]
    NumberRepeats,
    /// Nothing came for three intervals.
    #[error("nothing came for three ping intervals")]
    Silence,
    /// The answer to our `Hello` did not come in time.
    #[error("no Welcome in time")]
    WelcomeTimeout,
    /// `Welcome` comes once.
    #[error("a second Welcome")]
    WelcomeTwice,
    /// A version that we did not offer, or a zero where the spec allows none.
    #[error("Welcome with a version that was not offered, or with a zero interval or batch")]
    WelcomeValues,
    /// A frame that only the other side may send.
    #[error("{0} in the wrong direction")]
    WrongDirection(FrameKind),
}

impl Misbehaved {
    /// The code of the `Error` that answers it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Credit(_) => ErrorCode::Credit,
            Self::NamespaceLimit(_) => ErrorCode::Limit,
            Self::NoCommonVersion { .. } => ErrorCode::NoCommonVersion,
            Self::Silence => ErrorCode::Silence,
            Self::AfterClose(_)
            | Self::AnsweredTwice(_)
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

/// Why our own side may not send a frame now. Nothing changed. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CannotNow {
    /// One of the two ends wants no new sessions.
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
