//! What is on its way to an app server: whole WebSocket messages, written without another copy.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use trunkline_websocket::{Opcode, encode_header};

use crate::watched::Watched;

/// The most messages that are gathered into one write.
const MESSAGES_MAX: usize = 32;
/// The most places of the queue that are kept when it is empty.
const PLACES_MAX: usize = 256;

/// The messages that wait, in order.
#[derive(Debug, Default)]
pub(super) struct Out {
    messages: VecDeque<Message>,
    /// Bytes of the first message that are written.
    written: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Message {
    head: [u8; 14],
    head_bytes: u8,
    /// Whether the message is one of those that both ends count.
    counts: bool,
    rest: Bytes,
}

impl Message {
    fn len(&self) -> usize {
        usize::from(self.head_bytes) + self.rest.len()
    }

    fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes.into()]
    }
}

impl Out {
    /// Bytes that are not written.
    pub(super) const fn len(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues a batch. `counts`: it is one of those that both ends count.
    pub(super) fn batch(&mut self, batch: Bytes, counts: bool) {
        let mut head = [0; 14];
        let head_bytes = encode_header(Opcode::Binary, batch.len(), &mut head, None);
        let head_bytes = u8::try_from(head_bytes).unwrap_or(u8::MAX);
        self.push(Message { head, head_bytes, counts, rest: batch });
    }

    /// Queues a frame of the WebSocket's own.
    pub(super) fn frame(&mut self, frame: Bytes) {
        self.push(Message { head: [0; 14], head_bytes: 0, counts: false, rest: frame });
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    /// Forgets everything that waits.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The number of batches that count and of which nothing is written.
    pub(super) fn unwritten(&self) -> u64 {
        let started = usize::from(self.written > 0);
        let whole = self.messages.iter().skip(started).filter(|message| message.counts);
        u64::try_from(whole.count()).unwrap_or(u64::MAX)
    }

    /// Writes as much as the stream accepts in one call; returns the number of bytes.
    pub(super) fn write_to(&mut self, stream: &Watched) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); 2 * MESSAGES_MAX];
        let mut count = 0;
        let mut skip = self.written;
        for message in self.messages.iter().take(MESSAGES_MAX) {
            for part in [message.head(), &message.rest] {
                let from = skip.min(part.len());
                skip -= from;
                if from < part.len() {
                    slices[count] = IoSlice::new(&part[from..]);
                    count += 1;
                }
            }
        }
        let accepted = stream.try_write(&slices[..count])?;
        self.advance(accepted);
        Ok(accepted)
    }

    fn advance(&mut self, accepted: usize) {
        self.bytes -= accepted;
        self.written += accepted;
        while let Some(first) = self.messages.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            self.messages.pop_front();
        }
        if self.messages.is_empty() && self.messages.capacity() > PLACES_MAX {
            self.messages = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;

    use trunkline_websocket::encode;

    use super::*;

    fn ends() -> (Watched, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        ours.set_nonblocking(true).expect("a stream");
        theirs.set_nonblocking(true).expect("a stream");
        (Watched::new(ours.into()).expect("a reactor"), theirs)
    }

    async fn write_all(out: &mut Out, stream: &Watched, theirs: &mut UnixStream) -> Vec<u8> {
        let mut all = Vec::new();
        while !out.is_empty() {
            stream.writable().await.expect("open");
            match out.write_to(stream) {
                Ok(_) => (),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let _at_its_end = theirs.read_to_end(&mut all);
        }
        all
    }

    /// More messages than one write takes, of any size.
    fn batches() -> impl Iterator<Item = Bytes> {
        (0..100_usize).map(|at| Bytes::from(vec![at as u8; (at * 7919) % 70_000]))
    }

    #[tokio::test]
    async fn messages_leave_whole_and_in_order_however_much_fits() {
        let (stream, mut theirs) = ends();
        let mut out = Out::default();
        let mut expected = Vec::new();
        for batch in batches() {
            expected.extend_from_slice(&encode(Opcode::Binary, &batch, None));
            out.batch(batch, true);
        }
        out.frame(encode(Opcode::Pong, b"late", None));
        expected.extend_from_slice(&encode(Opcode::Pong, b"late", None));
        assert_eq!(out.len(), expected.len());
        assert_eq!(write_all(&mut out, &stream, &mut theirs).await, expected);
        assert_eq!((out.len(), out.unwritten()), (0, 0));
    }

    #[tokio::test]
    async fn what_is_written_in_part_is_not_unwritten_and_does_not_count_after_a_new_beginning() {
        let (stream, _theirs) = ends();
        let mut out = Out::default();
        let large = Bytes::from(vec![b'x'; 8 << 20]);
        out.batch(Bytes::from_static(b"welcome"), false);
        (0..3).for_each(|_| out.batch(large.clone(), true));
        assert_eq!(out.unwritten(), 3);
        stream.writable().await.expect("open");
        while out.write_to(&stream).is_ok() {}
        assert_eq!(out.unwritten(), 2, "the first is on its way");

        out.clear();
        let (stream, mut theirs) = ends();
        out.batch(Bytes::from_static(b"again"), true);
        let sent = write_all(&mut out, &stream, &mut theirs).await;
        assert_eq!(sent, encode(Opcode::Binary, b"again", None));
    }
}
