//! The state of a stream with TLS: rustls' part, and the bytes that wait.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags, Shutdown};
use trunkline_tls::rustls::server::UnbufferedServerConnection;
use trunkline_tls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus,
};
use trunkline_tls::rustls::{self, HandshakeKind, ServerConfig};

use super::{HandshakeError, PEEK_BYTES};

/// The most bytes that are encrypted at once: four full records. It bounds what can wait for the
/// kernel after they have been accepted here.
const WRITE_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that one read takes from the kernel: a peer whose records carry next to nothing
/// must not keep it from returning.
pub(super) const READ_BUDGET_BYTES: usize = 128 * 1024;
/// The most bytes that may wait for the rest of a record, or of a message of the handshake, which
/// rustls wants to see from its first piece on. A record has 18 KiB at most, and no such message is
/// long: a client's first has 4 KiB at most in practice, and a chain of certificates 16 KiB.
const INCOMING_BYTES_MAX: usize = 32 * 1024;
/// The bytes that records add to what they carry, at most, in one read.
const OVERHEAD_BYTES: usize = 512;
/// The most bytes of a whole handshake, of which `INCOMING_BYTES_MAX` may wait at once: twice a
/// long first message with a long chain of certificates.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;
/// The bytes of a handshake as which a shorter read counts: each read costs, too.
const HANDSHAKE_READ_BYTES_MIN: usize = 32;
/// The room for records that carry no data: alerts, key updates.
const SMALL_RECORDS_BYTES: usize = 256;

/// One stream's state.
pub(super) struct State {
    connection: UnbufferedServerConnection,
    /// Received bytes that are not a whole record yet.
    incoming: Vec<u8>,
    /// Decrypted bytes that nobody has read.
    plain: Vec<u8>,
    /// Set when the last read may have left bytes in the kernel.
    unread: bool,
    /// Encrypted bytes that the kernel has not accepted.
    unsent: Vec<u8>,
    /// Bytes of the handshake so far.
    handshake_bytes: usize,
    /// Set when the handshake is over.
    open: bool,
    /// Set when the peer has ended its side.
    ended: bool,
    /// Set when this side has ended. The kernel is told once `unsent` is empty.
    ending: bool,
    /// Set when the stream is to be reset: nothing more is said.
    reset: bool,
    /// The rule that the peer broke. Boxed, because nearly no stream has one.
    failed: Option<Box<rustls::Error>>,
}

