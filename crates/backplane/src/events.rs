//! What comes in from a bus, until the mesh takes it.

use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkline_mesh::BusEvent;

use crate::figures::BusFigures;

/// The most events that wait.
pub(crate) const EVENTS_MAX: usize = 65_536;
/// The most bytes of datagrams that wait: twice what honest peers may have under way to a node.
pub(crate) const BYTES_MAX: usize = 64 << 20;
/// Changes of the connection that wait in addition; the oldest event goes first.
const CHANGES_MAX: usize = 256;

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<BusEvent>,
    bytes: usize,
    /// Whether [`BusEvent::Overflowed`] waits.
    overflowed: bool,
    waker: Option<Waker>,
}

/// The side that puts events in.
#[derive(Clone, Debug)]
pub(crate) struct EventSender {
    waiting: Arc<Mutex<Waiting>>,
    figures: BusFigures,
}

/// The events of a bus, in order. Holds at most 65,536 of them and 64 MiB of datagrams; beyond
/// that, datagrams are dropped.
#[derive(Debug)]
pub struct Events(EventSender);

/// A queue, both ends.
pub(crate) fn queue(figures: BusFigures) -> (EventSender, Events) {
    let sender = EventSender { waiting: Arc::default(), figures };
    (sender.clone(), Events(sender))
}

fn bytes_of(event: &BusEvent) -> usize {
    match event {
        BusEvent::Datagram { payload, .. } => payload.len(),
        BusEvent::Unreachable { .. }
        | BusEvent::Connected { .. }
        | BusEvent::Disconnected { .. }
        | BusEvent::Overflowed => 0,
    }
}

impl EventSender {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that could panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, or drops it when it is a datagram and the queue is full.
    pub(crate) fn put(&self, event: BusEvent) {
        let bytes = bytes_of(&event);
        let mut waiting = self.waiting();
        let full = waiting.events.len() >= EVENTS_MAX || waiting.bytes + bytes > BYTES_MAX;
        match event {
            BusEvent::Datagram { .. } | BusEvent::Unreachable { .. } if full => {
                self.figures.numbers().dropped_receiving.add(1);
                waiting.overflow();
            }
            BusEvent::Overflowed => waiting.overflow(),
            event @ (BusEvent::Datagram { .. }
            | BusEvent::Unreachable { .. }
            | BusEvent::Connected { .. }
            | BusEvent::Disconnected { .. }) => {
                if waiting.events.len() >= EVENTS_MAX + CHANGES_MAX {
                    waiting.take();
                }
                waiting.bytes += bytes;
                waiting.events.push_back(event);
            }
        }
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Waiting {
    fn overflow(&mut self) {
        if !self.overflowed {
            self.overflowed = true;
            self.events.push_back(BusEvent::Overflowed);
        }
    }

    fn take(&mut self) -> Option<BusEvent> {
        let event = self.events.pop_front()?;
        self.bytes -= bytes_of(&event);
        self.overflowed &= event != BusEvent::Overflowed;
        Some(event)
    }
}

impl Events {
    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<BusEvent> {
        self.0.waiting().take()
    }

    /// The next event; a pending task is woken when one comes.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<BusEvent> {
        let mut waiting = self.0.waiting();
        match waiting.take() {
            Some(event) => Poll::Ready(event),
            None => {
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for the next event. A cancelled wait loses nothing.
    pub async fn next(&mut self) -> BusEvent {
        core::future::poll_fn(|context| self.poll_next(context)).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn datagram(payload: Bytes) -> BusEvent {
        BusEvent::Datagram { lane: None, payload }
    }

    #[test]
    fn a_full_queue_drops_datagrams_and_says_so_once() {
        let figures = BusFigures::default();
        let (sender, mut events) = queue(figures.clone());
        let large = Bytes::from(vec![0; BYTES_MAX / 2]);
        for _ in 0..5 {
            sender.put(datagram(large.clone()));
        }
        sender.put(BusEvent::Disconnected { cause: "it went".into() });
        assert_eq!(figures.dropped_receiving(), 3);
        assert_eq!(events.try_next(), Some(datagram(large.clone())));
        assert_eq!(events.try_next(), Some(datagram(large.clone())));
        assert_eq!(events.try_next(), Some(BusEvent::Overflowed));
        assert_eq!(events.try_next(), Some(BusEvent::Disconnected { cause: "it went".into() }));
        assert_eq!(events.try_next(), None);
        // There is room again, and the next overflow is reported again.
        for _ in 0..3 {
            sender.put(datagram(large.clone()));
        }
        assert_eq!(figures.dropped_receiving(), 4);
        let kinds = core::iter::from_fn(|| events.try_next());
        assert_eq!(kinds.filter(|event| *event == BusEvent::Overflowed).count(), 1);
    }

    #[test]
    fn datagrams_without_bytes_are_bounded_too() {
        let figures = BusFigures::default();
        let (sender, mut events) = queue(figures.clone());
        for _ in 0..EVENTS_MAX + 10 {
            sender.put(datagram(Bytes::new()));
        }
        assert_eq!(figures.dropped_receiving(), 10);
        let taken = core::iter::from_fn(|| events.try_next()).count();
        assert_eq!(taken, EVENTS_MAX + 1);
    }

    #[test]
    fn a_connection_that_comes_and_goes_while_nobody_looks_stays_bounded() {
        let (sender, mut events) = queue(BusFigures::default());
        for _ in 0..EVENTS_MAX * 2 {
            sender.put(BusEvent::Connected { payload_max: 1 });
            sender.put(BusEvent::Disconnected { cause: String::new() });
        }
        let all: Vec<_> = core::iter::from_fn(|| events.try_next()).collect();
        assert_eq!(all.len(), EVENTS_MAX + CHANGES_MAX);
        assert_eq!(all.last(), Some(&BusEvent::Disconnected { cause: String::new() }));
    }
}
