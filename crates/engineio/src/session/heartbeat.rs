//! Who pings whom, and until when an answer may come.

use core::time::Duration;

use crate::Timestamp;
use crate::config::Config;
use crate::protocol::Protocol;

/// A caller that rounds deadlines up to its ticks serves them this much too late at most. A ping that is not later is
/// answered within the time that began when it was due, so that two roundings do not add up.
const ROUNDING_MAX: Duration = Duration::from_millis(40);

/// The one heartbeat timer of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heartbeat {
    /// Revision 3: the client must ping until then.
    ClientPingBy(Timestamp),
    /// The session has ended.
    Off,
    /// Revision 4: the next ping is due.
    PingAt(Timestamp),
    /// Revision 4: the client must answer until then. `refreshed` tells that another packet has
    /// moved this once already.
    PongBy { at: Timestamp, refreshed: bool },
}

impl super::Session {
    /// The caller did not read what the client sent: its silence so far proves nothing. If an answer was awaited, the
    /// interval starts anew. Nothing does in a session that is closing: it ends by its heartbeat, if a client that takes
    /// nothing lets it end by nothing else.
    pub fn excuse_silence(&mut self, now: Timestamp) {
        if matches!(self.state, super::State::Open) {
            self.heartbeat.on_upgrade(now, &self.config);
        }
    }
}

/// What the passing of time brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Beat {
    /// The client is gone.
    Dead,
    None,
    /// A ping is to be sent.
    Ping,
}

impl Heartbeat {
    pub(crate) fn start(now: Timestamp, protocol: Protocol, config: &Config) -> Self {
        match protocol {
            Protocol::V3 => Self::ClientPingBy(now + config.ping_interval + config.ping_timeout),
            Protocol::V4 => Self::PingAt(now + config.ping_interval),
        }
    }

    pub(crate) const fn deadline(self) -> Option<Timestamp> {
        match self {
            Self::ClientPingBy(at) | Self::PingAt(at) | Self::PongBy { at, .. } => Some(at),
            Self::Off => None,
        }
    }

    /// A packet that is not a pong came: while a pong is awaited, the first such moves the
    /// deadline, once per ping.
    pub(crate) fn on_packet(&mut self, now: Timestamp, config: &Config) {
        if let Self::PongBy { refreshed: false, .. } = self {
            *self = Self::PongBy { at: now + config.ping_timeout, refreshed: true };
        }
    }

    /// Revision 4: a pong, awaited or not, starts the interval anew.
    pub(crate) fn on_pong(&mut self, now: Timestamp, config: &Config) {
        *self = Self::PingAt(now + config.ping_interval);
    }

    /// Revision 3: the client pinged.
    pub(crate) fn on_ping(&mut self, now: Timestamp, config: &Config) {
        *self = Self::ClientPingBy(now + config.ping_interval + config.ping_timeout);
    }

    /// The transport was replaced. npm stops waiting for a pong (in revision 3, for a ping) without
    /// starting anything else, so that a silent client is never noticed; here the interval starts
    /// anew, which no client that answers can tell apart.
    pub(crate) fn on_upgrade(&mut self, now: Timestamp, config: &Config) {
        match self {
            Self::ClientPingBy(_) => self.on_ping(now, config),
            Self::PongBy { .. } => self.on_pong(now, config),
            Self::Off | Self::PingAt(_) => (),
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Timestamp, config: &Config) -> Beat {
        match *self {
            Self::PingAt(at) if at <= now => {
                let sent = if now.since(at) <= ROUNDING_MAX { at } else { now };
                *self = Self::PongBy { at: sent + config.ping_timeout, refreshed: false };
                Beat::Ping
            }
            Self::ClientPingBy(at) | Self::PongBy { at, .. } if at <= now => Beat::Dead,
            Self::ClientPingBy(_) | Self::Off | Self::PingAt(_) | Self::PongBy { .. } => Beat::None,
        }
    }
}
