//! How promptly an app server answers handshakes, and when another one should be asked instead.
//!
//! An app server that hangs as a whole (a stopped process, a blocked event loop, a lost network) sends no frame at
//! all, not even the answer to a ping. One whose handshakes alone hang (a database that does not answer its
//! `allowRequest`) still answers pings. The first is found out within `silent_after`, because nothing that it was
//! given is being worked at. The second is given far longer: its answer may well come, and a handshake that is tried
//! elsewhere as well runs the app's code twice.

use core::time::Duration;

use trunkline_clock::Timestamp;

/// How many times longer than a silent app server one is waited for that answers pings.
const UNANSWERED_FACTOR: u32 = 5;
/// Answers may take that many times their usual time before they count as late.
const USUAL_FACTOR: u32 = 4;
/// When an app server without answers to handshakes is first tried again; doubled after each try in vain.
const TRIAL_AFTER: Duration = Duration::from_secs(10);
const TRIAL_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long app servers may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// An app server with a handshake to answer that sends no frame for so long hangs.
    pub silent_after: Duration,
}

impl Patience {
    /// Newcomers go to others after this long without an answer to any handshake.
    fn late_after(self) -> Duration {
        self.silent_after / 4
    }

    /// A sign of life is asked for after this long without a frame.
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

/// Which app servers newcomers go to first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Standing {
    /// It answers, or has nothing to answer.
    Prompt,
    /// It has handshakes to answer and has answered none of them for a while.
    Late,
    /// It hangs: it gets handshakes only where all others hang, too.
    Ejected,
}

/// Why an app server was ejected. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hang {
    /// It sends nothing at all.
    Silent,
    /// It sends frames, but no answers to handshakes.
    Unanswered,
}

/// What to do with a handshake that waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advice {
    /// Ping the app server, then look again.
    Call {
        /// When to look again.
        until: Timestamp,
    },
    /// Try it elsewhere.
    Leave {
        /// The app server has been ejected just now, for this.
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
    /// When the next handshake is given to it to see whether it answers again.
    trial_at: Timestamp,
    trial_after: Duration,
}

/// What is known of one app server. The caller says when frames come from it, see `heard_at`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promptness {
    /// Handshakes that are its to answer, those included whose clients have gone.
    waiting: u32,
    /// Since when it has had handshakes to answer without answering any.
    waiting_since: Option<Timestamp>,
    /// A moving average of the time that its answers take.
    usual: Duration,
    /// When it was pinged for a sign of life.
    called_at: Option<Timestamp>,
    ejected: Option<Ejection>,
}

impl Promptness {
    /// It was given a handshake.
    pub fn asked(&mut self, now: Timestamp) {
        self.waiting += 1;
        self.waiting_since.get_or_insert(now);
        if let Some(ejection) = &mut self.ejected
            && ejection.trial_at <= now
        {
            // One at a time.
            ejection.trial_after = (ejection.trial_after * 2).min(TRIAL_AFTER_MAX);
            ejection.trial_at = now + ejection.trial_after;
        }
    }

    /// It accepted or rejected a handshake of `asked_at`. True: it was ejected, and is no longer.
    pub fn answered(&mut self, now: Timestamp, asked_at: Timestamp) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        self.waiting_since = (self.waiting > 0).then_some(now);
        let took = now.since(asked_at);
        self.usual = if self.usual.is_zero() { took } else { (self.usual * 7 + took) / 8 };
        self.ejected.take().is_some()
    }

    /// A handshake came to its end at the app server without an answer: its client had gone, or it was tried
    /// elsewhere.
    pub fn withdrawn(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.waiting_since = None;
        }
    }

    /// A frame came. Only of interest while it is ejected. True: it is so no longer.
    pub fn heard(&mut self, now: Timestamp) -> bool {
        let silent = self.ejected.is_some_and(|ejection| ejection.hang == Hang::Silent);
        if silent {
            self.ejected = None;
            // It has what has gathered meanwhile to work off first.
            self.waiting_since = self.waiting_since.map(|_| now);
        }
        silent
    }

    /// Whether it is ejected: then [`Self::heard`] wants to know of frames.
    pub fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// Whether it should be given a handshake now.
    pub fn standing(&self, now: Timestamp, patience: Patience) -> Standing {
        if let Some(ejection) = self.ejected {
            let on_trial = ejection.hang == Hang::Unanswered && ejection.trial_at <= now;
            return if on_trial { Standing::Prompt } else { Standing::Ejected };
        }
        let late_after = patience.late_after().max(self.usual * USUAL_FACTOR);
        let late = self.waiting_since.is_some_and(|since| now.since(since) > late_after);
        if late { Standing::Late } else { Standing::Prompt }
    }

    /// What to do with a handshake that it was given at `asked_at` and has not answered. Its last frame came at
    /// `heard_at`.
    pub fn advise(
        &mut self,
        now: Timestamp,
        asked_at: Timestamp,
        heard_at: Timestamp,
        patience: Patience,
    ) -> Advice {
        if let Some(ejection) = self.ejected {
            // A handshake that was given to it on trial has the time that each has.
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
            // Nobody has looked in time, so it may be this node that stood still: the answer may wait to be read.
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

    /// When to look at a handshake that is given to it now.
    pub fn first_look(now: Timestamp, patience: Patience) -> Timestamp {
        now + patience.call_after()
    }

    /// It is pinged now. When that was in vain.
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
