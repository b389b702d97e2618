//! Sessions that wait because the clients of their hub together send more than they may
//! (`hub/flow.rs`).
//!
//! While a hub is beyond its limit, its sessions are read one after another, a bounded piece at a
//! time. Whoever has had the least in this time is next, so each gets the same share, and one that
//! says little hardly waits behind those that flood. Each shard takes turns at the part of the rate
//! that its waiting sessions are of all that wait. Nobody is closed for it, and nobody is blamed for
//! silence while it waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use trunkline_clock::Timestamp;

use super::command::Command;
use super::meters::Heard;
use super::slot::Carrier;
use super::{SCRATCH_BYTES, Shard};
use crate::metrics::Cause;

/// What those that wait may owe beyond a burst, and others may not: so they are first.
const FIRST: Duration = Duration::from_millis(100);
/// How much of its time a shard that was late may make up for.
const CATCH_UP: Duration = Duration::from_millis(100);
/// What is remembered of sessions that do not wait, at least.
const REMEMBERED_MIN: usize = 64;

/// The queues of a shard, by hub. One exists only while its hub is beyond its limit.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_hub: HashMap<u16, Queue>,
    /// The session whose turn it is, until it has been read.
    turn: Option<u32>,
    /// What was charged since this turn began.
    spent: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Those that wait.
    waiting: BTreeSet<Waiting>,
    /// The start of the latest turn.
    clock: u64,
    /// The end of what sessions have had, by slot, with their generations.
    ends: HashMap<u32, (u32, u64)>,
    /// The number of ends at which those that are over are forgotten.
    ends_max: usize,
    /// Posts that wait: their bodies stay unread in the clients' streams.
    posts: HashMap<u32, Command>,
    /// The time of the next turn.
    next_at: Timestamp,
}

/// A session's place in the queue, in the order of turns.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Waiting {
    /// When its turn begins, by a clock that goes on only as the hub's sessions are read, in
    /// nanoseconds.
    start: u64,
    /// Set unless it has had less than others lately: of those that begin at once, it is not first.
    heavy: bool,
    index: u32,
    generation: u32,
}

impl Queue {
    /// The end of what a session has had; not before the present turn.
    fn end_of(&self, index: u32, generation: u32) -> u64 {
        let end = self.ends.get(&index).filter(|(of, _)| *of == generation);
        end.map_or(self.clock, |(_, end)| self.clock.max(*end))
    }

    /// The place of a session that comes now. `little`: what a session may have had in advance and
    /// still be first, because a turn of the others takes longer.
    fn place_of(&self, index: u32, generation: u32, little: u64) -> Waiting {
        let end = self.end_of(index, generation);
        let heavy = end - self.clock > little;
        Waiting { start: if heavy { end } else { self.clock }, heavy, index, generation }
    }

    fn charge(&mut self, index: u32, generation: u32, cost: u64) {
        let end = self.end_of(index, generation).saturating_add(cost);
        self.ends.insert(index, (generation, end));
        if self.ends.len() > self.ends_max {
            // Those that have had no more than the others are like new ones. What is left may double
            // before the next look, so that looking costs little.
            let clock = self.clock;
            self.ends.retain(|_, (_, end)| *end > clock);
            self.ends_max = (2 * self.ends.len()).max(REMEMBERED_MIN);
        }
    }
}

impl Flows {
    /// The time of the next turn; `None` while nobody waits.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let waiting = self.by_hub.values().filter(|queue| !queue.waiting.is_empty());
        waiting.map(|queue| queue.next_at).min()
    }

    /// Looks again at once, because a limit may have changed.
    pub(super) fn look_again(&mut self, now: Timestamp) {
        self.by_hub.values_mut().for_each(|queue| queue.next_at = now);
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn waiting(&self) -> usize {
        self.by_hub.values().map(|queue| queue.waiting.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.by_hub.values().map(|queue| queue.ends.len()).sum()
    }

    /// Whether a session waits for its turn.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn has(&self, hub: u16, index: u32, generation: u32) -> bool {
        let is_it = |one: &Waiting| (one.index, one.generation) == (index, generation);
        self.by_hub.get(&hub).is_some_and(|queue| queue.waiting.iter().any(is_it))
    }

    /// Checks that each post that waits is taken at some turn.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn check(&self) {
        for queue in self.by_hub.values() {
            for index in queue.posts.keys() {
                assert!(queue.waiting.iter().any(|one| one.index == *index), "{index}: its post");
            }
        }
    }
}

impl Shard {
    /// The bytes that may be read from a session's WebSocket now; `None`: it waits for its turn in
    /// its hub.
    pub(super) fn flow_share(&mut self, index: u32) -> Option<usize> {
        if !self.env.directory.has_flows() {
            return Some(SCRATCH_BYTES);
        }
        let live = self.slots.live(index);
        if !live.is_some_and(|live| matches!(live.carrier, Carrier::Stream(_))) {
            return Some(SCRATCH_BYTES); // There is nothing to read.
        }
        self.flow_quantum(index)
    }

    /// Whether more may be taken from a session; if not, it waits for its turn in its hub.
    pub(super) fn has_flow(&mut self, index: u32) -> bool {
        !self.env.directory.has_flows() || self.flow_quantum(index).is_some()
    }

    /// The packets of a post that may be decoded at once.
    pub(super) fn flow_packets(&self, index: u32) -> usize {
        if !self.env.directory.has_flows() {
            return usize::MAX;
        }
        let hub = self.slots.get(index).map(|slot| usize::from(slot.hub));
        let hub = hub.and_then(|hub| self.env.directory.hub(hub));
        hub.map_or(usize::MAX, |hub| hub.flow.packets())
    }

