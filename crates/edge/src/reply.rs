//! Answers to questions to a shard: the shard gives one, the asking task waits for it.
//!
//! If a reply is dropped without an answer, the waiting task notices; if no task waits for it any
//! more, the shard can see that. So neither side can leave the other hanging.

pub(crate) use tokio::sync::oneshot::error::TryRecvError;
pub(crate) use tokio::sync::oneshot::{Receiver as Awaited, Sender as Reply, channel as pair};
