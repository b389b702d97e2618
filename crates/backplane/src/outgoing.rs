//! Datagrams that wait to be given to NATS.

use core::fmt;
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

/// Gives a datagram to the connection without waiting.
pub(crate) trait Direct: Send {
    /// False: the connection takes nothing now.
    fn try_give(&mut self, to: &Destination, payload: &Bytes) -> bool;
}

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<(Destination, Bytes)>,
    bytes: usize,
    /// Whether NATS is reached. What is published meanwhile is dropped: it would arrive late, and
    /// the Links repeat it.
    open: bool,
    /// The numbers under which this node has inboxes.
    numbers: Vec<u16>,
    /// The way past the sending task, which is taken while that task has nothing to do: a datagram
    /// that need not wait costs no turn of the task.
    direct: Option<Box<dyn Direct>>,
    /// Whether anything was added since the sending task last looked.
    is_changed: bool,
    /// Whether the sending task has nothing to do.
    is_at_rest: bool,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("datagrams", &self.datagrams.len()).finish_non_exhaustive()
    }
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
            self.wake(waiting);
        }
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.is_changed = true;
        waiting.is_at_rest = false;
        drop(waiting);
        self.changed.notify_one();
    }

    /// Sets the way past the sending task.
    pub(crate) fn set_direct(&self, direct: Option<Box<dyn Direct>>) {
        let mut waiting = self.waiting();
        waiting.direct = direct;
        waiting.is_at_rest = false;
    }

    /// Adds a datagram, or drops it when there is no room: the Link sends it again.
    pub(crate) fn put(&self, to: Destination, payload: Bytes) {
        let mut waiting = self.waiting();
        if waiting.open
            && waiting.is_at_rest
            && waiting.direct.as_mut().is_some_and(|direct| direct.try_give(&to, &payload))
        {
            return;
        }
        let fits =
            waiting.datagrams.len() < DATAGRAMS_MAX && waiting.bytes + payload.len() <= BYTES_MAX;
        if !waiting.open || !fits {
            self.figures.numbers().dropped_sending.add(1);
            return;
        }
        waiting.bytes += payload.len();
        waiting.datagrams.push_back((to, payload));
        self.wake(waiting);
    }

    /// Waits until something was added, and takes all of it.
    pub(crate) async fn next(&self) -> Work {
        {
            let mut waiting = self.waiting();
            waiting.is_at_rest = !waiting.is_changed;
        }
        self.changed.notified().await;
        self.take()
    }

    pub(crate) fn take(&self) -> Work {
        let mut waiting = self.waiting();
        waiting.bytes = 0;
        waiting.is_changed = false;
        waiting.is_at_rest = false;
        let datagrams = core::mem::take(&mut waiting.datagrams);
        Work { numbers: waiting.numbers.clone(), datagrams }
    }
}

#[cfg(test)]
mod tests {
    use core::future::Future as _;
    use core::task::Poll;

    use super::*;

    /// A connection that takes so many datagrams.
    struct Takes(usize, Arc<Mutex<Vec<Bytes>>>);

    impl Direct for Takes {
        fn try_give(&mut self, _: &Destination, payload: &Bytes) -> bool {
            let mut taken = self.1.lock().expect("no test fails under the lock");
            let takes = taken.len() < self.0;
            if takes {
                taken.push(payload.clone());
            }
            takes
        }
    }

    #[tokio::test]
    async fn datagrams_go_past_a_task_that_is_at_rest_and_never_past_others() {
        let outgoing = Outgoing::new(BusFigures::default());
        outgoing.set_open(true);
        let taken = Arc::default();
        outgoing.set_direct(Some(Box::new(Takes(2, Arc::clone(&taken)))));
        let put = |text: &'static str| outgoing.put(Destination::Everybody, Bytes::from(text));
        let taken = || taken.lock().expect("no test fails under the lock").join(&b' ');
        put("a");
        assert_eq!(taken(), b"", "the task may be sending others");
        assert_eq!(outgoing.next().await.datagrams.len(), 1);
        let mut next = Box::pin(outgoing.next());
        let waker = core::task::Waker::noop();
        let mut poll = || next.as_mut().poll(&mut core::task::Context::from_waker(waker));
        assert!(poll().is_pending());
        put("b");
        put("c");
        assert_eq!(taken(), b"b c");
        assert!(poll().is_pending(), "it need not know");
        put("d");
        put("e");
        assert_eq!(taken(), b"b c", "the connection takes no more");
        let Poll::Ready(work) = poll() else { panic!("nobody told the task") };
        assert_eq!(work.datagrams.len(), 2);
    }

    #[tokio::test]
    async fn a_datagram_waits_for_the_subscription_that_came_before() {
        let outgoing = Outgoing::new(BusFigures::default());
        outgoing.set_open(true);
        let taken = Arc::default();
        outgoing.set_direct(Some(Box::new(Takes(9, Arc::clone(&taken)))));
        let mut next = Box::pin(outgoing.next());
        let waker = core::task::Waker::noop();
        let mut poll = || next.as_mut().poll(&mut core::task::Context::from_waker(waker));
        assert!(poll().is_pending());
        outgoing.add_number(7);
        outgoing.put(Destination::Everybody, Bytes::from_static(b"it may be answered there"));
        assert!(taken.lock().expect("no test fails under the lock").is_empty());
        let Poll::Ready(work) = poll() else { panic!("nobody told the task") };
        assert_eq!((work.numbers, work.datagrams.len()), (vec![7], 1));
    }

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