    fn flow_quantum(&mut self, index: u32) -> Option<usize> {
        let Some(slot) = self.slots.get_mut(index) else { return Some(SCRATCH_BYTES) };
        let number = slot.hub;
        let hub = self.env.directory.hub(usize::from(number)).filter(|hub| hub.flow.is_on());
        let Some(hub) = hub else { return Some(SCRATCH_BYTES) };
        let quantum = hub.flow.quantum().min(SCRATCH_BYTES);
        if self.flows.turn.take_if(|turn| *turn == index).is_some() {
            return Some(quantum);
        }
        let wait = hub.flow.wait(self.now, Duration::ZERO);
        let others = self.flows.by_hub.get(&number).is_some_and(|queue| !queue.waiting.is_empty());
        if wait.is_none() && !others {
            self.flows.by_hub.remove(&number);
            return Some(quantum);
        }
        if slot.slowed.by_hub() {
            return None;
        }
        let key = wait.map_or("hub_messages_per_second", |(_, key)| key);
        let queue = self.flows.by_hub.entry(number).or_default();
        if queue.waiting.is_empty() {
            let wait = hub.flow.wait(self.now, FIRST).map_or(Duration::ZERO, |(wait, _)| wait);
            queue.next_at = queue.next_at.max(self.now + wait);
            hub.note_slowed(key);
        }
        let place = queue.place_of(index, slot.generation, hub.flow.turn_cost() / 2);
        queue.waiting.insert(place);
        slot.slowed.set_by_hub(true);
        hub.flow.joins();
        self.env.metrics.sessions_slowed.get_or_create(&Cause { cause: key }).inc();
        None
    }

    /// Charges a session's hub for what was read from the session's client.
    pub(super) fn charge_hub(&mut self, index: u32, heard: Heard) {
        if !self.env.directory.has_flows() {
            return;
        }
        let Some(slot) = self.slots.get(index) else { return };
        let Some(hub) = self.env.directory.hub(usize::from(slot.hub)) else { return };
        let cost = hub.flow.charge(self.now, heard.messages, heard.bytes);
        self.flows.spent = self.flows.spent.saturating_add(cost);
        if cost > 0
            && let Some(queue) = self.flows.by_hub.get_mut(&slot.hub)
        {
            queue.charge(index, slot.generation, cost);
        }
    }

    /// Lets a post wait for its session's turn. Gives it back if one waits already.
    pub(super) fn queue_post(&mut self, index: u32, command: Command) -> Option<Command> {
        let hub = self.slots.get(index).map(|slot| slot.hub);
        let Some(queue) = hub.and_then(|hub| self.flows.by_hub.get_mut(&hub)) else {
            return Some(command);
        };
        if queue.posts.contains_key(&index) {
            return Some(command);
        }
        queue.posts.insert(index, command);
        None
    }

    /// Gives turns to sessions that wait for the limits of their hubs.
    pub(super) fn serve_flows(&mut self) {
        let due = self
            .flows
            .by_hub
            .iter()
            .filter(|(_, queue)| queue.next_at <= self.now && !queue.waiting.is_empty());
        let due: Vec<u16> = due.map(|(hub, _)| *hub).collect();
        for hub in due {
            self.serve_flow(hub);
        }
    }

    fn serve_flow(&mut self, number: u16) {
        let Some(hub) = self.env.directory.hub(usize::from(number)).map(Arc::clone) else { return };
        let Some(count) = self.flows.by_hub.get(&number).map(|queue| queue.waiting.len()) else {
            return;
        };
        for _ in 0..count {
            let now = self.now;
            let Some(queue) = self.flows.by_hub.get_mut(&number) else { return };
            if queue.next_at > now {
                return;
            }
            if let Some((wait, _)) = hub.flow.wait(now, FIRST) {
                queue.next_at = now + wait;
                return;
            }
            let own = queue.waiting.len();
            let Some(Waiting { start, index, generation, .. }) = queue.waiting.pop_first() else {
                break;
            };
            queue.clock = start;
            let post = queue.posts.remove(&index);
            let all = hub.flow.waiting().max(own);
            hub.flow.leaves();
            self.flows.spent = 0;
            self.flows.turn = Some(index);
            self.give_turn((index, generation), post);
            self.flows.turn = None;
            let Some(queue) = self.flows.by_hub.get_mut(&number) else { return };
            if hub.flow.wait(now, Duration::ZERO).is_none() {
                queue.next_at = now; // There is more for everybody.
                continue;
            }
            let part = u128::from(self.flows.spent) * all as u128 / own as u128;
            let part = Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX));
            let late = now.as_micros().saturating_sub(micros(CATCH_UP));
            queue.next_at = queue.next_at.max(Timestamp::from_micros(late)) + part;
        }
        if !hub.flow.is_on() {
            self.flows.by_hub.remove(&number);
        }
    }

    fn give_turn(&mut self, (index, generation): (u32, u32), post: Option<Command>) {
        if let Some(slot) = self.slots.get_mut(index)
            && slot.generation == generation
        {
            slot.slowed.set_by_hub(false);
            if !slot.slowed.is_slowed() && !slot.paused && self.send_held(index) {
                self.read_probe(index);
                self.read_stream(index);
            }
        }
        if let Some(post) = post {
            self.handle(post);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
