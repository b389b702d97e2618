//! One socket: where it is in its life, and what waits to be told of it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::SocketFacts;

/// Unique in a machine; a namespace entered anew is a new socket.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct SocketKey(pub(super) u64);

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) session: u32,
    pub(super) facts: Arc<SocketFacts>,
    pub(super) state: State,
    /// Events that wait for the one that is being told, oldest first: name and packet.
    pub(super) waiting: VecDeque<(Box<str>, String)>,
    /// An event, or the question whether the socket may be, is out and unanswered.
    pub(super) asked: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The handler was asked whether it may be; meanwhile the client may have gone, for a reason.
    Connecting {
        gone: Option<String>,
    },
    Connected,
    /// It has gone, for this reason; what its client sent before is still told.
    Left(String),
}

impl Socket {
    pub(super) fn new(session: u32, facts: Arc<SocketFacts>) -> Self {
        Self {
            session,
            facts,
            state: State::Connecting { gone: None },
            waiting: VecDeque::new(),
            asked: true,
        }
    }
}

/// What one waiting event counts for.
pub(super) fn cost(name: &str, packet: &str) -> usize {
    name.len() + packet.len()
}
