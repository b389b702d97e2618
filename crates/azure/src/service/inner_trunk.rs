//! The hub's inner trunk: an app server's end of a trunk, over a stream inside this process.

use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::UnixStream;
use trunkline_clock::Timestamp;
use trunkline_trunk::{AppEnd, AppHello, EndEvent, Frame, LinkConfig, LinkEvent, Str};
use trunkline_websocket::{Decoder, Incoming, Opcode, Role, encode, encode_close};

/// Bytes of clients' data that app servers have not answered; beyond it the node stops reading from
/// clients.
pub(super) const CREDIT_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes for clients that wait for the node's credit; beyond it nothing is read from tunnels and
/// callers.
const HELD_BYTES_MAX: u64 = 8 << 20;
const READ_BYTES: usize = 256 * 1024;
/// The peer is in this process, so frames need no real mask.
const MASK: Option<[u8; 4]> = Some([0; 4]);

/// An open inner trunk.
pub(super) struct InnerTrunk {
    stream: UnixStream,
    end: AppEnd,
    decoder: Decoder,
    origin: Instant,
    out: BytesMut,
    buffer: Vec<u8>,
}

/// An input for the machine from the inner trunk.
pub(super) enum Event {
    Up,
    Frame(Frame),
    /// The end of a batch.
    BatchEnd,
}

impl InnerTrunk {
    pub(super) fn new(
        stream: std::os::unix::net::UnixStream,
        server: String,
        origin: Instant,
    ) -> io::Result<Self> {
        let config =
            LinkConfig { credit_window_bytes: CREDIT_WINDOW_BYTES, ..LinkConfig::default() };
        let hello = AppHello {
            server: Str::from(server),
            sdk: Str::from(concat!("trunkline-azure/", env!("CARGO_PKG_VERSION"))),
            settings: Str::from_static("{}"),
        };
        let mut trunk = Self {
            stream: UnixStream::from_std(stream)?,
            end: AppEnd::new(timestamp(origin), config, hello),
            decoder: Decoder::new(),
            origin,
            out: BytesMut::new(),
            buffer: vec![0; READ_BYTES],
        };
        trunk.flush()?;
        Ok(trunk)
    }

    /// Whether too much data for clients waits for credit.
    pub(super) fn is_congested(&self) -> bool {
        self.end.held_bytes() > HELD_BYTES_MAX
    }

    /// Sends a frame, unless the session has ended meanwhile.
    pub(super) fn send(&mut self, frame: Frame) {
        if let Err(why) = self.end.send(frame) {
            tracing::debug!(%why, "a frame came too late");
        }
    }

    pub(super) fn processed(&mut self, bytes: u64) {
        self.end.link().processed(bytes);
    }

    /// Waits until there is something to read, or room to write, or a deadline passes.
    pub(super) async fn ready(&self) -> io::Result<()> {
        let deadline = self.end.poll_deadline().map(|at| self.instant(at));
        let far = || tokio::time::Instant::now() + Duration::from_secs(3600);
        tokio::select! {
            ready = self.stream.readable() => ready,
            ready = self.stream.writable(), if !self.out.is_empty() => ready,
            () = tokio::time::sleep_until(deadline.unwrap_or_else(far)), if deadline.is_some() => Ok(()),
        }
    }

    fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + at.since(Timestamp::ORIGIN))
    }

    /// Reads all that has arrived. An error, or a trunk that ended: nothing more will arrive.
    pub(super) fn read(&mut self) -> io::Result<Vec<Event>> {
        let now = timestamp(self.origin);
        if self.end.poll_deadline().is_some_and(|at| at <= now) {
            self.end.handle_timeout(now);
        }
        let mut events = Vec::new();
        match self.stream.try_read(&mut self.buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.hear(now, count, &mut events)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
        Ok(events)
    }

    fn hear(&mut self, now: Timestamp, count: usize, events: &mut Vec<Event>) -> io::Result<()> {
        let mut batches = Vec::new();
        let mut ended = false;
        let input = &mut self.buffer[..count];
        let decoded = self.decoder.decode(Role::Client, usize::MAX, input, &mut |incoming| {
            match incoming {
                Incoming::Binary(batch) => batches.push(Bytes::copy_from_slice(batch)),
                Incoming::Close { .. } => ended = true,
                Incoming::Ping(_) | Incoming::Pong(_) | Incoming::Text(_) => (),
            }
            ControlFlow::Continue(())
        });
        for batch in batches {
            let taken = self.end.handle_batch(now, batch);
            let up = self.end.link().is_up();
            while let Some(event) = self.end.poll_event() {
                match event {
                    EndEvent::Frame(frame) => events.push(Event::Frame(frame)),
                    EndEvent::Link(LinkEvent::Welcome(_)) if up => events.push(Event::Up),
                    EndEvent::Link(LinkEvent::Ended(cause)) => {
                        tracing::debug!(?cause, "a link ended");
                        ended = true;
                    }
                    EndEvent::Link(_) => (),
                }
            }
            events.push(Event::BatchEnd);
            taken.map_err(io::Error::other)?;
        }
        decoded.map_err(io::Error::other)?;
        if ended { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Writes as much as the stream accepts.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        // Again after each write: frames that came while the stream was blocked wake nobody a second time.
        loop {
            if self.out.is_empty() {
                self.take_frames();
            }
            if self.out.is_empty() {
                return Ok(());
            }
            match self.stream.try_write(&self.out) {
                Ok(count) => self.out.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// One batch is one turn, so everything in it reaches each client together.
    fn take_frames(&mut self) {
        let batch_bytes_max = self.end.link().batch_bytes_max() as usize;
        let mut batch = BytesMut::new();
        while let Some(frame) = self.end.poll_transmit() {
            let length = frame.encoded_length();
            if !batch.is_empty() && batch.len() + length > batch_bytes_max {
                self.append(&batch);
                batch.clear();
            }
            frame.encode(&mut batch);
        }
        if !batch.is_empty() {
            self.append(&batch);
        }
    }

    fn append(&mut self, batch: &[u8]) {
        self.out.extend_from_slice(&encode(Opcode::Binary, batch, MASK));
    }

    /// Sends a close frame, if there is room for it.
    pub(super) fn close(mut self) {
        // If the stream breaks meanwhile, the trunk has ended, too.
        let _ = self.flush();
        self.out.extend_from_slice(&encode_close(1000, "", MASK));
        let _ = self.stream.try_write(&self.out);
    }
}

/// Microseconds since the origin.
pub(super) fn timestamp(origin: Instant) -> Timestamp {
    Timestamp::from_micros(u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX))
}
