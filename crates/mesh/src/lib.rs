//! The mesh of nodes, pure: beats, membership, numbers, and reliable links over a bus that may lose,
//! repeat, reorder and delay what it carries.
//!
//! The protocol itself is described in `spec/mesh.md`; section numbers in these docs refer to that
//! page.
//!
//! * [`Mesh`] is one node's view of its cluster. Every node decides for itself who is there; no two
//!   views need to agree.
//! * [`Frame`] is what nodes send one another. Each pair of nodes has one link with two lanes; the
//!   frames of a lane arrive once and in order, or the link ends at both nodes
//!   ([`Event::LinkEnded`]) and everything that depended on it fails at once.
//! * [`Bus`] is what a mesh needs of the world outside.
//!
//! Contract for callers of [`Mesh`]:
//!
//! 1. Feed input with `handle_*` (from the bus or the clock) or a command (`send`, `set_*`).
//! 2. Then call `poll_event` and `poll_transmit` until both return `None`.
//! 3. Then sleep until `poll_deadline`. `poll_transmit` packs all frames sent since its last call
//!    into as few datagrams as possible: call it once per turn, not once per frame.
//!
//! No clock, socket, thread or random source is reachable from this crate.
#![no_std]
extern crate alloc;

mod beat;
mod bus;
mod datagram;
mod frame;
mod identity;
mod key;
mod link;
mod machine;
mod random;
mod wire;

pub use trunkline_clock::Timestamp;
pub use trunkline_trunk::{Header, Position, Rule, Str};

pub use beat::{Beat, BeatError};
pub use bus::{Bus, BusEvent, Destination, Lane, Transmit};
pub use datagram::{Data, Datagram, DatagramError, EndCode};
pub use frame::{
    Answer, AnswerPayload, Direction, Found, Frame, FrameError, FrameKind, Inspected, PayloadType,
    PostBegun, Refused, RequestId, Sid,
};
pub use identity::{Config, Identity, Load, Member, NodeState, PeerKey, Presence};
pub use key::{ClusterKey, Forged, Keys};
pub use link::LinkEnd;
pub use machine::{DeathCause, Event, Mesh, NotNow, Owner, Reach, Stats, Stranger};

/// The highest version of the protocol that this crate speaks.
pub const VERSION_MAX: u8 = 1;
/// The lowest version of the protocol that this crate speaks.
pub const VERSION_MIN: u8 = 1;
