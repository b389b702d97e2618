//! permessage-deflate: the compressor that the sessions of one app share.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use bytes::Bytes;
use trunkline_websocket::Opcode;
use trunkline_websocket::deflate::{Deflater, Deflation, ServerSettings, WINDOW_BITS_MAX};

/// One app's compressor, shared by all of its sessions in a shard. It allocates its working memory,
/// about 300 kB, when the first message is compressed.
#[derive(Debug)]
pub struct Deflate {
    settings: ServerSettings,
    deflater: RefCell<Option<Deflater>>,
    budget: Option<Rc<Cell<usize>>>,
}

/// How much of a message the budget allows to compress now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Allowed {
    /// This many bytes of the message.
    Part(usize),
    /// The whole message at once.
    Whole,
}

/// Length from which a message is compressed piece by piece. A shorter message waits until the
/// budget covers all of it.
const LONG_BYTES: usize = 32 * 1024;

impl Deflate {
    /// A compressor with the app's `perMessageDeflate`.
    #[must_use]
    pub fn new(settings: ServerSettings) -> Rc<Self> {
        Rc::new(Self { settings, deflater: RefCell::new(None), budget: None })
    }

    /// A compressor like [`new`](Self::new)'s with a budget: the bytes that may still be
    /// compressed. When the budget is used up, messages wait
    /// ([`Transmit::Later`](crate::Transmit::Later)) until the owner fills it again.
    #[must_use]
    pub fn within(settings: ServerSettings, budget: Rc<Cell<usize>>) -> Rc<Self> {
        Rc::new(Self { settings, deflater: RefCell::new(None), budget: Some(budget) })
    }

    /// Takes budget for a message of which `missing` bytes are still to be compressed. `None`: the
    /// message has to wait.
    pub(crate) fn allow(&self, message_len: usize, missing: usize) -> Option<Allowed> {
        let Some(budget) = &self.budget else { return Some(Allowed::Whole) };
        let left = budget.get();
        if left == 0 {
            return None;
        }
        if message_len <= LONG_BYTES {
            // The last message may take more than is left.
            budget.set(left.saturating_sub(message_len));
            return Some(Allowed::Whole);
        }
        let part = missing.min(left).min(LONG_BYTES);
        budget.set(left - part);
        Some(Allowed::Part(part))
    }

    pub(crate) fn begin(&self) -> Deflation {
        Deflation::new(self.settings.deflater())
    }

    /// The settings that answer clients' offers of compression.
    #[must_use]
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// How far back the compressor's frames refer, as a power of two.
    pub(crate) fn window_bits(&self) -> u8 {
        self.settings.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX)
    }

    /// One compressed frame; `None` when compression does not make it shorter.
    pub(crate) fn frame(&self, opcode: Opcode, parts: &[&[u8]]) -> Option<Bytes> {
        let mut deflater = self.deflater.borrow_mut();
        deflater.get_or_insert_with(|| self.settings.deflater()).frame(opcode, parts)
    }
}

/// The compression that one WebSocket has agreed on.
#[derive(Clone, Debug)]
pub struct AgreedDeflate {
    /// The compressor of the session's app.
    pub deflate: Rc<Deflate>,
    /// How far back a frame may refer, as a power of two:
    /// [`Agreed::window_bits`](trunkline_websocket::deflate::Agreed).
    pub window_bits: u8,
}

impl AgreedDeflate {
    /// Whether the client can read a message of `message_len` bytes that was compressed with this
    /// window. A message refers to itself alone, so a short one fits every window.
    pub(crate) fn can_read(&self, window_bits: u8, message_len: usize) -> bool {
        window_bits <= self.window_bits || message_len <= 1 << self.window_bits
    }
}
