//! A bounded table of strangers, with what is counted for each.

use alloc::collections::BTreeMap;
use core::ops::Bound;
use core::time::Duration;

use trunkline_clock::Timestamp;

use crate::address::Address;
use crate::rate::{Bucket, Rate};

/// What one address may have and do. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Open streams.
    pub streams_max: Option<u32>,
    /// Sessions.
    pub sessions_max: Option<u32>,
    /// Handshakes.
    pub handshakes: Option<Rate>,
    /// Requests that fail by the client's own fault.
    pub failures: Option<Rate>,
    /// Whether an address that forwards the requests of others has no limits, see
    /// [`Guests::note_forwards`].
    pub forwarders_are_free: bool,
}

/// Bursts of failed requests after which an address is banned.
const BAN_BURSTS: u32 = 5;
/// The time without a failed request after which a ban ends, in bursts: what is owed is capped that
/// much above the ban's threshold.
const BAN_LASTS_BURSTS: u32 = 1;
/// The limits of the entry that stands for all addresses without one of their own, in limits of one
/// address.
const OTHERS_TIMES: u32 = 64;
/// Entries that are looked at, to drop those without anything counted, whenever one is added.
const SWEPT_PER_ENTRY: usize = 2;
/// The same when the table is full.
const SWEPT_WHEN_FULL: usize = 64;

/// What is counted for one address at present.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Its open streams.
    pub streams: u32,
    /// Its sessions.
    pub sessions: u32,
    /// Whether its requests credibly name others as their clients.
    pub forwards: bool,
}

/// The refusal of streams of an address that failed too often: for this long, if it stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Banned(pub Duration);

/// The reason why an address may not open another stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamRefused {
    /// The address has as many as it may.
    Full,
    /// Too many of its requests failed.
    Banned(Banned),
}

/// The consequence of a failed request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failed {
    /// The request is answered as usual.
    Within,
    /// Too many fail: a cheap answer is due. The time until failures are within the rate again.
    Over(Duration),
}

#[derive(Clone, Copy, Debug, Default)]
struct Guest {
    counts: Counts,
    handshakes: Bucket,
    failures: Bucket,
}

impl Guest {
    fn is_idle(&self, now: Timestamp) -> bool {
        let Self { counts: Counts { streams, sessions, .. }, handshakes, failures } = self;
        *streams == 0 && *sessions == 0 && handshakes.is_at_rest(now) && failures.is_at_rest(now)
    }

    /// Whether limits concern this address.
    fn is_limited(&self, limits: &Limits) -> bool {
        !(limits.forwarders_are_free && self.counts.forwards)
    }
}

/// The table. What is counted under an address is given back under the address that the call
/// returned: when the table is full, newcomers share one entry, [`Address::OTHERS`].
#[derive(Debug)]
pub struct Guests {
    known: BTreeMap<Address, Guest>,
    known_max: usize,
    others: Guest,
    /// The last address that was looked at to see whether it is still needed.
    swept: Address,
}

impl Guests {
    /// An empty table for at most so many addresses.
    pub const fn new(known_max: usize) -> Self {
        let none = Counts { streams: 0, sessions: 0, forwards: false };
        let others = Guest { counts: none, handshakes: Bucket::NEW, failures: Bucket::NEW };
        Self { known: BTreeMap::new(), known_max, others, swept: Address::OTHERS }
    }

    /// The addresses in the table.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no address is in the table.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is counted for an address.
    pub fn counts(&self, address: Address) -> Counts {
        self.guest(address).counts
    }

