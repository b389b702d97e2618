//! What a client that lost its connection gets back: its socket's state, and the packets it missed.
//!
//! One [`Recovery`] is the part of a hub that one shard owns. It keeps recorded packets in the order in which the shard
//! delivered them, so what stands behind an offset is exactly what a session of this shard did not get.
//!
//! Bounded in time (how long a client may be away) and in bytes (all packets and all sockets together); the oldest goes
//! first. What does not fit is not recovered: the client then gets a fresh socket, as if it had been away for too long.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use trunkline_clock::Timestamp;

use crate::ServerKey;

/// Book-keeping of one packet or socket, in bytes, beside its strings and data.
const ENTRY_BYTES: usize = 128;

/// A socket as its app server left it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Persisted<D> {
    /// Its namespace's name.
    pub nsp: Box<str>,
    /// Its public id.
    pub socket: Box<str>,
    /// The app server that owned it.
    pub server: ServerKey,
    /// Its rooms, the one named by its id included.
    pub rooms: Vec<Box<str>>,
    /// Whatever the app server wants back.
    pub data: D,
    /// How much `data` takes, in bytes.
    pub data_bytes: usize,
}

/// Who was to get a recorded packet: as [`Selection`](crate::Selection), kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Audience {
    /// A socket must have been in one of these; empty means all of the namespace.
    pub rooms: Vec<Box<str>>,
    /// A socket must have been in none of these.
    pub except: Vec<Box<str>>,
    /// Only the sockets of this app server.
    pub server: Option<ServerKey>,
}

/// The logs. `P` is a packet and `D` a socket's data; both are opaque here.
#[derive(Debug)]
pub struct Recovery<P, D> {
    bytes_max: usize,
    bytes: usize,
    logs: BTreeMap<Box<str>, Log<P>>,
    sockets: BTreeMap<Box<str>, Kept<D>>,
    /// Private ids by age; an id that was persisted again has a younger entry, too.
    ages: VecDeque<(Timestamp, Box<str>)>,
}

#[derive(Debug)]
struct Kept<D> {
    socket: Persisted<D>,
    until: Timestamp,
    bytes: usize,
}

#[derive(Debug)]
struct Log<P> {
    /// The number of the oldest entry.
    first: u64,
    entries: VecDeque<Entry<P>>,
    /// Offsets to numbers.
    places: BTreeMap<Box<str>, u64>,
}

#[derive(Debug)]
struct Entry<P> {
    offset: Box<str>,
    audience: Audience,
    packet: P,
    until: Timestamp,
    bytes: usize,
}

