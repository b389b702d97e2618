//! How much may be under way to an app server.
//!
//! Credit bounds memory: it is enough for a few of the largest messages, and so for very many small
//! ones. An app server that handles messages more slowly than they come has all of its credit under
//! way, and whatever is sent next waits until it has handled the rest: seconds, if one client sends
//! small messages as fast as it can. The window bounds this wait instead. What does not fit stays
//! with the clients that send much, and each of them has its turn.
//!
//! The node measures the wait with `Ping`s among the messages: the app server answers one when it
//! has handled everything before it. The window is what the app server handles in [`WAIT`], or in
//! [`LONG_WAIT`] if that is very little. It is made larger only while senders wait for it. It is counted in weight ([`weight_of`]): a short
//! message takes an app server nearly as long as one of a hundred bytes.
//!
//! [`weight_of`]: crate::weight_of
//!
//! It fills half by half, each with a `Ping` after it, so that the app server has the second half to
//! work on while the answer to the first is on its way.

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;

/// How long a message may wait for those before it, in addition to the way to the app server and
/// back.
pub const WAIT: Duration = Duration::from_millis(4);

/// How long a message may wait before the window becomes smaller than [`USUAL`]. A network or a
/// garbage collector delays some answers by more than [`WAIT`], whatever the size of the window.
pub const LONG_WAIT: Duration = Duration::from_millis(20);

/// The least window, and one that an ordinary app server handles in a millisecond or two. The first
/// window is of that size.
const LEAST: u32 = 512;
const USUAL: u32 = 32 * 1024;
/// The weight after which is measured, unless the window is smaller.
const UNMEASURED_MAX: u64 = 8 * 1024;
/// The most measurements under way.
const ASKED_MAX: usize = 4;
/// The share of a longer way that is believed at once: a way that is longer for good is soon known,
/// and one slow answer changes little.
const LONGER_WAY_SHARE: u32 = 64;

/// The window of one trunk.
#[derive(Debug)]
pub struct Window {
    size: u32,
    size_max: u32,
    /// The weight that was sent by now, and what the app server has handled of it.
    sent: u64,
    handled: u64,
    /// The measurements under way.
    asked: VecDeque<Asked>,
    /// The number of the last measurement.
    number: u64,
    /// The time of the way to the app server and back, without a wait; `None` before the first
    /// answer.
    way: Option<Duration>,
    life: Life,
}

/// Whether the app server answers.
#[derive(Clone, Copy, Debug)]
enum Life {
    Answers,
    /// A measurement was found overdue then.
    Overdue(Timestamp),
    /// It has stopped answering: there is no window any more.
    GivenUp,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u64,
    at: Timestamp,
    /// The weight sent before the `Ping`, and what of it was not handled when it left.
    sent: u64,
    under_way: u64,
}

impl Window {
    /// A window that never exceeds the app server's credit.
    pub fn new(credit_bytes: u32) -> Self {
        let size_max = credit_bytes.max(LEAST);
        Self {
            size: USUAL.min(size_max),
            size_max,
            sent: 0,
            handled: 0,
            asked: VecDeque::new(),
            number: 0,
            way: None,
            life: Life::Answers,
        }
    }

    /// Looks whether a measurement has had no answer for three intervals, although the app server
    /// lives. True: the window is given up now and nothing is measured again, since it would stay
    /// full for ever. After a pause of the whole node the answer may be among what is read next,
    /// so that the last interval begins when the measurement is first found overdue.
    #[must_use]
    pub fn gives_up(&mut self, now: Timestamp, interval: Duration) -> bool {
        let Some(asked) = self.asked.front() else { return false };
        if now.since(asked.at) < 2 * interval {
            self.life = Life::Answers;
            return false;
        }
        match self.life {
            Life::Answers => self.life = Life::Overdue(now),
            Life::Overdue(since) if now.since(since) >= interval => {
                self.life = Life::GivenUp;
                self.asked.clear();
                return true;
            }
            Life::Overdue(_) | Life::GivenUp => (),
        }
        false
    }

    /// The size, in weight.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// The sent weight at which the window is full for now, or a half of it.
    pub fn full_at(&self) -> u64 {
        let half = self.asked.back().map_or(self.handled, |asked| asked.sent);
        let after_half = half.saturating_add(u64::from(self.size / 2).max(1));
        self.handled.saturating_add(self.size.into()).min(after_half)
    }

    /// Notes that all messages up to this weight are sent now. Returns the token of a
    /// `Ping` to send after them, if it is time to measure.
    pub fn measure(&mut self, now: Timestamp, sent: u64) -> Option<Bytes> {
        if matches!(self.life, Life::GivenUp) {
            return None;
        }
        self.sent = self.sent.max(sent);
        let under_way = self.sent - self.handled;
        let before = self.asked.back().map_or(self.handled, |asked| asked.sent);
        let unmeasured = self.sent - before;
        let is_much = if self.asked.is_empty() {
            unmeasured >= UNMEASURED_MAX.min(u64::from(self.size / 2))
        } else {
            unmeasured >= u64::from(self.size / 2)
        };
        // The first measurement, before anything is sent, finds the way without a wait.
        let is_first = self.way.is_none() && self.asked.is_empty();
        if !(is_first || is_much) || self.asked.len() == ASKED_MAX {
            return None;
        }
        self.number += 1;
        self.asked.push_back(Asked { number: self.number, at: now, sent: self.sent, under_way });
        Some(token(self.number))
    }

    /// Handles a `Pong`. `is_full`: senders waited for the window. False when it answers no
    /// measurement.
    pub fn answered(&mut self, now: Timestamp, token: &[u8], is_full: bool) -> bool {
        let Some(asked) = self.asked.front().copied() else { return false };
        if token != self::token(asked.number) {
            return false;
        }
        self.asked.pop_front();
        self.life = Life::Answers;
        self.handled = asked.sent;
        let took = now.since(asked.at);
        let way = self.way.map_or(took, |way| {
            if took < way || is_full {
                took.min(way)
            } else {
                way + (took - way) / LONGER_WAY_SHARE
            }
        });
        self.way = Some(way);
        let waited = took.saturating_sub(way);
        let is_telling = asked.under_way * 2 >= u64::from(self.size);
        if waited > WAIT && is_telling {
            let fitting = share_of(asked.under_way, WAIT, waited);
            let least = if waited > LONG_WAIT { 0 } else { USUAL };
            self.resize(fitting.max(self.size / 2).max(least).min(self.size));
        } else if is_full && waited <= WAIT {
            // Up to twice as much, and no more than what seems to fit.
            let twice = self.size.saturating_mul(2);
            let fitting = share_of(asked.under_way, WAIT, waited);
            self.resize(fitting.clamp(self.size, twice));
        }
        true
    }

    fn resize(&mut self, size: u32) {
        self.size = size.clamp(LEAST, self.size_max);
    }
}

fn token(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The weight that waits for `wait` if `weight` has waited for `waited`.
fn share_of(weight: u64, wait: Duration, waited: Duration) -> u32 {
    let (wait, waited) = (wait.as_micros(), waited.as_micros().max(1));
    u32::try_from(u128::from(weight) * wait / waited).unwrap_or(u32::MAX)
}
