//! How many newcomers may wait for one app server at once.
//!
//! After an outage all clients return within seconds. An app server that is given all of their
//! handshakes at once answers the last one after the sum of all, and whatever its present clients
//! send waits as long. The pace bounds how long a handshake waits for those before it: as long as
//! the shortest wait of a round exceeds [`WAIT`], fewer may wait at once.
//!
//! The time that the app itself takes for a handshake (a database, a token service) is no wait: it
//! is what the fastest answer takes. An app server that answers no handshake for a while, and yet
//! answers a `Ping` at once, is not busy: it waits for something itself, and may be given more, so
//! that a slow database does not make newcomers queue here as well.

use core::time::Duration;

use trunkline_clock::Timestamp;

/// How long a handshake may wait for those before it.
pub const WAIT: Duration = Duration::from_millis(100);

/// The first number: what an ordinary app server answers within [`WAIT`].
const FIRST: u32 = 64;
const LEAST: u32 = 4;
/// The share of a longer time that is believed at once, when nobody waits.
const LONGER_SHARE: u32 = 64;
/// How long no handshake is answered before the app server is called.
const QUIET: Duration = Duration::from_millis(50);
/// The calls answered at once in one round after which the time of its handshakes is the app's own.
/// One alone may have crossed the answers to handshakes.
const CALLS_BELIEVED: u32 = 2;

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
    /// Whether newcomers have waited in this round.
    is_wanted: bool,
    /// How often the app server answered a call at once in this round.
    calls_answered: u32,
    quiet: Quiet,
}

/// What is known of an app server since its last answer to a handshake.
#[derive(Clone, Copy, Debug)]
enum Quiet {
    /// Nobody has had to wait since then.
    Unknown,
    /// Newcomers have waited since then, or since it was last given more.
    Since(Timestamp),
    /// It was called then.
    Called(Timestamp),
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            limit: FIRST,
            alone: None,
            begun: Timestamp::ORIGIN,
            answers: 0,
            shortest: None,
            is_wanted: false,
            calls_answered: 0,
            quiet: Quiet::Unknown,
        }
    }
}

impl Pace {
    /// How many handshakes may be unanswered at once.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Notes that a newcomer has to wait; again and again while one does. `heard_at`: when anything
    /// came from the app server for the last time. True: call it now, with a `Ping`.
    #[must_use]
    pub fn refused(&mut self, now: Timestamp, heard_at: Timestamp) -> bool {
        self.is_wanted = true;
        match self.quiet {
            Quiet::Unknown => self.quiet = Quiet::Since(now),
            Quiet::Since(since) if now >= since + QUIET => {
                self.quiet = Quiet::Called(now);
                return true;
            }
            Quiet::Called(at) if heard_at > at => {
                self.quiet = Quiet::Since(now);
                // One that answers later was busy.
                if heard_at <= at + WAIT {
                    self.calls_answered += 1;
                    self.limit = self.limit.saturating_mul(2);
                }
            }
            Quiet::Since(_) | Quiet::Called(_) => (),
        }
        false
    }

    /// Notes an answer, and how long the app server took for it.
    pub fn answered(&mut self, now: Timestamp, took: Duration) {
        self.quiet = Quiet::Unknown;
        let alone = self.alone.map_or(took, |alone| {
            if took <= alone || self.is_wanted {
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
            self.end_round(now, alone);
        }
    }

    /// Notes that the app server has told how late its event loop is.
    pub fn lags(&mut self, lag: Duration) {
        if lag > 2 * WAIT {
            self.limit = (self.limit / 2).max(LEAST);
        }
    }

    fn end_round(&mut self, now: Timestamp, alone: Duration) {
        let shortest = self.shortest.take().unwrap_or_default();
        let is_wanted = core::mem::take(&mut self.is_wanted);
        let calls_answered = core::mem::take(&mut self.calls_answered);
        let answers = core::mem::take(&mut self.answers);
        self.begun = now;
        if shortest > WAIT && calls_answered >= CALLS_BELIEVED {
            self.alone = Some(alone + shortest);
        } else if !is_wanted {
            self.calm_down(answers);
        } else if shortest > WAIT {
            let fitting = u128::from(self.limit) * WAIT.as_micros() / shortest.as_micros().max(1);
            let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
            self.limit = fitting.max(self.limit / 2).max(LEAST);
        } else {
            let more = if shortest < WAIT / 2 { self.limit } else { self.limit / 8 };
            self.limit = self.limit.saturating_add(more.max(1));
        }
    }

    /// Goes back to the first number: from fewer at once, and from more once far fewer come.
    fn calm_down(&mut self, answers: u32) {
        if self.limit < FIRST {
            self.limit = self.limit.saturating_mul(2).min(FIRST);
        } else if answers < self.limit / 4 {
            self.limit = (self.limit / 2).max(FIRST);
        }
    }
}
