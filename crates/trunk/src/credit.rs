//! Flow control: the credit for data frames, both ends of one direction (section 5).

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The credit that the peer gave us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CreditSender {
    available: i64,
}

impl CreditSender {
    /// Starts with the window that the peer's `Hello` or `Welcome` named, in bytes.
    pub const fn new(window_bytes: u32) -> Self {
        Self { available: window_bytes as i64 }
    }

    /// Whether a data frame may be started now.
    pub const fn may_send(&self) -> bool {
        self.available > 0
    }

    /// Bytes left; at zero or below no data frame may be started.
    pub const fn available_bytes(&self) -> i64 {
        self.available
    }

    /// Takes the cost of a data frame that was sent. The last frame may take more than is left.
    pub fn spend(&mut self, cost_bytes: u32) {
        self.available = self.available.saturating_sub(i64::from(cost_bytes));
    }

    /// Adds the credit of a `Credit` frame. True when sending was stopped and may continue.
    pub fn grant(&mut self, bytes: u32) -> bool {
        let stopped = !self.may_send();
        self.available = self.available.saturating_add(i64::from(bytes));
        stopped && self.may_send()
    }
}

/// The credit that the peer gave us, when several threads spend it; and how much of it may be under
/// way at once, see [`Window`](crate::Window).
#[derive(Debug)]
pub struct SharedCredit {
    /// All bytes that were ever spent, and ever given.
    spent: AtomicU64,
    granted: AtomicU64,
    /// The weight of all messages that were ever sent, and that at which the window is full.
    weight: AtomicU64,
    full_at: AtomicU64,
    /// The size of the window, and how often the peer has answered by now.
    window: AtomicU32,
    round: AtomicU32,
}

impl SharedCredit {
    /// Starts with the credit that the peer's `Hello` named, in bytes, and without a window.
    pub const fn new(credit_bytes: u32) -> Self {
        Self {
            spent: AtomicU64::new(0),
            granted: AtomicU64::new(credit_bytes as u64),
            weight: AtomicU64::new(0),
            full_at: AtomicU64::new(u64::MAX),
            window: AtomicU32::new(u32::MAX),
            round: AtomicU32::new(0),
        }
    }

    /// Whether a data frame may be started now.
    pub fn may_send(&self) -> bool {
        self.available_bytes() > 0
    }

    /// Bytes left; at zero or below no data frame may be started.
    pub fn available_bytes(&self) -> i64 {
        // In this order, as in `room`: a caller that finds nothing left is seen by `grant`.
        let spent = self.spent.load(Ordering::SeqCst);
        difference(self.granted.load(Ordering::SeqCst), spent)
    }

    /// Takes the cost of a data frame; false when no credit is left to start one. The last frame
    /// may take more than is left.
    pub fn spend(&self, cost_bytes: u32) -> bool {
        let spend = |spent: u64| {
            let granted = self.granted.load(Ordering::SeqCst);
            (spent < granted).then(|| spent + u64::from(cost_bytes))
        };
        let is_spent = self.spent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_ok();
        if is_spent {
            self.weight.fetch_add(weight_of(cost_bytes), Ordering::SeqCst);
        }
        is_spent
    }

    /// Adds the credit of a `Credit` frame. True when sending was stopped and may continue.
    pub fn grant(&self, bytes: u32) -> bool {
        let before = self.granted.fetch_add(u64::from(bytes), Ordering::SeqCst);
        let spent = self.spent.load(Ordering::SeqCst);
        before <= spent && before + u64::from(bytes) > spent
    }

    /// The weight of all messages that were ever sent, see [`weight_of`].
    pub fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Room in the window, in weight: zero or less when it is full, very much when there is none.
    pub fn room(&self) -> i64 {
        // In this order: a caller that finds the window full either sees the change that makes
        // room, or is seen by `set_full_at`.
        let weight = self.weight.load(Ordering::SeqCst);
        difference(self.full_at.load(Ordering::SeqCst), weight)
    }

