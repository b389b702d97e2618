//! A client's stream in the form that hyper reads and writes. It can be taken back from hyper, and
//! the node can write an answer to it without hyper.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::heads::{self, Heads, Seen};
use crate::socket::Socket;
use crate::watched::Watched;

const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A client's stream. Cheap to clone; all clones are the same stream.
#[derive(Clone, Debug)]
pub(super) struct ClientIo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: Watched,
    /// Bytes to write or read in addition to those of the stream. `None` for most of a connection's
    /// life.
    beside: Mutex<Option<Box<Beside>>>,
    /// Set when the kernel has accepted everything that hyper has written.
    flushed: AtomicBool,
    /// The stream's position in its requests. `None` at the beginning of a request.
    heads: Mutex<Option<Box<Heads>>>,
    /// Set when the client has ended its side.
    ended: AtomicBool,
    /// Set when a head had more headers than hyper has room for by default.
    many_headers: AtomicBool,
}

/// Bytes that are kept next to the stream.
#[derive(Debug, Default)]
struct Beside {
    /// The first bytes of the stream, which were read before hyper had it. They are to be checked
    /// like those that follow.
    first: Bytes,
    /// Bytes that are sent together with the head of the next answer, if the kernel accepts them at
    /// once.
    tail: Bytes,
    /// Bytes that are read before the stream's own: they arrived after a request that was held.
    unread: Bytes,
    /// Bytes after the last header that hyper has room for. Nothing more is read until hyper begins
    /// anew with more room.
    held: Bytes,
}

impl Beside {
    fn is_empty(&self) -> bool {
        let Self { first, tail, unread, held } = self;
        [first, tail, unread, held].iter().all(|bytes| bytes.is_empty())
    }
}

/// The most bytes of one read.
const READ_BYTES: usize = 4096;

/// Time for which a client may still send after its last answer.
const LINGER: Duration = Duration::from_secs(5);

/// The stream, and the part of the tail that was not sent with the head.
pub(super) type Parts = (Socket, Bytes);

impl ClientIo {
    pub(super) fn new(stream: Watched) -> Self {
        Self(Arc::new(Inner {
            stream,
            beside: Mutex::default(),
            flushed: AtomicBool::new(true),
            heads: Mutex::default(),
            ended: AtomicBool::new(false),
            many_headers: AtomicBool::new(false),
        }))
    }

    /// Reads a new stream once: nothing at its end and after an error, which show again when hyper
    /// reads it.
    pub(super) fn poll_first(&self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut chunk = [0; READ_BYTES];
        loop {
            if ready!(self.0.stream.poll_readable(cx)).is_err() {
                return Poll::Ready(Bytes::new());
            }
            match self.read_and_clear(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                read => {
                    let count = read.unwrap_or_default();
                    return Poll::Ready(Bytes::copy_from_slice(&chunk[..count]));
                }
            }
        }
    }

