//! One socket: its stage of life, and the events that wait to be sent.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::SocketFacts;

/// A key that is unique in a machine; a namespace that is joined again is a new socket.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct SocketKey(pub(super) u64);

/// One socket of a client.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) session: u32,
    pub(super) facts: Arc<SocketFacts>,
    pub(super) state: State,
    /// Events that wait for the event under way, oldest first: name and packet.
    pub(super) waiting: VecDeque<(Box<str>, String)>,
    /// Whether an event, or the question whether the socket is accepted, is unanswered.
    pub(super) asked: bool,
}

/// The stage of a socket's life.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The handler was asked whether it accepts the socket; meanwhile the client may have gone, for
    /// a reason.
    Connecting {
        gone: Option<String>,
    },
    Connected,
    /// The client has gone, for this reason; the events that it sent before are still sent.
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

/// The cost of one waiting event in bytes.
pub(super) fn cost(name: &str, packet: &str) -> usize {
    name.len() + packet.len()
}
