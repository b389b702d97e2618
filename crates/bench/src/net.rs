//! Non-blocking TCP streams, the epoll set and the clock: the only file that makes system calls for the clients.

mod bind;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
    sockopt,
};

/// Clients per loopback source address: far below the ephemeral port range of one address.
const CLIENTS_PER_SOURCE: u32 = 4_000;

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A loopback source address of its own for each few thousand clients of a worker.
pub(crate) fn source(run: u32, worker: u32, client: u32) -> Ipv4Addr {
    let block = client / CLIENTS_PER_SOURCE;
    Ipv4Addr::new(127, 64 + (run % 64) as u8, worker as u8, 1 + (block % 250) as u8)
}

/// Starts a connection; its outcome comes as an event.
pub(crate) fn start_connect(
    target: SocketAddrV4,
    source: Option<Ipv4Addr>,
) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let stream = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&stream, true)?;
    if let Some(source) = source {
        bind::bind_source(&stream, source)?;
    }
    match connect(&stream, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(stream),
        Err(error) => Err(error),
    }
}

/// Makes the close of this stream a reset: the server reads an error instead of an end.
pub(crate) fn reset_on_close(stream: &OwnedFd) {
    // A stream that has failed already needs no reset.
    let _ = sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
}

/// Whether a started connection has failed.
pub(crate) fn connect_failed(stream: &OwnedFd) -> bool {
    !matches!(sockopt::socket_error(stream), Ok(Ok(())))
}

/// Bytes read, `Some(0)` at the end of the stream, `None` when there is nothing now.
pub(crate) fn read(stream: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    match recv(stream, buffer, RecvFlags::empty()) {
        Ok((_, length)) => Ok(Some(length)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes taken by the kernel, 0 when it takes none now.
pub(crate) fn write(stream: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(stream, bytes, SendFlags::NOSIGNAL) {
        Ok(length) => Ok(length),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error),
    }
}

/// An epoll set whose members are numbered.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: OwnedFd,
}

/// One member's event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) id: u64,
    pub(crate) writable: bool,
    pub(crate) readable: bool,
    /// The other side has closed, or the stream has failed: read until the end.
    pub(crate) ending: bool,
}

impl Poll {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Edge-triggered, both directions: a stream needs no further system call to change its interest.
    pub(crate) fn add_stream(&self, stream: &OwnedFd, id: u64) -> Result<(), Errno> {
        epoll::add(&self.epoll, stream, epoll::EventData::new_u64(id), stream_flags())
    }

    /// Gives a member another number. What is ready is told again.
    pub(crate) fn renumber(&self, stream: &OwnedFd, id: u64) -> Result<(), Errno> {
        epoll::modify(&self.epoll, stream, epoll::EventData::new_u64(id), stream_flags())
    }

    /// Level-triggered, reading only.
    pub(crate) fn add_input(&self, input: impl AsFd, id: u64) -> Result<(), Errno> {
        epoll::add(&self.epoll, input, epoll::EventData::new_u64(id), epoll::EventFlags::IN)
    }

    /// Fills `ready` with what happened, after at most `timeout_ns`.
    pub(crate) fn wait(
        &self,
        events: &mut [epoll::Event],
        ready: &mut Vec<Ready>,
        timeout_ns: u64,
    ) -> Result<(), Errno> {
        let timeout = Timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        ready.clear();
        let count = match epoll::wait(&self.epoll, &mut *events, Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error),
        };
        ready.extend(events[..count].iter().map(|event| {
            let flags = event.flags;
            Ready {
                id: event.data.u64(),
                writable: flags.contains(epoll::EventFlags::OUT),
                readable: flags.contains(epoll::EventFlags::IN),
                ending: flags.intersects(
                    epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
                ),
            }
        }));
        Ok(())
    }
}

fn stream_flags() -> epoll::EventFlags {
    epoll::EventFlags::IN
        | epoll::EventFlags::OUT
        | epoll::EventFlags::RDHUP
        | epoll::EventFlags::ET
}

/// Buffer for [`Poll::wait`].
pub(crate) fn event_buffer(events_max: usize) -> Vec<epoll::Event> {
    let empty =
        epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
    vec![empty; events_max]
}
