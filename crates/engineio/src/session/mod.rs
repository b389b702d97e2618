//! One Engine.IO session: one client, one `sid`, on either transport.

mod closing;
mod foreign;
mod heartbeat;
mod outbox;
mod polling;
mod post;
mod sending;
mod snapshot;
mod transmit;
mod upgrade;
mod websocket;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt::Write as _;

use bytes::Bytes;

pub use foreign::{ForeignProbe, Probed};
pub use post::{Idle, Post};
pub use sending::{Delivery, Sent};
pub use snapshot::{BadSnapshot, Snapshot};
pub use transmit::{ContentType, Transmit};

pub(crate) use outbox::Item;

use crate::Timestamp;
use crate::close::{CloseReason, Event};
use crate::config::Config;
use crate::deflate::AgreedDeflate;
use crate::error::PeerMisbehaved;
use crate::json::push_json_string;
use crate::outgoing::Outgoing;
use crate::packet::{Data, Packet, PacketType};
use crate::protocol::{Protocol, TransportKind};
use closing::Closed;
use heartbeat::{Beat, Heartbeat};
use outbox::Outbox;
use transmit::{Outputs, PollAnswer};
use upgrade::Probe;

/// The name that the caller gives to one held poll.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PollKey(pub u32);

/// One Engine.IO session: one client, one `sid`, on either transport.
///
/// Contract for callers (the edge, the simulator, the fuzzer):
///
/// 1. Feed input with `handle_*` (from the client or the clock) or a command
///    ([`send`](Session::send), [`close`](Session::close), [`abort`](Session::abort)). Several
///    commands in a row are one turn: what they queue leaves together.
/// 2. Then call [`poll_transmit`](Session::poll_transmit) (while the stream can take more) and
///    [`poll_event`](Session::poll_event) until both return `None`. Step 2 must be done between any
///    two `handle_*` calls, except between the messages of one read.
/// 3. Then sleep until [`poll_deadline`](Session::poll_deadline), and call
///    [`handle_timeout`](Session::handle_timeout).
///
/// When a `handle_*` call returns an error, the session has closed itself with npm's reason; the
/// error names the broken rule. An ended session accepts every call and does nothing. It may be
/// dropped once its output is drained.
#[derive(Debug)]
pub struct Session {
    config: Rc<Config>,
    outbox: Outbox,
    heartbeat: Heartbeat,
    state: State,
    /// The second stream of an upgrade under way.
    probe: Option<Box<Probe>>,
    /// The poll that waits for an answer. npm's `writable` is true when this is `Some` and no
    /// answer is queued for it.
    held: Option<PollKey>,
    outputs: Outputs,
    closed: Option<Closed>,
    /// The last decoded base64 message over WebSocket, lent to the caller; `None` unless the client
    /// needs base64.
    decoded: Option<Box<[u8]>>,
    /// The agreed compression, while the session's WebSocket has one.
    deflate: Option<AgreedDeflate>,
    protocol: Protocol,
    transport: TransportKind,
    upgraded: bool,
    base64_only: bool,
    /// Whether the last volatile message was queued. An attached message shares that decision.
    volatile_queued: bool,
    /// [`Event::Upgraded`] waits to be polled.
    upgraded_event: bool,
}

/// npm's `readyState`.
#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// The app closed the session and nothing is unsent: the next poll is answered with `close`, or
    /// the session ends at the deadline without one.
    ClosingAtNextPoll {
        reason: CloseReason,
        give_up_at: Timestamp,
    },
    /// The app closed the session and what was sent before must leave first.
    ClosingWhenSent {
        reason: CloseReason,
    },
    Open,
}

impl Session {
    /// A session whose handshake was accepted. Its open packet is queued; the first heartbeat
    /// interval starts at `now`.
    #[must_use]
    pub fn new(
        now: Timestamp,
        config: Rc<Config>,
        protocol: Protocol,
        transport: TransportKind,
        sid: &str,
    ) -> Self {
        let mut outbox = Outbox::default();
        outbox.push(Item::Packet(Outgoing::open(open_json(&config, transport, sid))));
        Self {
            heartbeat: Heartbeat::start(now, protocol, &config),
            config,
            outbox,
            state: State::Open,
            probe: None,
            held: None,
            outputs: Outputs::default(),
            closed: None,
            decoded: None,
            deflate: None,
            protocol,
            transport,
            upgraded: false,
            base64_only: false,
            volatile_queued: false,
            upgraded_event: false,
        }
    }

    /// Notes that the client asked for base64 in place of bytes (query parameter `b64`). Call it
    /// after [`new`](Self::new), and when the request of a probing stream asks for base64.
    pub fn set_base64_only(&mut self, base64_only: bool) {
        self.base64_only = base64_only;
        self.spread_bursts();
    }

