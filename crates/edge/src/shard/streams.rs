//! WebSocket streams of a shard: the epoll instance that watches them, and writing to one.
//!
//! A stream costs its descriptor, its decoder's few bytes, and nothing else while nothing waits in it. All
//! streams of a shard are watched by one edge-triggered epoll instance of the shard's own, and are read and
//! written by the shard itself: no task and no wake-up per stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use bytes::{Buf, Bytes};
use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trunkline_websocket::Decoder;

use super::command::AdoptedStream;
use crate::acceptor::StreamPermit;

/// Frames gathered into one write.
const SLICES_MAX: usize = 64;
const EVENTS_MAX: usize = 512;

/// What an epoll event is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Of the slot or the lingering stream; wraps at 2^24, which an event in flight never outlives.
    pub(crate) generation: u32,
    pub(crate) index: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Session,
    Probe,
    Linger,
}

const GENERATION_MASK: u32 = 0x00ff_ffff;

impl Token {
    pub(crate) fn new(kind: Kind, index: u32, generation: u32) -> Self {
        Self { kind, index, generation: generation & GENERATION_MASK }
    }

    pub(crate) fn is_of(self, generation: u32) -> bool {
        self.generation == generation & GENERATION_MASK
    }

    fn pack(self) -> u64 {
        let kind = match self.kind {
            Kind::Session => 0,
            Kind::Probe => 1,
            Kind::Linger => 2,
        };
        (kind << 56) | (u64::from(self.generation) << 32) | u64::from(self.index)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "takes the fields apart that `pack` put there"
    )]
    fn unpack(bits: u64) -> Self {
        let kind = match bits >> 56 {
            0 => Kind::Session,
            1 => Kind::Probe,
            _ => Kind::Linger,
        };
        Self { kind, generation: (bits >> 32) as u32 & GENERATION_MASK, index: bits as u32 }
    }
}

/// The shard's epoll instance.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side: what is left to read ends, too.
    pub(crate) ended: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// A descriptor that is readable whenever there are events, for the thread's own reactor.
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }

    pub(crate) fn add(&self, stream: &Stream, token: Token) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            stream.io.as_fd(),
            EventData::new_u64(token.pack()),
            interest(),
        )?)
    }

    pub(crate) fn retarget(&self, stream: &Stream, token: Token) -> io::Result<()> {
        let data = EventData::new_u64(token.pack());
        Ok(epoll::modify(&self.epoll, stream.io.as_fd(), data, interest())?)
    }

    /// Appends what is ready now; true when there may be more.
    pub(crate) fn collect(&self, into: &mut Vec<Readiness>) -> io::Result<bool> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, spare, Some(&now)) {
            Ok(_) => (),
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        into.extend(events.iter().map(|event| {
            let flags = event.flags;
            Readiness {
                token: Token::unpack(event.data.u64()),
                readable: flags.intersects(
                    EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR,
                ),
                writable: flags.intersects(EventFlags::OUT),
                ended: flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
            }
        }));
        Ok(events.len() == EVENTS_MAX)
    }
}

/// Lets the thread's reactor wake the shard when its epoll instance has events.
pub(crate) fn watch(epoll: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor and hands out shared references only, so that it stays open and the
    // same until the `AsyncFd` has taken it out of the reactor.
    let watched = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) };
    Ok(watched?)
}

fn interest() -> EventFlags {
    EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
}

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) io: TcpStream,
    pub(crate) decoder: Decoder,
    /// Frames that the kernel did not take yet, the first perhaps in part. `None` while there are none.
    #[expect(
        clippy::box_collection,
        reason = "a pointer in each idle stream instead of four words"
    )]
    unsent: Option<Box<VecDeque<Bytes>>>,
    /// Messages may be compressed, see [`AdoptedStream`].
    pub(crate) deflate_window: Option<u8>,
    /// The answer to the client's latest ping; earlier ones that did not leave are forgotten.
    pong: Option<Box<Bytes>>,
    _permit: StreamPermit,
}

impl Stream {
    /// Takes over a stream that hyper is done with; returns the bytes that came early.
    pub(crate) fn adopt(adopted: AdoptedStream) -> (Self, Bytes) {
        let AdoptedStream { stream, unsent, leftover, permit, deflate_window } = adopted;
        let unsent = (!unsent.is_empty()).then(|| Box::new(VecDeque::from([unsent])));
        (
            Self {
                io: stream,
                decoder: Decoder::new(),
                unsent,
                pong: None,
                deflate_window,
                _permit: permit,
            },
            leftover,
        )
    }

