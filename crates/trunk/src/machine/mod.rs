//! Both ends of a trunk, without streams and clocks.

mod app_end;
mod link;
mod misbehaved;
mod namespaces;
mod node_trunk;
mod number;
mod requests;
mod retained;

pub use app_end::AppEnd;
pub use link::{AppHello, EndCause, Link, LinkConfig, LinkEvent};
pub use misbehaved::{CannotNow, Misbehaved};
pub use namespaces::Namespaces;
pub use node_trunk::{
    Batches, Greeting, NodeInfo, NodeTrunk, NodeTrunkConfig, Refused, Restore, ResumeInfo,
    SDK_BYTES_MAX, SERVER_ID_BYTES_MAX, Shares, Step, shard_of,
};
pub use number::{Action, AppNumberState, NumberState, Numbers};
pub use retained::{CannotResume, Keeps, RETAINED_BYTES_MAX, Received, Retained, Unhandled};

use crate::frame::Frame;

/// An event on a whole trunk: see [`AppEnd`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndEvent {
    /// A frame that takes effect. Frames that must be ignored are filtered out before.
    Frame(Frame),
    /// An event of the link.
    Link(LinkEvent),
}
