//! The trunk protocol, pure: frame registry, codec, the state machine of each end, credit.
//!
//! The protocol itself is described in `spec/trunk.md`; section numbers in these docs refer to that
//! page.
//!
//! * [`decode_batch`] turns one WebSocket message into [`Frame`]s that borrow its bytes (no copy).
//! * [`Frame::encode`] and the functions in [`encode`] append frames to a batch.
//! * [`Link`] is the part of a trunk that knows no sessions: opening, pings, credit, drain, errors.
//! * [`NumberState`] is the part of a trunk for each session, one byte long.
//! * [`NodeTrunk`] is the node's end of a trunk, without its stream and its sessions: it gives its
//!   owner one step after another to carry out.
//! * [`AppEnd`] joins both parts for an owner of a whole trunk: the app server's end.
//! * [`settings`] reads the app's options out of `Hello`.
//!
//! Contract for callers of a state machine:
//!
//! 1. Feed input with `handle_*` (from the peer or the clock) or a command (a plain verb).
//! 2. Then call `poll_transmit` and `poll_event` (`poll_step` of a [`NodeTrunk`]) until both return
//!    `None`.
//! 3. Then sleep until `poll_deadline`. Never call two `handle_*` without step 2 between them.
#![no_std]
extern crate alloc;

mod bodies;
mod credit;
mod decode;
pub mod encode;
mod frame;
mod kind;
mod machine;
mod read;
pub mod settings;
mod sink;
mod text;
mod values;
mod window;

pub use credit::{CreditReceiver, CreditSender, SharedCredit, Violation, weight_of};
pub use decode::{Batch, DecodeError, Rule, decode_batch};
pub use frame::{
    Adopt, Adopted, Broadcast, ClientRequest, Frame, Header, Hello, ListedNode, NamespaceNumber,
    Open, Operate, Part, Persist, Position, Reattach, Request, RequestId, Response, Restored,
    RestoredAt, SessionNumber, State, Welcome,
};
pub use kind::{Direction, FrameKind};
pub use machine::{
    Action, AppEnd, AppHello, AppNumberState, Batches, CannotNow, CannotResume, EndCause, EndEvent,
    Greeting, Keeps, Link, LinkConfig, LinkEvent, Misbehaved, Namespaces, NodeInfo, NodeTrunk,
    NodeTrunkConfig, NumberState, Numbers, RETAINED_BYTES_MAX, Received, Refused, Restore,
    ResumeInfo, Retained, SDK_BYTES_MAX, SERVER_ID_BYTES_MAX, Shares, Step, Unhandled, shard_of,
};
pub use text::Str;
pub use values::{
    Blame, BroadcastFlags, CloseCode, CloseReason, EioVersion, ErrorCode, Found, NodeState,
    Operation, Origin, RequestCode, SendFlags, StandingFlags, Transport,
};
pub use window::{LONG_WAIT as WINDOW_LONG_WAIT, WAIT as WINDOW_WAIT, Window};

/// The highest version of the protocol that this crate speaks.
pub const VERSION_MAX: u32 = 1;
/// The lowest version of the protocol that this crate speaks.
pub const VERSION_MIN: u32 = 1;
/// The longest token of a `Ping`, in bytes (section 2).
pub const TOKEN_BYTES_MAX: usize = 16;
/// The longest description of a `Close`, in bytes of UTF-8 (section 2).
pub const DESCRIPTION_BYTES_MAX: usize = 1024;
/// The longest head of a frame, in bytes: its type and its length.
pub const HEAD_BYTES_MAX: usize = 6;