    /// Everything was taken by the kernel.
    pub(crate) fn is_idle(&self) -> bool {
        self.unsent.is_none()
    }

    /// Bytes of frames that the kernel did not take, and of a message that has not come whole.
    pub(crate) fn held_bytes(&self) -> usize {
        let unsent =
            self.unsent.iter().flat_map(|frames| frames.iter()).map(Bytes::len).sum::<usize>();
        unsent + self.decoder.held_bytes()
    }

    /// Puts a frame behind what waits; it goes out with the next [`Self::write`].
    pub(crate) fn queue(&mut self, frame: Bytes) {
        self.unsent.get_or_insert_default().push_back(frame);
    }

    /// Answers pings, behind what waits. A stream that does not take what it has keeps only the latest answer: a
    /// client that pings and does not read cannot make the node hold more.
    pub(crate) fn queue_pongs(&mut self, mut frames: Vec<Bytes>) {
        if self.is_idle() && self.pong.is_none() {
            for frame in frames {
                self.queue(frame);
            }
        } else if let Some(latest) = frames.pop() {
            self.pong = Some(Box::new(latest));
        }
    }

    /// Writes what waits and then `frames`; keeps what the kernel does not take. Drains `frames`.
    pub(crate) fn write(&mut self, frames: &mut Vec<Bytes>) -> io::Result<()> {
        if let Some(unsent) = &mut self.unsent {
            unsent.extend(frames.drain(..));
            self.write_unsent()?;
            if self.unsent.is_some() {
                return Ok(());
            }
        }
        if let Some(pong) = self.pong.take() {
            frames.insert(0, *pong);
        }
        let mut first = 0;
        while first < frames.len() {
            let written = match self.write_some(&frames[first..]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            first += advance(&mut frames[first..], written);
        }
        if first < frames.len() {
            self.unsent = Some(Box::new(frames.drain(first..).collect()));
        }
        frames.clear();
        Ok(())
    }

    /// A frame was written past this stream: keeps what the kernel did not take of it.
    pub(crate) fn keep_rest(
        &mut self,
        mut frame: Bytes,
        written: io::Result<usize>,
    ) -> io::Result<()> {
        let written = match written {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        frame.advance(written);
        if !frame.is_empty() {
            self.queue(frame);
        }
        Ok(())
    }

    fn write_unsent(&mut self) -> io::Result<()> {
        while let Some(unsent) = self.unsent.as_mut() {
            let head = unsent.make_contiguous();
            let written = match write_some(&self.io, head) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let done = advance(head, written);
            unsent.drain(..done);
            if unsent.is_empty() {
                self.unsent = None;
            }
        }
        Ok(())
    }

    fn write_some(&self, frames: &[Bytes]) -> io::Result<usize> {
        write_some(&self.io, frames)
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn shutdown_write(&self) {
        // The peer may have gone already; then there is nobody to tell.
        let _ = self.io.shutdown(Shutdown::Write);
    }
}

fn write_some(mut io: &TcpStream, frames: &[Bytes]) -> io::Result<usize> {
    if let [frame] = frames {
        return io.write(frame);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = frames.len().min(SLICES_MAX);
    for (slice, frame) in slices.iter_mut().zip(frames) {
        *slice = IoSlice::new(frame);
    }
    io.write_vectored(&slices[..count])
}

/// Takes `written` bytes off the front; returns how many frames are done with.
fn advance(frames: &mut [Bytes], mut written: usize) -> usize {
    for (index, frame) in frames.iter_mut().enumerate() {
        if written < frame.len() {
            frame.advance(written);
            return index;
        }
        written -= frame.len();
    }
    frames.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_trip_through_the_kernel() {
        for kind in [Kind::Session, Kind::Probe, Kind::Linger] {
            let token = Token::new(kind, u32::MAX, 0xfe12_3456);
            assert_eq!(Token::unpack(token.pack()), token);
            assert!(token.is_of(0xfe12_3456));
            assert!(!token.is_of(0xfe12_3457));
        }
    }

    #[test]
    fn advance_stops_inside_a_frame() {
        let mut frames = [Bytes::from_static(b"abc"), Bytes::from_static(b"defg")];
        assert_eq!(advance(&mut frames, 4), 1);
        assert_eq!(frames[1], b"efg"[..]);
        assert_eq!(advance(&mut frames[1..], 3), 1);
    }
}
