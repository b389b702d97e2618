//! Newcomers that wait until an app server of their hub can take them.
//!
//! An app server is given handshakes at the pace at which it answers
//! ([`trunkline_admission::Pace`]). The others wait here, first come first, and for a bounded time;
//! then they are refused, each with another time after which to try again.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use trunkline_clock::Timestamp;

use super::Shard;
use super::command::{Answer, SlotKey};
use super::opening::OpenRequest;
use crate::unavailable::Unavailable;

/// How often is looked whether an app server can take one: answers that came through other shards
/// make room, too.
const LOOK: Duration = Duration::from_millis(10);

/// The newcomers of a shard, by hub.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    waiting: HashMap<u16, VecDeque<Newcomer>>,
    look_at: Timestamp,
}

#[derive(Debug)]
struct Newcomer {
    open: OpenRequest,
    key: Rc<Cell<SlotKey>>,
    until: Timestamp,
}

impl Newcomers {
    /// Whether newcomers of this hub wait: later ones come after them.
    pub(super) fn wait_at(&self, hub: u16) -> bool {
        self.waiting.contains_key(&hub)
    }

    /// The time of the next look; `None` while nobody waits.
    pub(super) fn next(&self) -> Option<Timestamp> {
        (!self.waiting.is_empty()).then_some(self.look_at)
    }
}

impl Shard {
    /// Lets a newcomer wait. Gives it back if it may not.
    #[expect(clippy::result_large_err, reason = "moved once, and only when an app server is busy")]
    pub(super) fn let_wait(
        &mut self,
        open: OpenRequest,
        key: &Rc<Cell<SlotKey>>,
    ) -> Result<(), OpenRequest> {
        let limits = &self.env.limits;
        let (wait, most) = (limits.admission_wait, limits.handshakes_pending_max);
        if !limits.admission || wait.is_zero() {
            return Err(open);
        }
        let queue = self.newcomers.waiting.entry(open.hub.number).or_default();
        if queue.len() >= most {
            return Err(open);
        }
        let until = self.now + wait.min(limits.handshake_timeout);
        queue.push_back(Newcomer { open, key: Rc::clone(key), until });
        self.newcomers.look_at = self.now + LOOK;
        self.env.metrics.newcomers_waiting.inc();
        Ok(())
    }

    /// Gives app servers the newcomers that they can take now, and refuses those that have waited
    /// for too long.
    pub(super) fn admit(&mut self) {
        if self.newcomers.waiting.is_empty() {
            return;
        }
        let hubs: Vec<u16> = self.newcomers.waiting.keys().copied().collect();
        for hub in hubs {
            while let Some(newcomer) = self.next_newcomer(hub) {
                let Newcomer { open, key, until } = newcomer;
                if open.reply.is_closed() {
                    self.newcomer_left("client_gone");
                    continue;
                }
                match self.try_open(open, &key) {
                    Ok(()) => {
                        self.env.metrics.newcomers_waiting.dec();
                    }
                    Err((open, Unavailable::AppServersBusy)) if until > self.now => {
                        let queue = self.newcomers.waiting.entry(hub).or_default();
                        queue.push_front(Newcomer { open, key, until });
                        break;
                    }
                    Err((open, why)) => {
                        self.newcomer_left(why.slug());
                        open.hub.note_refused(why);
                        // If the client has gone, the answer is not needed.
                        let _ = open.reply.send(Answer::Unavailable(why));
                    }
                }
            }
        }
        self.newcomers.waiting.retain(|_, queue| !queue.is_empty());
        self.newcomers.look_at = self.now + LOOK;
    }

    fn next_newcomer(&mut self, hub: u16) -> Option<Newcomer> {
        self.newcomers.waiting.get_mut(&hub)?.pop_front()
    }

    fn newcomer_left(&self, outcome: &'static str) {
        self.env.metrics.newcomers_waiting.dec();
        self.count_handshake(outcome);
    }
}
