//! Machine tests: clients and app servers as the shard sees them, in virtual time, without a
//! runtime and without sockets.
//!
//! After every step the shard takes turns until nothing is left to do. Then the invariants are
//! checked (`check.rs`).
#![allow(dead_code, reason = "the vocabulary is there before every word of it is used")]

mod app;
mod check;
mod client;
#[cfg(test)]
mod cluster;
pub(crate) mod journeys;
pub(crate) mod random;
pub(crate) mod wire;
mod world;

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod backlog;
#[cfg(test)]
mod bursts;
#[cfg(test)]
mod compression;
#[cfg(test)]
mod credit;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod eviction;
#[cfg(test)]
mod fair_turns;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod heartbeat;
#[cfg(test)]
mod homes;
#[cfg(test)]
mod hub_limits;
#[cfg(test)]
mod inflating;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod meters;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod newcomers;
#[cfg(test)]
mod orphans;
#[cfg(test)]
mod overlapping_polls;
#[cfg(test)]
mod own_ids;
#[cfg(test)]
mod protocol_3;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod relays;
#[cfg(test)]
mod resting;
#[cfg(test)]
mod revoking;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod slow_clients;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod volatile;
#[cfg(test)]
mod whole_posts;
