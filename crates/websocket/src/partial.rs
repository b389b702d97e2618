//! The state that a decoder keeps between two reads.

use alloc::vec::Vec;
use core::mem;

use crate::FRAME_HEADER_BYTES_MAX;
use crate::frame::{Data, Header, Kind};
use crate::mask;

/// A split header, a split frame, or a fragmented message, or several of these at once.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// Whether decoding has ended.
    pub(crate) ended: bool,
    /// The first bytes of a header that is not complete.
    pub(crate) head: Head,
    /// The frame whose payload is being received.
    pub(crate) frame: Option<Frame>,
    /// The kind of the data message under way.
    pub(crate) data: Option<Data>,
    /// Whether the data message under way is compressed.
    deflated: bool,
    /// The payload of the data message under way, unmasked.
    pub(crate) message: Vec<u8>,
    /// The payload of the control frame under way, which may lie between the fragments of
    /// `message`.
    control: Vec<u8>,
}

/// A frame whose header is known.
#[derive(Debug)]
pub(crate) struct Frame {
    kind: Kind,
    fin: bool,
    /// The mask, rotated for the next byte.
    mask: Option<[u8; 4]>,
    missing: u64,
}

/// A complete message or control frame.
#[derive(Debug)]
pub(crate) struct Message {
    /// Never a continuation.
    pub(crate) kind: Kind,
    pub(crate) deflated: bool,
    pub(crate) payload: Vec<u8>,
}

impl Partial {
    /// The state of a decoder that decodes nothing more.
    pub(crate) fn ended() -> Self {
        Self { ended: true, ..Self::default() }
    }

    /// A header is complete; its payload comes next.
    pub(crate) fn start_frame(&mut self, header: &Header) {
        self.head = Head::default();
        if let Kind::Start(data) = header.kind {
            self.data = Some(data);
            self.deflated = header.deflated;
        }
        self.frame = Some(Frame {
            kind: header.kind,
            fin: header.fin,
            mask: header.mask,
            missing: header.payload_len,
        });
    }

    /// Copies what `input` has of the frame's payload, and returns how many bytes that was.
    pub(crate) fn extend_payload(&mut self, input: &mut [u8]) -> usize {
        let Some(frame) = &mut self.frame else { return 0 };
        let taken = usize::try_from(frame.missing).unwrap_or(usize::MAX).min(input.len());
        let payload = &mut input[..taken];
        if let Some(key) = frame.mask {
            frame.mask = Some(mask::apply(payload, key));
        }
        let target = match frame.kind {
            Kind::Control(_) => &mut self.control,
            Kind::Continuation | Kind::Start(_) => &mut self.message,
        };
        reserve(target, taken, frame.missing);
        target.extend_from_slice(payload);
        frame.missing -= taken as u64;
        taken
    }

    /// When the frame is complete and completes a message, that message.
    pub(crate) fn finish_frame(&mut self) -> Option<Message> {
        let frame = self.frame.take_if(|frame| frame.missing == 0)?;
        if let Kind::Control(_) = frame.kind {
            let payload = mem::take(&mut self.control);
            return Some(Message { kind: frame.kind, deflated: false, payload });
        }
        if !frame.fin {
            return None;
        }
        let data = self.data.take()?;
        let payload = mem::take(&mut self.message);
        Some(Message { kind: Kind::Start(data), deflated: self.deflated, payload })
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// True when there is nothing worth keeping.
    pub(crate) fn is_empty(&self) -> bool {
        self.frame.is_none() && self.data.is_none() && !self.head.is_started()
    }
}

/// Makes room for `arrived` bytes: by doubling, so that copying stays linear, but never beyond the
/// `missing` bytes of the frame, which the message's limit bounds.
fn reserve(target: &mut Vec<u8>, arrived: usize, missing: u64) {
    if target.capacity() - target.len() < arrived {
        let doubled = u64::try_from(target.len().max(arrived)).unwrap_or(u64::MAX);
        let wanted = usize::try_from(doubled.min(missing)).unwrap_or(arrived);
        target.reserve_exact(wanted.max(arrived));
    }
}

/// The bytes of a header that is not complete.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: [u8; FRAME_HEADER_BYTES_MAX],
    len: u8,
}

impl Head {
    pub(crate) const fn is_started(&self) -> bool {
        self.len > 0
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// Stores as much of `input` as a header can need, and returns how many bytes that was.
    pub(crate) fn extend(&mut self, input: &[u8]) -> usize {
        let start = self.len();
        let taken = input.len().min(FRAME_HEADER_BYTES_MAX - start);
        self.bytes[start..start + taken].copy_from_slice(&input[..taken]);
        self.len += u8::try_from(taken).expect("at most the longest header");
        taken
    }
}
