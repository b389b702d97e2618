//! The frames that nodes send one another (section 6).
//!
//! The **landing** node is the one where a client's request arrived, the **owner** the one that has
//! the session.

mod answer;
mod decode;
mod encode;
mod kind;

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use trunkline_trunk::{Position, Str};

pub use answer::{Answer, AnswerPayload, Found, Inspected, PayloadType, PostBegun, Refused};
pub use decode::FrameError;
pub(crate) use decode::split_head;
pub use kind::{Direction, FrameKind};

/// The landing node's number for a request: unique among its open requests on one link.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u32);

/// A session's id, as its 21 bytes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Sid(pub [u8; 21]);

impl fmt::Debug for Sid {
    /// Shows the place, not the secret: a sid gives access to its session.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low, shard, slot @ ..] = &self.0;
        let node = u16::from_be_bytes([*high, *low]);
        let slot = u32::from_be_bytes([0, slot[0], slot[1], slot[2]]);
        write!(out, "Sid({node}.{shard}.{slot})")
    }
}

/// One frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// A GET of a polling session arrived.
    Poll {
        /// The request.
        id: RequestId,
        /// The session.
        sid: Sid,
        /// The name of the hub whose path the request used.
        hub: Str,
        /// The `EIO` parameter: 3 or 4.
        protocol: u8,
    },
    /// The connection of a held poll ended.
    PollGone {
        /// The request.
        id: RequestId,
    },
    /// The landing node is about to stop: the session answers the held poll now, so that its client
    /// polls elsewhere.
    PollBack {
        /// The request.
        id: RequestId,
    },
    /// The answer to a [`Self::Poll`], a [`Self::PostBody`] or a [`Self::Post`].
    Answered {
        /// The request.
        id: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// A POST of a polling session began.
    PostBegin {
        /// The request.
        id: RequestId,
        /// The session.
        sid: Sid,
        /// The name of the hub whose path the request used.
        hub: Str,
        /// The `EIO` parameter: 3 or 4.
        protocol: u8,
    },
    /// Whether the body of a POST is wanted.
    PostBegun {
        /// The request.
        id: RequestId,
        /// The decision.
        begun: PostBegun,
    },
    /// The whole body of a POST.
    PostBody {
        /// The request.
        id: RequestId,
        /// Whether its content type is `application/octet-stream`.
        binary: bool,
        /// The body.
        body: Bytes,
    },
    /// A whole POST, with its body. Only for a node that takes it: see [`crate::Load::whole_posts`].
    Post {
        /// The request.
        id: RequestId,
        /// The session.
        sid: Sid,
        /// The name of the hub whose path the request used.
        hub: Str,
        /// The `EIO` parameter: 3 or 4.
        protocol: u8,
        /// Whether its content type is `application/octet-stream`.
        binary: bool,
        /// The body.
        body: Bytes,
    },
    /// No more of a POST will arrive.
    PostGone {
        /// The request.
        id: RequestId,
        /// The reason, if that ends the session.
        fault: Option<Str>,
    },
    /// The POST is to be cut off: its session ended, or it overlapped with another.
    Cut {
        /// The request.
        id: RequestId,
    },
    /// Asks for a session, before a WebSocket that wants to probe gets its `101`.
    Inspect {
        /// The request.
        id: RequestId,
        /// The session.
        sid: Sid,
        /// The name of the hub whose path the request used.
        hub: Str,
        /// The `EIO` parameter: 3 or 4.
        protocol: u8,
    },
    /// The answer to an [`Self::Inspect`].
    Inspected {
        /// The request.
        id: RequestId,
        /// What the owner found.
        inspected: Inspected,
    },
    /// Asks whether the node has the session of an id that the app made.
    WhoHas {
        /// The request.
        id: RequestId,
        /// The name of the hub.
        hub: Str,
        /// The app's id.
        sid: Str,
    },
    /// The answer to a [`Self::WhoHas`].
    IHave {
        /// The request.
        id: RequestId,
        /// The node's own id of that session; `None` when it has no such session.
        sid: Option<Sid>,
    },
    /// A probing WebSocket of the session is at the landing node and has sent its probe.
    ProbeBegun {
        /// The move.
        id: RequestId,
        /// The session.
        sid: Sid,
        /// The name of the hub whose path the request used.
        hub: Str,
    },
    /// The probe ended without an upgrade.
    ProbeGone {
        /// The move.
        id: RequestId,
    },
    /// The upgrade arrived: the landing node takes the session.
    Take {
        /// The move.
        id: RequestId,
        /// For each app server, the number of the last broadcast before the landing node began to
        /// keep them.
        positions: Vec<Position>,
    },
    /// The session is about to leave its owner.
    Taken {
        /// The move.
        id: RequestId,
    },
    /// The session, which the sender no longer has.
    Export {
        /// The move.
        id: RequestId,
        /// The session's snapshot.
        snapshot: Bytes,
    },
    /// The move failed.
    MoveFailed {
        /// The move.
        id: RequestId,
        /// The reason, for a log line.
        cause: Str,
    },
    /// The session lives at the landing node now.
    Arrived {
        /// The move.
        id: RequestId,
    },
    /// What a door of one node says to the same door of the other. The mesh does not look into it.
    Door {
        /// The word's place in what this door says to that one for this hub; no request.
        id: RequestId,
        /// Which door.
        door: u8,
        /// The name of the hub.
        hub: Str,
        /// The word.
        word: Bytes,
    },
}

