//! A socket for which tasks wait, in the reactor of the thread that made it.
//!
//! HTTP and trunks read and write through this type, so that they do not depend on the kind of
//! socket.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::socket::Socket;

/// A socket that is registered with a reactor.
#[derive(Debug)]
pub(crate) struct Watched(AsyncFd<Socket>);

impl Watched {
    /// Registers the socket with this thread's reactor.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        if socket.descriptor().is_none() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // SAFETY: the `AsyncFd` owns the socket and only hands out shared references, through which
        // the descriptor can be neither closed nor exchanged. So it stays open and unchanged until
        // the `AsyncFd` has removed it from the reactor.
        let watched = unsafe { AsyncFd::register(socket) };
        Ok(Self(watched.map_err(io::Error::from)?))
    }

    /// Removes the socket from the reactor.
    pub(crate) fn into_socket(self) -> Socket {
        self.0.into_inner()
    }

    /// The socket, for calls that need no waiting.
    pub(crate) fn socket(&self) -> &Socket {
        self.0.get_ref()
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.socket().has_input() {
            return Ok(());
        }
        self.0.readable().await.map(drop)
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.0.writable().await.map(drop)
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket().has_input() {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(ready!(self.0.poll_read_ready(cx)).map(drop))
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.0.poll_write_ready(cx)).map(drop))
    }

    /// Runs `read` if the socket counts as readable. If `read` fails with `WouldBlock`, the
    /// readiness from *before* is cleared; readiness that the reactor notes in the meantime is
    /// kept.
    pub(crate) fn try_reading<T>(
        &self,
        read: impl FnOnce(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.socket().has_input() {
            // The reactor knows only the kernel's bytes.
            return read(self.socket());
        }
        self.0.try_io(Interest::READABLE, read)
    }

    /// Reads the available bytes; 0 when the peer has ended its side.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.try_reading(|socket| socket.read(into))
    }

    /// Writes as much as fits now.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_io(Interest::WRITABLE, |socket| socket.write_slices(slices))
    }

    /// Offers to the kernel what was written and not accepted.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        let flushed = self.0.try_io(Interest::WRITABLE, |socket| {
            if socket.flush()? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        match flushed {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// Waits for bytes or for the end of the stream, which is 0; reads nothing.
    pub(crate) fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.socket().has_input() {
            match self.socket().peek(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                peeked => return Poll::Ready(peeked),
            }
        }
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            if let Ok(peeked) = ready.try_io(|watched| watched.get_ref().peek(&mut [0])) {
                return Poll::Ready(peeked);
            }
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
