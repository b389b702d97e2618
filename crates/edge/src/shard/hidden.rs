//! Input of which epoll does not tell: bytes that are decrypted and not read, and ends that arrive as
//! messages. Only streams with TLS have it, see [`Socket::has_input`](crate::socket::Socket).

use super::Shard;
use super::slot::{Carrier, State};

impl Shard {
    /// Whether the session's stream has input of which epoll does not tell.
    pub(super) fn has_input(&mut self, index: u32) -> bool {
        let live = self.slots.live(index);
        live.is_some_and(|live| match &live.carrier {
            Carrier::Stream(stream) => stream.socket.has_input(),
            Carrier::Promised | Carrier::Polling(_) | Carrier::Gone => false,
        })
    }

    /// Lets a stream that has just arrived be read if it has input of which epoll does not tell.
    pub(super) fn read_what_is_hidden(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let probe = match &slot.state {
            State::Live(live) => {
                live.probe.as_ref().is_some_and(|one| one.stream.socket.has_input())
            }
            State::Arriving(arriving) => arriving.stream.socket.has_input(),
            State::Opening(_) | State::Ended => false,
        };
        if probe || self.has_input(index) {
            self.read_later(index);
        }
    }
}
