//! Accepts clients' streams and deals them out to the shards in turn.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::metrics::{Cause, Metrics};
use crate::shard::Command;

/// How long to wait when the system has no descriptor left; some session may end meanwhile.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
const LOG_INTERVAL: Duration = Duration::from_secs(10);
const FULL: &str =
    r#"{"error":"streams_full","message":"this node holds as many connections as it may"}"#;

/// One of the streams that the node may hold; given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamPermit(Arc<Streams>);

#[derive(Debug)]
pub(crate) struct Streams {
    open: AtomicUsize,
    max: usize,
    metrics: Metrics,
}

impl Streams {
    pub(crate) fn new(max: usize, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), max, metrics })
    }

    fn permit(self: &Arc<Self>) -> Option<StreamPermit> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.metrics.streams.inc();
        Some(StreamPermit(Arc::clone(self)))
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.streams.dec();
    }
}

/// Runs until `stopping` is set and the listener is shut down.
pub(crate) fn run(
    listener: &TcpListener,
    shards: &[Sender<Command>],
    streams: &Arc<Streams>,
    stopping: &AtomicBool,
) {
    let metrics = &streams.metrics;
    let mut turn = 0;
    let mut warned_at = None;
    while !stopping.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((stream, address)) => {
                if stopping.load(Ordering::Acquire) {
                    return;
                }
                metrics.streams_accepted.inc();
                let Some(permit) = streams.permit() else {
                    refuse(&stream, metrics);
                    continue;
                };
                deal(&shards[turn], stream, address, permit, metrics);
                turn = (turn + 1) % shards.len();
            }
            Err(error) => pause_after(&error, metrics, &mut warned_at),
        }
    }
}

fn deal(
    shard: &Sender<Command>,
    stream: TcpStream,
    address: SocketAddr,
    permit: StreamPermit,
    metrics: &Metrics,
) {
    if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
        return; // It ended between accept and here.
    }
    match shard.try_send(Command::Accepted { stream, address, permit }) {
        Ok(()) | Err(TrySendError::Closed(_)) => (),
        // The shard is behind: wait here, so that the kernel's backlog holds the others.
        Err(TrySendError::Full(command)) => {
            let _ = shard.blocking_send(command);
            metrics.acceptor_stalls.inc();
        }
    }
}

fn refuse(mut stream: &TcpStream, metrics: &Metrics) {
    metrics.streams_refused.get_or_create(&Cause { cause: "streams_full" }).inc();
    // Best effort: a fresh stream's send buffer takes this much, and the peer reads it or not.
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n{FULL}",
        FULL.len()
    );
    let _ = stream.set_nonblocking(true).and_then(|()| stream.write_all(answer.as_bytes()));
}

fn pause_after(error: &io::Error, metrics: &Metrics, warned_at: &mut Option<Instant>) {
    // ECONNABORTED and the like concern one stream only; out of descriptors or memory concerns all.
    let errno = error.raw_os_error().unwrap_or(0);
    let exhausted = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    if exhausted.iter().any(|known| known.raw_os_error() == errno) {
        metrics.streams_refused.get_or_create(&Cause { cause: "descriptors_exhausted" }).inc();
        if warned_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *warned_at = Some(Instant::now());
            tracing::warn!(%error, "cannot accept: raise the limit of open files (nofile)");
        }
        thread::sleep(EXHAUSTED_PAUSE);
    }
}
