//! One WebSocket's bytes: what was decoded in part, and what could not be written yet.
//!
//! A stream costs its descriptor, its decoder's few bytes, and nothing else while nothing waits in it.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes};
use trunkline_websocket::Decoder;

use super::command::AdoptedStream;
use crate::permits::StreamPermit;
use crate::socket::Socket;

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) socket: Socket,
    pub(crate) decoder: Decoder,
    /// Frames that the kernel did not take yet, the first perhaps in part. `None` while there are none.
    #[expect(
        clippy::box_collection,
        reason = "a pointer in each idle stream instead of four words"
    )]
    unsent: Option<Box<VecDeque<Bytes>>>,
    /// Messages may be compressed, see [`AdoptedStream`].
    pub(crate) deflate_window: Option<u8>,
    /// The answer to the client's latest ping; earlier ones that did not leave are forgotten.
    pong: Option<Box<Bytes>>,
    _permit: StreamPermit,
}

/// Every idle session has one of these.
#[cfg(all(not(any(test, feature = "fuzzing")), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Stream>() <= 48);

impl Stream {
    /// Takes over a stream that hyper is done with; returns the bytes that came early.
    pub(crate) fn adopt(adopted: AdoptedStream) -> (Self, Bytes) {
        let AdoptedStream { socket, unsent, leftover, permit, deflate_window } = adopted;
        let unsent = (!unsent.is_empty()).then(|| Box::new(VecDeque::from([unsent])));
        (
            Self {
                socket,
                decoder: Decoder::new(),
                unsent,
                pong: None,
                deflate_window,
                _permit: permit,
            },
            leftover,
        )
    }

    /// Everything was taken by the kernel.
    pub(crate) fn is_idle(&self) -> bool {
        self.unsent.is_none()
    }

    /// Bytes of frames that the kernel did not take, and of a message that has not come whole.
    pub(crate) fn held_bytes(&self) -> usize {
        let unsent =
            self.unsent.iter().flat_map(|frames| frames.iter()).map(Bytes::len).sum::<usize>();
        unsent + self.decoder.held_bytes()
    }

    /// Puts a frame behind what waits; it goes out with the next [`Self::write`].
    pub(crate) fn queue(&mut self, frame: Bytes) {
        self.unsent.get_or_insert_default().push_back(frame);
    }

    /// Answers pings, behind what waits. A stream that does not take what it has keeps only the latest answer: a
    /// client that pings and does not read cannot make the node hold more.
    pub(crate) fn queue_pongs(&mut self, mut frames: Vec<Bytes>) {
        if self.is_idle() && self.pong.is_none() {
            for frame in frames {
                self.queue(frame);
            }
        } else if let Some(latest) = frames.pop() {
            self.pong = Some(Box::new(latest));
        }
    }

    /// Writes what waits and then `frames`; keeps what the kernel does not take. Drains `frames`.
    pub(crate) fn write(&mut self, frames: &mut Vec<Bytes>) -> io::Result<()> {
        if let Some(unsent) = &mut self.unsent {
            unsent.extend(frames.drain(..));
            self.write_unsent()?;
            if self.unsent.is_some() {
                return Ok(());
            }
        }
        if let Some(pong) = self.pong.take() {
            frames.insert(0, *pong);
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
            self.unsent = Some(Box::new(frames.drain(first..).collect()));
        }
        frames.clear();
        Ok(())
    }

    /// A frame was written past this stream: keeps what the kernel did not take of it.
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

    fn write_unsent(&mut self) -> io::Result<()> {
        while let Some(unsent) = self.unsent.as_mut() {
            let head = unsent.make_contiguous();
            let written = match self.socket.write(head) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let done = advance(head, written);
            unsent.drain(..done);
            if unsent.is_empty() {
                self.unsent = None;
            }
        }
        Ok(())
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn shutdown_write(&self) {
        // One that has gone already need not be told.
        let _ = self.socket.shutdown_write();
    }
}

/// Takes `written` bytes off the front; returns how many frames are done with.
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
