//! The batches of one direction: those that are kept until the other end has confirmed them, and
//! the confirmations that are due.
//!
//! Both ends count the batches of each direction from 1; the messages with `Hello` and `Welcome` do
//! not count. The counts go on when a trunk is resumed on another stream.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::misbehaved::Misbehaved;
use crate::kind::FrameKind;

/// The most bytes that are kept for one trunk. Beyond it, all of them are forgotten.
pub const RETAINED_BYTES_MAX: usize = 16 << 20;
/// What a kept batch takes beside its bytes.
const OVERHEAD_BYTES: usize = 96;
/// Batches, bytes and time after which a confirmation leaves although nothing else is sent.
const CONFIRMED_BATCHES_MAX: u32 = 64;
const CONFIRMED_BYTES_MAX: usize = 256 << 10;
const CONFIRMED_AFTER: Duration = Duration::from_secs(1);

/// How long a batch is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Keeps {
    /// Not at all: the other end cannot resume the trunk.
    #[default]
    Nothing,
    /// Until the other end has received it.
    UntilReceived,
    /// Until the app server has handled it.
    UntilHandled,
}

/// The batches that one end sends, as far as they may be needed again.
#[derive(Debug)]
pub struct Retained {
    keeps: Keeps,
    bytes_max: usize,
    /// The batches from the number `first` to the number `sent`.
    batches: VecDeque<Bytes>,
    first: u64,
    sent: u64,
    bytes: usize,
    /// The batches that the other end has confirmed, by each way of confirming. A frame that
    /// confirms may come after a new stream has confirmed the same batches.
    got: u64,
    begun: u64,
    done: u64,
    received: u64,
    /// Set when the last batch that is begun was said to be before it came.
    ahead: bool,
    /// Set when everything was forgotten, until that is asked for.
    has_forgotten: bool,
}

/// What an app server had not handled when it was lost: whole batches, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Unhandled {
    /// The app server may have handled these.
    pub doubtful: Vec<Bytes>,
    /// The app server may have handled the messages of this one, which comes after those; it has not
    /// begun the sessions that it was to adopt.
    pub ahead: Option<Bytes>,
    /// The app server cannot have begun these; they come after the others.
    pub unbegun: Vec<Bytes>,
    /// Set when there were more than could be kept: anything that was sent may be unhandled.
    pub incomplete: bool,
}

/// Why a trunk cannot continue on a new stream. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CannotResume {
    /// The other end needs batches that are not kept any more.
    #[error("batches that it has not received are no longer kept")]
    Forgotten,
    /// The other end claims to have received batches that were never sent.
    #[error("it counts batches that were never sent")]
    NeverSent,
    /// The trunk has ended.
    #[error("the trunk has ended")]
    Over,
}

impl Retained {
    /// Keeps batches in this way, up to `bytes_max` bytes.
    pub const fn new(keeps: Keeps, bytes_max: usize) -> Self {
        Self {
            keeps,
            bytes_max,
            batches: VecDeque::new(),
            first: 1,
            sent: 0,
            bytes: 0,
            got: 0,
            begun: 0,
            done: 0,
            received: 0,
            ahead: false,
            has_forgotten: false,
        }
    }

    /// Whether batches are kept at all.
    pub fn keeps(&self) -> Keeps {
        self.keeps
    }

    /// Notes a batch that is about to be sent.
    pub fn note(&mut self, batch: &Bytes) {
        self.sent += 1;
        if self.keeps == Keeps::Nothing {
            self.first = self.sent + 1;
            return;
        }
        self.bytes += batch.len() + OVERHEAD_BYTES;
        self.batches.push_back(batch.clone());
        if self.bytes > self.bytes_max {
            self.batches = VecDeque::new();
            self.bytes = 0;
            self.first = self.sent + 1;
            self.has_forgotten = true;
        }
    }

    /// Whether everything was forgotten since the last call, because it was too much.
    pub const fn take_forgotten(&mut self) -> bool {
        core::mem::replace(&mut self.has_forgotten, false)
    }

    /// Handles a `Got`.
    pub fn handle_got(&mut self, batches: u32) -> Result<(), Misbehaved> {
        self.got = self.counted(FrameKind::Got, self.got, batches, self.sent)?;
        self.forget_confirmed();
        Ok(())
    }

