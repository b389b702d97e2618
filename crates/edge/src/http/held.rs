//! The parts of a poll that are kept while it waits.

use std::sync::Arc;

use trunkline_trunk::Header;

use super::compact::CompactHead;
use super::guard::PollGuard;
use crate::hub::Hub;
use crate::reply::Awaited;
use crate::shard::Answer;

/// Headers that an app server adds to the answer to a request of one of its sessions.
pub(super) type Added = Option<Box<[Header]>>;

/// A poll that waits. Small, and free of hyper's types.
#[derive(Debug)]
pub(super) struct HeldPoll {
    pub(super) hub: Arc<Hub>,
    pub(super) head: CompactHead,
    pub(super) answer: Awaited<Answer>,
    pub(super) guard: PollGuard,
    pub(super) added: Added,
}
