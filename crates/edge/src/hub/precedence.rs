//! Bytes that came over one trunk before a broadcast came over another take effect before the
//! broadcast.
//!
//! Example: app server B changes the members of a room and tells app server A, which broadcasts to
//! the room. B's bytes are in this node's kernel first, but each trunk is read by its own task, on
//! any thread. So a trunk that has read a broadcast checks what is unread or not completely dealt
//! out on the hub's other trunks, and lets that go first. Usually there is nothing, and the check
//! is the only cost; a hub with one trunk does not check.
//!
//! Several waiting trunks continue one after another. Everything before their broadcasts has been
//! dealt out by then. First comes a trunk with changes of rooms after its broadcast, then one with
//! unread bytes, which may be such changes, then the one that began to wait first. So a broadcast
//! can miss a change only if both trunks have, or may have, changes after broadcasts, because
//! nothing says which of the bytes came first.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::trunk::TrunkNumber;

/// A thread that needs longer than this to read its trunk is in trouble: broadcasts of other trunks
/// do not wait for it.
const LONGEST: Duration = Duration::from_millis(100);
/// The ticket of a member that does not wait.
const NO_TICKET: u64 = 0;
/// Added to the ticket of a member that, as far as it has read, has nothing for which others wait.
const AFTER_CHANGES: u64 = 1 << 62;
/// Added to the ticket of a member that has also read everything there is.
const AFTER_UNREAD: u64 = 1 << 63;

/// The trunks of one hub, as far as each must know the progress of the others. All orderings are
/// sequentially consistent: every member announces its next step before it looks at the others.
#[derive(Debug, Default)]
pub(crate) struct Precedence {
    /// Watches all streams for unread bytes. Only one member asks at a time: while the kernel goes
    /// through its list for one, it may tell another that there is nothing.
    unread: Mutex<Option<OwnedFd>>,
    members: Mutex<Vec<Arc<Member>>>,
    count: AtomicUsize,
    tickets: AtomicU64,
    waiting: AtomicUsize,
    /// Notified when a member for which others may wait has made progress.
    progress: Notify,
}

/// The progress of one trunk.
#[derive(Debug)]
struct Member {
    number: TrunkNumber,
    /// Odd from before the member reads until the shards have everything that it read.
    round: AtomicU64,
    /// The member's place among those that wait: the lowest continues first.
    ticket: AtomicU64,
    /// Set while the member does not read.
    deaf: AtomicBool,
    /// Set when another member has waited for this one in vain since its last round.
    late: AtomicBool,
}

/// Another trunk that goes first, and the round after which it is certainly far enough.
#[derive(Debug)]
pub(crate) struct Ahead {
    member: Arc<Member>,
    enough: u64,
}

/// One trunk's place among the trunks of its hub, until it is dropped.
pub(crate) struct Place {
    precedence: Arc<Precedence>,
    member: Arc<Member>,
    events: Vec<Event>,
}

impl Precedence {
    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, number: TrunkNumber, stream: BorrowedFd<'_>) -> io::Result<()> {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let epoll = match &mut *unread {
            Some(epoll) => epoll,
            none => none.insert(epoll::create(epoll::CreateFlags::CLOEXEC)?),
        };
        let data = EventData::new_u64(u64::from(number));
        Ok(epoll::add(epoll, stream, data, EventFlags::IN)?)
    }

    fn note_progress(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.progress.notify_waiters();
        }
    }
}

impl Member {
    /// Whether a member with this ticket has to wait for this one.
    fn is_ahead_of(&self, ticket: u64, is_unread: bool, round: u64) -> bool {
        if self.deaf.load(Ordering::SeqCst) || self.late.load(Ordering::SeqCst) {
            return false;
        }
        (is_unread || round % 2 == 1) && self.ticket.load(Ordering::SeqCst) < ticket
    }
}

