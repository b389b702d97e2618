//! Messages from the app to the client.

use alloc::rc::Rc;

use super::outbox::Item;
use super::transmit::PollAnswer;
use super::{Session, State};
use crate::Timestamp;
use crate::burst::Burst;
use crate::outgoing::Outgoing;
use crate::packet::Control;
use crate::protocol::{Protocol, TransportKind};

/// How reliably a message must be delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// Dropped or queued together with the volatile message before it, whose attachment it is.
    Attached,
    /// Queued until it can be sent.
    Reliable,
    /// Dropped if any packet of the session is unsent, or if nothing could be written now.
    Volatile {
        /// Whether the caller's stream has no unsent bytes. Over polling this is ignored: there a
        /// poll must be held.
        stream_idle: bool,
    },
}

/// The result of sending a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a dropped message is to be counted"]
pub enum Sent {
    /// The message was volatile, or the session is closing or has ended.
    Dropped,
    /// The message leaves with the next [`poll_transmit`](Session::poll_transmit) that can take it.
    Queued,
}

impl Session {
    /// Sends one message. The caller must bound how much may wait for a client: see
    /// [`outbox_bytes`](Session::outbox_bytes).
    pub fn send(&mut self, _now: Timestamp, message: &Rc<Outgoing>, delivery: Delivery) -> Sent {
        if !self.takes(delivery) {
            return Sent::Dropped;
        }
        self.outbox.push(Item::Packet(Rc::clone(message)));
        Sent::Queued
    }

    /// Sends several messages, reliably, as [`send`](Self::send) does for each. Over a WebSocket with
    /// plain frames they leave as one piece.
    pub fn send_burst(&mut self, _now: Timestamp, burst: &Rc<Burst>) -> Sent {
        if !self.takes(Delivery::Reliable) {
            return Sent::Dropped;
        }
        if self.takes_bursts() {
            self.outbox.push_burst(burst);
        } else {
            for item in burst.items() {
                self.outbox.push(item.clone());
            }
        }
        Sent::Queued
    }

    /// Whether a WebSocket of this session takes the frames that most sessions share. A poll's
    /// answer is made of single packets in any case.
    fn takes_bursts(&self) -> bool {
        self.protocol == Protocol::V4 && !self.base64_only && self.deflate.is_none()
    }

    /// Keeps no burst in the outbox once the session needs other frames.
    pub(super) fn spread_bursts(&mut self) {
        if !self.takes_bursts() {
            self.outbox.spread();
        }
    }

    fn takes(&mut self, delivery: Delivery) -> bool {
        let open = matches!(self.state, State::Open);
        match delivery {
            Delivery::Attached => open && self.volatile_queued,
            Delivery::Reliable => open,
            Delivery::Volatile { stream_idle } => {
                self.volatile_queued = open && self.is_writable(stream_idle);
                self.volatile_queued
            }
        }
    }

    /// npm's `transport.writable`, when also no packet waits.
    fn is_writable(&self, stream_idle: bool) -> bool {
        self.outbox.is_empty()
            && match self.transport {
                TransportKind::Polling => {
                    self.held.is_some() && self.outputs.answer == PollAnswer::None
                }
                TransportKind::WebSocket => stream_idle,
            }
    }

    pub(super) fn push_ping(&mut self) {
        self.outbox.push(Item::Control(Control::Ping));
    }

    /// Revision 3: queues a pong. Once `outbox_bytes_max` bytes wait, a second pong in a row is not
    /// queued: otherwise a client that pings without reading would fill its outbox.
    pub(super) fn push_pong(&mut self) {
        let full = self.outbox.bytes() >= self.config.outbox_bytes_max;
        if !(full && self.outbox.ends_with_pong()) {
            self.outbox.push(Item::Control(Control::Pong));
        }
    }
}
