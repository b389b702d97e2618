//! Clients' connections between two requests: no HTTP state is kept for them, not even a task.
//!
//! A client that polls has such a connection for its posts. It is used for a moment in each of its
//! heartbeats, and rests for the other twenty-five seconds.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;
use trunkline_clock::Timestamp;

use super::Shard;
use super::command::Arrival;
use super::poller::{Kind, Readiness, Token};
use crate::entrance::StreamPermit;
use crate::peer::Peer;
use crate::socket::Socket;

/// The tick to which ends are rounded, so that many connections do not wake their shard once each.
const TICK: Duration = Duration::from_secs(1);
/// Stale entries that are allowed in addition to one per resting connection; stale entries belong
/// to connections that have woken.
const STALE_ENDS: usize = 64;

/// The connections at rest.
#[derive(Debug, Default)]
pub(super) struct Resting {
    streams: Slab<Rest>,
    next_generation: u32,
    /// The times at which connections are closed; some connections have woken before.
    ends: VecDeque<(Timestamp, u32, u32)>,
    /// Connections whose clients have sent bytes or have gone.
    awake: Vec<Arrival>,
}

#[derive(Debug)]
struct Rest {
    generation: u32,
    socket: Socket,
    from: Peer,
    permit: StreamPermit,
}

/// A client that polls has a `Rest` for most of its life, so its size is limited.
#[cfg(all(not(any(test, feature = "fuzzing")), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Rest>() <= 72);

impl Rest {
    fn wake(self) -> Arrival {
        let Self { socket, from, permit, .. } = self;
        Arrival::Again { socket, from, permit }
    }
}

impl Resting {
    /// The time at which the next connection is to be closed.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.front().map(|(until, _, _)| *until)
    }

    #[cfg(test)]
    pub(super) fn ends_len(&self) -> usize {
        self.ends.len()
    }

    fn take(&mut self, index: u32, is_it: impl Fn(u32) -> bool) -> Option<Rest> {
        let found = self.streams.get(index as usize).is_some_and(|rest| is_it(rest.generation));
        found.then(|| self.streams.remove(index as usize))
    }

    /// Adds an end. Ends are in the order of the rests, because all rest for the same time.
    fn push_end(&mut self, until: Timestamp, index: u32, generation: u32) {
        if self.ends.len() > 2 * self.streams.len() + STALE_ENDS {
            let streams = &self.streams;
            self.ends.retain(|(_, index, generation)| {
                streams.get(*index as usize).is_some_and(|rest| rest.generation == *generation)
            });
        }
        let tick = u64::try_from(TICK.as_micros()).unwrap_or(1);
        let until = Timestamp::from_micros(until.as_micros().div_ceil(tick).saturating_mul(tick));
        self.ends.push_back((until, index, generation));
    }
}

impl Shard {
    /// Keeps a connection until its client sends bytes, or for this time.
    pub(super) fn rest(
        &mut self,
        (socket, from, permit): (Socket, Peer, StreamPermit),
        span: Duration,
    ) {
        let until = self.now + span;
        let resting = &mut self.resting;
        resting.next_generation = resting.next_generation.wrapping_add(1);
        let generation = resting.next_generation;
        let entry = resting.streams.vacant_entry();
        let Ok(index) = u32::try_from(entry.key()) else { return };
        let rest = Rest { generation, socket, from, permit };
        let token = Token::new(Kind::Rest, index, generation);
        if rest.socket.has_input() || self.poller.add(&rest.socket, token).is_err() {
            // There is a request already, or the system cannot watch it here: the connection is
            // served as before.
            resting.awake.push(rest.wake());
            return;
        }
        entry.insert(rest);
        resting.push_end(until, index, generation);
    }

    /// Handles an event of a connection at rest.
    pub(super) fn rest_ready(&mut self, event: Readiness) {
        if !event.readable && !event.ended {
            return;
        }
        let Some(rest) = self.resting.take(event.token.index, |it| event.token.is_of(it)) else {
            return;
        };
        // The task that serves the connection reads the bytes, or the end.
        self.poller.remove(&rest.socket);
        self.resting.awake.push(rest.wake());
    }

    /// Takes the connections that are to be served again.
    pub(super) fn take_awake(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.resting.awake)
    }

    /// Closes connections whose clients have sent nothing for long enough.
    pub(super) fn end_rests(&mut self) {
        while let Some((_, index, generation)) =
            self.resting.ends.pop_front_if(|(until, _, _)| *until <= self.now)
        {
            drop(self.resting.take(index, |it| it == generation));
        }
    }
}
