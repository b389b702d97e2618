//! What a returning client gets: its socket's state, and the packets that it missed.
//!
//! One [`Recovery`] is the part of a hub that one shard owns. It keeps packets in the order in which
//! the shard delivered them, so those after an offset are exactly what a session here missed.
//!
//! A client may return to another shard or node, where packets of two app servers may have another
//! order. So the shard that kept the socket answers with a [`Cut`]: for each app server, the number
//! up to which the client then has everything. Any other shard delivers the packets after the cut
//! ([`Recovery::resume`]) and skips those within it that arrive later. If it cannot prove that it
//! has everything after the cut, the client gets a fresh socket. It never guesses.
//!
//! A kept socket is given out once (then [`Restored::Taken`]), so two sockets never share one
//! state; a caller that could not use it returns it ([`Recovery::release`]).
//!
//! The log is bounded in time (how long a client may be away) and in bytes (packets and sockets
//! together); the oldest entry goes first, and its client then gets a fresh socket.

mod log;
mod moves;
mod sources;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use trunkline_clock::Timestamp;

pub use self::log::Audience;
use self::log::{Entry, Log};
pub use self::moves::Had;
pub use self::sources::{Cut, Feed, NumberRepeats, Origin, SourceKey};
use self::sources::{OwnCut, Sources};
use crate::{NamespaceKey, SessionKey};

/// Bytes counted for each packet or socket in addition to its strings and data.
const ENTRY_BYTES: usize = 128;
/// Bytes counted for each app server in a kept cut.
const CUT_ENTRY_BYTES: usize = 24;
/// How long a departed app server is remembered, beyond twice the time that its packets are kept.
const REMEMBER: Duration = Duration::from_secs(60);

/// The place of a socket in this shard: its session and its namespace.
pub type Seat = (SessionKey, NamespaceKey);

/// A socket as its app server left it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Persisted<D> {
    /// The name of the socket's namespace.
    pub nsp: Box<str>,
    /// The socket's public id.
    pub socket: Box<str>,
    /// The app server that owned the socket.
    pub server: SourceKey,
    /// The socket's rooms, including the one named by its id.
    pub rooms: Vec<Box<str>>,
    /// The app server's data, returned unchanged.
    pub data: D,
    /// The length of `data`, in bytes.
    pub data_bytes: usize,
}

/// The answer to a request for a socket.
#[derive(Debug)]
pub enum Restored<'r, P, D> {
    /// The socket; it now belongs to the caller.
    Found(Found<'r, P, D>),
    /// The socket was given out before and was not returned.
    Taken(&'r str),
    /// The id is unknown, too old or of another namespace, or its client's position is not known.
    Unknown,
}

/// A socket that returns.
#[derive(Debug)]
pub struct Found<'r, P, D> {
    /// The socket as it was persisted.
    pub socket: &'r Persisted<D>,
    /// The packets that the client missed, oldest first.
    pub missed: Vec<&'r P>,
    /// The cut of the client once it has these packets.
    pub cut: Cut,
    /// The offset of the last packet that the client then has.
    pub last: Box<str>,
}

/// What a returning socket brings with it, kept by this shard or another.
#[derive(Clone, Debug)]
pub struct Return<'r> {
    /// The socket's private id.
    pub pid: &'r str,
    /// The id of the log that its cut is from.
    pub log: &'r str,
    /// The broadcasts that the socket has received.
    pub cut: &'r Cut,
    /// The offset of the last packet that the socket has received.
    pub last: &'r str,
}

/// This shard cannot prove that it has everything after a cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unproved;

/// The recovery logs of one shard and hub. `P` is a packet and `D` a socket's data, both opaque.
#[derive(Debug)]
pub struct Recovery<P, D> {
    /// The id of this log, which cuts carry.
    id: Box<str>,
    bytes_max: usize,
    bytes: usize,
    logs: BTreeMap<Box<str>, Log<P>>,
    sources: Sources,
    sockets: BTreeMap<Box<str>, Kept<D>>,
    /// Private ids by age. An id that was persisted again has a younger entry, too.
    ages: VecDeque<(Timestamp, Box<str>)>,
    /// The sockets that returned to this shard.
    seats: BTreeMap<Seat, Sitting>,
    /// Counts missing packets.
    breaks: u64,
    keep_max: Duration,
}

#[derive(Debug)]
struct Kept<D> {
    socket: Persisted<D>,
    until: Timestamp,
    bytes: usize,
    start: Option<Start>,
    is_taken: bool,
}