    /// Counts one more stream of an address.
    ///
    /// # Errors
    ///
    /// The address may not open another one.
    pub fn open_stream(
        &mut self,
        address: Address,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Address, StreamRefused> {
        let (address, guest, times) = self.enter(address, now);
        if guest.is_limited(limits) {
            if let Some(banned) = ban(guest, limits, times, now) {
                return Err(StreamRefused::Banned(banned));
            }
            if is_full(guest.counts.streams, limits.streams_max, times) {
                return Err(StreamRefused::Full);
            }
        }
        guest.counts.streams = guest.counts.streams.saturating_add(1);
        Ok(address)
    }

    /// Returns what [`Self::open_stream`] has counted under this address.
    pub fn close_stream(&mut self, address: Address, now: Timestamp) {
        self.leave(address, now, |counts| counts.streams = counts.streams.saturating_sub(1));
    }

    /// Counts a handshake.
    ///
    /// # Errors
    ///
    /// There are too many; the time until another one is allowed.
    pub fn handshake(
        &mut self,
        address: Address,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let Some(rate) = limits.handshakes else { return Ok(()) };
        let (_, guest, times) = self.enter(address, now);
        if !guest.is_limited(limits) {
            return Ok(());
        }
        guest.handshakes.take(rate.times(times), now, 1)
    }

    /// Counts one more session of an address. `None`: it has as many as it may.
    pub fn open_session(
        &mut self,
        address: Address,
        limits: &Limits,
        now: Timestamp,
    ) -> Option<Address> {
        let (address, guest, times) = self.enter(address, now);
        if guest.is_limited(limits) && is_full(guest.counts.sessions, limits.sessions_max, times) {
            return None;
        }
        guest.counts.sessions = guest.counts.sessions.saturating_add(1);
        Some(address)
    }

    /// Counts a session that already exists, such as one that comes from another node.
    pub fn add_session(&mut self, address: Address, now: Timestamp) -> Address {
        let (address, guest, _) = self.enter(address, now);
        guest.counts.sessions = guest.counts.sessions.saturating_add(1);
        address
    }

    /// Returns what [`Self::open_session`] or [`Self::add_session`] has counted under this address.
    pub fn close_session(&mut self, address: Address, now: Timestamp) {
        self.leave(address, now, |counts| counts.sessions = counts.sessions.saturating_sub(1));
    }

    /// Counts a request that failed by the client's own fault.
    pub fn fail(&mut self, address: Address, limits: &Limits, now: Timestamp) -> Failed {
        let Some(rate) = limits.failures else { return Failed::Within };
        let (_, guest, times) = self.enter(address, now);
        if !guest.is_limited(limits) {
            return Failed::Within;
        }
        let rate = rate.times(times);
        let most = rate.burst_time() * (BAN_BURSTS + BAN_LASTS_BURSTS);
        guest.failures.charge(rate, now, 1, most);
        over(guest, rate, now).map_or(Failed::Within, Failed::Over)
    }

    /// The time for which streams of an address are refused because too many of its requests
    /// failed.
    pub fn banned(&self, address: Address, limits: &Limits, now: Timestamp) -> Option<Banned> {
        let guest = self.guest(address);
        let times = if address == Address::OTHERS { OTHERS_TIMES } else { 1 };
        if guest.is_limited(limits) { ban(guest, limits, times, now) } else { None }
    }

    /// Notes that an address forwards requests of others, or only says so: then it keeps its limits. Returns
    /// what is counted for it.
    pub fn note_forwards(&mut self, address: Address, is_credible: bool) -> Counts {
        let guest = self.known.get_mut(&address);
        let guest = guest.filter(|guest| guest.counts.streams > 0 || guest.counts.sessions > 0);
        guest.map_or_else(Counts::default, |guest| {
            guest.counts.forwards |= is_credible;
            guest.counts
        })
    }

    fn guest(&self, address: Address) -> &Guest {
        self.known.get(&address).unwrap_or(&self.others)
    }

    /// The entry that counts for an address, which address that is, and its limits in limits of one
    /// address.
    fn enter(&mut self, address: Address, now: Timestamp) -> (Address, &mut Guest, u32) {
        if !self.known.contains_key(&address) {
            let is_full = self.known.len() >= self.known_max;
            self.sweep(if is_full { SWEPT_WHEN_FULL } else { SWEPT_PER_ENTRY }, now);
            if address == Address::OTHERS || self.known.len() >= self.known_max {
                return (Address::OTHERS, &mut self.others, OTHERS_TIMES);
            }
        }
        (address, self.known.entry(address).or_default(), 1)
    }

    fn leave(&mut self, address: Address, now: Timestamp, change: impl FnOnce(&mut Counts)) {
        match self.known.get_mut(&address) {
            Some(guest) => {
                change(&mut guest.counts);
                if guest.is_idle(now) {
                    self.known.remove(&address);
                }
            }
            None => change(&mut self.others.counts),
        }
    }

    /// Drops entries without anything counted, among the next few. Entries of which only a rate is
    /// left have no other end.
    fn sweep(&mut self, entries: usize, now: Timestamp) {
        for _ in 0..entries {
            let after = (Bound::Excluded(self.swept), Bound::Unbounded);
            let next = self.known.range(after).next().or_else(|| self.known.iter().next());
            let Some((&address, guest)) = next else { return };
            let is_idle = guest.is_idle(now);
            self.swept = address;
            if is_idle {
                self.known.remove(&address);
            }
        }
    }
}

fn is_full(count: u32, limit: Option<u32>, times: u32) -> bool {
    limit.is_some_and(|limit| count >= limit.saturating_mul(times))
}

/// The time until the failures of an address are within their rate; `None` when they are.
fn over(guest: &Guest, rate: Rate, now: Timestamp) -> Option<Duration> {
    let beyond = guest.failures.owed(now).saturating_sub(rate.burst_time());
    (!beyond.is_zero()).then_some(beyond)
}

fn ban(guest: &Guest, limits: &Limits, times: u32, now: Timestamp) -> Option<Banned> {
    let rate = limits.failures?.times(times);
    let beyond = guest.failures.owed(now).saturating_sub(rate.burst_time() * BAN_BURSTS);
    (!beyond.is_zero()).then_some(Banned(beyond))
}
