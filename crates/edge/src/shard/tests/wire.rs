//! A stream without a kernel, with the test as the client at its other end.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::shard::poller::{Readiness, Token};

/// Both ends of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<Mutex<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    /// Bytes that the client has written and the shard has not read.
    to_shard: VecDeque<u8>,
    /// Set when the client has ended its side.
    client_ended: bool,
    /// Set when the stream is broken: nothing can be read or written.
    broken: bool,
    /// Bytes that the shard has written and the client has not read.
    to_client: Vec<u8>,
    /// Bytes that fit before the client has to read; `None` is no limit.
    room: Option<usize>,
    /// Set when the shard has ended its side.
    shard_ended: bool,
    token: Option<Token>,
    /// The changes since the shard last took an event, as with an edge-triggered epoll.
    readable: bool,
    writable: bool,
}

impl Wire {
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The shard's side.

    pub(crate) fn watch(&self, token: Token) -> io::Result<()> {
        let mut ends = self.ends();
        if ends.token.replace(token).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        ends.readable |= !ends.to_shard.is_empty() || ends.client_ended;
        ends.writable = true;
        Ok(())
    }

    pub(crate) fn rewatch(&self, token: Token) -> io::Result<()> {
        let mut ends = self.ends();
        if ends.token.replace(token).is_none() {
            ends.token = None;
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(())
    }

    pub(crate) fn unwatch(&self) {
        self.ends().token = None;
    }

    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.ends();
        if ends.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if ends.to_shard.is_empty() {
            return if ends.client_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = into.len().min(ends.to_shard.len());
        for (place, byte) in into.iter_mut().zip(ends.to_shard.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    pub(crate) fn write(&self, frames: &[Bytes]) -> io::Result<usize> {
        let mut ends = self.ends();
        if ends.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for frame in frames {
            let fits = ends.room.unwrap_or(usize::MAX).min(frame.len());
            ends.to_client.extend_from_slice(&frame[..fits]);
            ends.room = ends.room.map(|room| room - fits);
            written += fits;
            if fits < frame.len() {
                break;
            }
        }
        if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    pub(crate) fn shutdown_write(&self) {
        self.ends().shard_ended = true;
    }

    // The client's side.

    pub(super) fn has_event(&self) -> bool {
        let ends = self.ends();
        ends.token.is_some() && (ends.readable || ends.writable)
    }

    /// The event that an epoll instance would report now.
    pub(super) fn take_event(&self) -> Option<Readiness> {
        let mut ends = self.ends();
        let token = ends.token?;
        if !ends.readable && !ends.writable {
            return None;
        }
        let readable = std::mem::take(&mut ends.readable);
        let writable = std::mem::take(&mut ends.writable);
        let ended = ends.client_ended || ends.broken;
        Some(Readiness { token, readable, writable, ended })
    }

    pub(super) fn client_writes(&self, bytes: &[u8]) {
        let mut ends = self.ends();
        ends.to_shard.extend(bytes);
        ends.readable = true;
    }

    pub(super) fn client_reads(&self) -> Vec<u8> {
        std::mem::take(&mut self.ends().to_client)
    }

    /// The number of bytes that the client could read now.
    pub(super) fn peeks(&self) -> usize {
        self.ends().to_client.len()
    }

    /// Sets how many more bytes fit; `None`: all that come.
    pub(super) fn set_room(&self, room: Option<usize>) {
        let mut ends = self.ends();
        ends.writable |= room != Some(0);
        ends.room = room;
    }

    pub(super) fn client_ends(&self) {
        let mut ends = self.ends();
        ends.client_ended = true;
        ends.readable = true;
    }

    pub(super) fn breaks(&self) {
        let mut ends = self.ends();
        ends.broken = true;
        ends.readable = true;
        ends.writable = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ends().shard_ended
    }

    /// The number of bytes that the shard has not read.
    pub(super) fn unread_bytes(&self) -> usize {
        self.ends().to_shard.len()
    }

    /// Whether the test and the shard no longer use the stream; only the world's list of streams
    /// has it.
    pub(super) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether the shard has closed its end; only the test and the world's list of streams have it.
    pub(super) fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) <= 2
    }
}
