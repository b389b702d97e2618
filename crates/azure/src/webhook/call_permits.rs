//! Limits the calls of a hub: how many may be pending, and how many of those may be on the wire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Limits;
use super::fair::FairQueue;
use crate::serverless::Facts;

/// One connection may have an eighth of all pending calls.
const CONNECTION_SHARE: usize = 8;
/// The last quarter of the room is for connections without a pending call, so that others cannot
/// take all of it.
const RESERVE_SHARE: usize = 4;

/// The permits of one hub. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct CallPermits(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    pending_max: usize,
    pending: usize,
    /// Pending calls by connection.
    by_connection: HashMap<Box<str>, usize>,
    /// How many more calls may be on the wire.
    free: usize,
    waiting: FairQueue<Box<str>, Box<str>, oneshot::Sender<CallPermit>>,
}

/// A pending call; dropping it ends it.
#[derive(Debug)]
pub(super) struct Pending {
    permits: CallPermits,
    client: Box<str>,
    connection: Box<str>,
}

/// The permission to be on the wire; dropping it gives it to the next call.
#[derive(Debug)]
pub(super) struct CallPermit(Option<CallPermits>);

impl CallPermits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(State {
            pending_max: limits.pending_max,
            pending: 0,
            by_connection: HashMap::new(),
            free: limits.concurrent_max,
            waiting: FairQueue::new(),
        })))
    }

    /// Starts a call for this connection, unless too many are pending.
    pub(super) fn begin(&self, from: &Facts) -> Option<Pending> {
        let mut state = self.state();
        let own = state.by_connection.get(&from.connection).copied().unwrap_or(0);
        let (most, all) = (state.pending_max, state.pending);
        let beside = all < most - most / RESERVE_SHARE && own < most.div_ceil(CONNECTION_SHARE);
        if all >= most || (own > 0 && !beside) {
            return None;
        }
        state.pending += 1;
        *state.by_connection.entry(from.connection.clone()).or_default() += 1;
        drop(state);
        let (client, connection) = (from.address.clone(), from.connection.clone());
        Some(Pending { permits: self.clone(), client, connection })
    }

    pub(super) fn pending(&self) -> usize {
        self.state().pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Waits for permission to be on the wire.
    pub(super) async fn permit(&self) -> CallPermit {
        let waiting = {
            let mut state = self.permits.state();
            if state.free > 0 {
                state.free -= 1;
                return CallPermit(Some(self.permits.clone()));
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push(self.client.clone(), self.connection.clone(), sender);
            receiver
        };
        waiting.await.expect("a waiting call is dropped by nobody but a permit that it is given")
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.permits.state();
        state.pending -= 1;
        if let Some(own) = state.by_connection.get_mut(&self.connection) {
            *own -= 1;
            if *own == 0 {
                state.by_connection.remove(&self.connection);
            }
        }
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let Some(permits) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = permits.state();
                let next = state.waiting.pop();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(CallPermit(Some(permits.clone()))) {
                Ok(()) => return,
                // That call was given up while it waited. Its permit is this one, which now goes to
                // the next call.
                Err(mut permit) => permit.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(pending_max: usize, concurrent_max: usize) -> CallPermits {
        CallPermits::new(&Limits { pending_max, concurrent_max, ..Limits::default() })
    }

    fn facts(address: &str, connection: &str) -> Facts {
        Facts {
            address: address.into(),
            connection: connection.into(),
            user: None,
            connect_body: "{}".into(),
        }
    }

    #[test]
    fn one_client_with_many_connections_leaves_room_for_others() {
        let permits = permits(10_000, 64);
        let mut held = Vec::new();
        for connection in 0..170 {
            let from = facts("hog", &format!("h{connection}"));
            held.extend((0..64).map_while(|_| permits.begin(&from)));
        }
        assert!(permits.pending() < 10_000, "not all of it");
        for newcomer in 0..100 {
            let pending = permits.begin(&facts("n", &format!("n{newcomer}")));
            held.push(pending.expect("a connection's first call has room"));
        }
        drop(held);
        assert_eq!(permits.pending(), 0);
        assert!(permits.state().by_connection.is_empty());
    }

    #[test]
    fn no_call_begins_beyond_the_bound() {
        let permits = permits(2, 64);
        let held: Vec<_> = (0..3).map(|n| permits.begin(&facts("a", &n.to_string()))).collect();
        assert_eq!(held.iter().flatten().count(), 2);
    }

    #[tokio::test]
    async fn the_wire_goes_from_client_to_client() {
        let permits = permits(100, 1);
        let hogs: Vec<_> = (0..3).flat_map(|_| permits.begin(&facts("hog", "h"))).collect();
        let first = hogs[0].permit().await;
        let order = Mutex::new(Vec::new());
        let newcomer = permits.begin(&facts("newcomer", "n")).expect("room");
        let take = async |name, pending: &Pending| {
            let permit = pending.permit().await;
            order.lock().expect("no panic").push(name);
            drop(permit);
        };
        tokio::join!(
            take("hog 1", &hogs[1]),
            take("hog 2", &hogs[2]),
            take("newcomer", &newcomer),
            async { drop(first) },
        );
        assert_eq!(*order.lock().expect("no panic"), ["hog 1", "newcomer", "hog 2"]);
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_while_it_waits_loses_nobody_a_turn() {
        let permits = permits(100, 1);
        let (a, b, c) = ("a", "b", "c");
        let [a, b, c] = [a, b, c].map(|name| permits.begin(&facts(name, name)).expect("room"));
        let first = a.permit().await;
        {
            let mut given_up = std::pin::pin!(b.permit());
            let waits = is_pending(given_up.as_mut()).await;
            assert!(waits, "it waits");
        }
        drop(first);
        let second = c.permit().await;
        drop(second);
        assert_eq!(permits.state().free, 1);
    }

    /// Whether a future is not done after one poll.
    async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending()))
            .await
    }
}