impl Place {
    /// Takes a place in the middle of the round that brought `Hello`.
    ///
    /// # Errors
    ///
    /// When the system has no room for watching the stream.
    pub(crate) fn new(
        precedence: &Arc<Precedence>,
        number: TrunkNumber,
        stream: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        precedence.watch(number, stream)?;
        let member = Arc::new(Member {
            number,
            round: AtomicU64::new(1),
            ticket: AtomicU64::new(NO_TICKET),
            deaf: AtomicBool::new(false),
            late: AtomicBool::new(false),
        });
        precedence.members().push(Arc::clone(&member));
        precedence.count.fetch_add(1, Ordering::SeqCst);
        Ok(Self { precedence: Arc::clone(precedence), member, events: Vec::new() })
    }

    /// Watches another stream of the trunk; the kernel forgets the old one when it is closed.
    ///
    /// # Errors
    ///
    /// When the system has no room for watching the stream.
    pub(crate) fn watch(&self, stream: BorrowedFd<'_>) -> io::Result<()> {
        self.precedence.watch(self.member.number, stream)
    }

    /// Notes that the trunk is about to read.
    pub(crate) fn begin_round(&self) {
        self.member.round.fetch_or(1, Ordering::SeqCst);
    }

    /// Notes that everything there was to read is read and with the shards.
    pub(crate) fn end_round(&self) {
        let round = self.member.round.load(Ordering::SeqCst);
        self.member.late.store(false, Ordering::SeqCst);
        self.member.round.store(round + round % 2, Ordering::SeqCst);
        self.precedence.note_progress();
    }

    /// Notes that the trunk stops reading for a while, or reads again.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        if self.member.deaf.swap(deaf, Ordering::SeqCst) != deaf {
            self.precedence.note_progress();
        }
    }

    /// Whether the hub has other trunks.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.precedence.count.load(Ordering::SeqCst) > 1
    }

    /// The trunks whose bytes came before the ones that this trunk has just read, and are not with
    /// the shards yet.
    pub(crate) fn look(&mut self) -> Vec<Ahead> {
        // First the unread bytes, then the members that are reading: so bytes that are read in
        // between are not missed.
        self.look_unread();
        let members = self.precedence.members();
        let others = members.iter().filter(|other| !Arc::ptr_eq(other, &self.member));
        let ahead = others.filter_map(|other| {
            let is_unread = self.is_unread(other);
            let round = other.round.load(Ordering::SeqCst);
            other.is_ahead_of(u64::MAX, is_unread, round).then(|| Ahead {
                member: Arc::clone(other),
                // The end of this round, or of the next if its bytes are still unread.
                enough: round + round % 2 + if is_unread { 2 } else { 0 },
            })
        });
        ahead.collect()
    }

    /// Waits, within bounds, until those trunks are far enough. False when the time was too short.
    /// `changes`: the waiting broadcast is followed by changes of rooms.
    pub(crate) async fn let_pass(&mut self, mut ahead: Vec<Ahead>, changes: bool) -> bool {
        let precedence = Arc::clone(&self.precedence);
        let member = Arc::clone(&self.member);
        self.look_unread();
        let rank = match (changes, self.is_unread(&member)) {
            (true, _) => 0,
            (false, true) => AFTER_CHANGES,
            (false, false) => AFTER_UNREAD,
        };
        let waits = Waits::new(&precedence, &member, rank);
        let deadline = Instant::now() + LONGEST;
        loop {
            // Created before the check, so that no progress is missed.
            let progress = precedence.progress.notified();
            self.look_unread();
            ahead.retain(|Ahead { member, enough }| {
                let round = member.round.load(Ordering::SeqCst);
                round < *enough && member.is_ahead_of(waits.ticket, self.is_unread(member), round)
            });
            if ahead.is_empty() {
                return true;
            }
            if timeout_at(deadline, progress).await.is_err() {
                for Ahead { member, .. } in ahead {
                    member.late.store(true, Ordering::SeqCst);
                }
                return false;
            }
        }
    }

    /// Notes which streams have unread bytes.
    fn look_unread(&mut self) {
        self.events.clear();
        self.events.reserve(self.precedence.count.load(Ordering::SeqCst));
        let unread = self.precedence.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(epoll) = &*unread else { return };
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        // Does not wait, so it cannot be interrupted; if it fails, nothing counts as unread.
        let _: Result<usize, _> = epoll::wait(epoll, spare, Some(&now));
    }

    fn is_unread(&self, member: &Member) -> bool {
        self.events.iter().any(|event| event.data.u64() == u64::from(member.number))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.set_deaf(true);
        let precedence = &self.precedence;
        precedence.members().retain(|other| !Arc::ptr_eq(other, &self.member));
        precedence.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A member that waits, visible to the others.
struct Waits<'a> {
    precedence: &'a Precedence,
    member: &'a Member,
    ticket: u64,
}

