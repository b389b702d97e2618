//! One slot of a shard: a session from its handshake until both ends of the trunk are done with its number.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use trunkline_clock::Timestamp;
use trunkline_engineio::{Protocol, Session, TransportKind};
use trunkline_trunk::NumberState;
use trunkline_trunk::{Header, Open, SessionNumber};

use super::command::{Answer, SlotKey};
use super::flight::Flights;
use super::streams::Stream;
use super::timers::Tick;
use super::uplink::Held;
use crate::hub::{Trunk, TrunkNumber};
use crate::reply::Reply;
use crate::sid::SidSecret;

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) secret: SidSecret,
    pub(crate) trunk: TrunkNumber,
    /// Place of the hub in the shard's list of switchboards.
    pub(crate) hub: u16,
    /// What the trunk's two ends have said about this session's number.
    pub(crate) number: NumberState,
    /// The slot is in this turn's list of slots to settle.
    pub(crate) dirty: bool,
    /// It has a place in the backlog that counts.
    pub(crate) backlogged: bool,
    /// It has an entry in the table of outboxes that are watched.
    pub(crate) watched: bool,
    /// Something to read was left in the stream: no credit, or another turn's share.
    pub(crate) unread: bool,
    /// Its stream brings much in little: it has its turn when all others had theirs.
    pub(crate) heavy: bool,
    /// Waits for its app server's credit.
    pub(crate) paused: bool,
    /// Its handshake counts as unanswered at its app server.
    pub(crate) pending: bool,
    /// The client has ended its side of the stream: reading goes on until its end is seen.
    pub(crate) ended: bool,
    /// The last post brought messages: an end in the same payload belongs to the same turn.
    pub(crate) spoke: bool,
    /// The tick at which this slot's timer entry counts.
    pub(crate) armed: Tick,
    pub(crate) state: State,
}

/// Every session has one of these.
#[cfg(all(not(any(test, feature = "fuzzing")), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Slot>() <= 280);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every slot is live; a box would cost each of them more"
)]
pub(crate) enum State {
    /// The app server has not answered the handshake yet.
    Opening(Box<Opening>),
    Live(Live),
    /// Nothing is left but the number.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) protocol: Protocol,
    pub(crate) transport: TransportKind,
    pub(crate) base64_only: bool,
    pub(crate) jsonp: Option<Box<str>>,
    pub(crate) poll: u32,
    pub(crate) reply: Reply<Answer>,
    pub(crate) trunk: Arc<Trunk>,
    /// Where it is, for the one who waits for `reply`.
    pub(crate) key: Rc<Cell<SlotKey>>,
    /// What the app server was asked, in case another one has to be asked, too.
    pub(crate) open: Open,
    /// When this app server was asked.
    pub(crate) asked_at: Timestamp,
    /// When the client gets an answer at the latest.
    pub(crate) until: Timestamp,
    /// Those that have been asked in vain.
    pub(crate) tried: Vec<TrunkNumber>,
}

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) session: Session,
    pub(crate) carrier: Carrier,
    /// A second WebSocket that wants to take over from polling.
    pub(crate) probe: Option<Box<Probe>>,
    /// What came without there being credit for it.
    pub(crate) held: Option<Box<Held>>,
    /// The transport that this session counts under.
    pub(crate) counted: TransportKind,
    /// What only some sessions have.
    pub(crate) extra: Option<Box<Extra>>,
}

/// The stream that wants to take over.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) stream: Stream,
    /// Its client takes no bytes.
    pub(crate) base64_only: bool,
}

/// What moves a session's bytes now.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A WebSocket whose `101` is on its way.
    Promised,
    Polling(Box<Polling>),
    Stream(Stream),
    /// The carrier ended before the session did.
    Gone,
}

#[derive(Debug, Default)]
pub(crate) struct Polling {
    /// The held GET.
    pub(crate) held: Option<(u32, Reply<Answer>)>,
    /// The GET that was answered last. If it turns out to be gone, so is its answer.
    pub(crate) answered: Option<u32>,
    /// A POST is under way; dropping this cuts it off.
    pub(crate) posting: Option<Reply<()>>,
    /// The next answer is the handshake's: these headers go on it.
    pub(crate) first: Vec<Header>,
    /// Answers that have not left yet; none before the first.
    pub(crate) flights: Option<Arc<Flights>>,
}

#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Headers for every HTTP answer of the session.
    pub(crate) lasting: Option<Arc<[Header]>>,
    /// The session polls with scripts: the digits of its callback's number.
    pub(crate) jsonp: Option<Box<str>>,
    /// The app made this id itself.
    pub(crate) custom_sid: Option<Box<str>>,
}

impl Polling {
    pub(crate) fn bytes_in_flight(&self) -> usize {
        self.flights.as_ref().map_or(0, |flights| flights.bytes())
    }
}

impl Slot {
    /// What an uplink needs to know of it.
    pub(crate) fn uplink(&self) -> (TrunkNumber, NumberState) {
        (self.trunk, self.number)
    }

    pub(crate) fn live(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Live(live) => Some(live),
            State::Opening(_) | State::Ended => None,
        }
    }

    /// Both ends are done with the number, and nothing else is left.
    pub(crate) fn is_free(&self) -> bool {
        self.number.is_free() && matches!(self.state, State::Ended)
    }
}

impl Live {
    pub(crate) fn jsonp(&self) -> Option<Box<str>> {
        self.extra.as_ref().and_then(|extra| extra.jsonp.clone())
    }

    pub(crate) fn lasting(&self) -> Option<Arc<[Header]>> {
        self.extra.as_ref().and_then(|extra| extra.lasting.clone())
    }

    /// Bytes that wait for the client, and what came of a message whose rest has not, or that is not decoded yet.
    pub(crate) fn held_bytes(&self) -> usize {
        let in_carrier = match &self.carrier {
            Carrier::Stream(stream) => stream.held_bytes(),
            Carrier::Polling(polling) => polling.bytes_in_flight(),
            Carrier::Promised | Carrier::Gone => 0,
        };
        let undecoded = self.held.as_ref().map_or(0, |held| held.undecoded_bytes());
        self.session.outbox_bytes() + in_carrier + undecoded
    }

    pub(crate) fn stream_is_idle(&self) -> bool {
        match &self.carrier {
            Carrier::Stream(stream) => stream.is_idle(),
            Carrier::Promised | Carrier::Polling(_) | Carrier::Gone => false,
        }
    }
}

/// The trunk's number for a session is its slot and shard in one: no table is needed to find it again. The shard of a
/// number is `trunkline_trunk::shard_of`.
pub(crate) fn number_of(slot: u32, shard: u8, shards: u32) -> SessionNumber {
    SessionNumber(slot * shards + u32::from(shard))
}

pub(crate) fn slot_of(number: SessionNumber, shards: u32) -> u32 {
    number.0 / shards
}

impl SlotKey {
    pub(crate) fn is_of(&self, slot: &Slot) -> bool {
        slot.generation == self.generation
    }
}
