//! The bytes of one WebSocket: those that are only partly decoded, and those that could not be
//! written yet.
//!
//! While nothing waits in it, a stream costs only its descriptor and its decoder's few bytes.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes};
use trunkline_websocket::Decoder;

use super::command::AdoptedStream;
use crate::entrance::StreamPermit;
use crate::socket::Socket;

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) socket: Socket,
    pub(crate) decoder: Decoder,
    /// What the kernel did not accept yet. A pointer, and `None` while there is nothing, because
    /// each idle stream has one.
    waiting: Option<Box<Waiting>>,
    /// Set when messages may be compressed, see [`AdoptedStream`].
    pub(crate) deflate_window: Option<u8>,
    _permit: StreamPermit,
}

/// What waits in a stream.
#[derive(Debug, Default)]
struct Waiting {
    /// Frames; part of the first may be written.
    frames: VecDeque<Bytes>,
    /// The answer to the client's latest ping, after them; earlier ones that were not sent are
    /// dropped.
    pong: Option<Bytes>,
}

/// Every idle session has a stream, so its size is limited.
#[cfg(all(not(any(test, feature = "fuzzing")), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Stream>() <= 56);

impl Stream {
    /// Takes over a stream that hyper no longer needs; returns the bytes that came early.
    pub(crate) fn adopt(adopted: AdoptedStream) -> (Self, Bytes) {
        let AdoptedStream { socket, unsent, leftover, permit, deflate_window } = adopted;
        let waiting = (!unsent.is_empty())
            .then(|| Box::new(Waiting { frames: VecDeque::from([unsent]), pong: None }));
        (
            Self { socket, decoder: Decoder::new(), waiting, deflate_window, _permit: permit },
            leftover,
        )
    }

    /// Whether the kernel has accepted everything.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_none() && !self.socket.has_unsent()
    }

    /// Bytes of frames that the kernel did not accept, and of a message that is not complete.
    pub(crate) fn held_bytes(&self) -> usize {
        let waiting = self.waiting.iter().flat_map(|waiting| waiting.frames.iter());
        let unsent = waiting.map(Bytes::len).sum::<usize>();
        unsent + self.decoder.held_bytes() + self.socket.held_bytes()
    }

    /// Puts a frame after those that wait; the next [`Self::write`] sends it.
    pub(crate) fn queue(&mut self, frame: Bytes) {
        self.waiting.get_or_insert_default().frames.push_back(frame);
    }

    /// Answers pings, after the frames that wait. If the kernel accepts no more, only the latest
    /// answer is kept: a client that pings and does not read cannot make the node hold more.
    pub(crate) fn queue_pongs(&mut self, mut frames: Vec<Bytes>) {
        if self.is_idle() {
            for frame in frames {
                self.queue(frame);
            }
        } else if let Some(latest) = frames.pop() {
            self.waiting.get_or_insert_default().pong = Some(latest);
        }
    }

    /// Writes the waiting frames and then `frames`; keeps those that the kernel does not accept.
    /// Drains `frames`.
    pub(crate) fn write(&mut self, frames: &mut Vec<Bytes>) -> io::Result<()> {
        if let Some(waiting) = &mut self.waiting {
            waiting.frames.extend(frames.drain(..));
            self.write_waiting()?;
            if self.waiting.as_ref().is_some_and(|waiting| !waiting.frames.is_empty()) {
                return Ok(());
            }
            frames.extend(self.waiting.take().and_then(|waiting| waiting.pong));
        }
        if !self.socket.flush()? {
            self.keep(frames.drain(..));
            return Ok(());
        }
        let mut first = 0;
        while first < frames.len() {
            let written = match self.socket.write(&frames[first..]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            first += advance(&mut frames[first..], written);
        }
        if first < frames.len() {
            self.keep(frames.drain(first..));
        }
        frames.clear();
        Ok(())
    }

    /// Keeps the part of a frame that the kernel did not accept when it was written without
    /// [`Self::write`].
    pub(crate) fn keep_rest(
        &mut self,
        mut frame: Bytes,
        written: io::Result<usize>,
    ) -> io::Result<()> {
        let written = match written {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        frame.advance(written);
        if !frame.is_empty() {
            self.queue(frame);
        }
        Ok(())
    }

    /// Keeps frames for later; nothing waits now.
    fn keep(&mut self, frames: impl Iterator<Item = Bytes>) {
        let frames: VecDeque<_> = frames.collect();
        self.waiting = (!frames.is_empty()).then(|| Box::new(Waiting { frames, pong: None }));
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        let Some(waiting) = &mut self.waiting else { return Ok(()) };
        while !waiting.frames.is_empty() {
            let head = waiting.frames.make_contiguous();
            let written = match self.socket.write(head) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let done = advance(head, written);
            waiting.frames.drain(..done);
        }
        Ok(())
    }

    /// Tells the peer that no more bytes follow.
    pub(crate) fn shutdown_write(&self) {
        // A peer that has gone already does not need it.
        let _ = self.socket.shutdown_write();
    }
}

/// Removes `written` bytes from the front; returns how many frames are complete.
fn advance(frames: &mut [Bytes], mut written: usize) -> usize {
    for (index, frame) in frames.iter_mut().enumerate() {
        if written < frame.len() {
            frame.advance(written);
            return index;
        }
        written -= frame.len();
    }
    frames.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advance_stops_inside_a_frame() {
        let mut frames = [Bytes::from_static(b"abc"), Bytes::from_static(b"defg")];
        assert_eq!(advance(&mut frames, 4), 1);
        assert_eq!(frames[1], b"efg"[..]);
        assert_eq!(advance(&mut frames[1..], 3), 1);
    }
}
