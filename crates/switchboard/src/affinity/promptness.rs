//! How promptly an app server answers handshakes, and when another one should be asked instead.
//!
//! There are two ways to hang. An app server may hang as a whole (a stopped process, a blocked
//! event loop, a lost network): then it sends no frame at all, not even the answer to a ping. It is
//! detected within `silent_after`, because it works on nothing that it was given. Or only its
//! handshakes hang (a database does not answer its `allowRequest`): then it still answers pings. It
//! gets much more time, because its answer may still come, and a handshake that is tried elsewhere
//! in addition runs the app's code twice.

use core::time::Duration;

use trunkline_clock::Timestamp;

/// How many times longer the node waits for an app server that answers pings than for a silent one.
const UNANSWERED_FACTOR: u32 = 5;
/// An answer counts as late after this many times the usual time.
const USUAL_FACTOR: u32 = 4;
/// The wait before an ejected app server gets another handshake on trial; doubled after each trial
/// without an answer.
const TRIAL_AFTER: Duration = Duration::from_secs(10);
const TRIAL_AFTER_MAX: Duration = Duration::from_secs(60);

/// The times that app servers may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// An app server with an unanswered handshake that sends no frame for this long hangs.
    pub silent_after: Duration,
}

impl Patience {
    /// The time without an answer to any handshake after which other app servers are preferred.
    fn late_after(self) -> Duration {
        self.silent_after / 4
    }

    /// The time without a frame after which the app server is pinged.
    fn call_after(self) -> Duration {
        self.silent_after * 2 / 5
    }

    fn called_in_vain_after(self) -> Duration {
        self.silent_after.saturating_sub(self.call_after())
    }

    fn unanswered_after(self) -> Duration {
        self.silent_after * UNANSWERED_FACTOR
    }
}

/// How much an app server is preferred for new sessions.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Standing {
    /// The app server answers, or has nothing to answer.
    Prompt,
    /// The app server has handshakes to answer and has answered none of them for a while.
    Late,
    /// The app server hangs: it gets handshakes only when all others hang, too.
    Ejected,
}

/// Why an app server was ejected, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hang {
    /// The app server sends nothing at all.
    Silent,
    /// The app server sends frames, but no answers to handshakes.
    Unanswered,
}

/// What to do with a handshake that has no answer yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advice {
    /// Ping the app server, then look again.
    Call {
        /// When to look again.
        until: Timestamp,
    },
    /// Give the handshake to another app server.
    Leave {
        /// The reason, if the app server has been ejected just now.
        ejected: Option<Hang>,
    },
    /// Look again later.
    Wait {
        /// When to look again.
        until: Timestamp,
    },
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    hang: Hang,
    at: Timestamp,
    /// The time from which an ejected app server gets a handshake on trial.
    trial_at: Timestamp,
    trial_after: Duration,
}

/// What the node knows about one app server's answers. The caller passes the time of its last frame
/// as `heard_at`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promptness {
    /// Handshakes that the app server has not answered, including those whose clients have gone.
    waiting: u32,
    /// The time since which it has had handshakes to answer and answered none.
    waiting_since: Option<Timestamp>,
    /// A moving average of the time that its answers take.
    usual: Duration,
    /// The time of the last ping that asked for a sign of life.
    called_at: Option<Timestamp>,
    ejected: Option<Ejection>,
}

impl Promptness {
    /// Notes that the app server was given a handshake.
    pub fn asked(&mut self, now: Timestamp) {
        self.waiting += 1;
        self.waiting_since.get_or_insert(now);
        if let Some(ejection) = &mut self.ejected
            && ejection.trial_at <= now
        {
            // Only one trial at a time.
            ejection.trial_after = (ejection.trial_after * 2).min(TRIAL_AFTER_MAX);
            ejection.trial_at = now + ejection.trial_after;
        }
    }