/// Memory that the streams of one thread use in turn.
#[derive(Default)]
struct Scratch {
    incoming: Vec<u8>,
    gathered: Vec<u8>,
    outgoing: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl State {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            incoming: Vec::new(),
            plain: Vec::new(),
            unread: false,
            unsent: Vec::new(),
            handshake_bytes: 0,
            open: false,
            ended: false,
            ending: false,
            reset: false,
            failed: None,
        })
    }

    pub(super) fn is_resumed(&self) -> Option<bool> {
        let kind = self.connection.handshake_kind()?;
        Some(kind == HandshakeKind::Resumed)
    }

    pub(super) fn has_input(&self) -> bool {
        !self.plain.is_empty() || self.unread || self.ended || self.failed.is_some()
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.unsent.len() + self.incoming.len() + self.plain.len()
    }

    pub(super) fn set_reset(&mut self) {
        self.reset = true;
    }

    /// Whether the peer has not been told of the end, and can be.
    pub(super) fn owes_an_end(&self) -> bool {
        self.open && !self.ending && !self.reset && self.failed.is_none()
    }

    pub(super) fn peek(&mut self, stream: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
        if self.plain.is_empty() {
            // As many bytes as fit into one read stay here until they are read.
            let mut plain = vec![0; PEEK_BYTES];
            let count = self.read(stream, &mut plain)?;
            plain.truncate(count);
            plain.append(&mut self.plain);
            self.plain = plain;
        }
        let count = self.plain.len().min(into.len());
        into[..count].copy_from_slice(&self.plain[..count]);
        Ok(count)
    }

    pub(super) fn shake_hands(&mut self, stream: &OwnedFd) -> Result<bool, HandshakeError> {
        loop {
            let flushed = self.flush(stream).map_err(HandshakeError::Io)?;
            if let Some(error) = &self.failed {
                return Err(HandshakeError::Tls((**error).clone()));
            }
            if self.open {
                return Ok(flushed);
            }
            if self.ended {
                return Err(HandshakeError::Left);
            }
            if self.handshake_bytes > HANDSHAKE_BYTES_MAX {
                return Err(HandshakeError::TooLong);
            }
            let mut plain = std::mem::take(&mut self.plain);
            let received =
                self.receive(stream, READ_BYTES_MIN, &mut |bytes| plain.extend_from_slice(bytes));
            self.plain = plain;
            match received {
                Ok(_) => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(HandshakeError::Io(error)),
            }
        }
    }

    pub(super) fn read(&mut self, stream: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
        let mut count = self.plain.len().min(into.len());
        into[..count].copy_from_slice(&self.plain[..count]);
        if count == self.plain.len() {
            self.plain = Vec::new();
        } else {
            self.plain.drain(..count);
        }
        self.unread = false;
        let mut budget = READ_BUDGET_BYTES;
        while count < into.len() && !self.ended && self.failed.is_none() {
            if budget == 0 && count > 0 {
                self.unread = true;
                break;
            }
            if budget == 0 {
                self.fail(rustls::Error::General("many records that carry nothing".into()));
                break;
            }
            let room = into.len() - count + OVERHEAD_BYTES;
            let wanted = room.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
            let mut beyond = Vec::new();
            let received = self.receive(stream, wanted, &mut |bytes| {
                let fitting = bytes.len().min(into.len() - count);
                into[count..count + fitting].copy_from_slice(&bytes[..fitting]);
                count += fitting;
                beyond.extend_from_slice(&bytes[fitting..]);
            });
            self.plain = beyond;
            match received {
                Ok(Drained(false)) => budget = budget.saturating_sub(wanted),
                Ok(Drained(true)) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                // The kernel tells of it once. The bytes before it come first.
                Err(_) if count > 0 => self.ended = true,
                Err(error) => return Err(error),
            }
        }
        // An alert, a ticket, or the answer to an update of keys. A broken stream shows by itself.
        let _ = self.flush(stream);
        match &self.failed {
            _ if count > 0 || into.is_empty() => Ok(count),
            Some(error) => Err(io::Error::new(ErrorKind::InvalidData, error.clone())),
            None if self.ended => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Reads once from the kernel and passes what can be decrypted to `sink`.
    fn receive(
        &mut self,
        stream: &OwnedFd,
        wanted: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Drained> {
        SCRATCH.with_borrow_mut(|scratch| {
            let scratch = &mut scratch.incoming;
            let kept = self.incoming.len();
            if scratch.len() < kept + wanted {
                scratch.resize(kept + wanted, 0);
            }
            scratch[..kept].copy_from_slice(&self.incoming);
            let (received, _) =
                rustix::net::recv(stream, &mut scratch[kept..kept + wanted], RecvFlags::empty())?;
            if received == 0 {
                self.ended = true;
                return Ok(Drained(true));
            }
            if !self.open {
                self.handshake_bytes += received.max(HANDSHAKE_READ_BYTES_MIN);
            }
            let all = kept + received;
            let used = self.process(&mut scratch[..all], sink);
            if !self.ended && all - used > INCOMING_BYTES_MAX {
                self.fail(rustls::Error::PeerSentOversizedRecord);
            }
            self.incoming.clear();
            if used < all {
                self.incoming.reserve_exact(all - used);
                self.incoming.extend_from_slice(&scratch[used..all]);
            } else {
                self.incoming = Vec::new();
            }
            Ok(Drained(received < wanted))
        })
    }

    /// Ends the stream because of what the peer sends, unless something else has ended it.
    fn fail(&mut self, error: rustls::Error) {
        self.failed.get_or_insert_with(|| Box::new(error));
    }

    /// Lets rustls do what it has to do without new input. It remembers places in what is kept, so
    /// it must see that each time.
    fn process_kept(&mut self) {
        let mut kept = std::mem::take(&mut self.incoming);
        let mut plain = std::mem::take(&mut self.plain);
        let used = self.process(&mut kept, &mut |bytes| plain.extend_from_slice(bytes));
        kept.drain(..used);
        self.plain = plain;
        self.incoming = kept;
    }

    /// Handles the whole records at the start of `input`. Returns the number of bytes that are not
    /// needed any longer.
    fn process(&mut self, input: &mut [u8], sink: &mut dyn FnMut(&[u8])) -> usize {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut input[used..]);
            let again = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        sink(record.payload);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.unsent, 0, |into| match data.encode(into) {
                        Ok(count) => Ok(count),
                        Err(EncodeError::InsufficientSize(more)) => Err(more.required_size),
                        Err(EncodeError::AlreadyEncoded) => Ok(0),
                    });
                    // A peer that broke a rule gets the alert, and is not heard further.
                    self.failed.is_none()
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    true
                }
                Ok(ConnectionState::Closed) => {
                    self.ended = true;
                    false
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.open = true;
                    false
                }
                // Early data is not offered, and new states would need a new version of rustls.
                Ok(_) => false,
                Err(error) => {
                    // Once more: the alert for the peer is next.
                    let first = self.failed.is_none();
                    self.failed.get_or_insert_with(|| Box::new(error));
                    first
                }
            };
            used += discard;
            if !again {
                return used;
            }
        }
    }

    pub(super) fn write<'a>(
        &mut self,
        stream: &OwnedFd,
        mut parts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> io::Result<usize> {
        if self.failed.is_some() || self.ending {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if !self.flush(stream)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { gathered, outgoing, .. } = scratch;
            let bytes = match (parts.next(), parts.clone().next()) {
                (Some(only), None) => &only[..only.len().min(WRITE_BYTES_MAX)],
                (None, _) => return Ok(0),
                (Some(first), Some(_)) => {
                    gathered.clear();
                    for part in std::iter::once(first).chain(parts) {
                        let fitting = part.len().min(WRITE_BYTES_MAX - gathered.len());
                        gathered.extend_from_slice(&part[..fitting]);
                    }
                    &gathered[..]
                }
            };
            // What is encrypted goes into memory of the thread, and only what must wait is copied.
            self.unsent = std::mem::take(outgoing);
            let encrypted = self.encrypt(bytes);
            let flushed = self.send(stream);
            *outgoing = std::mem::take(&mut self.unsent);
            if !outgoing.is_empty() {
                self.unsent = outgoing.as_slice().to_vec();
                outgoing.clear();
            }
            encrypted?;
            flushed?;
            Ok(bytes.len())
        })
    }

    /// Puts the records of these bytes after those in `unsent`.
    fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Records that rustls has to send itself come first.
        self.process_kept();
        let status = self.connection.process_tls_records(&mut self.incoming);
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let guess = bytes.len() + bytes.len() / 128 + SMALL_RECORDS_BYTES;
        let mut exhausted = false;
        append(&mut self.unsent, guess, |into| match traffic.encrypt(bytes, into) {
            Ok(count) => Ok(count),
            Err(EncryptError::InsufficientSize(more)) => Err(more.required_size),
            Err(EncryptError::EncryptExhausted) => {
                exhausted = true;
                Ok(0)
            }
        });
        if exhausted { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Offers what waits to the kernel. True when nothing is left.
    pub(super) fn flush(&mut self, stream: &OwnedFd) -> io::Result<bool> {
        if self.unsent.is_empty() {
            return Ok(true);
        }
        self.send(stream)?;
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
            if self.ending {
                // The peer may have gone already.
                let _ = rustix::net::shutdown(stream, Shutdown::Write);
            }
        }
        Ok(self.unsent.is_empty())
    }

    fn send(&mut self, stream: &OwnedFd) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.unsent.len() {
                break Ok(());
            }
            match rustix::net::send(stream, &self.unsent[sent..], SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::INTR) => (),
                Err(error) => {
                    let error = io::Error::from(error);
                    break if error.kind() == ErrorKind::WouldBlock { Ok(()) } else { Err(error) };
                }
            }
        };
        self.unsent.drain(..sent);
        result
    }

    pub(super) fn end(&mut self, stream: &OwnedFd) -> io::Result<()> {
        if std::mem::replace(&mut self.ending, true) || self.failed.is_some() {
            return Ok(());
        }
        self.process_kept();
        let status = self.connection.process_tls_records(&mut self.incoming);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            append(&mut self.unsent, SMALL_RECORDS_BYTES, |into| {
                match traffic.queue_close_notify(into) {
                    Ok(count) => Ok(count),
                    Err(EncryptError::InsufficientSize(more)) => Err(more.required_size),
                    Err(EncryptError::EncryptExhausted) => Ok(0),
                }
            });
        }
        if self.unsent.is_empty() {
            return Ok(rustix::net::shutdown(stream, Shutdown::Write)?);
        }
        self.flush(stream).map(drop)
    }
}

/// Whether the kernel had no more bytes than it gave: epoll reports the next ones.
struct Drained(bool);

/// Appends what `encode` writes; it says how much room it needs when there is too little.
fn append(
    into: &mut Vec<u8>,
    guess: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, usize>,
) {
    let before = into.len();
    into.resize(before + guess, 0);
    loop {
        match encode(&mut into[before..]) {
            Ok(count) => return into.truncate(before + count),
            Err(required) => into.resize(before + required, 0),
        }
    }
}
