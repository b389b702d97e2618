//! The packets that a session has not sent yet.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::{mem, slice};

use bytes::Bytes;

use crate::burst::Burst;
use crate::deflate::AgreedDeflate;
use crate::outgoing::Outgoing;
use crate::packet::Control;
use crate::protocol::Protocol;

/// Bytes counted for each waiting packet in addition to its content, so that a flood of empty
/// messages fills an outbox too.
pub(crate) const ITEM_OVERHEAD_BYTES: usize = 16;

/// One waiting packet.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Control(Control),
    Packet(Rc<Outgoing>),
}

impl Item {
    pub(crate) fn cost_bytes(&self) -> usize {
        let content_bytes = match self {
            Self::Control(_) => 0,
            Self::Packet(outgoing) => outgoing.len(),
        };
        ITEM_OVERHEAD_BYTES + content_bytes
    }

    pub(crate) fn is_binary(&self) -> bool {
        match self {
            Self::Control(_) => false,
            Self::Packet(outgoing) => outgoing.is_binary(),
        }
    }

    /// Whether a poll answer with this packet may be compressed. npm lets its own pings and pongs
    /// be compressed like messages, but not packets that only answer a poll.
    pub(crate) fn may_compress(&self) -> bool {
        match self {
            Self::Control(Control::Ping | Control::Pong) => true,
            Self::Control(Control::Close | Control::Noop) => false,
            Self::Packet(outgoing) => outgoing.may_compress(),
        }
    }

    /// The packet as a WebSocket frame. Control packets are never compressed; npm would compress
    /// its pings if the app's threshold were low enough.
    pub(crate) fn websocket_frame(
        &self,
        protocol: Protocol,
        base64_only: bool,
        deflate: Option<&AgreedDeflate>,
    ) -> Bytes {
        let outgoing = match self {
            Self::Control(control) => return Bytes::from_static(control.websocket_frame()),
            Self::Packet(outgoing) => outgoing,
        };
        let frame = match (deflate, base64_only) {
            (Some(agreed), _) => outgoing.websocket_frame_deflated(protocol, base64_only, agreed),
            (None, true) => outgoing.websocket_frame_base64(protocol),
            (None, false) => outgoing.websocket_frame(protocol),
        };
        frame.clone()
    }
}

/// One place in an outbox.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Packets whose plain frames leave as one piece.
    Burst(Rc<Burst>),
    Item(Item),
}

impl Entry {
    fn cost_bytes(&self) -> usize {
        match self {
            Self::Burst(burst) => burst.cost_bytes(),
            Self::Item(item) => item.cost_bytes(),
        }
    }

    fn is_burst(&self) -> bool {
        matches!(self, Self::Burst(_))
    }

    fn items(&self) -> &[Item] {
        match self {
            Self::Burst(burst) => burst.items(),
            Self::Item(item) => slice::from_ref(item),
        }
    }
}

/// A queue that needs no memory of its own for zero or one packet: with a million sessions, few
/// have more.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: Items,
    bytes: usize,
}

/// The packets of an outbox.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "a deque is 32 bytes, which a million idle sessions would pay"
)]
pub(crate) enum Items {
    #[default]
    Empty,
    Many(Box<VecDeque<Entry>>),
    One(Entry),
}