impl<'a> Waits<'a> {
    fn new(precedence: &'a Precedence, member: &'a Member, rank: u64) -> Self {
        let number = precedence.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        let ticket = number | rank;
        member.ticket.store(ticket, Ordering::SeqCst);
        // Some that wait for this one may now continue.
        precedence.note_progress();
        precedence.waiting.fetch_add(1, Ordering::SeqCst);
        Self { precedence, member, ticket }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.precedence.waiting.fetch_sub(1, Ordering::SeqCst);
        self.member.ticket.store(NO_TICKET, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    struct Seat {
        place: Place,
        ours: UnixStream,
        theirs: UnixStream,
    }

    impl Seat {
        fn reads(&mut self) {
            self.place.begin_round();
            let _count = self.ours.read(&mut [0; 64]).expect("something is there");
        }
    }

    fn seats<const N: usize>() -> [Seat; N] {
        let precedence = Arc::default();
        std::array::from_fn(|number| {
            let (ours, theirs) = UnixStream::pair().expect("descriptors");
            let number = TrunkNumber::try_from(number).expect("few");
            let place = Place::new(&precedence, number, ours.as_fd()).expect("room");
            place.end_round();
            Seat { place, ours, theirs }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unread_or_not_dealt_out_goes_first() {
        let [mut a, mut b] = seats();
        assert!(a.place.has_neighbours());
        a.place.begin_round();
        assert!(a.place.look().is_empty(), "nothing is there");
        b.theirs.write_all(b"join").expect("room");
        let ahead = a.place.look();
        assert_eq!(ahead.len(), 1, "it is unread");
        let reader = async {
            b.reads();
            tokio::task::yield_now().await;
            b.place.end_round();
            b
        };
        let (in_time, b) = tokio::join!(a.place.let_pass(ahead, false), reader);
        assert!(in_time);
        b.place.begin_round();
        assert_eq!(a.place.look().len(), 1, "it is being dealt out");
        drop(b);
        assert!(a.place.look().is_empty(), "it has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_come_to_it_is_waited_for_once() {
        let [mut a, mut b] = seats();
        a.place.begin_round();
        b.theirs.write_all(b"join").expect("room");
        let ahead = a.place.look();
        assert!(!a.place.let_pass(ahead, false).await, "it never reads");
        assert!(a.place.look().is_empty(), "nobody waits for it again");
        b.reads();
        b.place.end_round();
        b.theirs.write_all(b"join").expect("room");
        assert_eq!(a.place.look().len(), 1, "until it is back");
        b.place.set_deaf(true);
        assert!(a.place.look().is_empty(), "it says that it does not read");
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_that_wait_for_one_another_the_one_with_changes_goes_first() {
        for changes_of_first in [false, true] {
            let [mut a, mut b] = seats();
            for seat in [&mut a, &mut b] {
                seat.theirs.write_all(b"broadcast").expect("room");
                seat.reads();
            }
            let order = Mutex::new(Vec::new());
            let run = async |mut seat: Seat, changes: bool, name: &'static str| {
                let ahead = seat.place.look();
                assert_eq!(ahead.len(), 1);
                assert!(seat.place.let_pass(ahead, changes).await, "in time");
                order.lock().expect("no panic").push(name);
                seat.place.end_round();
            };
            tokio::join!(run(a, changes_of_first, "first"), run(b, !changes_of_first, "second"));
            let expected = if changes_of_first { ["first", "second"] } else { ["second", "first"] };
            assert_eq!(*order.lock().expect("no panic"), expected);
        }
    }
}