/// The start of a socket that returned to this shard: up to `cut`, it has another log's order.
#[derive(Clone, Debug)]
struct Start {
    cut: OwnCut,
    last: Box<str>,
    breaks: u64,
}

#[derive(Clone, Debug)]
enum Sitting {
    /// The socket's order is this log's: since `Start`, or all of it (`None`).
    Since(Option<Start>),
    /// The socket has not received everything; its state is not kept.
    Unproved,
}

/// What a client has received: entries up to a position, and entries within a cut.
struct Behind {
    place: usize,
    cut: OwnCut,
}

impl<P, D> Recovery<P, D> {
    /// Changes the most bytes that the log may hold; what is too much goes with the next entry.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// An empty log of at most `bytes_max` bytes. `id` must be unique among all logs of all nodes.
    pub fn new(id: &str, bytes_max: usize) -> Self {
        Self {
            id: id.into(),
            bytes_max,
            bytes: 0,
            logs: BTreeMap::new(),
            sources: Sources::default(),
            sockets: BTreeMap::new(),
            ages: VecDeque::new(),
            seats: BTreeMap::new(),
            breaks: 0,
            keep_max: Duration::ZERO,
        }
    }

    /// Bytes kept now, including overhead.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether [`Self::expire`] will have something to do at some time.
    pub fn is_in_use(&self) -> bool {
        self.bytes > 0 || self.sources.has_gone()
    }

    /// The name of this log in a [`Return`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes a new trunk of this app server.
    pub fn source_up(&mut self, server: &str) -> Feed {
        self.sources.up(server)
    }

    /// Notes the end of that trunk.
    pub fn source_down(&mut self, now: Timestamp, feed: Feed) {
        self.sources.down(now, feed);
    }

    /// Notes the number of the app server's next broadcast on this trunk. If earlier broadcasts
    /// never arrived here, earlier offsets no longer tell what a client has received.
    pub fn number(&mut self, feed: &mut Feed, next: u64) -> Result<(), NumberRepeats> {
        if self.sources.number(feed, next)? {
            self.break_off();
        }
        Ok(())
    }

    /// Notes a broadcast, recorded or not. `None`: its app server does not number broadcasts.
    pub fn advance(&mut self, feed: &mut Feed) -> Option<Origin> {
        self.sources.advance(feed)
    }

    /// Whether a socket of this shard may have had this broadcast elsewhere: see [`Self::has_had`].
    pub fn has_ahead(&self, origin: Origin) -> bool {
        self.sources.has_ahead(origin)
    }

    /// Whether this socket received the broadcast before it returned to this shard.
    pub fn has_had(&self, origin: Origin, seat: Seat) -> bool {
        self.sources.has_had(origin, seat)
    }

    /// Keeps a packet for clients that are away for up to `keep`. One without a number is not kept:
    /// clients that are away then get fresh sockets. Returns the ids removed to make room.
    pub fn record(
        &mut self,
        now: Timestamp,
        keep: Duration,
        (nsp, offset): (&str, &str),
        origin: Option<Origin>,
        audience: Audience,
        (packet, packet_bytes): (P, usize),
    ) -> Vec<Box<str>> {
        self.keep_max = self.keep_max.max(keep);
        let until = now + keep;
        let Some(origin) = origin else {
            self.sources.unnumbered(until);
            self.break_off();
            return Vec::new();
        };
        let names =
            audience.rooms.iter().chain(&audience.except).map(|name| name.len()).sum::<usize>();
        let bytes = ENTRY_BYTES + packet_bytes + names + 2 * offset.len();
        if !self.logs.contains_key(nsp) {
            self.logs.insert(nsp.into(), Log::new());
        }
        let log = self.logs.get_mut(nsp).expect("it was put there if need be");
        log.push(Entry { offset: offset.into(), audience, packet, origin, until, bytes });
        self.sources.recorded(origin);
        self.bytes += bytes;
        self.make_room(now)
    }