    /// Handles a `Handled`. One that ends a batch may begin the next one ahead, before it has come.
    pub fn handle_handled(&mut self, begun: u32, done: u32) -> Result<(), Misbehaved> {
        let begun_max = self.sent + u64::from(done > 0);
        let begun_before = self.begun;
        self.begun = self.counted(FrameKind::Handled, self.begun, begun, begun_max)?;
        self.done = self.counted(FrameKind::Handled, self.done, done, self.sent)?;
        if self.done > self.begun {
            return Err(Misbehaved::BatchesNotSent(FrameKind::Handled));
        }
        if done == 0 {
            self.ahead = false;
        } else if self.begun > begun_before || self.begun == self.done {
            self.ahead = self.begun > self.done;
        }
        self.forget_confirmed();
        Ok(())
    }

    /// The batches to send on a new stream, whose other end has received this many.
    pub fn resume(
        &mut self,
        received: u64,
    ) -> Result<impl Iterator<Item = Bytes> + use<'_>, CannotResume> {
        if received > self.sent {
            return Err(CannotResume::NeverSent);
        }
        // An end that has less than it has confirmed is not the one that confirmed.
        if received + 1 < self.first || received < self.confirmed() {
            return Err(CannotResume::Forgotten);
        }
        self.received = received;
        self.forget_confirmed();
        let skipped = usize::try_from(received + 1 - self.first).unwrap_or(usize::MAX);
        Ok(self.batches.iter().skip(skipped).cloned())
    }

    /// What the app server has not handled. Of the last `unwritten` batches nothing has left this
    /// end. `stopped`: the app server begins nothing more, and what it said last has arrived.
    pub fn unhandled(&self, unwritten: u64, stopped: bool) -> Unhandled {
        let written = self.sent.saturating_sub(unwritten);
        let ahead = (stopped && self.ahead && self.begun <= written).then_some(self.begun);
        let doubtful = match ahead {
            Some(ahead) => ahead - 1,
            None if stopped => self.begun.min(written),
            None => written,
        };
        let mut left = Unhandled { incomplete: self.first > self.done + 1, ..Unhandled::default() };
        for (number, batch) in (self.first..).zip(&self.batches) {
            if number <= self.done {
                continue;
            }
            let batch = batch.clone();
            if number <= doubtful {
                left.doubtful.push(batch);
            } else if ahead == Some(number) {
                left.ahead = Some(batch);
            } else {
                left.unbegun.push(batch);
            }
        }
        left
    }

    /// Bytes that are kept, and what keeping them takes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn counted(
        &self,
        kind: FrameKind,
        before: u64,
        more: u32,
        max: u64,
    ) -> Result<u64, Misbehaved> {
        let count = before + u64::from(more);
        if count > max { Err(Misbehaved::BatchesNotSent(kind)) } else { Ok(count) }
    }

    /// The batches that the other end has certainly received.
    fn confirmed(&self) -> u64 {
        self.got.max(self.begun - u64::from(self.ahead)).max(self.received)
    }

    fn forget_confirmed(&mut self) {
        let confirmed = match self.keeps {
            Keeps::Nothing => return,
            Keeps::UntilReceived => self.confirmed(),
            Keeps::UntilHandled => self.done,
        };
        while self.first <= confirmed {
            let Some(batch) = self.batches.pop_front() else { return };
            self.first += 1;
            self.bytes -= batch.len() + OVERHEAD_BYTES;
        }
    }
}

/// The batches that one end has received, and the confirmation that it owes for them.
#[derive(Debug, Default)]
pub struct Received {
    count: u64,
    owed: u32,
    owed_bytes: usize,
    /// The time by which the confirmation leaves at the latest.
    until: Option<Timestamp>,
}

impl Received {
    /// Notes a batch; `owes` tells whether the other end wants it confirmed.
    pub fn note(&mut self, now: Timestamp, bytes: usize, owes: bool) {
        self.count += 1;
        if owes {
            self.owed += 1;
            self.owed_bytes += bytes;
            self.until.get_or_insert(now + CONFIRMED_AFTER);
        }
    }

    /// The number of batches received.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether the confirmation must leave although nothing else does.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.owed >= CONFIRMED_BATCHES_MAX
            || self.owed_bytes >= CONFIRMED_BYTES_MAX
            || self.until.is_some_and(|until| until <= now)
    }

    /// When the confirmation is due at the latest.
    pub const fn due_at(&self) -> Option<Timestamp> {
        self.until
    }

    /// Takes the number of batches to confirm now; they are no longer owed.
    pub fn take(&mut self) -> Option<u32> {
        let owed = core::mem::take(&mut self.owed);
        self.owed_bytes = 0;
        self.until = None;
        (owed > 0).then_some(owed)
    }
}
