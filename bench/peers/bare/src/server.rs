//! The loop: accepts, reads, answers, broadcasts, pings.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};

use crate::protocol::{self, Request, Wish};
use crate::uring::Ring;

const READ_BYTES: usize = 64 << 10;
const EVENTS_MAX: usize = 1_024;
const TURN: Duration = Duration::from_millis(100);
/// Every client is pinged once within this many turns: 25 seconds.
const PING_TURNS: usize = 250;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Http,
    WebSocket,
    Joined,
    /// A polling session. Its stages: it waits for its first POST, with or without a GET; it has
    /// posted; it has its answer.
    Open,
    OpenHolding,
    Posted,
    Holding,
}

/// State that only a client in the middle of something needs.
#[derive(Debug, Default)]
struct Rest {
    /// The beginning of an incomplete frame or request.
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

#[derive(Debug)]
struct Slot {
    rest: Option<Box<Rest>>,
    stream: OwnedFd,
    phase: Phase,
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    ring: Option<Ring>,
    /// Slots by descriptor.
    slots: Vec<Option<Slot>>,
    ping_next: usize,
    frames: Vec<u8>,
    receivers: Vec<RawFd>,
}

/// Serves until the process is ended.
pub(crate) fn run(listener: TcpListener, ring: Option<Ring>) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let id = epoll::EventData::new_u64(listener.as_raw_fd() as u64);
    epoll::add(&epoll, &listener, id, epoll::EventFlags::IN)?;
    let mut server = Server {
        epoll,
        listener,
        ring,
        slots: Vec::new(),
        ping_next: 0,
        frames: Vec::new(),
        receivers: Vec::new(),
    };
    server.turns()
}

impl Server {
    fn turns(&mut self) -> io::Result<()> {
        let none =
            epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = vec![none; EVENTS_MAX];
        let mut buffer = vec![0; READ_BYTES];
        let timeout = Timespec { tv_sec: 0, tv_nsec: TURN.subsec_nanos().into() };
        let mut ping_at = Instant::now() + TURN;
        loop {
            let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                let fd = event.data.u64() as RawFd;
                if fd == self.listener.as_raw_fd() {
                    self.accept()?;
                } else if self.serve(fd, event.flags, &mut buffer).is_none() {
                    self.slots[fd as usize] = None;
                }
            }
            if Instant::now() >= ping_at {
                ping_at += TURN;
                self.ping();
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            let stream = match accept_with(&self.listener, flags) {
                Ok(stream) => stream,
                Err(Errno::AGAIN | Errno::MFILE | Errno::CONNABORTED) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            sockopt::set_tcp_nodelay(&stream, true)?;
            let fd = stream.as_raw_fd();
            let flags = epoll::EventFlags::IN
                | epoll::EventFlags::OUT
                | epoll::EventFlags::RDHUP
                | epoll::EventFlags::ET;
            epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(fd as u64), flags)?;
            if self.slots.len() <= fd as usize {
                self.slots.resize_with(fd as usize + 1, || None);
            }
            self.slots[fd as usize] = Some(Slot { rest: None, stream, phase: Phase::Http });
        }
    }

