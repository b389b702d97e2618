//! What is known of one client's connection, and what is counted of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Reply;
use super::held::HeldPoll;
use super::io::ClientIo;
use crate::door::Door;
use crate::metrics::{Cause, Outcome};
use crate::permits::StreamPermit;
use crate::reserve::Claim;
use crate::shard::Flight;
use crate::unavailable::Unavailable;

/// One connection, for the requests that come over it.
pub(super) struct Connection {
    pub(super) door: Door,
    pub(super) address: SocketAddr,
    /// A request has come over it: the wait for another may end without a word.
    pub(super) used: Cell<bool>,
    /// A request has come and its answer is not written out.
    pub(super) under_way: Cell<bool>,
    /// When the connection began, or its last answer ended.
    pub(super) idle_since: Cell<Instant>,
    /// Its last request was read to the end and hyper has the answer; there may be another. Set when nothing more is
    /// awaited: a connection that rests takes what hyper still works at with it.
    pub(super) answered: Cell<bool>,
    /// A poll that waits: the connection may rest.
    pub(super) held: Cell<Option<Box<HeldPoll>>>,
    /// The answer to the poll that it rested with.
    pub(super) ready: Cell<Option<Box<Reply>>>,
    /// Its last answer was `101`: the stream is not HTTP's any more.
    pub(super) switched: Cell<bool>,
    /// It is one too many: it opens no session and ends with its first answer, see [`StreamPermit`].
    pub(super) beyond_max: Option<Arc<Claim>>,
    /// For what leaves together with the last answer; nobody may hold it when the stream is taken back.
    pub(super) io: Cell<Option<ClientIo>>,
    /// Its answer to a poll, until all of it has left.
    pub(super) flight: Cell<Option<Flight>>,
    /// Leaves with the stream when it becomes a WebSocket.
    pub(super) permit: Cell<Option<StreamPermit>>,
}

impl Connection {
    pub(super) fn new(door: Door, address: SocketAddr, permit: StreamPermit) -> Self {
        Self {
            door,
            address,
            used: Cell::new(false),
            under_way: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            answered: Cell::new(false),
            held: Cell::new(None),
            ready: Cell::new(None),
            switched: Cell::new(false),
            beyond_max: permit.beyond_max.clone(),
            io: Cell::new(None),
            flight: Cell::new(None),
            permit: Cell::new(Some(permit)),
        }
    }

    /// Nothing is to be done but to wait, for an answer or for a request.
    pub(super) fn can_rest(&self) -> bool {
        let held = self.held.take();
        let holds = held.is_some();
        self.held.set(held);
        holds || self.answered.get()
    }

    /// A request over it is of a session that is there.
    pub(super) fn prove_by_session(&self) {
        if let Some(claim) = &self.beyond_max {
            claim.prove_by_session();
        }
    }

    /// Until when the client has to send the rest of a head, or another request.
    pub(super) fn deadline(&self, io: &ClientIo) -> Option<Instant> {
        let limits = &self.door.env().limits;
        if self.under_way.get() {
            return None;
        }
        match io.head_begun() {
            Some(begun) => Some(begun + limits.header_timeout),
            // What is still being written has its own deadline.
            None if !io.is_flushed() => None,
            None if self.used.get() => Some(self.idle_since.get() + limits.keep_alive_timeout),
            None => Some(self.idle_since.get() + limits.header_timeout),
        }
    }

    /// What comes next on the stream is another request, unless it speaks another protocol from now on.
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

    /// The stream itself is refused, in the middle of what it said; `cause` is a slug of why.
    pub(super) fn count_stream_refused(&self, cause: &'static str) {
        let refused = &self.door.env().metrics.streams_refused;
        refused.get_or_create(&Cause { cause }).inc();
    }

    pub(super) fn count_handshake(&self, why: Unavailable) {
        let handshakes = &self.door.env().metrics.handshakes;
        handshakes.get_or_create(&Outcome { outcome: why.slug() }).inc();
    }

    /// The node is full: who operates it should know.
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

    /// A request over it is refused; `cause` is a slug of why.
    pub(super) fn count_refused(&self, cause: &'static str) {
        let refused = &self.door.env().metrics.http_requests_refused;
        refused.get_or_create(&Cause { cause }).inc();
    }
}
