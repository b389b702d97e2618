//! Heartbeats: which side pings, and until when the other side must answer.

use core::time::Duration;

use crate::Timestamp;
use crate::config::Config;
use crate::protocol::Protocol;

/// The longest delay by which a caller that rounds deadlines up to its ticks may serve them. After
/// a ping that is at most this late, the time for the answer still counts from when the ping was
/// due: otherwise two roundings would add up.
const ROUNDING_MAX: Duration = Duration::from_millis(40);

/// The one heartbeat timer of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heartbeat {
    /// Revision 3: the client must ping before this time.
    ClientPingBy(Timestamp),
    /// The session has ended.
    Off,
    /// Revision 4: the next ping is due.
    PingAt(Timestamp),
    /// Revision 4: the client must answer before `at`. `refreshed` means that another packet has
    /// already moved this deadline once.
    PongBy { at: Timestamp, refreshed: bool },
}

impl super::Session {
    /// Excuses the client's silence: the caller did not read from it for a while, so the silence
    /// proves nothing. If an answer was awaited, the interval starts again. In a closing session
    /// nothing changes: for a client that reads nothing, the heartbeat may be the only thing that
    /// ends it.
    pub fn excuse_silence(&mut self, now: Timestamp) {
        if matches!(self.state, super::State::Open) {
            self.heartbeat.on_upgrade(now, &self.config);
        }
    }
}

/// The result of a heartbeat deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Beat {
    /// The client did not answer in time.
    Dead,
    None,
    /// A ping is due.
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

    /// Notes a packet that is not a pong. While a pong is awaited, the first such packet moves the
    /// deadline, once per ping.
    pub(crate) fn on_packet(&mut self, now: Timestamp, config: &Config) {
        if let Self::PongBy { refreshed: false, .. } = self {
            *self = Self::PongBy { at: now + config.ping_timeout, refreshed: true };
        }
    }

    /// Revision 4: notes a pong. Awaited or not, it starts the interval again.
    pub(crate) fn on_pong(&mut self, now: Timestamp, config: &Config) {
        *self = Self::PingAt(now + config.ping_interval);
    }

    /// Revision 3: notes the client's ping.
    pub(crate) fn on_ping(&mut self, now: Timestamp, config: &Config) {
        *self = Self::ClientPingBy(now + config.ping_interval + config.ping_timeout);
    }

    /// Notes that the transport was replaced. npm then stops waiting for a pong (in revision 3, for
    /// a ping) and starts no new timer, so it never notices a silent client. Here the interval
    /// starts again; a client that answers cannot see the difference.
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
