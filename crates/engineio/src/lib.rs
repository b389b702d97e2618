//! Engine.IO 4 and 3, pure: packets, payloads, the session state machine.
//!
//! [`Session`] is one client's session, on either transport. [`Outgoing`] is one message for many
//! sessions, encoded at most once per flavour; [`Burst`] is several of them. [`error`] has the answers to refused handshakes. The
//! behaviour is that of npm `engine.io` 6.6; where it differs, a comment at that place says so.
//!
//! No clock, socket, thread or random source is reachable from this crate.
#![no_std]
extern crate alloc;

mod burst;
mod close;
mod config;
mod deflate;
pub mod error;
mod json;
mod lenient_base64;
mod outgoing;
mod packet;
mod payload;
mod protocol;
mod session;

pub use trunkline_clock::Timestamp;

pub use burst::Burst;
pub use close::{Blame, CloseReason, Event};
pub use config::Config;
pub use deflate::{AgreedDeflate, Deflate};
pub use error::{HandshakeError, PeerMisbehaved, ProbeRefused};
pub use outgoing::Outgoing;
pub use protocol::{Body, Protocol, TransportKind};
pub use session::{
    BadSnapshot, ContentType, Delivery, ForeignProbe, Idle, PollKey, Post, Probed, Sent, Session,
    Snapshot, Transmit,
};
