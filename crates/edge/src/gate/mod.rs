//! What the node counts and allows per address: the tables, and the rules that may change while it
//! runs.
//!
//! Streams are counted at the entrance, handshakes, sessions and failed requests by the client of
//! the request. A trusted proxy's own address and exempt addresses are never counted.

mod guest;
mod refused;
mod rules;
mod talkers;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use trunkline_admission::{
    Address, Banned, Bucket, Failed, Guests, Rate, StreamRefused, is_private,
};
use trunkline_clock::Timestamp;
use trunkline_http::LogPace;

pub(crate) use self::guest::Guest;
pub(crate) use self::refused::Refused;
pub(crate) use self::rules::Rules;
pub use self::rules::{AddressRules, ForwardedHeader};
pub use self::talkers::TalkersBy;
pub(crate) use self::talkers::{Talker, TalkersWatch};
use crate::limits::Limits;

/// The tables: several, so that shards seldom wait for one another.
const TABLES: usize = 16;
/// The most addresses that are counted separately at a time: some 50 bytes each.
const ADDRESSES_MAX: usize = 1 << 20;
/// The answers to refused streams; the others are closed without one.
const ANSWERS: Rate = Rate::new(500, 500);
/// Sessions of one address from which on it may be a proxy that nobody has named.
const HINT_SESSIONS_MIN: u32 = 100;

/// The tables and the rules of a node.
#[derive(Debug)]
pub(crate) struct Gate {
    rules: RwLock<Arc<Rules>>,
    /// The number of changes of the rules.
    version: AtomicU64,
    tables: [Mutex<Guests>; TABLES],
    origin: Instant,
    /// Limits log lines about refused addresses.
    pace: LogPace,
    /// Answers to refused streams: some per second.
    answers: Mutex<Bucket>,
    /// Set once the log has named an address that looks like a proxy.
    hinted: AtomicBool,
    /// Who sends most, while somebody asks.
    pub(crate) talkers: Arc<TalkersWatch>,
}

impl Gate {
    pub(crate) fn new(addresses: &AddressRules, limits: &Limits) -> Self {
        Self {
            rules: RwLock::new(Arc::new(Rules::new(addresses, limits))),
            version: AtomicU64::new(0),
            tables: std::array::from_fn(|_| Mutex::new(Guests::new(ADDRESSES_MAX / TABLES))),
            origin: Instant::now(),
            pace: LogPace::default(),
            answers: Mutex::default(),
            hinted: AtomicBool::new(false),
            talkers: Arc::new(TalkersWatch::new()),
        }
    }

