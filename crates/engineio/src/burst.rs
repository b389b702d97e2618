//! Messages that go to many sessions together.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::OnceCell;

use bytes::Bytes;
use trunkline_websocket::FRAME_HEADER_BYTES_MAX;

use crate::outgoing::Outgoing;
use crate::session::Item;

/// Several messages, in order, shared by the outboxes of all sessions that they go to. Their frames
/// are put together once, so that each session writes one piece of memory instead of many.
#[derive(Debug)]
pub struct Burst {
    items: Box<[Item]>,
    cost_bytes: usize,
    frames: OnceCell<Bytes>,
}

impl Burst {
    /// The messages of one burst.
    #[must_use]
    pub fn new(messages: &[Rc<Outgoing>]) -> Rc<Self> {
        let items: Box<[_]> = messages.iter().cloned().map(Item::Packet).collect();
        let cost_bytes = items.iter().map(Item::cost_bytes).sum();
        Rc::new(Self { items, cost_bytes, frames: OnceCell::new() })
    }

    /// What an outbox counts for it: as much as for its messages one by one.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        self.cost_bytes
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The plain frames of revision 4, one after another.
    pub(crate) fn frames(&self) -> &Bytes {
        self.frames.get_or_init(|| {
            let overhead_bytes = (FRAME_HEADER_BYTES_MAX + 1) * self.items.len();
            let mut frames = Vec::with_capacity(self.cost_bytes + overhead_bytes);
            for item in &self.items {
                match item {
                    Item::Control(control) => frames.extend_from_slice(control.websocket_frame()),
                    Item::Packet(message) => message.append_frame(&mut frames),
                }
            }
            frames.shrink_to_fit();
            Bytes::from(frames)
        })
    }
}
