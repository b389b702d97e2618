//! What stays of a poll while it waits.

use std::sync::Arc;

use hyper::Request;
use trunkline_trunk::Header;

use super::guard::Guard;
use crate::hub::Hub;
use crate::reply::Awaited;
use crate::shard::Answer;
use crate::sid::Sid;

/// What an app server adds to the answer to a request of one of its sessions.
pub(super) type Added = Option<Box<[Header]>>;

/// A poll that waits: small, and nothing of hyper's in it.
#[derive(Debug)]
pub(super) struct HeldPoll {
    pub(super) hub: Arc<Hub>,
    pub(super) sid: Sid,
    pub(super) request: Request<()>,
    pub(super) answer: Awaited<Answer>,
    pub(super) guard: Guard,
    pub(super) added: Added,
}