    /// Serves one stream; `None` when it has ended.
    fn serve(&mut self, fd: RawFd, flags: epoll::EventFlags, buffer: &mut [u8]) -> Option<()> {
        let slot = self.slots[fd as usize].as_mut()?;
        if let Some(rest) = slot.rest.as_mut().filter(|rest| !rest.unsent.is_empty()) {
            let unsent = std::mem::take(&mut rest.unsent);
            slot.send(&unsent)?;
        }
        if !flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP) {
            return Some(());
        }
        loop {
            let slot = self.slots[fd as usize].as_ref()?;
            let length = match recv(&slot.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => return None,
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => return Some(()),
                Err(_reset) => return None,
            };
            self.handle_bytes(fd, &mut buffer[..length])?;
            if length < buffer.len() && !flags.contains(epoll::EventFlags::RDHUP) {
                return Some(());
            }
        }
    }

    fn handle_bytes(&mut self, fd: RawFd, input: &mut [u8]) -> Option<()> {
        let slot = self.slots[fd as usize].as_mut()?;
        let mut unread =
            slot.rest.as_mut().map(|rest| std::mem::take(&mut rest.unread)).unwrap_or_default();
        if unread.is_empty() {
            let used = self.consume(fd, input)?;
            self.keep_unread(fd, &input[used..])
        } else {
            unread.extend_from_slice(input);
            let used = self.consume(fd, &mut unread)?;
            self.keep_unread(fd, &unread[used..])
        }
    }

    fn keep_unread(&mut self, fd: RawFd, unread: &[u8]) -> Option<()> {
        let slot = self.slots[fd as usize].as_mut()?;
        if !unread.is_empty() {
            slot.rest.get_or_insert_default().unread = unread.to_vec();
        } else if slot.rest.as_ref().is_some_and(|rest| rest.unsent.is_empty()) {
            slot.rest = None;
        }
        Some(())
    }

    /// Answers all complete input with one send; returns how much of `input` it used.
    fn consume(&mut self, fd: RawFd, input: &mut [u8]) -> Option<usize> {
        let mut out = std::mem::take(&mut self.frames);
        out.clear();
        let mut used = 0;
        loop {
            let phase = self.slots[fd as usize].as_ref()?.phase;
            let length = if matches!(phase, Phase::WebSocket | Phase::Joined) {
                self.handle_frame(fd, &mut input[used..], &mut out)?
            } else {
                self.handle_request(fd, &input[used..], &mut out)?
            };
            used += length;
            if length == 0 {
                break;
            }
        }
        let sent =
            if out.is_empty() { Some(()) } else { self.slots[fd as usize].as_mut()?.send(&out) };
        self.frames = out;
        sent.map(|()| used)
    }

    /// Handles one frame, if a complete one is there: returns its length, `None` when the client
    /// leaves.
    fn handle_frame(&mut self, fd: RawFd, input: &mut [u8], out: &mut Vec<u8>) -> Option<usize> {
        let Some((opcode, payload, used)) = protocol::take_frame(input) else { return Some(0) };
        if opcode == 8 {
            return None;
        }
        match protocol::wish(&input[payload]) {
            Wish::Join => {
                self.slots[fd as usize].as_mut()?.phase = Phase::Joined;
                protocol::text_frame(out, &[protocol::JOINED]);
            }
            Wish::Echo { id, rest } => protocol::text_frame(out, &[b"43", id, b"[", rest]),
            Wish::Done { id } => protocol::text_frame(out, &[b"43", id, br#"["done"]"#]),
            Wish::Broadcast(broadcast) => {
                let mut frames = Vec::new();
                broadcast.frames(&mut frames);
                self.send_to_all(&frames);
            }
            Wish::Nothing => (),
        }
        Some(used)
    }

    /// Handles one request, if a complete one is there: returns its length, `None` when the client
    /// is gone.
    fn handle_request(&mut self, fd: RawFd, input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let Some((request, used)) = protocol::request(input) else { return Some(0) };
        let slot = self.slots[fd as usize].as_mut()?;
        match (request, slot.phase) {
            (Request::Upgrade, _) => {
                out.extend_from_slice(protocol::UPGRADED);
                protocol::text_frame(out, &[&protocol::open(0)]);
                slot.phase = Phase::WebSocket;
            }
            (Request::Handshake, _) => {
                protocol::answer(out, &protocol::open(fd as usize));
                slot.phase = Phase::Open;
            }
            (Request::Post(sid), _) => {
                protocol::answer(out, b"ok");
                self.joined_by_post(sid);
            }
            (Request::Poll, Phase::Posted) => {
                protocol::answer(out, protocol::JOINED);
                slot.phase = Phase::Holding;
            }
            (Request::Poll, Phase::Open) => slot.phase = Phase::OpenHolding,
            // The poll is held indefinitely: there is never anything to send to a polling client
            // later.
            (Request::Poll, _) => (),
        }
        Some(used)
    }

    /// The first POST of a polling session is its connect packet.
    fn joined_by_post(&mut self, sid: usize) {
        let Some(Some(slot)) = self.slots.get_mut(sid) else { return };
        if slot.phase == Phase::Open {
            slot.phase = Phase::Posted;
        } else if slot.phase == Phase::OpenHolding {
            slot.phase = Phase::Holding;
            let mut answer = Vec::new();
            protocol::answer(&mut answer, protocol::JOINED);
            // A failed stream gets an event that ends it.
            let _ = slot.send(&answer);
        }
    }

    fn send_to_all(&mut self, frames: &[u8]) {
        let Some(ring) = &mut self.ring else {
            for slot in self.slots.iter_mut().flatten().filter(|slot| slot.phase == Phase::Joined) {
                // A failed stream gets an event that ends it.
                let _ = slot.send(frames);
            }
            return;
        };
        self.receivers.clear();
        let joined = self.slots.iter().flatten().filter(|slot| slot.is_clear());
        self.receivers.extend(joined.map(|slot| slot.stream.as_raw_fd()));
        for slot in self.slots.iter_mut().flatten().filter(|slot| slot.is_behind()) {
            let _ = slot.send(frames);
        }
        let slots = &mut self.slots;
        let sent = ring.send_to_all(&self.receivers, frames, |fd, result| {
            let taken = match result {
                Ok(taken) => taken,
                Err(Errno::AGAIN) => 0,
                // A failed stream gets an event that ends it.
                Err(_reset) => return,
            };
            if let Some(slot) = &mut slots[fd as usize] {
                slot.keep_unsent(&frames[taken..]);
            }
        });
        sent.expect("the kernel takes batches since it took the ring");
    }

    /// Pings a share of all clients in each turn, so that each client gets a ping every 25 seconds.
    fn ping(&mut self) {
        let share = self.slots.len().div_ceil(PING_TURNS);
        for _ in 0..share {
            self.ping_next = (self.ping_next + 1) % self.slots.len();
            if let Some(slot) = &mut self.slots[self.ping_next]
                && slot.phase == Phase::Joined
            {
                let _ = slot.send(protocol::PING);
            }
        }
    }
}

impl Slot {
    fn is_clear(&self) -> bool {
        self.phase == Phase::Joined && self.rest.as_ref().is_none_or(|rest| rest.unsent.is_empty())
    }

    fn is_behind(&self) -> bool {
        self.phase == Phase::Joined && !self.is_clear()
    }

    /// Sends what the kernel accepts and keeps the rest; `None` when the stream has failed.
    fn send(&mut self, bytes: &[u8]) -> Option<()> {
        if let Some(rest) = self.rest.as_mut().filter(|rest| !rest.unsent.is_empty()) {
            rest.unsent.extend_from_slice(bytes);
            return Some(());
        }
        let taken = match send(&self.stream, bytes, SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN) => 0,
            Err(_reset) => return None,
        };
        self.keep_unsent(&bytes[taken..]);
        Some(())
    }

    fn keep_unsent(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.rest.get_or_insert_default().unsent.extend_from_slice(bytes);
        }
    }
}
