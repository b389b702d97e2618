//! What stays of a poll while it waits.

use std::sync::Arc;

use trunkline_trunk::Header;

use super::compact::CompactHead;
use super::guard::PollGuard;
use crate::hub::Hub;
use crate::reply::Awaited;
use crate::shard::Answer;

/// What an app server adds to the answer to a request of one of its sessions.
pub(super) type Added = Option<Box<[Header]>>;

/// A poll that waits: small, and nothing of hyper's in it.
#[derive(Debug)]
pub(super) struct HeldPoll {
    pub(super) hub: Arc<Hub>,
    pub(super) head: CompactHead,
    pub(super) answer: Awaited<Answer>,
    pub(super) guard: PollGuard,
    pub(super) added: Added,
}
