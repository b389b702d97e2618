//! Strangers, pure: who they are, what is counted for each, who may come in, and how fast.
//!
//! * [`Rate`] and [`Bucket`]: a rate that may be exceeded for a moment.
//! * [`Address`]: an IP address as limits see it. [`Prefixes`]: a set of addresses, from a line of
//!   the configuration or from a file with a million of them.
//! * [`Guests`]: a bounded table of addresses with their streams, sessions, handshakes and failed
//!   requests.
//! * [`Talkers`]: who sends most, in bounded memory.
//! * [`Pace`]: how many newcomers may wait for one app server at once.
//! * [`Origins`]: the web pages that may connect.
//! * [`proxy_header`] and [`forwarded`]: the client that a trusted proxy names.
//!
//! No more of any protocol is known here. No clock, socket, thread or random source is reachable from this
//! crate: each call gets the time from its caller.
#![no_std]
extern crate alloc;

mod address;
pub mod forwarded;
mod guests;
mod lists;
mod origins;
mod pace;
pub mod proxy_header;
mod rate;
mod talkers;

pub use trunkline_clock::Timestamp;

pub use address::{Address, is_private};
pub use guests::{Banned, Counts, Failed, Guests, Limits, StreamRefused};
pub use lists::{LINE_MISTAKES_MAX, LineMistake, Prefix, PrefixError, Prefixes};
pub use origins::{OriginError, OriginPattern, Origins};
pub use pace::{Pace, WAIT as PACE_WAIT};
pub use rate::{Bucket, Rate};
pub use talkers::{Count as TalkerCount, Talkers};
