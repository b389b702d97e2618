//! An upgrade whose second stream is at another node.
//!
//! That node has a [`ForeignProbe`], which does for the stream what the session does for one of its
//! own. The session itself learns when the probe begins and ends, and when the stream takes over:
//! from then on it is a session over WebSocket whose stream accepts nothing, until it is exported.

use alloc::boxed::Box;
use core::time::Duration;

use super::transmit::{PollAnswer, Transmit};
use super::upgrade::{NOOP_INTERVAL, Probe};
use super::{Session, State};
use crate::Timestamp;
use crate::error::ProbeRefused;
use crate::packet::{PROBE_PONG_FRAME, Packet, PacketType};
use crate::protocol::{Body, Protocol, TransportKind};
use bytes::Bytes;

/// The second stream of a session that another node has.
#[derive(Clone, Copy, Debug)]
pub struct ForeignProbe {
    protocol: Protocol,
    give_up_at: Timestamp,
}

/// What a message on a [`ForeignProbe`]'s stream means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probed {
    /// The attempt is over: close the stream. The session goes on where it is.
    Failed,
    /// The client probes: write [`ForeignProbe::pong`], and let the session know.
    Ping,
    /// The client has changed to this stream. What follows on it belongs to the session.
    Upgrade,
}

impl ForeignProbe {
    /// A stream that has just been accepted, for a session whose app gives an upgrade this time.
    #[must_use]
    pub fn new(now: Timestamp, protocol: Protocol, upgrade_timeout: Duration) -> Self {
        Self { protocol, give_up_at: now + upgrade_timeout }
    }

    /// Handles a message over the stream.
    #[must_use]
    pub fn handle_message(&self, message: Body<'_>) -> Probed {
        match Packet::decode(self.protocol, message) {
            Ok(packet) if packet.is_probe() => Probed::Ping,
            Ok(packet) if packet.kind == PacketType::Upgrade => Probed::Upgrade,
            Ok(_) | Err(_) => Probed::Failed,
        }
    }

    /// The complete frame that answers [`Probed::Ping`].
    #[must_use]
    pub const fn pong() -> Bytes {
        Bytes::from_static(PROBE_PONG_FRAME)
    }

    /// The time at which the attempt is over, unless the client has changed by then.
    #[must_use]
    pub const fn deadline(&self) -> Timestamp {
        self.give_up_at
    }
}

impl Session {
    /// Notes that a second WebSocket of this session probes at another node: held polls get `noop`s
    /// from now on, so that the client can stop polling.
    ///
    /// # Errors
    ///
    /// The other node closes that stream; the session lives on.
    pub fn handle_foreign_probe(&mut self, now: Timestamp) -> Result<(), ProbeRefused> {
        if self.transport != TransportKind::Polling {
            return Err(ProbeRefused::AlreadyUpgraded);
        }
        self.handle_probe_opened(now)?;
        let give_up_at = now + self.config.upgrade_timeout;
        self.probe = Some(Box::new(Probe { give_up_at, noop_at: Some(now + NOOP_INTERVAL) }));
        Ok(())
    }

    /// Makes this a session over the WebSocket at the other node. Until it is exported, its stream
    /// accepts nothing: do not call [`poll_transmit`](Self::poll_transmit). The result is the answer
    /// to the held poll, which ends the polling transport. A session that the app has closed says
    /// goodbye over the WebSocket.
    pub fn handle_foreign_upgrade(&mut self, now: Timestamp) -> Option<Transmit> {
        match self.state {
            State::Closed => return None,
            State::Open => (),
            State::ClosingAtNextPoll { reason, .. } | State::ClosingWhenSent { reason } => {
                self.state = State::ClosingWhenSent { reason };
            }
        }
        self.probe = None;
        self.transport = TransportKind::WebSocket;
        self.upgraded = true;
        self.heartbeat.on_upgrade(now, &self.config);
        let poll = self.held?;
        self.outputs.answer = PollAnswer::Close;
        Some(self.respond(poll))
    }
}
