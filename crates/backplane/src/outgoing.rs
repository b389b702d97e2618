//! Datagrams that wait to be given to NATS.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use trunkline_mesh::Destination;

use crate::figures::BusFigures;

/// The most datagrams that wait.
const DATAGRAMS_MAX: usize = 65_536;
/// The most bytes that wait: the windows of all Links together, and half as much for what they
/// repeat.
const BYTES_MAX: usize = 48 << 20;

#[derive(Debug, Default)]
struct Waiting {
    datagrams: VecDeque<(Destination, Bytes)>,
    bytes: usize,
    /// Whether NATS is reached. What is published meanwhile is dropped: it would arrive late, and
    /// the Links repeat it.
    open: bool,
    /// The numbers under which this node has inboxes.
    numbers: Vec<u16>,
}

/// The queue; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    waiting: Arc<Mutex<Waiting>>,
    changed: Arc<Notify>,
    figures: BusFigures,
}

/// What the sending task has to do next.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// All numbers of this node.
    pub(crate) numbers: Vec<u16>,
    /// Datagrams, in order.
    pub(crate) datagrams: VecDeque<(Destination, Bytes)>,
}

impl Outgoing {
    pub(crate) fn new(figures: BusFigures) -> Self {
        Self { waiting: Arc::default(), changed: Arc::default(), figures }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that could panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the queue while NATS is reached, and drops what waits when it no longer is.
    pub(crate) fn set_open(&self, open: bool) {
        let mut waiting = self.waiting();
        waiting.open = open;
        if !open {
            self.figures.numbers().dropped_sending.add(waiting.datagrams.len() as u64);
            waiting.datagrams.clear();
            waiting.bytes = 0;
        }
    }

    /// Adds an inbox. The order of the two calls matters: a datagram that is published after it
    /// may be answered there.
    pub(crate) fn add_number(&self, number: u16) {
        let mut waiting = self.waiting();
        if !waiting.numbers.contains(&number) {
            waiting.numbers.push(number);
            drop(waiting);
            self.changed.notify_one();
        }
    }

    /// Adds a datagram, or drops it when there is no room: the Link sends it again.
    pub(crate) fn put(&self, to: Destination, payload: Bytes) {
        let mut waiting = self.waiting();
        let fits =
            waiting.datagrams.len() < DATAGRAMS_MAX && waiting.bytes + payload.len() <= BYTES_MAX;
        if !waiting.open || !fits {
            self.figures.numbers().dropped_sending.add(1);
            return;
        }
        waiting.bytes += payload.len();
        waiting.datagrams.push_back((to, payload));
        drop(waiting);
        self.changed.notify_one();
    }

    /// Waits until something was added, and takes all of it.
    pub(crate) async fn next(&self) -> Work {
        self.changed.notified().await;
        self.take()
    }

    pub(crate) fn take(&self) -> Work {
        let mut waiting = self.waiting();
        waiting.bytes = 0;
        let datagrams = core::mem::take(&mut waiting.datagrams);
        Work { numbers: waiting.numbers.clone(), datagrams }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_for_a_bus_that_is_away_and_what_waits_is_bounded() {
        let figures = BusFigures::default();
        let outgoing = Outgoing::new(figures.clone());
        let large = Bytes::from(vec![0; BYTES_MAX / 2]);
        let put = || outgoing.put(Destination::Everybody, large.clone());
        put();
        assert_eq!(figures.dropped_sending(), 1);
        outgoing.set_open(true);
        for _ in 0..3 {
            put();
        }
        assert_eq!(figures.dropped_sending(), 2);
        assert_eq!(outgoing.take().datagrams.len(), 2);
        put();
        outgoing.set_open(false);
        assert_eq!(figures.dropped_sending(), 3);
        assert_eq!(outgoing.take().datagrams.len(), 0);
    }
}
