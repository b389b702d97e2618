//! What the hub knows of one client beside its groups.

use std::collections::VecDeque;

use trunkline_switchboard::ServerKey;
use trunkline_trunk::SessionNumber;

use crate::group::Group;

/// Unique in the hub for its life. The number of a session is used again while the last words of an earlier one are
/// still on their way to the app server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ClientKey(pub(crate) u64);

/// One client, from its handshake until its app server has been told of its end.
#[derive(Debug)]
pub(crate) struct Client {
    /// Meaningless once the client has ended.
    pub(crate) session: SessionNumber,
    pub(crate) id: Box<str>,
    pub(crate) user: Option<Box<str>>,
    pub(crate) server: ServerKey,
    pub(crate) phase: Phase,
    /// Messages that the app server has not answered yet.
    pub(crate) outstanding: usize,
    /// What waits until those are answered, and what came behind it.
    pub(crate) held: VecDeque<Word>,
    /// It is in its app server's list of those that wait for a tunnel.
    pub(crate) waiting: bool,
    /// It is in the list of those that are to be closed.
    pub(crate) orphaned: bool,
    /// What the client sent in the batch at hand.
    pub(crate) batch: String,
    /// What that costs of the inner trunk's credit.
    pub(crate) batch_cost: u64,
    /// Events so far, for their ids.
    pub(crate) events: u64,
    /// The acknowledgement of an invocation whose attachments are still to come.
    pub(crate) catching: Option<Catching>,
}

/// Where a client stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The app server has not answered its connect event.
    Opening {
        origin: Option<String>,
        groups: Vec<Group>,
    },
    Open,
    /// Its session is gone; its app server may not know yet.
    Ended,
}

/// Something for the app server.
#[derive(Debug)]
pub(crate) enum Word {
    /// A payload, which must not overtake the answers before it when it is the end of a socket.
    Message {
        payload: String,
        cost: u64,
        waits: bool,
    },
    Disconnected {
        reason: &'static str,
    },
}

impl Word {
    /// Whether it must find nothing unanswered before it: the app's side would let it overtake the last message.
    pub(crate) const fn waits(&self) -> bool {
        matches!(self, Self::Disconnected { .. } | Self::Message { waits: true, .. })
    }
}

/// An acknowledgement in parts.
#[derive(Debug)]
pub(crate) struct Catching {
    pub(crate) id: u64,
    pub(crate) missing: u32,
    pub(crate) payload: String,
}

impl Client {
    pub(crate) fn new(
        session: SessionNumber,
        id: &str,
        user: Option<&str>,
        server: ServerKey,
        phase: Phase,
    ) -> Self {
        Self {
            session,
            id: id.into(),
            user: user.map(Into::into),
            server,
            phase,
            outstanding: 0,
            held: VecDeque::new(),
            waiting: false,
            orphaned: false,
            batch: String::new(),
            batch_cost: 0,
            events: 0,
            catching: None,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }
}
