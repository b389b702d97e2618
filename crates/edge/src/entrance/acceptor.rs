//! Accepts the streams of one port.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
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
use super::refusing::{Speech, refuse_address, refuse_full};
use crate::gate::RulesReader;
use crate::metrics::Cause;
use crate::peer::{Peer, PortKind};

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
    rules: RulesReader,
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
        let rules = RulesReader::new(&streams.gate);
        Self { port, dealer, greeters, streams, rules, spare: Spare::take(), warned_at: None }
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
        let speech = Speech::of(self.port.tls.as_ref());
        // Without the spare, this stream took the last descriptor, unless one is available again.
        if !self.spare.is_there() && !self.spare.is_there_again() {
            refuse_full((&stream, speech), "descriptors_exhausted", &self.streams);
            drop(stream);
            self.spare = Spare::take();
            return;
        }
        let rules = self.rules.rules();
        let is_proxy = rules.trusts(address.ip());
        // The port for app servers has no strangers.
        let counted = if self.port.kind == PortKind::Public && !is_proxy {
            match self.streams.gate.admit_stream(rules, address.ip()) {
                Ok(counted) => counted,
                Err(why) => {
                    let cause = Cause { cause: why.slug() };
                    self.streams.metrics.streams_refused.get_or_create(&cause).inc();
                    refuse_address((&stream, speech), address.ip(), why, &self.streams);
                    return;
                }
            }
        } else {
            None
        };
        let Some(mut permit) = self.streams.permit() else {
            refuse_full((&stream, speech), "streams_full", &self.streams);
            return;
        };
        permit.note_counted(counted);
        let from = Peer::new(address, self.port.kind);
        let owes_proxy_header = self.port.proxy_header && is_proxy;
        match &mut self.greeters {
            Some(greeters) if owes_proxy_header || self.port.tls.is_some() => {
                let greeting = Greeting::new(&self.port, (stream, from), permit, owes_proxy_header);
                greeters.greet(greeting);
            }
            Some(_) | None => self.dealer.deal(stream.into(), from, permit),
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
