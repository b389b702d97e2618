//! How many newcomers may wait for one app server at once.
//!
//! After an outage all clients return within seconds. An app server that is given all of their
//! handshakes at once answers the last one after the sum of all, and whatever its present clients
//! send waits as long. The pace bounds how long a handshake waits for those before it: as long as
//! the shortest wait of a round exceeds [`WAIT`], fewer may wait at once. The time that the app
//! itself takes for a handshake (a database, a token service) is no wait: it is what the fastest
//! answer takes.

use core::time::Duration;

use trunkline_clock::Timestamp;

/// How long a handshake may wait for those before it.
pub const WAIT: Duration = Duration::from_millis(100);

/// The first number: what an ordinary app server answers within [`WAIT`].
const FIRST: u32 = 64;
const LEAST: u32 = 4;
/// The share of a longer time that is believed at once, when nobody waits.
const LONGER_SHARE: u32 = 64;

/// The pace of one app server.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    limit: u32,
    /// The time that the app takes for a handshake when nothing is before it.
    alone: Option<Duration>,
    /// The present round: when it began, its answers, and the shortest wait of them.
    begun: Timestamp,
    answers: u32,
    shortest: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        let begun = Timestamp::ORIGIN;
        Self { limit: FIRST, alone: None, begun, answers: 0, shortest: None }
    }
}

impl Pace {
    /// How many handshakes may be unanswered at once.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Notes an answer, and how long the app server took for it. `is_wanted`: newcomers wait, or
    /// have waited since the last answer.
    pub fn answered(&mut self, now: Timestamp, took: Duration, is_wanted: bool) {
        let alone = self.alone.map_or(took, |alone| {
            if took <= alone || is_wanted {
                took.min(alone)
            } else {
                alone + (took - alone) / LONGER_SHARE
            }
        });
        self.alone = Some(alone);
        let wait = took.saturating_sub(alone);
        self.shortest = Some(self.shortest.map_or(wait, |shortest| shortest.min(wait)));
        self.answers += 1;
        // A round is what was under way when it began.
        if self.answers >= self.limit || now.since(self.begun) >= WAIT + alone {
            self.end_round(now, is_wanted);
        }
    }

    /// Notes that the app server has told how late its event loop is.
    pub fn lags(&mut self, lag: Duration) {
        if lag > 2 * WAIT {
            self.limit = (self.limit / 2).max(LEAST);
        }
    }

    fn end_round(&mut self, now: Timestamp, is_wanted: bool) {
        let shortest = self.shortest.take().unwrap_or_default();
        self.begun = now;
        self.answers = 0;
        if shortest > WAIT {
            let fitting = u128::from(self.limit) * WAIT.as_micros() / shortest.as_micros().max(1);
            let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
            self.limit = fitting.max(self.limit / 2).max(LEAST);
        } else if is_wanted {
            let more = if shortest < WAIT / 2 { self.limit } else { self.limit / 8 };
            self.limit = self.limit.saturating_add(more.max(1));
        }
    }
}
