//! Answers on their way to polling clients: data that a client has not read yet belongs to its
//! session, as its outbox does.
//!
//! An answer leaves the session at once, for a connection that may belong to another thread. Until
//! the kernel has accepted all of it, its bytes count for the session, and the end of the session
//! may cut it off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline_engineio::CloseReason;

use super::Shard;
use super::command::SlotKey;
use super::ending::LINGER;
use crate::metrics::Metrics;
use crate::signal::Signal;

/// The unsent answers of one session.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    bytes: AtomicUsize,
    cut: Signal,
}

impl Flights {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Cuts off all unsent answers.
    pub(crate) fn cut(&self) {
        self.cut.give();
    }
}

/// One unsent answer; dropped when it is sent, or can no longer be sent.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    metrics: Metrics,
    bytes: usize,
    /// The session of the answer, and the poll.
    pub(crate) key: SlotKey,
    pub(crate) poll: u32,
}

impl Flight {
    pub(crate) fn new(
        flights: &Arc<Flights>,
        metrics: &Metrics,
        bytes: usize,
        (key, poll): (SlotKey, u32),
    ) -> Self {
        let mut flight =
            Self { flights: Arc::clone(flights), metrics: metrics.clone(), bytes: 0, key, poll };
        flight.weighs(bytes);
        flight
    }

    /// Notes that the bytes held for the answer have changed.
    pub(crate) fn weighs(&mut self, bytes: usize) {
        let gauge = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.flights.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.flights.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.metrics.answers_unread.inc_by(gauge(bytes) - gauge(self.bytes));
        self.bytes = bytes;
    }

    #[cfg(test)]
    pub(super) fn is_cut(&self) -> bool {
        self.flights.cut.is_given()
    }

    /// Waits until the answer must be cut off.
    pub(crate) async fn cut(&self) {
        self.flights.cut.given().await;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.weighs(0);
    }
}

impl Shard {
    /// Ends the session's claim on its answers. Final messages get as much time to be read as those
    /// of a WebSocket, as long as there is memory.
    pub(super) fn part(&mut self, flights: Arc<Flights>, reason: CloseReason) {
        if flights.bytes() == 0 {
            // A response that is about to be written leaves at once, or has only a few bytes.
            return;
        }
        if !has_last_words(reason) || self.memory_full {
            flights.cut();
            return;
        }
        self.parting.push_back((self.now + LINGER, flights));
    }

    /// Gives up unread answers of ended sessions whose time is over.
    pub(super) fn end_parting(&mut self) {
        while let Some((_, flights)) = self.parting.pop_front_if(|(until, _)| *until <= self.now) {
            flights.cut();
        }
    }
}

/// Whether messages sent before the end should still arrive.
fn has_last_words(reason: CloseReason) -> bool {
    match reason {
        CloseReason::AddressDenied
        | CloseReason::AppServerLost
        | CloseReason::AppServerLostInDoubt
        | CloseReason::Forced
        | CloseReason::HubRemoved
        | CloseReason::KeyRemoved
        | CloseReason::MoveFailed
        | CloseReason::NamespacesFull
        | CloseReason::NodeShutdown
        | CloseReason::RecoveryUnproved
        | CloseReason::RehomeRefused
        | CloseReason::RoomsFull
        | CloseReason::ServerShuttingDown
        | CloseReason::TokenExpired
        | CloseReason::TokenRevoked
        | CloseReason::UserSessionsFull => true,
        CloseReason::Flooded
        | CloseReason::MemoryFull
        | CloseReason::OutboxFull
        | CloseReason::ParseError
        | CloseReason::PingTimeout
        | CloseReason::TooLarge
        | CloseReason::TransportClose
        | CloseReason::TransportError => false,
    }
}
