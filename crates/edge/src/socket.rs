//! The sockets that carry streams.
//!
//! All code that reads or writes a stream uses this type, so that another kind of socket is one
//! more variant, not another path. Calls do not block: when nothing can be done now, they fail with
//! `WouldBlock`.

mod tls;

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

pub(crate) use tls::{HandshakeError, Tls};

#[cfg(any(test, feature = "fuzzing"))]
use crate::shard::tests::wire::Wire;

/// The most frames that are gathered into one write.
const SLICES_MAX: usize = 64;

/// One non-blocking socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// A socket that takes bytes as they are: a stream of TCP or of any other family.
    Plain(OwnedFd),
    /// A stream of TCP with TLS on it.
    Tls(Box<Tls>),
    /// A stream without a kernel, for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    Wire(Wire),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Plain(stream.into())
    }
}

impl From<Tls> for Socket {
    fn from(stream: Tls) -> Self {
        Self::Tls(Box::new(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Plain(stream.into())
    }
}

/// The descriptor that is ready when the socket is; a stream without a kernel has none.
impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor().map_or(-1, AsRawFd::as_raw_fd)
    }
}

impl Socket {
    /// The descriptor that is ready when the socket is; a stream without a kernel has none.
    pub(crate) fn descriptor(&self) -> Option<&OwnedFd> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(tls) => Some(tls.stream()),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => None,
        }
    }

    /// The descriptor to which plain bytes may be written; `None` for a socket that changes them.
    pub(crate) fn plain(&self) -> Option<RawFd> {
        match self {
            Self::Plain(stream) => Some(stream.as_raw_fd()),
            Self::Tls(_) => None,
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => None,
        }
    }

    /// Whether a read may return something of which the kernel's events tell nothing: bytes that
    /// are decrypted and not read, an end that arrived in front of the stream's own, or bytes that
    /// the last read has left in the kernel. Those may turn out to be none.
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.has_input(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => false,
        }
    }

    /// Whether bytes that were written wait here for the kernel; [`Self::flush`] offers them again.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent_bytes() > 0
    }

    /// The number of these bytes, which is bounded.
    pub(crate) fn unsent_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(tls) => tls.unsent_bytes(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => 0,
        }
    }

    /// All bytes that are kept here, in both directions.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(tls) => tls.held_bytes(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => 0,
        }
    }

    /// Offers to the kernel what it has not accepted before. True when nothing is left.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => Ok(true),
        }
    }

    /// Reads the available bytes; 0 when the peer has ended its side. A read that fills less than
    /// `into` has left nothing, unless [`Self::has_input`].
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => {
                let (count, _) = rustix::net::recv(stream, into, RecvFlags::empty())?;
                Ok(count)
            }
            Self::Tls(tls) => tls.read(into),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(wire) => wire.read(into),
        }
    }

    /// Copies the available bytes and leaves them to be read again; 0 when the peer has ended its
    /// side.
    pub(crate) fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => {
                let (count, _) = rustix::net::recv(stream, into, RecvFlags::PEEK)?;
                Ok(count)
            }
            Self::Tls(tls) => tls.peek(into),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes as much of the frames as fits now; returns the number of bytes.
    pub(crate) fn write(&self, frames: &[Bytes]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => {
                if let [frame] = frames {
                    return Ok(rustix::net::send(stream, frame, SendFlags::NOSIGNAL)?);
                }
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = frames.len().min(SLICES_MAX);
                for (slice, frame) in slices.iter_mut().zip(frames) {
                    *slice = IoSlice::new(frame);
                }
                Ok(rustix::io::writev(stream, &slices[..count])?)
            }
            Self::Tls(tls) => tls.write(frames.iter().map(|frame| &**frame)),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(wire) => wire.write(frames),
        }
    }

    /// Writes as much of the slices as fits now; returns the number of bytes.
    pub(crate) fn write_slices(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => {
                if let [slice] = slices {
                    return Ok(rustix::net::send(stream, slice, SendFlags::NOSIGNAL)?);
                }
                Ok(rustix::io::writev(stream, slices)?)
            }
            Self::Tls(tls) => tls.write(slices.iter().map(|slice| &**slice)),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Tells the peer that no more bytes follow. Fails when the peer has gone already; callers may
    /// ignore that.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => Ok(rustix::net::shutdown(stream, Shutdown::Write)?),
            Self::Tls(tls) => tls.shutdown_write(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Wire(wire) => {
                wire.shutdown_write();
                Ok(())
            }
        }
    }

    /// Makes the stream end with a reset when it is dropped, so that the kernel also drops its
    /// bytes. Errors are ignored: the stream may be gone already.
    pub(crate) fn reset_at_end(&self) {
        if let Self::Tls(tls) = self {
            tls.set_reset();
        }
        if let Some(stream) = self.descriptor() {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}
