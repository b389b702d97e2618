//! What a bus counts.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a bus has done since it was opened. Clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct BusFigures(Arc<Numbers>);

/// The numbers themselves.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) connected: Figure,
    pub(crate) cut_off: Figure,
    pub(crate) sent: Figure,
    pub(crate) sent_bytes: Figure,
    pub(crate) received: Figure,
    pub(crate) received_bytes: Figure,
    pub(crate) dropped_sending: Figure,
    pub(crate) dropped_receiving: Figure,
}

impl BusFigures {
    pub(crate) fn numbers(&self) -> &Numbers {
        &self.0
    }

    /// How often the bus was reached, the first time included.
    pub fn connected(&self) -> u64 {
        self.0.connected.get()
    }

    /// Connections that ended after this node had not kept up with them.
    pub fn cut_off(&self) -> u64 {
        self.0.cut_off.get()
    }

    /// Datagrams that were given to the bus, and their bytes.
    pub fn sent(&self) -> (u64, u64) {
        (self.0.sent.get(), self.0.sent_bytes.get())
    }

    /// Datagrams that came from the bus, and their bytes.
    pub fn received(&self) -> (u64, u64) {
        (self.0.received.get(), self.0.received_bytes.get())
    }

    /// Datagrams that were not sent: the bus was away, or the queue was full.
    pub fn dropped_sending(&self) -> u64 {
        self.0.dropped_sending.get()
    }

    /// Datagrams that came and were dropped, because this node did not take them fast enough.
    pub fn dropped_receiving(&self) -> u64 {
        self.0.dropped_receiving.get()
    }
}