impl Frame {
    /// The frame's type.
    #[must_use]
    pub const fn kind(&self) -> FrameKind {
        match self {
            Self::Poll { .. } => FrameKind::Poll,
            Self::PollGone { .. } => FrameKind::PollGone,
            Self::PollBack { .. } => FrameKind::PollBack,
            Self::Answered { .. } => FrameKind::Answered,
            Self::PostBegin { .. } => FrameKind::PostBegin,
            Self::PostBegun { .. } => FrameKind::PostBegun,
            Self::PostBody { .. } => FrameKind::PostBody,
            Self::Post { .. } => FrameKind::Post,
            Self::PostGone { .. } => FrameKind::PostGone,
            Self::Cut { .. } => FrameKind::Cut,
            Self::Inspect { .. } => FrameKind::Inspect,
            Self::Inspected { .. } => FrameKind::Inspected,
            Self::WhoHas { .. } => FrameKind::WhoHas,
            Self::IHave { .. } => FrameKind::IHave,
            Self::ProbeBegun { .. } => FrameKind::ProbeBegun,
            Self::ProbeGone { .. } => FrameKind::ProbeGone,
            Self::Take { .. } => FrameKind::Take,
            Self::Taken { .. } => FrameKind::Taken,
            Self::Export { .. } => FrameKind::Export,
            Self::MoveFailed { .. } => FrameKind::MoveFailed,
            Self::Arrived { .. } => FrameKind::Arrived,
            Self::Door { .. } => FrameKind::Door,
        }
    }

    /// The request or move that the frame is about; of a [`Self::Door`], its place among the others.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        match self {
            Self::Poll { id, .. }
            | Self::PollGone { id }
            | Self::PollBack { id }
            | Self::Answered { id, .. }
            | Self::PostBegin { id, .. }
            | Self::PostBegun { id, .. }
            | Self::PostBody { id, .. }
            | Self::Post { id, .. }
            | Self::PostGone { id, .. }
            | Self::Cut { id }
            | Self::Inspect { id, .. }
            | Self::Inspected { id, .. }
            | Self::WhoHas { id, .. }
            | Self::IHave { id, .. }
            | Self::ProbeBegun { id, .. }
            | Self::ProbeGone { id }
            | Self::Take { id, .. }
            | Self::Taken { id }
            | Self::Export { id, .. }
            | Self::MoveFailed { id, .. }
            | Self::Arrived { id }
            | Self::Door { id, .. } => *id,
        }
    }
}
