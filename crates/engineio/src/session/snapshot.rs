//! A session outside of its process: exported where it was, imported where it goes on.
//!
//! A snapshot contains everything that a session is except what only its process has: the held poll,
//! the probing stream and the agreed compression belong to its streams. Times are spans, because the
//! clocks of two processes have nothing in common.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Buf, Bytes};

use super::heartbeat::Heartbeat;
use super::outbox::{Item, Outbox};
use super::transmit::Outputs;
use super::{Session, State};
use crate::Timestamp;
use crate::close::CloseReason;
use crate::config::Config;
use crate::outgoing::Outgoing;
use crate::packet::Control;
use crate::protocol::{Protocol, TransportKind};

/// The version of the bytes. A reader refuses every other one.
const VERSION: u8 = 1;

const V3: u8 = 1;
const WEBSOCKET: u8 = 1 << 1;
const UPGRADED: u8 = 1 << 2;
const BASE64_ONLY: u8 = 1 << 3;
const VOLATILE_QUEUED: u8 = 1 << 4;
const FLAGS: u8 = (1 << 5) - 1;

const CONTROLS: [Control; 4] = [Control::Close, Control::Noop, Control::Ping, Control::Pong];
/// The first number of a packet's kind; those before it are `CONTROLS`.
const PACKETS: u8 = 8;
const MAY_COMPRESS: u8 = 1 << 4;
/// The fewest bytes of one packet: so many packets need as many bytes, whatever a stranger claims.
const PACKET_BYTES_MIN: usize = 1;

/// An open session, to be continued in another process.
#[derive(Clone, Debug)]
pub struct Snapshot {
    flags: u8,
    closing: Closing,
    beat: Beat,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
enum Closing {
    No,
    AtNextPoll { reason: CloseReason, give_up_in: Duration },
    WhenSent { reason: CloseReason },
}

/// The heartbeat, with the time that is left.
#[derive(Clone, Copy, Debug)]
enum Beat {
    ClientPing(Duration),
    Ping(Duration),
    Pong { left: Duration, refreshed: bool },
}

/// The bytes are not a snapshot that this version can read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadSnapshot {
    /// Bytes are left after the last field.
    #[error("bytes are left over")]
    LeftOver,
    /// The bytes end before the last field.
    #[error("the bytes end too soon")]
    Truncated,
    /// A field has a value without a meaning.
    #[error("a field has a value without a meaning")]
    Undefined,
    /// Another version wrote the bytes.
    #[error("version {0} of a snapshot cannot be read")]
    Version(u8),
}

impl Session {
    /// What the session is now, to be continued by [`import`](Self::import). `None` when it has
    /// ended. Drain its output before: an answer that a poll waits for is not in it.
    #[must_use]
    pub fn export(&self, now: Timestamp) -> Option<Snapshot> {
        let closing = match self.state {
            State::Closed => return None,
            State::Open => Closing::No,
            State::ClosingAtNextPoll { reason, give_up_at } => {
                Closing::AtNextPoll { reason, give_up_in: give_up_at.since(now) }
            }
            State::ClosingWhenSent { reason } => Closing::WhenSent { reason },
        };
        let beat = match self.heartbeat {
            Heartbeat::Off => return None,
            Heartbeat::ClientPingBy(at) => Beat::ClientPing(at.since(now)),
            Heartbeat::PingAt(at) => Beat::Ping(at.since(now)),
            Heartbeat::PongBy { at, refreshed } => Beat::Pong { left: at.since(now), refreshed },
        };
        let flags = [
            (V3, self.protocol == Protocol::V3),
            (WEBSOCKET, self.transport == TransportKind::WebSocket),
            (UPGRADED, self.upgraded),
            (BASE64_ONLY, self.base64_only),
            (VOLATILE_QUEUED, self.volatile_queued),
        ];
        let flags = flags.iter().filter(|(_, set)| *set).fold(0, |flags, (flag, _)| flags | flag);
        Some(Snapshot { flags, closing, beat, items: self.outbox.items().cloned().collect() })
    }