    /// Sets the compression that the session's WebSocket agreed on. Call it after
    /// [`new`](Self::new) for a session that begins with a WebSocket, and at
    /// [`Transmit::PromoteProbe`]: a promoted stream starts without compression.
    pub fn set_deflate(&mut self, deflate: Option<AgreedDeflate>) {
        self.deflate = deflate;
        self.spread_bursts();
    }

    /// The compression that the session's WebSocket agreed on; `None` without compression.
    #[must_use]
    pub fn deflate(&self) -> Option<&AgreedDeflate> {
        self.deflate.as_ref()
    }

    /// The deadline from [`poll_deadline`](Self::poll_deadline) has passed. Early or late calls are
    /// fine.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if let State::ClosingAtNextPoll { reason, give_up_at } = self.state
            && give_up_at <= now
        {
            self.finish(reason, "", PollAnswer::None);
        }
        self.handle_probe_timeout(now);
        match self.heartbeat.on_timeout(now, &self.config) {
            Beat::None => (),
            Beat::Dead => self.finish_unsent(CloseReason::PingTimeout, ""),
            // In npm the timers go on while a session is closing, but pings are no longer queued.
            Beat::Ping if matches!(self.state, State::Open) => self.push_ping(),
            Beat::Ping => (),
        }
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.upgraded_event) {
            return Some(Event::Upgraded);
        }
        let Closed { reason, description } = self.closed.take()?;
        Some(Event::Closed { reason, description })
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) must be called: the earliest of
    /// the heartbeat, the upgrade timeout, the 100 ms cycle of noops during a probe, and the close
    /// timeout.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        let closing = match self.state {
            State::ClosingAtNextPoll { give_up_at, .. } => Some(give_up_at),
            State::Closed | State::ClosingWhenSent { .. } | State::Open => None,
        };
        let probe = self.probe.as_ref().map(|probe| probe.deadline());
        [self.heartbeat.deadline(), probe, closing].into_iter().flatten().min()
    }

    /// The session's present transport. A request for another transport is
    /// [`HandshakeError::BadRequest`](crate::HandshakeError).
    #[must_use]
    pub fn transport(&self) -> TransportKind {
        self.transport
    }

    /// The revision that the client speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The app's options.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// True when the session has ended; output may still wait to be drained.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// True while the session takes and gives messages: it has not ended and is not closing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// The cost of the unsent packets: their bytes, and a fixed overhead for each.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// True when what is unsent is exactly one packet, or one burst that leaves as one piece, and the
    /// session has nothing else to transmit.
    #[must_use]
    pub fn has_one_piece(&self) -> bool {
        matches!(self.state, State::Open) && self.outbox.has_one()
    }

    /// Handles a packet from the session's transport. `Some` is the data of a message for the app.
    fn on_packet<'a>(
        &mut self,
        now: Timestamp,
        packet: Packet<'a>,
    ) -> Result<Option<Data<'a>>, PeerMisbehaved> {
        if !matches!(self.state, State::Open) {
            return Ok(None);
        }
        if packet.kind != PacketType::Pong {
            self.heartbeat.on_packet(now, &self.config);
        }
        match (packet.kind, self.protocol) {
            (PacketType::Message, _) => return Ok(Some(packet.data)),
            (PacketType::Ping, Protocol::V4) => {
                return Err(self.misbehaved(PeerMisbehaved::PingFromClient));
            }
            (PacketType::Pong, Protocol::V3) => {
                return Err(self.misbehaved(PeerMisbehaved::PongFromClient));
            }
            (PacketType::Ping, Protocol::V3) => {
                self.heartbeat.on_ping(now, &self.config);
                self.push_pong();
            }
            (PacketType::Pong, Protocol::V4) => self.heartbeat.on_pong(now, &self.config),
            // A close packet over polling is handled before this point; over WebSocket npm ignores
            // it.
            (
                PacketType::Close
                | PacketType::Noop
                | PacketType::Open
                | PacketType::Unknown
                | PacketType::Upgrade,
                _,
            ) => (),
        }
        Ok(None)
    }
}

/// The data of the open packet, with its keys in npm's order.
fn open_json(config: &Config, transport: TransportKind, sid: &str) -> Bytes {
    let mut json = String::from(r#"{"sid":"#);
    push_json_string(&mut json, sid);
    let upgrades = match transport {
        TransportKind::Polling if config.allow_upgrades && config.websocket => r#""websocket""#,
        TransportKind::Polling | TransportKind::WebSocket => "",
    };
    write!(
        json,
        r#","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        config.ping_interval.as_millis(),
        config.ping_timeout.as_millis(),
        config.payload_bytes_max,
    )
    .expect("a string takes all text");
    Bytes::from(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 160, "{} bytes", size_of::<Session>());
    }
}