    /// Keeps a socket for up to `keep`; `seat` is its place. Returns the ids removed to make room.
    pub fn persist(
        &mut self,
        now: Timestamp,
        keep: Duration,
        pid: &str,
        socket: Persisted<D>,
        seat: Seat,
    ) -> Vec<Box<str>> {
        let start = match self.seats.get(&seat) {
            None => None,
            Some(Sitting::Since(start)) => start.clone(),
            Some(Sitting::Unproved) => return Vec::new(),
        };
        self.keep_max = self.keep_max.max(keep);
        let names = socket.rooms.iter().map(|room| room.len()).sum::<usize>();
        let cut_bytes = start.as_ref().map_or(0, |start| start.cut.len() * CUT_ENTRY_BYTES);
        let bytes =
            ENTRY_BYTES + 2 * pid.len() + socket.nsp.len() + names + socket.data_bytes + cut_bytes;
        let until = now + keep;
        self.bytes += bytes;
        let kept = Kept { socket, until, bytes, start, is_taken: false };
        if let Some(before) = self.sockets.insert(pid.into(), kept) {
            self.bytes -= before.bytes;
        }
        self.ages.push_back((until, pid.into()));
        self.make_room(now)
    }

    /// Whether a socket is kept under this private id.
    pub fn keeps(&self, pid: &str) -> bool {
        self.sockets.contains_key(pid)
    }