    /// Continues an exported session. Its WebSocket starts without compression.
    #[must_use]
    pub fn import(now: Timestamp, config: Rc<Config>, snapshot: Snapshot) -> Self {
        let Snapshot { flags, closing, beat, items } = snapshot;
        let is_set = |flag| flags & flag != 0;
        let mut outbox = Outbox::default();
        for item in items {
            outbox.push(item);
        }
        let websocket = is_set(WEBSOCKET);
        let mut session = Self {
            config,
            outbox,
            heartbeat: match beat {
                Beat::ClientPing(left) => Heartbeat::ClientPingBy(now + left),
                Beat::Ping(left) => Heartbeat::PingAt(now + left),
                Beat::Pong { left, refreshed } => Heartbeat::PongBy { at: now + left, refreshed },
            },
            state: match closing {
                Closing::No => State::Open,
                Closing::AtNextPoll { reason, give_up_in } => {
                    State::ClosingAtNextPoll { reason, give_up_at: now + give_up_in }
                }
                Closing::WhenSent { reason } => State::ClosingWhenSent { reason },
            },
            probe: None,
            held: None,
            outputs: Outputs::default(),
            closed: None,
            decoded: None,
            deflate: None,
            protocol: if is_set(V3) { Protocol::V3 } else { Protocol::V4 },
            transport: if websocket { TransportKind::WebSocket } else { TransportKind::Polling },
            upgraded: is_set(UPGRADED),
            base64_only: is_set(BASE64_ONLY),
            volatile_queued: is_set(VOLATILE_QUEUED),
            upgraded_event: false,
        };
        if websocket {
            session.finish_when_sent();
        }
        session
    }
}

impl Snapshot {
    /// The revision that the client speaks.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        if self.flags & V3 == 0 { Protocol::V4 } else { Protocol::V3 }
    }

    /// The session's transport.
    #[must_use]
    pub const fn transport(&self) -> TransportKind {
        if self.flags & WEBSOCKET == 0 { TransportKind::Polling } else { TransportKind::WebSocket }
    }

    /// The snapshot as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = alloc::vec![VERSION, self.flags];
        match self.closing {
            Closing::No => to.push(0),
            Closing::AtNextPoll { reason, give_up_in } => {
                to.extend([1, number_of(reason)]);
                put_span(&mut to, give_up_in);
            }
            Closing::WhenSent { reason } => to.extend([2, number_of(reason)]),
        }
        let (kind, left) = match self.beat {
            Beat::ClientPing(left) => (0, left),
            Beat::Ping(left) => (1, left),
            Beat::Pong { left, refreshed: false } => (2, left),
            Beat::Pong { left, refreshed: true } => (3, left),
        };
        to.push(kind);
        put_span(&mut to, left);
        put_number(&mut to, self.items.len() as u64);
        for item in &self.items {
            match item {
                Item::Control(control) => {
                    let place = CONTROLS.iter().position(|known| known == control);
                    to.push(place.and_then(|place| u8::try_from(place).ok()).unwrap_or_default());
                }
                Item::Packet(packet) => {
                    let compress = if packet.may_compress() { MAY_COMPRESS } else { 0 };
                    to.push((PACKETS + packet.kind_number()) | compress);
                    put_number(&mut to, packet.len() as u64);
                    to.extend_from_slice(packet.payload());
                }
            }
        }
        to
    }

    /// Reads what [`encode`](Self::encode) wrote, in this process or another.
    ///
    /// # Errors
    ///
    /// The bytes are no snapshot of this version.
    pub fn decode(bytes: Bytes) -> Result<Self, BadSnapshot> {
        let mut rest = bytes;
        match byte(&mut rest)? {
            VERSION => (),
            other => return Err(BadSnapshot::Version(other)),
        }
        let flags = byte(&mut rest)?;
        if flags & !FLAGS != 0 {
            return Err(BadSnapshot::Undefined);
        }
        let closing = match byte(&mut rest)? {
            0 => Closing::No,
            1 => {
                let reason = reason_of(byte(&mut rest)?)?;
                Closing::AtNextPoll { reason, give_up_in: span(&mut rest)? }
            }
            2 => Closing::WhenSent { reason: reason_of(byte(&mut rest)?)? },
            _ => return Err(BadSnapshot::Undefined),
        };
        let kind = byte(&mut rest)?;
        let left = span(&mut rest)?;
        let beat = match (kind, flags & V3 != 0) {
            (0, true) => Beat::ClientPing(left),
            (1, false) => Beat::Ping(left),
            (2, false) => Beat::Pong { left, refreshed: false },
            (3, false) => Beat::Pong { left, refreshed: true },
            _ => return Err(BadSnapshot::Undefined),
        };
        let count = number(&mut rest)?;
        if count > (rest.len() / PACKET_BYTES_MIN) as u64 {
            return Err(BadSnapshot::Truncated);
        }
        let items = (0..count).map(|_| item(&mut rest)).collect::<Result<_, _>>()?;
        if rest.has_remaining() {
            return Err(BadSnapshot::LeftOver);
        }
        Ok(Self { flags, closing, beat, items })
    }
}

