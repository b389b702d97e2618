//! Accepts clients' streams and gives them to the shards, round-robin.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self as sys, AddressFamily, SocketFlags, SocketType};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::metrics::{Cause, Metrics};
use crate::peer::{Peer, PortKind};
use crate::permits::{StreamPermit, Streams};
use crate::shard::{Arrival, Command};
use crate::socket::Socket;
use crate::unavailable::Unavailable;

/// Streams that the kernel holds until the acceptor accepts them.
const BACKLOG: i32 = 16_384;

/// The pause when even the spare descriptor is gone; meanwhile some session may end.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Opens a listener on the public port.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = sys::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Lets a restart bind the port although the kernel still remembers connections of the last
    // process.
    sys::sockopt::set_socket_reuseaddr(&socket, true)?;
    // Accepted streams inherit this from the listener, which saves one call per stream.
    sys::sockopt::set_tcp_nodelay(&socket, true)?;
    sys::bind(&socket, &address)?;
    sys::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// The acceptor's state.
struct Acceptor<'a> {
    shards: &'a [Sender<Command>],
    turn: usize,
    streams: &'a Arc<Streams>,
    spare: Spare,
    warned_at: Option<Instant>,
}

/// Runs until `stopping` is set and the listener is shut down.
pub(crate) fn run(
    listener: &TcpListener,
    shards: &[Sender<Command>],
    streams: &Arc<Streams>,
    stopping: &AtomicBool,
) {
    let mut acceptor = Acceptor { shards, turn: 0, streams, spare: Spare::take(), warned_at: None };
    while !stopping.load(Ordering::Acquire) {
        match accept(listener) {
            Ok(_) if stopping.load(Ordering::Acquire) => return,
            Ok((stream, address)) => acceptor.take(stream, address),
            Err(error) => acceptor.cannot_accept(&error),
        }
    }
}

/// Accepts a stream, which is non-blocking and has the listener's `TCP_NODELAY`.
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (stream, address) = sys::acceptfrom_with(listener, flags)?;
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    Ok((TcpStream::from(stream), address.ok_or(Errno::CONNABORTED)?))
}

impl Acceptor<'_> {
    fn take(&mut self, stream: TcpStream, address: SocketAddr) {
        let metrics = &self.streams.metrics;
        metrics.streams_accepted.inc();
        // Without the spare, this stream took the last descriptor, unless one is available again.
        if !self.spare.is_there() && !self.spare.is_there_again() {
            refuse(&stream, "descriptors_exhausted", self.streams);
            drop(stream);
            self.spare = Spare::take();
            return;
        }
        let Some(permit) = self.streams.permit() else {
            refuse(&stream, "streams_full", self.streams);
            return;
        };
        let from = Peer::new(address, PortKind::Public);
        deal(&self.shards[self.turn], stream.into(), from, permit, metrics);
        self.turn = (self.turn + 1) % self.shards.len();
    }

    fn cannot_accept(&mut self, error: &io::Error) {
        // ECONNABORTED and similar errors concern one stream only; a lack of descriptors or memory
        // concerns all.
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        let errno = error.raw_os_error().unwrap_or(0);
        if exhausted.iter().all(|known| known.raw_os_error() != errno) {
            return;
        }
        if self.warned_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.warned_at = Some(Instant::now());
            tracing::warn!(%error, "cannot accept: raise the limit of open files (nofile)");
        }
        // The next stream gets the spare descriptor, so that it is refused with an answer instead
        // of left waiting.
        if !self.spare.give() {
            thread::sleep(EXHAUSTED_PAUSE);
            self.spare = Spare::take();
        }
    }
}

/// A descriptor that is kept for the time when there are no others.
struct Spare(Option<File>);

impl Spare {
    fn take() -> Self {
        Self(File::open("/dev/null").ok())
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }

    fn is_there_again(&mut self) -> bool {
        *self = Self::take();
        self.is_there()
    }

    /// Closes the spare, so that its descriptor can be used; false when there was none.
    fn give(&mut self) -> bool {
        self.0.take().is_some()
    }
}

fn deal(
    shard: &Sender<Command>,
    socket: Socket,
    from: Peer,
    permit: StreamPermit,
    metrics: &Metrics,
) {
    match shard.try_send(Command::Arrived(Arrival::Client { socket, from, permit })) {
        Ok(()) | Err(TrySendError::Closed(_)) => (),
        // The shard is behind: wait here, so that the kernel's backlog holds the other streams.
        Err(TrySendError::Full(command)) => {
            let _ = shard.blocking_send(command);
            metrics.acceptor_stalls.inc();
        }
    }
}

/// Refuses a stream that no shard can serve, whatever it asks for.
fn refuse(mut stream: &TcpStream, cause: &'static str, streams: &Streams) {
    streams.metrics.streams_refused.get_or_create(&Cause { cause }).inc();
    let why = Unavailable::StreamsFull;
    if let Some(times) = streams.refused.note(cause, Instant::now()) {
        tracing::warn!(cause, times, "streams refused with 503: {why}");
    }
    let body = serde_json::json!({ "error": why.slug(), "message": why.to_string() }).to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: {}\r\nconnection: close\r\n\r\n{body}",
        body.len(),
        why.retry_after_s(),
    );
    // Errors are ignored: the send buffer of a new stream has room for the answer, and the peer
    // reads it or does not. What the peer has already sent is read, because closing with unread
    // bytes would reset the stream, and the answer would be lost.
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 4096]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_streams_send_at_once_as_the_listener_does() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let _client = TcpStream::connect(address).expect("it listens");
        let (accepted, _) = listener.accept().expect("somebody waits");
        assert!(accepted.nodelay().expect("open"));
    }
}