impl<P, D> Recovery<P, D> {
    /// Keeps at most this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            logs: BTreeMap::new(),
            sockets: BTreeMap::new(),
            ages: VecDeque::new(),
        }
    }

    /// Bytes kept now, book-keeping included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a packet that is delivered now, for clients that are away for up to `keep`.
    pub fn record(
        &mut self,
        now: Timestamp,
        keep: Duration,
        nsp: &str,
        offset: &str,
        audience: Audience,
        (packet, packet_bytes): (P, usize),
    ) {
        let names =
            audience.rooms.iter().chain(&audience.except).map(|name| name.len()).sum::<usize>();
        let bytes = ENTRY_BYTES + packet_bytes + names + 2 * offset.len();
        if !self.logs.contains_key(nsp) {
            self.logs.insert(nsp.into(), Log::new());
        }
        let log = self.logs.get_mut(nsp).expect("it was put there if need be");
        let number = log.first + log.entries.len() as u64;
        log.places.insert(offset.into(), number);
        let until = now + keep;
        log.entries.push_back(Entry { offset: offset.into(), audience, packet, until, bytes });
        self.bytes += bytes;
        self.make_room(now);
    }

    /// Keeps a socket whose client is gone, for up to `keep`. Returns the private ids that had to go for it.
    pub fn persist(
        &mut self,
        now: Timestamp,
        keep: Duration,
        pid: &str,
        socket: Persisted<D>,
    ) -> Vec<Box<str>> {
        let names = socket.rooms.iter().map(|room| room.len()).sum::<usize>();
        let bytes = ENTRY_BYTES + 2 * pid.len() + socket.nsp.len() + names + socket.data_bytes;
        let until = now + keep;
        self.bytes += bytes;
        if let Some(before) = self.sockets.insert(pid.into(), Kept { socket, until, bytes }) {
            self.bytes -= before.bytes;
        }
        self.ages.push_back((until, pid.into()));
        self.make_room(now)
    }

    /// The socket with this private id, and the packets that it missed, oldest first.
    ///
    /// `None` when the id is unknown, too old or of another namespace, or when nothing is known of the offset.
    pub fn restore(
        &self,
        now: Timestamp,
        nsp: &str,
        pid: &str,
        offset: &str,
    ) -> Option<(&Persisted<D>, Vec<&P>)> {
        let kept = self.sockets.get(pid).filter(|kept| kept.until > now)?;
        if *kept.socket.nsp != *nsp {
            return None;
        }
        let log = self.logs.get(nsp)?;
        let place = usize::try_from(log.places.get(offset)?.checked_sub(log.first)?).ok()?;
        let rooms: BTreeSet<&str> = kept.socket.rooms.iter().map(|room| &**room).collect();
        let missed = log
            .entries
            .iter()
            .skip(place + 1)
            .filter(|entry| entry.audience.reaches(kept.socket.server, &rooms))
            .map(|entry| &entry.packet)
            .collect();
        Some((&kept.socket, missed))
    }

    /// All recorded packets of a namespace that were meant for a socket in these rooms, oldest first.
    pub fn recorded<'s>(
        &'s self,
        nsp: &str,
        server: ServerKey,
        rooms: &'s BTreeSet<&'s str>,
    ) -> impl Iterator<Item = &'s P> {
        let entries = self.logs.get(nsp).map(|log| log.entries.iter());
        entries
            .into_iter()
            .flatten()
            .filter(move |entry| entry.audience.reaches(server, rooms))
            .map(|entry| &entry.packet)
    }

    /// Forgets what is too old. Returns the private ids that went.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Box<str>> {
        for log in self.logs.values_mut() {
            while log.entries.front().is_some_and(|entry| entry.until <= now) {
                self.bytes -= log.drop_oldest();
            }
        }
        self.logs.retain(|_, log| !log.entries.is_empty());
        let mut gone = Vec::new();
        while self.ages.front().is_some_and(|(until, _)| *until <= now) {
            self.drop_oldest_socket(&mut gone);
        }
        gone
    }

    /// When [`Self::expire`] has something to do next.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        let packets = self.logs.values().filter_map(|log| log.entries.front());
        let sockets = self.ages.front().map(|(until, _)| *until);
        packets.map(|entry| entry.until).chain(sockets).min()
    }

    /// Drops the oldest until the bytes fit.
    fn make_room(&mut self, now: Timestamp) -> Vec<Box<str>> {
        if self.bytes <= self.bytes_max {
            return Vec::new();
        }
        let mut gone = self.expire(now);
        while self.bytes > self.bytes_max {
            let oldest_log = self
                .logs
                .iter()
                .filter_map(|(nsp, log)| Some((log.entries.front()?.until, nsp)))
                .min()
                .map(|(until, nsp)| (until, String::from(&**nsp)));
            let oldest_socket = self.ages.front().map(|(until, _)| *until);
            match (oldest_log, oldest_socket) {
                (Some((packet, nsp)), socket) if socket.is_none_or(|socket| packet <= socket) => {
                    let log = self.logs.get_mut(&*nsp).expect("it was found a moment ago");
                    self.bytes -= log.drop_oldest();
                }
                (_, Some(_)) => self.drop_oldest_socket(&mut gone),
                (_, None) => break,
            }
        }
        gone
    }

    fn drop_oldest_socket(&mut self, gone: &mut Vec<Box<str>>) {
        let Some((until, pid)) = self.ages.pop_front() else { return };
        // Persisted again since: its younger entry counts.
        if self.sockets.get(&*pid).is_some_and(|kept| kept.until == until)
            && let Some(kept) = self.sockets.remove(&*pid)
        {
            self.bytes -= kept.bytes;
            gone.push(pid);
        }
    }
}

impl<P> Log<P> {
    const fn new() -> Self {
        Self { first: 0, entries: VecDeque::new(), places: BTreeMap::new() }
    }

    fn drop_oldest(&mut self) -> usize {
        let Some(entry) = self.entries.pop_front() else { return 0 };
        // An offset that came twice belongs to its later packet.
        if self.places.get(&*entry.offset) == Some(&self.first) {
            self.places.remove(&*entry.offset);
        }
        self.first += 1;
        entry.bytes
    }
}