impl Outbox {
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self.items, Items::Empty)
    }

    pub(crate) const fn has_one(&self) -> bool {
        matches!(self.items, Items::One(_))
    }

    /// The cost of the waiting packets, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the packet that was queued last is a pong.
    pub(crate) fn ends_with_pong(&self) -> bool {
        let last = match &self.items {
            Items::Empty => None,
            Items::Many(queue) => queue.back(),
            Items::One(entry) => Some(entry),
        };
        matches!(last, Some(Entry::Item(Item::Control(Control::Pong))))
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.push_entry(Entry::Item(item));
    }

    /// Queues a burst as one piece. It must not stay in the outbox of a session whose frames are
    /// not plain: see [`Self::spread`].
    pub(crate) fn push_burst(&mut self, burst: &Rc<Burst>) {
        self.push_entry(Entry::Burst(Rc::clone(burst)));
    }

    fn push_entry(&mut self, entry: Entry) {
        self.bytes += entry.cost_bytes();
        match &mut self.items {
            Items::Empty => self.items = Items::One(entry),
            Items::Many(queue) => queue.push_back(entry),
            one @ Items::One(_) => {
                if let Items::One(first) = mem::take(one) {
                    *one = Items::Many(Box::new(VecDeque::from([first, entry])));
                }
            }
        }
    }

    /// Makes single packets of all bursts.
    pub(crate) fn spread(&mut self) {
        let any = match &self.items {
            Items::Empty => false,
            Items::Many(queue) => queue.iter().any(Entry::is_burst),
            Items::One(entry) => entry.is_burst(),
        };
        let items = if any { self.take() } else { return };
        for item in items.iter() {
            self.push(item.clone());
        }
    }

    /// The message that is next, unless a control packet or a burst is.
    pub(crate) fn front_message(&self) -> Option<&Outgoing> {
        let first = match &self.items {
            Items::Empty => None,
            Items::Many(queue) => queue.front(),
            Items::One(entry) => Some(entry),
        };
        match first? {
            Entry::Item(Item::Packet(message)) => Some(message),
            Entry::Item(Item::Control(_)) | Entry::Burst(_) => None,
        }
    }

    /// The packets, in order.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = match &mut self.items {
            Items::Empty => return None,
            one @ Items::One(_) => match mem::take(one) {
                Items::One(entry) => entry,
                Items::Empty | Items::Many(_) => return None,
            },
            Items::Many(queue) => {
                let entry = queue.pop_front()?;
                if queue.is_empty() {
                    self.items = Items::Empty;
                }
                entry
            }
        };
        self.bytes -= entry.cost_bytes();
        Some(entry)
    }

    /// Takes all packets and leaves the outbox empty.
    pub(crate) fn take(&mut self) -> Items {
        self.bytes = 0;
        mem::take(&mut self.items)
    }
}

impl Items {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Item> + Clone {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::Many(queue) => (None, Some(queue.iter())),
            Self::One(entry) => (Some(entry), None),
        };
        one.into_iter().chain(many.into_iter().flatten()).flat_map(Entry::items)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn first_in_first_out_and_the_bytes_add_up() {
        let mut outbox = Outbox::default();
        let message =
            |len: usize| Item::Packet(Outgoing::new(true, Bytes::from(alloc::vec![0; len])));
        for round in 1..4 {
            for len in 0..round {
                outbox.push(message(len));
            }
            assert_eq!(outbox.bytes(), (0..round).map(|len| len + ITEM_OVERHEAD_BYTES).sum());
            let lens: Vec<_> = core::iter::from_fn(|| outbox.pop())
                .map(|entry| entry.cost_bytes() - ITEM_OVERHEAD_BYTES)
                .collect();
            assert_eq!(lens, (0..round).collect::<Vec<_>>());
            assert!(outbox.is_empty());
            assert_eq!(outbox.bytes(), 0);
        }
    }

    #[test]
    fn a_burst_is_one_place_and_spreads_into_its_packets() {
        let messages: Vec<_> =
            (1..4).map(|len| Outgoing::new(true, Bytes::from(alloc::vec![0; len]))).collect();
        let mut outbox = Outbox::default();
        outbox.push_burst(&Burst::new(&messages));
        assert!(outbox.has_one() && outbox.front_message().is_none());
        assert_eq!(outbox.bytes(), 6 + 3 * ITEM_OVERHEAD_BYTES);
        outbox.spread();
        assert_eq!(outbox.bytes(), 6 + 3 * ITEM_OVERHEAD_BYTES);
        assert_eq!(outbox.front_message().map(Outgoing::len), Some(1));
        let places = core::iter::from_fn(|| outbox.pop()).map(|entry| entry.cost_bytes());
        assert_eq!(places.collect::<Vec<_>>(), [17, 18, 19]);
    }
}
