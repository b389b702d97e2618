//! A queue that serves its users in turn, however many items one of them adds.

use core::hash::Hash;
use std::collections::{HashMap, VecDeque};

/// Takes items under two keys and gives them out in turn: first among the outer keys, then among
/// the inner keys of one outer key, and in order of arrival for one inner key.
///
/// Clients' addresses are the outer keys, their connections the inner ones. So a client that opens
/// many connections is still served as one client, and clients with a common proxy are served by
/// connection.
#[derive(Debug)]
pub(super) struct FairQueue<A, B, T> {
    clients: RoundRobin<A, RoundRobin<B, VecDeque<T>>>,
}

impl<A: Clone + Eq + Hash, B: Clone + Eq + Hash, T> FairQueue<A, B, T> {
    pub(super) fn new() -> Self {
        Self { clients: RoundRobin::default() }
    }

    pub(super) fn push(&mut self, client: A, connection: B, item: T) {
        let items = self.clients.queue(client).queue(connection);
        items.push_back(item);
    }

    /// The item that is next.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.clients.take()
    }
}

/// Something that gives out items one by one.
trait Queue: Default {
    type Item;
    fn take(&mut self) -> Option<Self::Item>;
    fn is_empty(&self) -> bool;
}

impl<T> Queue for VecDeque<T> {
    type Item = T;

    fn take(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn is_empty(&self) -> bool {
        VecDeque::is_empty(self)
    }
}

/// Queues that are served in turn. An empty one is removed.
#[derive(Debug)]
struct RoundRobin<K, Q> {
    /// Each key of `queues` once, the next one first.
    order: VecDeque<K>,
    queues: HashMap<K, Q>,
}

impl<K, Q> Default for RoundRobin<K, Q> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queues: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash, Q: Queue> RoundRobin<K, Q> {
    /// The queue of a key. The caller must put something into it.
    fn queue(&mut self, key: K) -> &mut Q {
        if !self.queues.contains_key(&key) {
            self.order.push_back(key.clone());
        }
        self.queues.entry(key).or_default()
    }
}

impl<K: Clone + Eq + Hash, Q: Queue> Queue for RoundRobin<K, Q> {
    type Item = Q::Item;

    fn take(&mut self) -> Option<Q::Item> {
        let key = self.order.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        let item = queue.take();
        if queue.is_empty() {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key);
        }
        item
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::FairQueue;

    fn drained(mut queue: FairQueue<&str, u32, &'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn clients_have_turns_and_so_have_the_connections_of_one() {
        let mut queue = FairQueue::new();
        for (client, connection, item) in [
            ("a", 1, "a1.1"),
            ("a", 1, "a1.2"),
            ("a", 1, "a1.3"),
            ("a", 2, "a2.1"),
            ("b", 9, "b9.1"),
            ("b", 9, "b9.2"),
        ] {
            queue.push(client, connection, item);
        }
        assert_eq!(drained(queue), ["a1.1", "b9.1", "a2.1", "b9.2", "a1.2", "a1.3"]);
    }

    #[test]
    fn a_newcomer_waits_for_one_turn_of_the_others_however_many_they_wait_for() {
        let mut queue = FairQueue::new();
        for connection in 0..170 {
            for _ in 0..64 {
                queue.push("hog", connection, "hog");
            }
        }
        queue.push("newcomer", 1, "newcomer");
        let turns = drained(queue);
        assert_eq!(turns.iter().position(|item| *item == "newcomer"), Some(1));
        assert_eq!(turns.len(), 170 * 64 + 1, "everything has its turn");
    }

    #[test]
    fn nothing_is_kept_of_those_who_wait_no_longer() {
        let mut queue = FairQueue::new();
        queue.push("a", 1, "x");
        assert_eq!(queue.pop(), Some("x"));
        assert_eq!(queue.pop(), None);
        assert!(queue.clients.queues.is_empty() && queue.clients.order.is_empty());
    }
}
