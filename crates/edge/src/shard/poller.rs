//! Watches which sockets of a shard are ready.
//!
//! The shard has one edge-triggered epoll instance for all of them, and reads and writes them
//! itself: there is no task and no wake-up per stream.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::socket::Socket;

const EVENTS_MAX: usize = 512;

/// The socket that an event concerns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// The generation of the slot, or of the lingering or resting stream. Wraps at 2^24; no pending
    /// event lives that long.
    pub(crate) generation: u32,
    pub(crate) index: u32,
}

/// The kinds of sockets that a shard watches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Session,
    Probe,
    Linger,
    Rest,
}

const GENERATION_MASK: u32 = 0x00ff_ffff;

impl Token {
    pub(crate) fn new(kind: Kind, index: u32, generation: u32) -> Self {
        Self { kind, index, generation: generation & GENERATION_MASK }
    }

    /// Whether the event is for this generation, not for an earlier user of the index.
    pub(crate) fn is_of(self, generation: u32) -> bool {
        self.generation == generation & GENERATION_MASK
    }

    fn pack(self) -> u64 {
        let kind = match self.kind {
            Kind::Session => 0,
            Kind::Probe => 1,
            Kind::Linger => 2,
            Kind::Rest => 3,
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
            2 => Kind::Linger,
            _ => Kind::Rest,
        };
        Self { kind, generation: (bits >> 32) as u32 & GENERATION_MASK, index: bits as u32 }
    }
}

/// Watches the sockets of a shard.
#[derive(Debug)]
pub(crate) enum Poller {
    /// The shard's epoll instance.
    Epoll(OwnedFd),
    /// Tests report themselves which sockets are ready.
    #[cfg(any(test, feature = "fuzzing"))]
    ByHand,
}

/// One event of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side, so reading will reach the end.
    pub(crate) ended: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::Epoll(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// A descriptor that is readable whenever there are events, for the thread's own reactor.
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Epoll(epoll) => epoll.try_clone(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::ByHand => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(crate) fn add(&self, socket: &Socket, token: Token) -> io::Result<()> {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Socket::Wire(wire) = socket {
            return wire.watch(token);
        }
        let (epoll, stream) = self.both(socket)?;
        Ok(epoll::add(epoll, stream, EventData::new_u64(token.pack()), interest())?)
    }

    /// Changes the token of a socket that is already watched.
    pub(crate) fn retarget(&self, socket: &Socket, token: Token) -> io::Result<()> {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Socket::Wire(wire) = socket {
            return wire.rewatch(token);
        }
        let (epoll, stream) = self.both(socket)?;
        Ok(epoll::modify(epoll, stream, EventData::new_u64(token.pack()), interest())?)
    }

    /// Stops watching a socket that belongs to another task from now on.
    pub(crate) fn remove(&self, socket: &Socket) {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Socket::Wire(wire) = socket {
            wire.unwatch();
        }
        // The socket is watched, so this cannot fail.
        if let Ok((epoll, stream)) = self.both(socket) {
            let _ = epoll::delete(epoll, stream);
        }
    }

    fn both<'a>(&'a self, socket: &'a Socket) -> io::Result<(&'a OwnedFd, &'a OwnedFd)> {
        match self {
            Self::Epoll(epoll) => {
                Ok((epoll, socket.descriptor().ok_or(io::ErrorKind::Unsupported)?))
            }
            #[cfg(any(test, feature = "fuzzing"))]
            Self::ByHand => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Appends the sockets that are ready now; true when there may be more.
    pub(crate) fn collect(&self, into: &mut Vec<Readiness>) -> io::Result<bool> {
        let epoll = match self {
            Self::Epoll(epoll) => epoll,
            #[cfg(any(test, feature = "fuzzing"))]
            Self::ByHand => return Ok(false),
        };
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(epoll, spare, Some(&now)) {
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
    // SAFETY: the `AsyncFd` owns the descriptor and only hands out shared references, so the
    // descriptor stays open and unchanged until the `AsyncFd` has removed it from the reactor.
    let watched = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) };
    Ok(watched?)
}

fn interest() -> EventFlags {
    EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_trip_through_the_kernel() {
        for kind in [Kind::Session, Kind::Probe, Kind::Linger, Kind::Rest] {
            let token = Token::new(kind, u32::MAX, 0xfe12_3456);
            assert_eq!(Token::unpack(token.pack()), token);
            assert!(token.is_of(0xfe12_3456));
            assert!(!token.is_of(0xfe12_3457));
        }
    }
}