    /// Sets what has been read of the stream so far.
    pub(super) fn set_first(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.beside(|beside| beside.first = bytes);
        }
    }

    /// Moves what was read before hyper had the stream into `chunk`; returns the number of bytes.
    fn take_first(&self, chunk: &mut [u8]) -> usize {
        let mut beside = lock(&self.0.beside);
        let Some(there) = &mut *beside else { return 0 };
        let count = there.first.len().min(chunk.len());
        chunk[..count].copy_from_slice(&there.first.split_to(count));
        if there.is_empty() {
            *beside = None;
        }
        count
    }

    /// Sets the bytes to be read next, before the stream's own.
    pub(super) fn set_unread(&self, bytes: Bytes) {
        self.beside(|beside| beside.unread = bytes);
    }

    /// Whether there are bytes to be read before the stream's own.
    pub(super) fn has_unread(&self) -> bool {
        lock(&self.0.beside).as_ref().is_some_and(|beside| !beside.unread.is_empty())
    }

    fn beside<T>(&self, change: impl FnOnce(&mut Beside) -> T) -> T {
        change(lock(&self.0.beside).get_or_insert_default())
    }

    /// Moves bytes that are to be read before the stream's own into `buffer`; false when there are
    /// none.
    fn take_unread(&self, buffer: &mut ReadBufCursor<'_>) -> bool {
        let mut beside = lock(&self.0.beside);
        let Some(there) = &mut *beside else { return false };
        let count = there.unread.len().min(buffer.remaining());
        buffer.put_slice(&there.unread.split_to(count));
        if there.is_empty() {
            *beside = None;
        }
        count > 0
    }

    /// Joins the bytes that hyper has read and not used with those that it has not read of the
    /// bytes set before the stream.
    pub(super) fn rest_of_unread(&self, read: Bytes) -> Bytes {
        let mut beside = lock(&self.0.beside);
        let Some(there) = &mut *beside else { return read };
        let (unread, held) = (std::mem::take(&mut there.unread), std::mem::take(&mut there.held));
        if there.is_empty() {
            *beside = None;
        }
        if unread.is_empty() && held.is_empty() {
            return read;
        }
        [read, unread, held].concat().into()
    }

    /// Whether hyper has to begin anew before it gets more bytes to read.
    pub(super) fn holds(&self) -> bool {
        self.has_many_headers()
            && lock(&self.0.beside).as_ref().is_some_and(|beside| !beside.held.is_empty())
    }

    /// Whether hyper needs room for more headers than it has by default.
    pub(super) fn has_many_headers(&self) -> bool {
        self.0.many_headers.load(Ordering::Relaxed)
    }

    /// Sets the bytes of one read as those to be read next: escaped so that hyper can parse them,
    /// and only as many headers as it has room for. Holds the rest back.
    fn set_unread_as_parsed(&self, chunk: &[u8], seen: &Seen) {
        let many = seen.many.filter(|_| !self.has_many_headers());
        let escaped = heads::escape(chunk, &seen.raw, many.unwrap_or(chunk.len()));
        self.set_unread(escaped.before.into());
        if many.is_some() {
            self.beside(|beside| beside.held = escaped.after.into());
            self.0.many_headers.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the kernel has accepted everything that was written.
    pub(super) fn is_flushed(&self) -> bool {
        self.0.flushed.load(Ordering::Relaxed)
    }

    /// The time at which the first byte of an incomplete head arrived.
    pub(super) fn head_begun(&self) -> Option<Instant> {
        lock(&self.0.heads).as_ref()?.begun()
    }

    /// Whether a line of a head ended in a bare line feed.
    pub(super) fn is_broken(&self) -> bool {
        lock(&self.0.heads).as_ref().is_some_and(|heads| heads.is_broken())
    }

    /// Notes that the request was answered and that the stream continues with HTTP.
    pub(super) fn handle_answered(&self) {
        if let Some(heads) = &mut *lock(&self.0.heads) {
            heads.handle_answered();
        }
    }

    /// Notes that the stream is not read for a while. False when a part of the next request has
    /// arrived.
    pub(super) fn rest(&self) -> bool {
        let mut heads = lock(&self.0.heads);
        drop(heads.take_if(|heads| heads.is_at_start()));
        heads.is_none()
    }

    /// Waits for bytes or for the end of the stream, which is 0; reads nothing.
    pub(super) fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.0.stream.poll_peek(cx)
    }

    /// Sets the first bytes of the protocol that follows: the next answer is the last one of HTTP.
    pub(super) fn set_tail(&self, bytes: Bytes) {
        self.beside(|beside| beside.tail = bytes);
    }

    /// Writes without hyper and without waiting; returns the number of bytes that the kernel
    /// accepted.
    pub(super) fn write_now(&self, bytes: &[u8]) -> usize {
        // A broken stream shows when it is read.
        self.0.stream.socket().write_slices(&[IoSlice::new(bytes)]).unwrap_or_default()
    }

    /// The stream itself, removed from this thread's reactor; `None` while another clone exists.
    pub(super) fn into_parts(self) -> Option<Parts> {
        let inner = Arc::into_inner(self.0)?;
        let beside = lock(&inner.beside).take();
        let tail = beside.map(|beside| beside.tail).unwrap_or_default();
        Some((inner.stream.into_socket(), tail))
    }

    /// Reads once. After a short read the stream is empty, so its readiness is cleared without a
    /// second call that would fail with `WouldBlock`.
    ///
    /// Only the readiness seen *before* the read is cleared: a tunnel's task runs on another thread
    /// than the reactor, which may note new bytes during this read. If the readiness were cleared
    /// afterwards, these bytes would wait until more arrive.
    fn read_and_clear(&self, chunk: &mut [u8]) -> io::Result<usize> {
        let mut short = 0;
        let read = self.0.stream.try_reading(|socket| {
            let count = socket.read(chunk)?;
            if 0 < count && count < chunk.len() && !socket.has_input() {
                short = count;
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        if short > 0 { Ok(short) } else { read }
    }

    fn write_with_tail(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut beside = lock(&self.0.beside);
        let tail = beside.as_mut().map(|beside| &mut beside.tail);
        let Some(tail) = tail.filter(|tail| !tail.is_empty()) else {
            return self.0.stream.try_write(slices);
        };
        let head_bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut all: Vec<IoSlice<'_>> = slices.to_vec();
        all.push(IoSlice::new(tail));
        let written = self.0.stream.try_write(&all)?;
        tail.advance(written.saturating_sub(head_bytes));
        Ok(written.min(head_bytes))
    }

    /// Makes the stream end with a reset, so that the kernel also drops its bytes.
    pub(super) fn reset_at_end(&self) {
        self.0.stream.socket().reset_at_end();
    }

    /// Lets the last answer arrive: half-closes the stream, then reads and discards for a while
    /// what the client still sends. Closing with unread bytes would reset the stream, and the
    /// answer would be lost.
    pub(super) async fn linger(&self) {
        if self.0.ended.load(Ordering::Relaxed) {
            return;
        }
        // A client that has gone cannot read the rest.
        if self.0.stream.socket().shutdown_write().is_err() {
            return;
        }
        let discarded = async {
            while self.0.stream.readable().await.is_ok() {
                // Inside the loop, so that the future does not hold the buffer while it waits: it
                // would add to each connection at rest.
                let mut rest = [0; 4096];
                match self.0.stream.try_read(&mut rest) {
                    Ok(0) => return,
                    Ok(_) => (),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                    Err(_) => return,
                }
            }
        };
        // A client that is still sending after this time is cut off.
        let _ = tokio::time::timeout(LINGER, discarded).await;
    }

    /// Writes an answer that does not come from hyper, before the stream closes. Errors are
    /// ignored.
    pub(super) fn write_last_words(&self, answer: &[u8]) {
        // Without the reactor, which may not know yet that there is room.
        let _ = self.0.stream.socket().write_slices(&[IoSlice::new(answer)]);
    }
}

/// Locks without contention: only its own thread uses a connection, but hyper's bounds do not
/// express that.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.take_unread(&mut buffer) {
            return Poll::Ready(Ok(()));
        }
        if self.holds() {
            // The connection's task checks for this after each call of hyper's `poll`.
            return Poll::Pending;
        }
        let mut chunk = [0; READ_BYTES];
        let room = buffer.remaining().min(chunk.len());
        let first = self.take_first(&mut chunk[..room]);
        loop {
            let read = if first > 0 {
                Ok(first)
            } else {
                ready!(self.0.stream.poll_readable(cx))?;
                self.read_and_clear(&mut chunk[..room])
            };
            match read {
                Ok(count) => {
                    if count == 0 && room > 0 {
                        self.0.ended.store(true, Ordering::Relaxed);
                    }
                    let seen = {
                        let mut heads = lock(&self.0.heads);
                        let heads = heads.get_or_insert_default();
                        heads.handle_bytes(&chunk[..count]).map(|()| heads.take_seen())
                    };
                    let seen = match seen {
                        Ok(seen) => seen,
                        Err(error) => {
                            // When a read fails, hyper ends the stream without an answer.
                            if self.is_flushed() {
                                self.write_last_words(BAD_REQUEST);
                            }
                            return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error)));
                        }
                    };
                    if seen == Seen::default() {
                        buffer.put_slice(&chunk[..count]);
                        return Poll::Ready(Ok(()));
                    }
                    self.set_unread_as_parsed(&chunk[..count], &seen);
                    // Nothing is taken when everything that arrived is held back.
                    let some = self.take_unread(&mut buffer);
                    return if some { Poll::Ready(Ok(())) } else { Poll::Pending };
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
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Set first: a stream that cannot be written to now still has bytes that wait for it.
        self.0.flushed.store(false, Ordering::Relaxed);
        loop {
            ready!(self.0.stream.poll_writable(cx))?;
            match self.write_with_tail(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper calls this when it has nothing left to write.
        while self.0.stream.socket().has_unsent() {
            ready!(self.0.stream.poll_writable(cx))?;
            self.0.stream.try_flush()?;
        }
        self.0.flushed.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.0.stream.socket().shutdown_write() {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncReadExt as _;
    use tokio::runtime::{Builder, Runtime};

    use super::ClientIo;
    use crate::watched::Watched;

    const ROUNDS: usize = 20_000;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn bytes_that_arrive_during_a_read_on_another_thread_than_the_reactor_are_not_missed() {
        let (reactor, reader) = (runtime(), runtime());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut writer = std::net::TcpStream::connect(address).expect("a connection");
        writer.set_nodelay(true).expect("no delay");
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nonblocking(true).expect("nonblocking");
        let stream = {
            let _entered = reactor.enter();
            Watched::new(stream.into()).expect("registered")
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let reacting = std::thread::spawn(move || reactor.block_on(stopped));
        let (turn, turns) = std::sync::mpsc::channel();
        let writing = std::thread::spawn(move || {
            for round in turns {
                writer.write_all(b"a").expect("written");
                // A different delay each time, so that some second byte arrives right after a read.
                for _ in 0..round % 512 {
                    std::hint::spin_loop();
                }
                writer.write_all(b"b").expect("written");
            }
        });
        let mut client = TokioIo::new(ClientIo::new(stream));
        reader.block_on(async {
            for round in 0..ROUNDS {
                turn.send(round).expect("the writer lives");
                let mut both = [0; 16];
                let mut count = 0;
                while count < 2 {
                    let read = client.read(&mut both[count..]);
                    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
                    count += read.expect("the second byte is noticed").expect("read");
                }
            }
        });
        drop((turn, stop));
        writing.join().expect("the writer ends");
        let _ = reacting.join().expect("the reactor ends");
    }
}
