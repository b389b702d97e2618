//! Answers to what was asked of a shard: the shard gives one, whoever asked waits for it.
//!
//! A reply that is dropped without an answer tells the one who waits just that, and one that nobody waits for any more
//! says so: no side can leave the other hanging.

pub(crate) use tokio::sync::oneshot::error::TryRecvError;
pub(crate) use tokio::sync::oneshot::{Receiver as Awaited, Sender as Reply, channel as pair};
