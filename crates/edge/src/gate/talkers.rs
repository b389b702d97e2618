//! Who sends most, counted only while an operator asks. Otherwise it costs one load of an atomic.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use trunkline_admission::{TalkerCount, Talkers};

use crate::hub::TrunkNumber;

/// The counters of each part's sketch. With 16 parts no count is more than 1/256 of the sum of its
/// part too high.
const COUNTERS: usize = 256;
/// Several, so that shards seldom wait for one another.
const PARTS: usize = 16;
/// Nobody asks.
const NOTHING: u8 = u8::MAX;
/// Sessions of all hubs.
const ALL_HUBS: u32 = u32::MAX;

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TalkersBy {
    /// Bytes that sessions send.
    Bytes = 0,
    /// Messages that sessions send.
    Messages = 1,
    /// Handshakes, including refused ones.
    Handshakes = 2,
    /// Requests that fail by their client's own fault.
    Failures = 3,
}

/// A session, as log lines name it, too.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Talker {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) hub: u16,
    pub(crate) trunk: TrunkNumber,
    pub(crate) number: u32,
}

#[derive(Debug)]
struct Part {
    addresses: Talkers<Option<IpAddr>>,
    sessions: Talkers<Talker>,
}

/// The sketches of the present question.
#[derive(Debug)]
pub(crate) struct TalkersWatch {
    by: AtomicU8,
    hub: AtomicU32,
    busy: AtomicBool,
    parts: [Mutex<Option<Part>>; PARTS],
}

/// The present question; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Question(Arc<TalkersWatch>);

/// What was counted, each list with its largest counts first.
pub(crate) struct Counted {
    pub(crate) sum: u64,
    pub(crate) addresses: Vec<(Option<IpAddr>, TalkerCount)>,
    pub(crate) sessions: Vec<(Talker, TalkerCount)>,
}

impl TalkersWatch {
    pub(crate) fn new() -> Self {
        Self {
            by: AtomicU8::new(NOTHING),
            hub: AtomicU32::new(ALL_HUBS),
            busy: AtomicBool::new(false),
            parts: [const { Mutex::new(None) }; PARTS],
        }
    }

    /// Begins to count, unless somebody else asks already.
    pub(crate) fn ask(self: &Arc<Self>, by: TalkersBy, hub: Option<u16>) -> Option<Question> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.clear();
        self.hub.store(hub.map_or(ALL_HUBS, u32::from), Ordering::Relaxed);
        self.by.store(by as u8, Ordering::Release);
        Some(Question(Arc::clone(self)))
    }

    /// Whether anybody asks.
    pub(crate) fn is_asked(&self) -> bool {
        self.by.load(Ordering::Relaxed) != NOTHING
    }

    /// Counts what a session has sent.
    pub(crate) fn session(&self, shard: u8, talker: Talker, messages: u64, bytes: u64) {
        let by = self.by.load(Ordering::Acquire);
        let units = match by {
            _ if by == TalkersBy::Bytes as u8 => bytes,
            _ if by == TalkersBy::Messages as u8 => messages,
            _ => return,
        };
        let hub = self.hub.load(Ordering::Relaxed);
        if units == 0 || hub != ALL_HUBS && hub != u32::from(talker.hub) {
            return;
        }
        self.with_part(usize::from(shard), |part| {
            part.addresses.add(talker.ip.map(network_of), units);
            part.sessions.add(talker, units);
        });
    }

    /// Counts a handshake or a failed request.
    pub(crate) fn address(&self, by: TalkersBy, ip: IpAddr) {
        if self.by.load(Ordering::Relaxed) != by as u8 {
            return;
        }
        let ip = network_of(ip);
        let place = match ip {
            IpAddr::V4(ip) => ip.to_bits() as usize,
            IpAddr::V6(ip) => usize::from(ip.segments()[3]),
        };
        self.with_part(place, |part| part.addresses.add(Some(ip), 1));
    }

    fn with_part(&self, place: usize, count: impl FnOnce(&mut Part)) {
        let mut part = self.parts[place % PARTS].lock().unwrap_or_else(PoisonError::into_inner);
        count(part.get_or_insert_with(|| Part {
            addresses: Talkers::new(COUNTERS),
            sessions: Talkers::new(COUNTERS),
        }));
    }

    fn clear(&self) {
        for part in &self.parts {
            *part.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Question {
    /// Ends the question: what was counted since it began.
    pub(crate) fn end(self, rows_max: usize) -> Counted {
        self.0.by.store(NOTHING, Ordering::Release);
        let take =
            |part: &Mutex<Option<Part>>| part.lock().unwrap_or_else(PoisonError::into_inner).take();
        let parts: Vec<Part> = self.0.parts.iter().filter_map(take).collect();
        let sum = parts.iter().map(|part| part.addresses.sum()).sum();
        let (addresses, sessions): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|part| (part.addresses, part.sessions)).unzip();
        let (addresses, sessions) =
            (Talkers::top(&addresses, rows_max), Talkers::top(&sessions, rows_max));
        Counted { sum, addresses, sessions }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.by.store(NOTHING, Ordering::Release);
        self.0.clear();
        self.0.busy.store(false, Ordering::Release);
    }
}

/// The address as which it counts: of IPv6, who has one of a network of 64 bits has all of them.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talker(ip: &str, hub: u16, number: u32) -> Talker {
        Talker { ip: Some(ip.parse().expect("an address")), hub, trunk: 1, number }
    }

    #[test]
    fn what_is_asked_is_counted_and_nothing_else() {
        let watch = Arc::new(TalkersWatch::new());
        let (one, two) = (talker("192.0.2.1", 0, 7), talker("2001:db8::9", 1, 8));
        watch.session(0, one.clone(), 1, 100);
        let question = watch.ask(TalkersBy::Bytes, None).expect("nobody else asks");
        assert!(watch.is_asked() && watch.ask(TalkersBy::Messages, None).is_none());
        for shard in [0, 1] {
            watch.session(shard, one.clone(), 5, 100);
            watch.session(shard, two.clone(), 1, 300);
        }
        watch.address(TalkersBy::Failures, [192, 0, 2, 9].into());
        let counted = question.end(1);
        assert_eq!(counted.sum, 800);
        assert_eq!((&counted.sessions[0].0, counted.sessions[0].1.count), (&two, 600));
        let network = counted.addresses[0].0.expect("it is known").to_string();
        assert_eq!(
            (&*network, counted.addresses[0].1.error, counted.addresses.len()),
            ("2001:db8::", 0, 1)
        );
        assert!(!watch.is_asked());

        let question = watch.ask(TalkersBy::Messages, Some(0)).expect("the first is over");
        watch.session(0, one, 5, 100);
        watch.session(0, two, 9, 300);
        let counted = question.end(9);
        assert_eq!((counted.sum, counted.sessions.len()), (5, 1), "the other hub does not count");
        drop(watch.ask(TalkersBy::Failures, None).expect("the second is over"));
        assert!(!watch.is_asked(), "whoever goes away asks no longer");
    }
}
