//! Answers on their way to clients that poll: what a client has not read yet is its session's, as its outbox is.
//!
//! An answer leaves the session at once, for a connection that may belong to another thread. Until the kernel has all
//! of it, its bytes count for the session, and the session's end may cut it off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline_engineio::CloseReason;

use super::Shard;
use super::command::SlotKey;
use super::ending::LINGER;
use crate::metrics::Metrics;
use crate::signal::Signal;

/// The answers of one session that have not left.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    bytes: AtomicUsize,
    cut: Signal,
}

impl Flights {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Breaks off whatever has not left.
    pub(crate) fn cut(&self) {
        self.cut.give();
    }
}

/// One answer that has not left; dropped when it has, or never will.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    metrics: Metrics,
    bytes: usize,
    /// Whose answer it is, and to which poll.
    pub(crate) key: SlotKey,
    pub(crate) poll: u32,
}

impl Flight {
    pub(super) fn new(
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

    /// What is held for the answer has become more or less.
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

    /// Waits until the answer is to be broken off.
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
    /// The session of these answers is over. Last words get the time to be read that a WebSocket's have, as long as
    /// there is memory.
    pub(super) fn part(&mut self, flights: Arc<Flights>, reason: CloseReason) {
        if flights.bytes() == 0 {
            // What is about to be written leaves at once, or is one of a few bytes.
            return;
        }
        if !has_last_words(reason) || self.memory_full {
            flights.cut();
            return;
        }
        self.parting.push_back((self.now + LINGER, flights));
    }

    pub(super) fn end_parting(&mut self) {
        while let Some((_, flights)) = self.parting.pop_front_if(|(until, _)| *until <= self.now) {
            flights.cut();
        }
    }
}

/// Whether what was sent before the end is meant to arrive.
fn has_last_words(reason: CloseReason) -> bool {
    match reason {
        CloseReason::AppServerLost
        | CloseReason::Forced
        | CloseReason::NodeShutdown
        | CloseReason::RecoveryUnproved
        | CloseReason::ServerShuttingDown => true,
        CloseReason::MemoryFull
        | CloseReason::OutboxFull
        | CloseReason::ParseError
        | CloseReason::PingTimeout
        | CloseReason::TooLarge
        | CloseReason::TransportClose
        | CloseReason::TransportError => false,
    }
}
