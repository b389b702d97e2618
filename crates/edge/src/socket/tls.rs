//! A stream with TLS.
//!
//! rustls keeps the keys and the rules, and no buffers: an idle stream owns none. What is received
//! is decrypted in memory that the thread's streams share; what is sent is gathered, encrypted into
//! full records, and offered to the kernel at once. Only what has to wait is kept with the stream:
//! the beginning of a record, bytes that nobody has read yet, and records that the kernel did not
//! accept.
//!
//! Epoll reports that the *kernel* has bytes. Bytes that are decrypted and not read are its blind
//! spot, and so is an end that arrived as a message (`close_notify`): [`Tls::has_input`] tells of
//! them. A read that returns less than it was asked for has left neither behind, except an end; if
//! it has left bytes in the kernel, because they carry too little, `has_input` tells of that, too.

mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{RecvFlags, Shutdown};
use trunkline_tls::rustls::{self, ServerConfig};

use state::State;

/// The bytes that one peek reads, and that the last look at a failed handshake discards.
const PEEK_BYTES: usize = 4 * 1024;

/// A non-blocking socket with TLS on it.
pub(crate) struct Tls {
    stream: OwnedFd,
    /// Locked without contention: only one thread uses a stream at a time.
    state: Mutex<State>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The peer has gone.
    #[error("the client has gone in the middle of its handshake")]
    Left,
    #[error("the handshake is too long")]
    TooLong,
    #[error(transparent)]
    Io(io::Error),
    #[error(transparent)]
    Tls(rustls::Error),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.stream.as_raw_fd()).finish()
    }
}

impl AsRawFd for Tls {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Tls {
    /// A stream whose handshake has not begun.
    pub(crate) fn new(stream: OwnedFd, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self { stream, state: Mutex::new(State::new(config)?) })
    }

    pub(super) fn stream(&self) -> &OwnedFd {
        &self.stream
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the handshake as far as the stream allows now. True when it is over.
    pub(crate) fn shake_hands(&self) -> Result<bool, HandshakeError> {
        self.lock().shake_hands(&self.stream)
    }

    /// Ends a stream whose handshake failed, so that an alert that was sent arrives: closing with
    /// unread bytes would reset the stream.
    pub(crate) fn give_up(&self) {
        let _ = rustix::net::shutdown(&self.stream, Shutdown::Write);
        let _ = rustix::net::recv(&self.stream, &mut [0; PEEK_BYTES], RecvFlags::empty());
    }

    /// Whether the peer continued an earlier session; `None` before the handshake is over.
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        self.lock().is_resumed()
    }

    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.lock().read(&self.stream, into)
    }

    pub(super) fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        self.lock().peek(&self.stream, into)
    }

    /// Whether a read may return something of which epoll does not tell.
    pub(super) fn has_input(&self) -> bool {
        self.lock().has_input()
    }

    /// Encrypts as many bytes as may wait, and offers them to the kernel. Returns the number of
    /// bytes of `parts`; those that are counted are sent by later calls of [`Self::flush`], if the
    /// kernel did not accept them.
    pub(super) fn write<'a>(
        &self,
        parts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> io::Result<usize> {
        self.lock().write(&self.stream, parts)
    }

    /// Offers to the kernel what it has not accepted before. True when nothing is left.
    pub(super) fn flush(&self) -> io::Result<bool> {
        self.lock().flush(&self.stream)
    }

    /// Encrypted bytes that the kernel has not accepted.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.lock().unsent_bytes()
    }

    /// All bytes that are kept with the stream.
    pub(super) fn held_bytes(&self) -> usize {
        self.lock().held_bytes()
    }

    /// Tells the peer that no more bytes follow, after those that wait.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        self.lock().end(&self.stream)
    }

    /// Notes that the stream is about to be reset.
    pub(super) fn set_reset(&self) {
        self.lock().set_reset();
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Without this, the peer could not tell this end from one that a stranger has forged.
        if state.owes_an_end() {
            // What the kernel does not accept now is lost, as in any stream that is dropped.
            let _ = state.end(&self.stream);
        }
    }
}