    /// Gives out the socket with this private id, and the packets that it missed.
    pub fn restore(
        &mut self,
        now: Timestamp,
        nsp: &str,
        pid: &str,
        offset: &str,
    ) -> Restored<'_, P, D> {
        let is_there = |kept: &&Kept<D>| kept.until > now && *kept.socket.nsp == *nsp;
        let Some(kept) = self.sockets.get(pid).filter(is_there) else { return Restored::Unknown };
        if kept.is_taken {
            return Restored::Taken(self.sockets.get(pid).map_or("", |kept| &kept.socket.socket));
        }
        let Some(behind) = self.behind(now, nsp, offset, kept.start.as_ref()) else {
            return Restored::Unknown;
        };
        let Some(kept) = self.sockets.get_mut(pid) else { return Restored::Unknown };
        kept.is_taken = true;
        let Some(kept) = self.sockets.get(pid) else { return Restored::Unknown };
        let rooms: BTreeSet<&str> = kept.socket.rooms.iter().map(|room| &**room).collect();
        let entries = self.logs.get(nsp).map(Log::entries).into_iter().flatten();
        let mut missed = Vec::new();
        let mut last = offset;
        for entry in entries.skip(behind.place) {
            if is_beyond(&behind.cut, entry.origin)
                && entry.audience.reaches(kept.socket.server, &rooms)
            {
                missed.push(&entry.packet);
                last = &entry.offset;
            }
        }
        let cut = self.sources.cut_beyond(&behind.cut);
        Restored::Found(Found { socket: &kept.socket, missed, cut, last: last.into() })
    }

    /// What a client with this offset has received, as far as the log can tell.
    fn behind(
        &self,
        now: Timestamp,
        nsp: &str,
        offset: &str,
        start: Option<&Start>,
    ) -> Option<Behind> {
        let found = self.logs.get(nsp).and_then(|log| log.find(offset));
        let Some(start) = start else {
            let (place, _) = found?;
            return Some(Behind { place: place + 1, cut: OwnCut::new() });
        };
        if let Some((place, origin)) = found
            && is_beyond(&start.cut, origin)
        {
            return Some(Behind { place: place + 1, cut: start.cut.clone() });
        }
        if start.breaks != self.breaks {
            return None;
        }
        // The client received nothing here: it has what it returned with.
        if *start.last == *offset {
            let holds = self.sources.holds(now, &start.cut);
            return holds.then(|| Behind { place: 0, cut: start.cut.clone() });
        }
        // Only some of the missed packets arrived: their order is known if one app server sent all.
        let (_, origin) = found?;
        if start.cut.iter().any(|(source, number)| *source != origin.source && *number > 0) {
            return None;
        }
        let mut cut = start.cut.clone();
        cut.insert(origin.source, origin.number);
        self.sources.holds(now, &cut).then_some(Behind { place: 0, cut })
    }

    /// Takes back a socket that was given out and not used.
    pub fn release(&mut self, nsp: &str, pid: &str) {
        if let Some(kept) = self.sockets.get_mut(pid)
            && *kept.socket.nsp == *nsp
        {
            kept.is_taken = false;
        }
    }

    /// For each app server that is known here, the number of its last broadcast.
    pub fn cut(&self) -> Cut {
        self.sources.cut_beyond(&OwnCut::new())
    }

    /// Whether a socket with this cut could return to this shard now.
    pub fn proves(&self, now: Timestamp, cut: &Cut) -> bool {
        self.sources.resolve(now, cut).is_some()
    }

    /// Seats a restored socket, owned by `server`. Returns the packets that it still has to receive,
    /// oldest first. Packets within its cut that arrive later are not for it.
    pub fn resume(
        &mut self,
        now: Timestamp,
        seat: Seat,
        (nsp, server): (&str, SourceKey),
        rooms: &BTreeSet<&str>,
        back: &Return<'_>,
    ) -> Result<Vec<&P>, Unproved> {
        let Some(cut) = self.sources.resolve(now, back.cut) else {
            self.seats.insert(seat, Sitting::Unproved);
            return Err(Unproved);
        };
        self.sources.skip_up_to(seat, &cut);
        let start = match self.sockets.get(back.pid) {
            // The socket's order continues where it stopped.
            Some(kept) if *back.log == *self.id => kept.start.clone(),
            Some(_) | None => {
                Some(Start { cut: cut.clone(), last: back.last.into(), breaks: self.breaks })
            }
        };
        self.seats.insert(seat, Sitting::Since(start));
        let entries = self.logs.get(nsp).map(Log::entries).into_iter().flatten();
        Ok(entries
            .filter(|entry| is_beyond(&cut, entry.origin) && entry.audience.reaches(server, rooms))
            .map(|entry| &entry.packet)
            .collect())
    }

    /// Seats a fresh socket.
    pub fn take_seat(&mut self, seat: Seat) {
        let was_seated = !self.seats.is_empty() && self.seats.remove(&seat).is_some();
        if was_seated || self.sources.any_ahead() {
            self.sources.leave(seat);
        }
    }

    /// Removes entries that are too old. Returns the private ids that were removed.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Box<str>> {
        for log in self.logs.values_mut() {
            while log.oldest().is_some_and(|until| until <= now) {
                self.bytes -= forget(now, log, &mut self.sources);
            }
        }
        self.logs.retain(|_, log| !log.is_empty());
        self.sources.expire(now, 2 * self.keep_max + REMEMBER);
        let mut gone = Vec::new();
        while self.ages.front().is_some_and(|(until, _)| *until <= now) {
            self.drop_oldest_socket(&mut gone);
        }
        gone
    }

    /// The time at which [`Self::expire`] has something to do next.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        let packets = self.logs.values().filter_map(Log::oldest);
        let sockets = self.ages.front().map(|(until, _)| *until);
        packets.chain(sockets).min()
    }

    fn break_off(&mut self) {
        self.breaks += 1;
        for log in self.logs.values_mut() {
            log.break_off();
        }
    }

    /// Removes the oldest entries until the bytes fit.
    fn make_room(&mut self, now: Timestamp) -> Vec<Box<str>> {
        if self.bytes <= self.bytes_max {
            return Vec::new();
        }
        let mut gone = self.expire(now);
        while self.bytes > self.bytes_max {
            let oldest_log = self
                .logs
                .iter()
                .filter_map(|(nsp, log)| Some((log.oldest()?, nsp)))
                .min()
                .map(|(until, nsp)| (until, String::from(&**nsp)));
            let oldest_socket = self.ages.front().map(|(until, _)| *until);
            match (oldest_log, oldest_socket) {
                (Some((packet, nsp)), socket) if socket.is_none_or(|socket| packet <= socket) => {
                    let log = self.logs.get_mut(&*nsp).expect("it was found a moment ago");
                    self.bytes -= forget(now, log, &mut self.sources);
                }
                (_, Some(_)) => self.drop_oldest_socket(&mut gone),
                (_, None) => break,
            }
        }
        gone
    }

    fn drop_oldest_socket(&mut self, gone: &mut Vec<Box<str>>) {
        let Some((until, pid)) = self.ages.pop_front() else { return };
        // The socket was persisted again since: its younger entry counts.
        if self.sockets.get(&*pid).is_some_and(|kept| kept.until == until)
            && let Some(kept) = self.sockets.remove(&*pid)
        {
            self.bytes -= kept.bytes;
            gone.push(pid);
        }
    }
}

fn is_beyond(cut: &OwnCut, origin: Origin) -> bool {
    cut.get(&origin.source).is_none_or(|number| origin.number > *number)
}

/// Removes the oldest entry of a log; returns its bytes.
fn forget<P>(now: Timestamp, log: &mut Log<P>, sources: &mut Sources) -> usize {
    let Some(entry) = log.drop_oldest() else { return 0 };
    sources.dropped(now, entry.origin, entry.until);
    entry.bytes
}
