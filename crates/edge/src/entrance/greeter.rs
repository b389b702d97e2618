//! The threads that greet streams.
//!
//! Each thread has an epoll instance and a bounded number of streams. When it is full, the acceptor
//! waits, and the kernel's backlog holds the other streams. Strangers who send nothing cannot keep
//! it full: a stream that has been there for a second makes room for the next one.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use slab::Slab;

use super::dealer::Dealer;
use super::greeting::{Greeting, Progress};
use crate::environment::Environment;
use crate::metrics::{Cause, Outcome};
use crate::running::AbortOnPanic;

/// The time after which a stream may have to make room for another one.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Streams that wait for a thread to look at them.
const INBOX_MAX: usize = 64;
const THREADS_MAX: usize = 8;
const EVENTS_MAX: usize = 256;
/// The event of the descriptor that wakes a thread.
const WAKE: u64 = u64::MAX;

/// The acceptor's way to the threads that greet.
#[derive(Debug)]
pub(super) struct Greeters {
    threads: Vec<(SyncSender<Greeting>, Arc<OwnedFd>)>,
    turn: usize,
}

impl Greeters {
    /// How many threads greet for so many shards.
    pub(super) fn threads_for(shards: usize) -> usize {
        shards.div_ceil(2).clamp(1, THREADS_MAX)
    }

    /// Starts the threads. They end once this value is dropped.
    pub(super) fn start(
        count: usize,
        dealer: &Dealer,
        env: &Arc<Environment>,
        stopping: &Arc<AtomicBool>,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let mut threads = Vec::with_capacity(count);
        let mut handles = Vec::with_capacity(count);
        for index in 0..count {
            let (inbox, arrivals) = mpsc::sync_channel(INBOX_MAX);
            let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
            let greeter = Greeter {
                epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
                wake: Arc::clone(&wake),
                arrivals,
                pending: Slab::new(),
                ends: VecDeque::new(),
                next_generation: 0,
                threads: count,
                env: Arc::clone(env),
                dealer: dealer.starting_at(index),
                stopping: Arc::clone(stopping),
            };
            let handle = thread::Builder::new()
                .name(format!("greeter-{index}"))
                .spawn(move || greeter.run())?;
            threads.push((inbox, wake));
            handles.push(handle);
        }
        Ok((Self { threads, turn: 0 }, handles))
    }

    /// Gives a stream to a thread; waits while that one has too many.
    pub(super) fn greet(&mut self, greeting: Greeting) {
        let (inbox, wake) = &self.threads[self.turn];
        self.turn = (self.turn + 1) % self.threads.len();
        // The thread ends only with the node; then the stream ends, too.
        let _ = inbox.send(greeting);
        wake_up(wake);
    }
}

impl Drop for Greeters {
    fn drop(&mut self) {
        for (inbox, wake) in self.threads.drain(..) {
            drop(inbox);
            wake_up(&wake);
        }
    }
}

/// Fails only when the thread has been woken more often than a number can hold.
fn wake_up(wake: &OwnedFd) {
    let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
}

/// One thread.
struct Greeter {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    arrivals: Receiver<Greeting>,
    pending: Slab<Pending>,
    /// When streams began, oldest first; some of them are no longer there.
    ends: VecDeque<(Instant, usize, u64)>,
    next_generation: u64,
    threads: usize,
    env: Arc<Environment>,
    dealer: Dealer,
    stopping: Arc<AtomicBool>,
}

struct Pending {
    generation: u64,
    greeting: Greeting,
}

