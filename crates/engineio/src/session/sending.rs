//! What the app sends.

use alloc::rc::Rc;

use super::outbox::Item;
use super::transmit::Answer;
use super::{Session, State};
use crate::Timestamp;
use crate::outgoing::Outgoing;
use crate::packet::Control;
use crate::protocol::TransportKind;

/// What a message is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// Shares the fate of the volatile message before it, whose attachment it is.
    Attached,
    /// Queued until it can leave.
    Reliable,
    /// Dropped if anything of the session is unsent, or if nothing could be written now.
    Volatile {
        /// Whether the caller's stream has no unsent bytes. Over polling it does not matter: there
        /// a poll must be held.
        stream_idle: bool,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a dropped message is to be counted"]
pub enum Sent {
    /// It was volatile, or the session is closing or has ended.
    Dropped,
    /// It leaves with the next [`poll_transmit`](Session::poll_transmit) that can take it.
    Queued,
}

impl Session {
    /// Sends one message. How much may wait for a client is the caller's to bound: see
    /// [`outbox_bytes`](Session::outbox_bytes).
    pub fn send(&mut self, _now: Timestamp, message: &Rc<Outgoing>, delivery: Delivery) -> Sent {
        if !self.takes(delivery) {
            return Sent::Dropped;
        }
        self.outbox.push(Item::Packet(Rc::clone(message)));
        Sent::Queued
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

    /// npm's `transport.writable`, with nothing waiting for it.
    fn is_writable(&self, stream_idle: bool) -> bool {
        self.outbox.is_empty()
            && match self.transport {
                TransportKind::Polling => {
                    self.held.is_some() && self.outputs.answer == Answer::None
                }
                TransportKind::WebSocket => stream_idle,
            }
    }

    pub(super) fn push_ping(&mut self) {
        self.outbox.push(Item::Control(Control::Ping));
    }

    /// Revision 3. Once `outbox_bytes_max` waits, another pong right after one says nothing new: a client that pings
    /// without reading gets no more to wait for.
    pub(super) fn push_pong(&mut self) {
        let full = self.outbox.bytes() >= self.config.outbox_bytes_max;
        if !(full && self.outbox.ends_with_pong()) {
            self.outbox.push(Item::Control(Control::Pong));
        }
    }
}
