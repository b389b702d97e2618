//! A client's stream as hyper wants it, that can be taken back from hyper and answered past it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Cheap to clone; all clones are one stream.
#[derive(Clone, Debug)]
pub(super) struct ClientIo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: TcpStream,
    /// What leaves together with the head of the next answer, if it leaves at once.
    tail: Mutex<Bytes>,
}

/// The stream, and what of the tail did not leave with the head.
pub(super) type Parts = (std::net::TcpStream, Bytes);

impl ClientIo {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Inner { stream, tail: Mutex::default() }))
    }

    /// The next answer is the last one of HTTP, and these bytes are the first of what comes after it.
    pub(super) fn set_tail(&self, bytes: Bytes) {
        *self.0.tail() = bytes;
    }

    /// The stream itself, out of this thread's reactor.
    pub(super) fn into_parts(self) -> io::Result<Parts> {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => {
                let tail = std::mem::take(&mut *inner.tail());
                Ok((inner.stream.into_std()?, tail))
            }
            Err(_) => Err(io::Error::other("the connection's task still holds the stream")),
        }
    }

    fn write_with_tail(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut tail = self.0.tail();
        if tail.is_empty() {
            return self.0.stream.try_write_vectored(slices);
        }
        let head_bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut all: Vec<IoSlice<'_>> = slices.to_vec();
        all.push(IoSlice::new(&tail));
        let written = self.0.stream.try_write_vectored(&all)?;
        tail.advance(written.saturating_sub(head_bytes));
        Ok(written.min(head_bytes))
    }

    /// An answer that hyper does not give, before the stream closes. Best effort.
    pub(super) fn write_last_words(&self, answer: &[u8]) {
        let _ = self.0.stream.try_write(answer);
    }
}

impl Inner {
    /// Never contended: a connection is its thread's own, which hyper cannot know.
    fn tail(&self) -> MutexGuard<'_, Bytes> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; 4096];
        loop {
            ready!(self.0.stream.poll_read_ready(cx))?;
            let room = buffer.remaining().min(chunk.len());
            match self.0.stream.try_read(&mut chunk[..room]) {
                Ok(count) => {
                    if 0 < count && count < room {
                        // The stream is empty, and whatever comes next makes a new edge: the reactor is told so
                        // without a call that finds nothing.
                        let empty = || Err::<(), _>(ErrorKind::WouldBlock.into());
                        let _ = self.0.stream.try_io(Interest::READABLE, empty);
                    }
                    buffer.put_slice(&chunk[..count]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Write for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.stream.poll_write_ready(cx))?;
            match self.write_with_tail(&[IoSlice::new(bytes)]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.stream.poll_write_ready(cx))?;
            match self.write_with_tail(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        use std::os::fd::AsFd;
        let ended = rustix::net::shutdown(self.0.stream.as_fd(), rustix::net::Shutdown::Write);
        Poll::Ready(match ended {
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}
