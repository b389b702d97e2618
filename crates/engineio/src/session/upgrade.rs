//! The upgrade from polling to WebSocket: a second stream proves that it works, then replaces
//! polling.

use alloc::boxed::Box;
use core::time::Duration;

use super::transmit::PollAnswer;
use super::{Session, State};
use crate::Timestamp;
use crate::error::ProbeRefused;
use crate::packet::{Packet, PacketType};
use crate::protocol::{Body, TransportKind};

/// The interval in which npm answers a held poll with `noop` during a probe, so that the client can
/// stop polling.
pub(super) const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// The second stream, before it becomes the session's.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) give_up_at: Timestamp,
    /// The next `noop` for a held poll; `Some` after the probe's ping.
    pub(super) noop_at: Option<Timestamp>,
}

impl Probe {
    pub(super) fn deadline(&self) -> Timestamp {
        self.noop_at.map_or(self.give_up_at, |noop_at| noop_at.min(self.give_up_at))
    }
}

impl Session {
    /// Handles a second WebSocket for this session. As in npm, it may also replace a WebSocket with
    /// which the session began.
    ///
    /// # Errors
    ///
    /// The caller closes that stream; the session lives on.
    pub fn handle_probe_opened(&mut self, now: Timestamp) -> Result<(), ProbeRefused> {
        if self.is_closed() {
            return Err(ProbeRefused::SessionClosed);
        }
        if self.probe.is_some() {
            return Err(ProbeRefused::AlreadyUpgrading);
        }
        if self.upgraded {
            return Err(ProbeRefused::AlreadyUpgraded);
        }
        let give_up_at = now + self.config.upgrade_timeout;
        self.probe = Some(Box::new(Probe { give_up_at, noop_at: None }));
        Ok(())
    }

    /// True while a second stream may become the session's.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// Handles a message over the probing stream. Anything but the probe's ping and the upgrade
    /// packet ends the attempt, not the session.
    ///
    /// True when this message completed the upgrade: later messages on that stream go to
    /// [`handle_message`](Self::handle_message).
    pub fn handle_probe_message(&mut self, now: Timestamp, message: Body<'_>) -> bool {
        let Some(probe) = &mut self.probe else { return false };
        match Packet::decode(self.protocol, message) {
            Ok(packet) if packet.is_probe() => {
                probe.noop_at = Some(now + NOOP_INTERVAL);
                self.outputs.probe_pongs = self.outputs.probe_pongs.saturating_add(1);
                false
            }
            Ok(packet) if packet.kind == PacketType::Upgrade => {
                self.upgrade(now);
                true
            }
            Ok(_) | Err(_) => {
                self.give_probe_up();
                false
            }
        }
    }

    /// Handles the end of the probing stream. The session stays on its transport.
    pub fn handle_probe_closed(&mut self, _now: Timestamp) {
        self.probe = None;
        self.outputs.probe_pongs = 0;
    }

    /// Makes the probing stream the session's. A poll that is still held is answered with `close`,
    /// which ends only the polling transport.
    fn upgrade(&mut self, now: Timestamp) {
        self.probe = None;
        if self.held.is_some() {
            self.outputs.answer = PollAnswer::Close;
        }
        self.transport = TransportKind::WebSocket;
        self.deflate = None;
        self.upgraded = true;
        self.upgraded_event = true;
        self.outputs.promote = true;
        self.heartbeat.on_upgrade(now, &self.config);
        match self.state {
            State::ClosingAtNextPoll { reason, .. } | State::ClosingWhenSent { reason } => {
                self.state = State::ClosingWhenSent { reason };
                self.finish_when_sent();
            }
            State::Closed | State::Open => (),
        }
    }

    pub(super) fn handle_probe_timeout(&mut self, now: Timestamp) {
        let Some(probe) = &mut self.probe else { return };
        if probe.give_up_at <= now {
            self.give_probe_up();
        } else if probe.noop_at.is_some_and(|noop_at| noop_at <= now) {
            probe.noop_at = Some(now + NOOP_INTERVAL);
            if self.held.is_some() && self.outputs.answer == PollAnswer::None {
                self.outputs.answer = PollAnswer::Noop;
            }
        }
    }

    fn give_probe_up(&mut self) {
        self.probe = None;
        self.outputs.close_probe = true;
    }
}
