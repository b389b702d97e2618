//! The batches that an app server had not handled when its trunk ended.

use bytes::Bytes;

/// What a dead trunk's app server had not handled: whole batches in the order in which they were
/// sent.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "sessions that wait for another app server will need them")]
pub(crate) struct Remains {
    /// The app server may have handled these, in part or without a chance to say so.
    pub(crate) doubtful: Vec<Bytes>,
    /// The app server has certainly not begun these. They come after all of `doubtful`.
    pub(crate) unbegun: Vec<Bytes>,
}
