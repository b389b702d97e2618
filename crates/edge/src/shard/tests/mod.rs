//! Machine tests: clients and app servers as the shard sees them, in virtual time, without a runtime and without sockets.
//!
//! After every step the shard takes turns until nothing is left to do, and then what must always hold is checked
//! (`check.rs`).
#![allow(dead_code, reason = "the vocabulary is there before every word of it is used")]

mod app;
mod check;
mod client;
pub(crate) mod wire;
mod world;

mod backlog;
mod credit;
mod drain;
mod eviction;
mod handshake;
mod heartbeat;
mod orphans;
mod overlapping_polls;
mod random;
mod recovery;
mod rooms;
mod slow_clients;
mod upgrade;
mod volatile;