fn item(rest: &mut Bytes) -> Result<Item, BadSnapshot> {
    let kind = byte(rest)?;
    if let Some(control) = CONTROLS.get(usize::from(kind)) {
        return Ok(Item::Control(*control));
    }
    let number_of_kind = (kind & !MAY_COMPRESS).checked_sub(PACKETS);
    let number_of_kind = number_of_kind.ok_or(BadSnapshot::Undefined)?;
    let length = usize::try_from(number(rest)?).unwrap_or(usize::MAX);
    if length > rest.len() {
        return Err(BadSnapshot::Truncated);
    }
    let payload = rest.split_to(length);
    let packet = Outgoing::from_kind(number_of_kind, kind & MAY_COMPRESS != 0, payload);
    packet.map(Item::Packet).ok_or(BadSnapshot::Undefined)
}

/// The number of a reason, which never changes.
const fn number_of(reason: CloseReason) -> u8 {
    match reason {
        CloseReason::AppServerLost => 0,
        CloseReason::AppServerLostInDoubt => 1,
        CloseReason::Forced => 2,
        CloseReason::MemoryFull => 3,
        CloseReason::NodeShutdown => 4,
        CloseReason::OutboxFull => 5,
        CloseReason::ParseError => 6,
        CloseReason::PingTimeout => 7,
        CloseReason::RecoveryUnproved => 8,
        CloseReason::RehomeRefused => 9,
        CloseReason::ServerShuttingDown => 10,
        CloseReason::TooLarge => 11,
        CloseReason::TransportClose => 12,
        CloseReason::TransportError => 13,
        CloseReason::MoveFailed => 14,
        CloseReason::HubRemoved => 15,
        CloseReason::KeyRemoved => 16,
        CloseReason::Flooded => 17,
        CloseReason::AddressDenied => 18,
        CloseReason::TokenExpired => 19,
        CloseReason::TokenRevoked => 20,
        CloseReason::UserSessionsFull => 21,
        CloseReason::NamespacesFull => 22,
        CloseReason::RoomsFull => 23,
    }
}

const fn reason_of(number: u8) -> Result<CloseReason, BadSnapshot> {
    Ok(match number {
        0 => CloseReason::AppServerLost,
        1 => CloseReason::AppServerLostInDoubt,
        2 => CloseReason::Forced,
        3 => CloseReason::MemoryFull,
        4 => CloseReason::NodeShutdown,
        5 => CloseReason::OutboxFull,
        6 => CloseReason::ParseError,
        7 => CloseReason::PingTimeout,
        8 => CloseReason::RecoveryUnproved,
        9 => CloseReason::RehomeRefused,
        10 => CloseReason::ServerShuttingDown,
        11 => CloseReason::TooLarge,
        12 => CloseReason::TransportClose,
        13 => CloseReason::TransportError,
        14 => CloseReason::MoveFailed,
        15 => CloseReason::HubRemoved,
        16 => CloseReason::KeyRemoved,
        17 => CloseReason::Flooded,
        18 => CloseReason::AddressDenied,
        19 => CloseReason::TokenExpired,
        20 => CloseReason::TokenRevoked,
        21 => CloseReason::UserSessionsFull,
        22 => CloseReason::NamespacesFull,
        23 => CloseReason::RoomsFull,
        _ => return Err(BadSnapshot::Undefined),
    })
}

fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn put_span(to: &mut Vec<u8>, span: Duration) {
    put_number(to, u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
}

fn byte(rest: &mut Bytes) -> Result<u8, BadSnapshot> {
    if rest.has_remaining() { Ok(rest.get_u8()) } else { Err(BadSnapshot::Truncated) }
}

/// A number in its shortest form.
fn number(rest: &mut Bytes) -> Result<u64, BadSnapshot> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return Err(BadSnapshot::Undefined);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(BadSnapshot::Undefined)
}

/// The longest span: a year. No option of an app is longer than a month.
const SPAN_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

fn span(rest: &mut Bytes) -> Result<Duration, BadSnapshot> {
    let span = Duration::from_micros(number(rest)?);
    if span > SPAN_MAX { Err(BadSnapshot::Undefined) } else { Ok(span) }
}