impl Audience {
    fn reaches(&self, server: ServerKey, rooms: &BTreeSet<&str>) -> bool {
        if self.server.is_some_and(|only| only != server) {
            return false;
        }
        let is_in = |names: &[Box<str>]| names.iter().any(|name| rooms.contains(&**name));
        (self.rooms.is_empty() || is_in(&self.rooms)) && !is_in(&self.except)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const KEEP: Duration = Duration::from_secs(120);
    const T0: Timestamp = Timestamp::ORIGIN;

    fn names(list: &[&str]) -> Vec<Box<str>> {
        list.iter().map(|&name| name.into()).collect()
    }

    fn socket(rooms: &[&str]) -> Persisted<u8> {
        Persisted {
            nsp: "/".into(),
            socket: "s".into(),
            server: ServerKey(1),
            rooms: names(rooms),
            data: 7,
            data_bytes: 1,
        }
    }

    fn to(rooms: &[&str], except: &[&str]) -> Audience {
        Audience { rooms: names(rooms), except: names(except), server: None }
    }

    fn missed(recovery: &Recovery<u32, u8>, offset: &str) -> Option<Vec<u32>> {
        let (_, packets) = recovery.restore(T0, "/", "p", offset)?;
        Some(packets.into_iter().copied().collect())
    }

    #[test]
    fn what_stands_behind_the_offset_and_was_meant_for_the_socket_comes_back_in_order() {
        let mut recovery = Recovery::new(1 << 20);
        let elsewhere = Audience { server: Some(ServerKey(2)), ..Audience::default() };
        let log = [
            ("a", to(&[], &[])),
            ("b", to(&["room"], &[])),
            ("c", to(&["other"], &[])),
            ("d", to(&[], &["room"])),
            ("e", to(&["other", "s"], &[])),
            ("f", elsewhere),
        ];
        for (number, (offset, audience)) in (0..).zip(log) {
            recovery.record(T0, KEEP, "/", offset, audience, (number, 10));
        }
        recovery.record(T0, KEEP, "/else", "g", to(&[], &[]), (9, 10));
        assert!(recovery.persist(T0, KEEP, "p", socket(&["s", "room"])).is_empty());
        assert_eq!(missed(&recovery, "a"), Some(vec![1, 4]));
        assert_eq!(missed(&recovery, "e"), Some(vec![]));
        assert_eq!(missed(&recovery, "unknown"), None);
        assert!(recovery.restore(T0, "/else", "p", "g").is_none(), "another namespace's socket");
        assert!(recovery.restore(T0, "/", "forged", "a").is_none());
    }

    #[test]
    fn time_runs_out_for_packets_and_for_sockets() {
        let mut recovery = Recovery::new(1 << 20);
        recovery.record(T0, KEEP, "/", "a", to(&[], &[]), (1, 10));
        recovery.persist(T0 + Duration::from_secs(10), KEEP, "p", socket(&["s"]));
        let late = T0 + Duration::from_secs(125);
        assert!(recovery.expire(late).is_empty());
        assert!(recovery.restore(late, "/", "p", "a").is_none(), "the offset is gone");
        assert_eq!(recovery.poll_deadline(), Some(T0 + Duration::from_secs(130)));
        assert_eq!(recovery.expire(T0 + Duration::from_secs(130)), names(&["p"]));
        assert_eq!((recovery.bytes(), recovery.poll_deadline()), (0, None));
    }

    #[test]
    fn bytes_are_bounded_and_the_oldest_goes_first() {
        let mut recovery = Recovery::new(4 * (ENTRY_BYTES + 100));
        recovery.persist(T0, KEEP, "p", socket(&["s"]));
        for number in 0..20_u32 {
            let at = T0 + Duration::from_secs(1 + u64::from(number));
            let offset = alloc::format!("{number}");
            recovery.record(at, KEEP, "/", &offset, to(&[], &[]), (number, 90));
            assert!(recovery.bytes() <= 4 * (ENTRY_BYTES + 100));
        }
        assert!(recovery.restore(T0, "/", "p", "19").is_none(), "the socket was the oldest");
    }

    #[test]
    fn a_socket_persisted_again_counts_once_and_lives_longer() {
        let mut recovery = Recovery::<u32, u8>::new(1 << 20);
        recovery.record(T0 + Duration::from_secs(100), KEEP, "/", "a", to(&[], &[]), (1, 1));
        recovery.persist(T0, KEEP, "p", socket(&["s"]));
        let once = recovery.bytes();
        recovery.persist(T0 + Duration::from_secs(60), KEEP, "p", socket(&["s"]));
        assert_eq!(recovery.bytes(), once);
        assert!(recovery.expire(T0 + KEEP).is_empty());
        assert!(recovery.restore(T0 + KEEP, "/", "p", "a").is_some());
    }
}
