//! The hub's state for one client, without its groups.

use std::collections::VecDeque;

use trunkline_switchboard::ServerKey;
use trunkline_trunk::SessionNumber;

use crate::group::Group;

/// A key that is unique in the hub for its whole life. A session's number is used again while final
/// messages of an earlier session are still on their way to the app server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ClientKey(pub(crate) u64);

/// One client, from its handshake until its app server knows of its end.
#[derive(Debug)]
pub(crate) struct Client {
    /// The number of the session; meaningless once the client has ended.
    pub(crate) session: SessionNumber,
    pub(crate) id: Box<str>,
    pub(crate) user: Option<Box<str>>,
    pub(crate) server: ServerKey,
    pub(crate) phase: Phase,
    /// Messages that the app server has not answered yet.
    pub(crate) outstanding: usize,
    /// What waits until those are answered, and everything after it, in order.
    pub(crate) held: VecDeque<Word>,
    /// Whether the client is in its app server's list of clients that wait for a tunnel.
    pub(crate) waiting: bool,
    /// Whether the client is in the list of clients to be closed.
    pub(crate) orphaned: bool,
    /// The client's messages from the present batch.
    pub(crate) batch: String,
    /// The cost of those messages in the inner trunk's credit.
    pub(crate) batch_cost: u64,
    /// The number of events so far, for their ids.
    pub(crate) events: u64,
    /// An acknowledgement of an invocation whose attachments have not arrived yet.
    pub(crate) catching: Option<Catching>,
}

/// The stage of a client's life.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The app server has not answered its connect event.
    Opening {
        origin: Option<String>,
        groups: Vec<Group>,
    },
    Open,
    /// The session has ended; the app server may not know yet.
    Ended,
}

/// Something for the app server.
#[derive(Debug)]
pub(crate) enum Word {
    /// A payload. If it is the end of a socket, it must not overtake the answers before it.
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
    /// Whether it must wait until everything before it is answered: otherwise the app's side would
    /// let it overtake the last message.
    pub(crate) const fn waits(&self) -> bool {
        matches!(self, Self::Disconnected { .. } | Self::Message { waits: true, .. })
    }
}

/// An acknowledgement of which only a part has arrived.
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
