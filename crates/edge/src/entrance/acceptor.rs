//! Accepts the streams of one port.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Streams;
use super::dealer::Dealer;
use super::greeter::Greeters;
use super::greeting::Greeting;
use super::listener::Port;
use crate::metrics::Cause;
use crate::peer::Peer;
use crate::unavailable::Unavailable;

/// The pause when even the spare descriptor is gone; meanwhile some session may end.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The state of one port's acceptor.
pub(super) struct Acceptor {
    port: Port,
    dealer: Dealer,
    /// For streams that owe something first; `None` where none does.
    greeters: Option<Greeters>,
    streams: Arc<Streams>,
    spare: Spare,
    warned_at: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(
        port: Port,
        dealer: Dealer,
        greeters: Option<Greeters>,
        streams: Arc<Streams>,
    ) -> Self {
        Self { port, dealer, greeters, streams, spare: Spare::take(), warned_at: None }
    }

    /// Runs until `stopping` is set and the listener is shut down.
    pub(super) fn run(mut self, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Acquire) {
            match self.port.accept() {
                Ok(_) if stopping.load(Ordering::Acquire) => return,
                Ok((stream, address)) => self.take(stream, address),
                Err(error) => self.cannot_accept(&error),
            }
        }
    }

    fn take(&mut self, stream: TcpStream, address: SocketAddr) {
        self.streams.metrics.streams_accepted.inc();
        // Without the spare, this stream took the last descriptor, unless one is available again.
        if !self.spare.is_there() && !self.spare.is_there_again() {
            refuse(&stream, "descriptors_exhausted", &self.streams);
            drop(stream);
            self.spare = Spare::take();
            return;
        }
        let Some(permit) = self.streams.permit() else {
            refuse(&stream, "streams_full", &self.streams);
            return;
        };
        let from = Peer::new(address, self.port.kind);
        match &mut self.greeters {
            None => self.dealer.deal(stream.into(), from, permit),
            Some(greeters) => greeters.greet(Greeting::new(&self.port, (stream, from), permit)),
        }
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
