//! The state of one client's connection, and the counts that concern it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use super::Reply;
use super::held::HeldPoll;
use super::io::ClientIo;
use super::visitor::Visitor;
use crate::door::Door;
use crate::entrance::Claim;
use crate::entrance::StreamPermit;
use crate::metrics::{Cause, Outcome};
use crate::peer::{Endpoint, Peer};
use crate::shard::Flight;
use crate::unavailable::Unavailable;

/// One connection, shared by its requests.
pub(super) struct Connection {
    pub(super) door: Door,
    /// Who is at the other end of the stream.
    pub(super) from: Peer,
    /// The client of the present request, where a trusted proxy has named it.
    pub(super) visitor: Cell<Option<Box<Visitor>>>,
    /// Set after the first request: the wait for another may end without an answer.
    pub(super) used: Cell<bool>,
    /// Set while a request has arrived and its answer is not completely written.
    pub(super) under_way: Cell<bool>,
    /// The time at which the connection began, or its last answer ended.
    pub(super) idle_since: Cell<Instant>,
    /// Set when the last request was read to its end and hyper has the answer, and another request
    /// may follow. Only set when the connection waits for nothing else, because resting drops
    /// whatever hyper still works on.
    pub(super) answered: Cell<bool>,
    /// A poll that waits, which means that the connection may rest.
    pub(super) held: Cell<Option<Box<HeldPoll>>>,
    /// The answer to the poll with which the connection rested.
    pub(super) ready: Cell<Option<Box<Reply>>>,
    /// Set when the last answer was `101`: the stream no longer carries HTTP.
    pub(super) switched: Cell<bool>,
    /// Set on a connection beyond the limit: it opens no session and ends with its first answer,
    /// see [`StreamPermit`].
    pub(super) beyond_max: Option<Arc<Claim>>,
    /// The stream, for bytes that are sent together with the last answer. Empty when the stream is
    /// taken back from hyper.
    pub(super) io: Cell<Option<ClientIo>>,
    /// The answer to a poll, until the kernel has accepted all of it.
    pub(super) flight: Cell<Option<Flight>>,
    /// The stream's permit, which moves with the stream when it becomes a WebSocket.
    pub(super) permit: Cell<Option<StreamPermit>>,
}

impl Connection {
    pub(super) fn new(door: Door, from: Peer, permit: StreamPermit) -> Self {
        Self {
            door,
            from,
            visitor: Cell::new(None),
            used: Cell::new(false),
            under_way: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            answered: Cell::new(false),
            held: Cell::new(None),
            ready: Cell::new(None),
            switched: Cell::new(false),
            beyond_max: permit.beyond_max().cloned(),
            io: Cell::new(None),
            flight: Cell::new(None),
            permit: Cell::new(Some(permit)),
        }
    }

    /// The client of the present request; before the first one, that of the stream.
    pub(super) fn client(&self) -> Endpoint {
        self.visit().map_or_else(|| self.from.client(), |visitor| visitor.client)
    }

    /// Whether the client of the present request uses TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.visit().map_or(self.from.secure, |visitor| visitor.secure)
    }

    fn visit(&self) -> Option<Visitor> {
        let visitor = self.visitor.take();
        let copy = visitor.as_deref().copied();
        self.visitor.set(visitor);
        copy
    }

    /// Whether the connection only waits, for an answer or for a request.
    pub(super) fn can_rest(&self) -> bool {
        let held = self.held.take();
        let holds = held.is_some();
        self.held.set(held);
        holds || self.answered.get()
    }

    /// Notes that a request on this connection belongs to an existing session.
    pub(super) fn prove_by_session(&self) {
        if let Some(claim) = &self.beyond_max {
            claim.prove_by_session();
        }
    }

    /// The time by which the client has to send the rest of a head, or another request.
    pub(super) fn deadline(&self, io: &ClientIo) -> Option<Instant> {
        let limits = &self.door.env().limits;
        if self.under_way.get() {
            return None;
        }
        match io.head_begun() {
            Some(begun) => Some(begun + limits.header_timeout),
            // An answer that is still being written has its own deadline.
            None if !io.is_flushed() => None,
            None if self.used.get() => Some(self.idle_since.get() + limits.keep_alive_timeout),
            None => Some(self.idle_since.get() + limits.header_timeout),
        }
    }

    /// Notes that another request follows on the stream, unless the stream changes to another
    /// protocol.
    pub(super) fn handle_answered(&self, status: hyper::StatusCode) {
        if status == hyper::StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let io = self.io.take();
        if let Some(io) = &io {
            io.handle_answered();
        }
        self.io.set(io);
    }

    /// Counts that the stream itself is refused, before a request on it was complete; `cause` is a
    /// slug of the reason.
    pub(super) fn count_stream_refused(&self, cause: &'static str) {
        let refused = &self.door.env().metrics.streams_refused;
        refused.get_or_create(&Cause { cause }).inc();
        if matches!(cause, "header_timeout" | "header_too_large" | "malformed_request") {
            // Here it is only counted: the stream ends anyway.
            let _ = self.door.env().gate.fail(&self.door.rules(), self.client().ip);
        }
    }

    pub(super) fn count_handshake(&self, why: Unavailable) {
        let handshakes = &self.door.env().metrics.handshakes;
        handshakes.get_or_create(&Outcome { outcome: why.slug() }).inc();
    }

    /// Logs that the node is full, for its operator.
    pub(super) fn note_full(&self, why: Unavailable) {
        let full = matches!(
            why,
            Unavailable::MemoryFull | Unavailable::SessionsFull | Unavailable::StreamsFull
        );
        let pace = &self.door.env().directory.pace;
        if full && let Some(times) = pace.note(why.slug(), Instant::now()) {
            tracing::warn!(cause = why.slug(), times, "clients refused with 503: {why}");
        }
    }

    /// Counts that a request on the connection is refused; `cause` is a slug of the reason.
    pub(super) fn count_refused(&self, cause: &'static str) {
        let refused = &self.door.env().metrics.http_requests_refused;
        refused.get_or_create(&Cause { cause }).inc();
    }
}