    /// Changes the rules. What is counted stays counted.
    pub(crate) fn set(&self, addresses: &AddressRules, limits: &Limits) {
        let rules = Arc::new(Rules::new(addresses, limits));
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The present rules. Threads that need them often have a [`RulesReader`].
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Timestamp {
        let micros = self.origin.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn table(&self, address: Address) -> MutexGuard<'_, Guests> {
        // Neighbours are often one stranger's: a plain remainder would put all of them together.
        let hash = address.as_u64().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let table = &self.tables[usize::try_from(hash).unwrap_or(0) % TABLES];
        // Each call on a table is one step, so a panic leaves nothing half done.
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the lists, and counts one more stream of an address. `None`: it is not counted.
    pub(crate) fn admit_stream(
        self: &Arc<Self>,
        rules: &Rules,
        ip: IpAddr,
    ) -> Result<Option<CountedStream>, Refused> {
        rules.check(ip)?;
        self.open_stream(rules, ip)
    }

    fn open_stream(
        self: &Arc<Self>,
        rules: &Rules,
        ip: IpAddr,
    ) -> Result<Option<CountedStream>, Refused> {
        let Some(address) = rules.counted(ip) else { return Ok(None) };
        let opened = self.table(address).open_stream(address, &rules.limits, self.now());
        match opened {
            Ok(counted) => {
                let gate = Arc::clone(self);
                Ok(Some(CountedStream { gate, table: address, counted }))
            }
            Err(StreamRefused::Full) => Err(Refused::Streams),
            Err(StreamRefused::Banned(Banned(span))) => Err(Refused::Banned(span)),
        }
    }

    /// Counts a handshake and the session that it may open.
    pub(crate) fn open_session(
        self: &Arc<Self>,
        rules: &Rules,
        ip: IpAddr,
    ) -> Result<Option<Guest>, Refused> {
        self.talkers.address(TalkersBy::Handshakes, ip);
        let Some(address) = rules.counted(ip) else { return Ok(None) };
        let now = self.now();
        let mut table = self.table(address);
        table.handshake(address, &rules.limits, now).map_err(Refused::Handshakes)?;
        let counted = table.open_session(address, &rules.limits, now);
        drop(table);
        let counted = counted.ok_or(Refused::Sessions)?;
        Ok(Some(Guest::new(self, address, counted, ip)))
    }

    /// Counts a session that another node had until now.
    pub(crate) fn add_session(self: &Arc<Self>, ip: IpAddr) -> Option<Guest> {
        let address = self.rules().counted(ip)?;
        let counted = self.table(address).add_session(address, self.now());
        Some(Guest::new(self, address, counted, ip))
    }

    #[cfg(test)]
    pub(crate) fn sessions_of(&self, ip: IpAddr) -> u32 {
        let address = self.rules().counted(ip);
        address.map_or(0, |address| self.table(address).counts(address).sessions)
    }

    fn close_session(&self, table: Address, counted: Address) {
        self.table(table).close_session(counted, self.now());
    }

    /// Counts a request that failed by the client's own fault. The error: a cheap answer is due.
    pub(crate) fn fail(&self, rules: &Rules, ip: IpAddr) -> Result<(), Refused> {
        self.talkers.address(TalkersBy::Failures, ip);
        let Some(address) = rules.counted(ip) else { return Ok(()) };
        let failed = self.table(address).fail(address, &rules.limits, self.now());
        match failed {
            Failed::Within => Ok(()),
            Failed::Over(span) => Err(Refused::Failures(span)),
        }
    }

    /// Notes that requests of this address carry the addresses of others, although it is no trusted
    /// proxy. A private network's address is believed to be a proxy; on the open internet anybody could
    /// write that. Logs once what to do about it, when most sessions are its own.
    pub(crate) fn note_forwards(&self, rules: &Rules, ip: IpAddr, sessions_total: usize) {
        let Some(address) = rules.counted(ip) else { return };
        let counts = self.table(address).note_forwards(address, is_private(ip));
        let most =
            counts.sessions >= HINT_SESSIONS_MIN && counts.sessions as usize > sessions_total / 2;
        if most && !self.hinted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address = %ip, sessions = counts.sessions,
                "most sessions come from one address whose requests carry X-Forwarded-For: if it is your proxy, name it in trusted_proxies; until then, limits and the app see it as the client"
            );
        }
    }

    /// Whether a refused stream may get an answer now.
    pub(crate) fn affords_answer(&self) -> bool {
        let now = self.now();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.take(ANSWERS, now, 1).is_ok()
    }

    /// Logs that something of an address was refused, and which key allows more.
    pub(crate) fn note(&self, why: Refused, ip: IpAddr) {
        if let Some(times) = self.pace.note(why.slug(), Instant::now()) {
            tracing::warn!(address = %ip, cause = why.slug(), times, "refused: {why}; {}", why.advice());
        }
    }
}

/// One stream in the count of its address; returned when dropped.
#[derive(Debug)]
pub(crate) struct CountedStream {
    gate: Arc<Gate>,
    table: Address,
    counted: Address,
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.gate.table(self.table).close_stream(self.counted, self.gate.now());
    }
}

/// One thread's copy of the rules, which looks for newer ones at the price of one load.
#[derive(Debug)]
pub(crate) struct RulesReader {
    gate: Arc<Gate>,
    version: u64,
    rules: Arc<Rules>,
}

impl RulesReader {
    pub(crate) fn new(gate: &Arc<Gate>) -> Self {
        // Read first: rules that are newer than their version are only read once more.
        let version = gate.version.load(Ordering::Acquire);
        Self { gate: Arc::clone(gate), version, rules: gate.rules() }
    }

    pub(crate) fn rules(&mut self) -> &Arc<Rules> {
        let version = self.gate.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            self.rules = self.gate.rules();
        }
        &self.rules
    }
}

#[cfg(test)]
mod tests;
