//! A client's stream as hyper wants it, that can be taken back from hyper and answered past it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::net::TcpStream;

/// Cheap to clone; all clones are one stream.
#[derive(Clone, Debug)]
pub(super) struct ClientIo(Arc<TcpStream>);

impl ClientIo {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// The stream itself, out of this thread's reactor.
    pub(super) fn into_std(self) -> io::Result<std::net::TcpStream> {
        match Arc::try_unwrap(self.0) {
            Ok(stream) => stream.into_std(),
            Err(_) => Err(io::Error::other("the connection's task still holds the stream")),
        }
    }

    /// An answer that hyper does not give, before the stream closes. Best effort.
    pub(super) fn write_last_words(&self, answer: &[u8]) {
        let _ = self.0.try_write(answer);
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
            ready!(self.0.poll_read_ready(cx))?;
            let room = buffer.remaining().min(chunk.len());
            match self.0.try_read(&mut chunk[..room]) {
                Ok(count) => {
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
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(slices) {
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
        let ended = rustix::net::shutdown(self.0.as_fd(), rustix::net::Shutdown::Write);
        Poll::Ready(match ended {
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}