    /// Whether there is a window.
    pub fn has_window(&self) -> bool {
        self.full_at.load(Ordering::Relaxed) != u64::MAX
    }

    /// The size of the window, in weight.
    pub fn window(&self) -> u32 {
        self.window.load(Ordering::Relaxed)
    }

    /// The number of the present round.
    pub fn round(&self) -> u32 {
        self.round.load(Ordering::Relaxed)
    }

    /// Begins another round, with a window of this size.
    pub fn begin_round(&self, window: u32) {
        self.window.store(window, Ordering::Relaxed);
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes the weight at which the window is full. True when it was full and is
    /// no longer: senders may wait for it.
    pub fn set_full_at(&self, full_at: u64) -> bool {
        let before = self.full_at.swap(full_at, Ordering::SeqCst);
        let weight = self.weight.load(Ordering::SeqCst);
        weight >= before && weight < full_at
    }
}

/// What a message counts for the window: its bytes, and its share of the time that a message takes
/// however short it is.
pub const fn weight_of(cost_bytes: u32) -> u64 {
    cost_bytes as u64 + MESSAGE_WEIGHT
}

/// The bytes that take an app server about as long as an empty message.
const MESSAGE_WEIGHT: u64 = 64;

fn difference(limit: u64, spent: u64) -> i64 {
    if limit >= spent {
        i64::try_from(limit - spent).unwrap_or(i64::MAX)
    } else {
        i64::try_from(spent - limit).map_or(i64::MIN, |beyond| -beyond)
    }
}

/// The credit that we gave the peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CreditReceiver {
    window: u32,
    /// Bytes that the peer may still send, as the peer counts them.
    available: i64,
    /// Bytes received and not yet reported as processed.
    unprocessed: u64,
    /// Bytes processed and not yet returned as credit.
    processed_due: u64,
}

impl CreditReceiver {
    /// Starts with the window that our own `Hello` or `Welcome` named, in bytes.
    pub const fn new(window_bytes: u32) -> Self {
        Self {
            window: window_bytes,
            available: window_bytes as i64,
            unprocessed: 0,
            processed_due: 0,
        }
    }

    /// Notes a data frame of this cost.
    pub fn received(&mut self, cost_bytes: u32) -> Result<(), Violation> {
        if self.available <= 0 {
            return Err(Violation { cost_bytes, overdrawn_bytes: self.available.unsigned_abs() });
        }
        self.available -= i64::from(cost_bytes);
        self.unprocessed += u64::from(cost_bytes);
        Ok(())
    }

    /// Notes that this many received bytes are processed. `Some`: send a `Credit` of that many
    /// bytes now.
    ///
    /// Credit is returned in portions of at least half the window. The peer never waits for a portion
    /// that does not come: while less than half is due, the rest of the window is either available
    /// to the peer, or unprocessed and will become due.
    pub fn processed(&mut self, bytes: u64) -> Option<u32> {
        // Do not give credit for more bytes than arrived.
        let bytes = bytes.min(self.unprocessed);
        self.unprocessed -= bytes;
        self.processed_due += bytes;
        if self.processed_due < u64::from(self.window / 2).max(1) {
            return None;
        }
        let grant = u32::try_from(self.processed_due).unwrap_or(u32::MAX);
        self.processed_due -= u64::from(grant);
        self.available += i64::from(grant);
        Some(grant)
    }

    /// Bytes that the peer may still send, once everything under way has arrived.
    pub const fn available_bytes(&self) -> i64 {
        self.available
    }

    /// Bytes received and not yet processed: what this direction holds in memory.
    pub const fn unprocessed_bytes(&self) -> u64 {
        self.unprocessed
    }
}

/// The peer started a data frame without credit (error 4).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a data frame of {cost_bytes} bytes came with the credit {overdrawn_bytes} bytes overdrawn"
)]
pub struct Violation {
    /// The length of the frame's body.
    pub cost_bytes: u32,
    /// How far below zero the credit already was.
    pub overdrawn_bytes: u64,
}