    /// Notes an answer to a handshake that was given at `asked_at`. True when this ends an
    /// ejection.
    pub fn answered(&mut self, now: Timestamp, asked_at: Timestamp) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        self.waiting_since = (self.waiting > 0).then_some(now);
        let took = now.since(asked_at);
        self.usual = if self.usual.is_zero() { took } else { (self.usual * 7 + took) / 8 };
        self.ejected.take().is_some()
    }

    /// Notes the end of a handshake without an answer: its client has gone, or it was given to
    /// another app server.
    pub fn withdrawn(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.waiting_since = None;
        }
    }

    /// Notes a frame; only needed while the app server is ejected. True when this ends the
    /// ejection.
    pub fn heard(&mut self, now: Timestamp) -> bool {
        let silent = self.ejected.is_some_and(|ejection| ejection.hang == Hang::Silent);
        if silent {
            self.ejected = None;
            // The app server first has to work through what has arrived meanwhile.
            self.waiting_since = self.waiting_since.map(|_| now);
        }
        silent
    }

    /// Whether the app server is ejected: then [`Self::heard`] must be called for each frame.
    pub fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// How much the app server is preferred for a handshake now.
    pub fn standing(&self, now: Timestamp, patience: Patience) -> Standing {
        if let Some(ejection) = self.ejected {
            let on_trial = ejection.hang == Hang::Unanswered && ejection.trial_at <= now;
            return if on_trial { Standing::Prompt } else { Standing::Ejected };
        }
        let late_after = patience.late_after().max(self.usual * USUAL_FACTOR);
        let late = self.waiting_since.is_some_and(|since| now.since(since) > late_after);
        if late { Standing::Late } else { Standing::Prompt }
    }

    /// What to do with a handshake that was given at `asked_at` and has no answer. The app server's
    /// last frame came at `heard_at`.
    pub fn advise(
        &mut self,
        now: Timestamp,
        asked_at: Timestamp,
        heard_at: Timestamp,
        patience: Patience,
    ) -> Advice {
        if let Some(ejection) = self.ejected {
            // A handshake on trial gets the same time as any other.
            let until = asked_at + patience.unanswered_after();
            let on_trial = ejection.hang == Hang::Unanswered && ejection.at < asked_at;
            if on_trial && now < until {
                return Advice::Wait { until };
            }
            return Advice::Leave { ejected: None };
        }
        if let Some(called_at) = self.called_at.filter(|at| *at > heard_at) {
            let until = called_at + patience.called_in_vain_after();
            if now < until {
                return Advice::Wait { until };
            }
            if now <= until + patience.late_after() {
                return self.eject(now, Hang::Silent);
            }
            // No look was taken in time, so this node itself may have stood still: the answer may
            // wait to be read.
            return Advice::Call { until: self.call(now, patience) };
        }
        let quiet_since = asked_at.max(heard_at);
        let unanswered_since = self.waiting_since.map_or(asked_at, |since| since.max(asked_at));
        let unanswered_after = patience.unanswered_after().max(self.usual * USUAL_FACTOR);
        let unanswered_at = unanswered_since + unanswered_after;
        if unanswered_at <= now {
            return self.eject(now, Hang::Unanswered);
        }
        if quiet_since + patience.call_after() <= now {
            let until = self.call(now, patience).min(unanswered_at);
            return Advice::Call { until };
        }
        Advice::Wait { until: (quiet_since + patience.call_after()).min(unanswered_at) }
    }

    /// The time of the first look at a handshake that is given now.
    pub fn first_look(now: Timestamp, patience: Patience) -> Timestamp {
        now + patience.call_after()
    }

    /// Notes a ping that is sent now. Returns when it counts as unanswered.
    fn call(&mut self, now: Timestamp, patience: Patience) -> Timestamp {
        self.called_at = Some(now);
        now + patience.called_in_vain_after()
    }

    fn eject(&mut self, now: Timestamp, hang: Hang) -> Advice {
        self.called_at = None;
        let trial_at = now + TRIAL_AFTER;
        self.ejected = Some(Ejection { hang, at: now, trial_at, trial_after: TRIAL_AFTER });
        Advice::Leave { ejected: Some(hang) }
    }
}