impl Greeter {
    fn run(mut self) {
        let _guard = AbortOnPanic;
        let interest = EventFlags::IN;
        if epoll::add(&self.epoll, &*self.wake, EventData::new_u64(WAKE), interest).is_err() {
            return; // Nothing can be greeted; the acceptor closes what it has.
        }
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            if !self.take_arrivals(Instant::now()) || self.stopping.load(Ordering::Acquire) {
                return;
            }
            events.clear();
            let timeout = self.timeout(Instant::now());
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => (),
                Err(error) => panic!("streams cannot be greeted: {error}"),
            }
            for event in &events {
                match event.data.u64() {
                    WAKE => drop(rustix::io::read(&*self.wake, &mut [0; 8])),
                    key => self.advance(usize::try_from(key).unwrap_or(usize::MAX)),
                }
            }
            self.end_late(Instant::now());
        }
    }

    /// The most streams that this thread greets at once.
    fn max(&self) -> usize {
        self.env.limits.tls_handshakes_max.div_ceil(self.threads)
    }

    /// Takes new streams while there is room. False when no more will come.
    fn take_arrivals(&mut self, now: Instant) -> bool {
        loop {
            if self.pending.len() >= self.max() && !self.make_room(now) {
                return true;
            }
            match self.arrivals.try_recv() {
                Ok(greeting) => self.begin(greeting, now),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn begin(&mut self, greeting: Greeting, now: Instant) {
        let generation = self.next_generation;
        self.next_generation += 1;
        let entry = self.pending.vacant_entry();
        let key = entry.key();
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(key as u64);
        let watched = greeting.descriptor().map(|fd| epoll::add(&self.epoll, fd, data, interest));
        if !matches!(watched, Some(Ok(()))) {
            return; // The system cannot watch it.
        }
        self.dealer.metrics().greetings.inc();
        entry.insert(Pending { generation, greeting });
        self.ends.push_back((now, key, generation));
        self.advance(key);
    }

    /// Goes on with a stream as far as it allows now.
    fn advance(&mut self, key: usize) {
        // An event may be for a stream that has left in this round; its successor, if there is
        // one, is only looked at once more.
        let Some(pending) = self.pending.get_mut(key) else { return };
        match pending.greeting.advance() {
            Progress::Waits => (),
            Progress::Done => {
                let greeting = self.remove(key);
                if let Some(resumed) = greeting.is_resumed() {
                    let outcome = if resumed { "resumed" } else { "full" };
                    let handshakes = &self.dealer.metrics().tls_handshakes;
                    handshakes.get_or_create(&Outcome { outcome }).inc();
                }
                if let Some((socket, from, permit)) = greeting.into_parts() {
                    self.dealer.deal(socket, from, permit);
                }
            }
            Progress::Refused(cause) => self.refuse(key, cause),
        }
    }

    fn remove(&mut self, key: usize) -> Greeting {
        let Pending { greeting, .. } = self.pending.remove(key);
        self.dealer.metrics().greetings.dec();
        // The stream is watched, so this cannot fail.
        if let Some(stream) = greeting.descriptor() {
            let _ = epoll::delete(&self.epoll, stream);
        }
        greeting
    }

    fn refuse(&mut self, key: usize, cause: &'static str) {
        self.dealer.metrics().streams_refused.get_or_create(&Cause { cause }).inc();
        let greeting = self.remove(key);
        if cause == "tls_required"
            && let Some(times) = self.env.directory.note(cause)
        {
            let client = greeting.from.client();
            tracing::warn!(%client, times, "a request without TLS on a port with TLS");
        }
    }

    /// Closes the oldest stream if it has had time enough. False when there is none.
    fn make_room(&mut self, now: Instant) -> bool {
        self.skip_gone();
        let Some(&(begun, key, _)) = self.ends.front() else { return true };
        let slow = now.duration_since(begun) >= SLOW_AFTER;
        if slow {
            self.refuse(key, "greetings_full");
        }
        slow
    }

    /// Closes streams whose time is over.
    fn end_late(&mut self, now: Instant) {
        loop {
            self.skip_gone();
            let Some(&(begun, key, _)) = self.ends.front() else { return };
            if now.duration_since(begun) < self.env.limits.tls_handshake_timeout {
                return;
            }
            self.refuse(key, "greeting_timeout");
        }
    }

    /// Removes the entries of streams that have left from the front.
    fn skip_gone(&mut self) {
        let pending = &self.pending;
        let is_gone = |(_, key, generation): &(Instant, usize, u64)| {
            pending.get(*key).is_none_or(|one| one.generation != *generation)
        };
        while self.ends.front().is_some_and(is_gone) {
            self.ends.pop_front();
        }
    }

    /// The time until the oldest stream is to be looked at; `None` when there is none.
    fn timeout(&mut self, now: Instant) -> Option<Timespec> {
        self.skip_gone();
        let (begun, _, _) = self.ends.front()?;
        let timeout = self.env.limits.tls_handshake_timeout;
        let longest = if self.pending.len() >= self.max() { SLOW_AFTER } else { timeout };
        let left = (*begun + longest).saturating_duration_since(now);
        // A moment more, so that the time is over at the next look.
        Timespec::try_from(left + Duration::from_millis(1)).ok()
    }
}
