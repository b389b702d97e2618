//! One slot of a shard: a session, from its handshake until neither end of the trunk needs its
//! number any longer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use trunkline_clock::Timestamp;
use trunkline_engineio::{Protocol, Session, TransportKind};
use trunkline_trunk::NumberState;
use trunkline_trunk::{Header, Open, SessionNumber};

use super::arriving::Arriving;
use super::command::{Answer, SlotKey};
use super::flight::Flights;
use super::homes::NOWHERE;
use super::keepsake::Keepsake;
use super::share::Share;
use super::streams::Stream;
use super::timers::Tick;
use super::tokens::Token;
use super::uplink::Held;
use crate::door::Site;
use crate::gate::Guest;
use crate::hub::{Seat, Trunk, TrunkNumber};
use crate::reply::Reply;
use crate::sid::SidSecret;

/// A slot in use.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) secret: SidSecret,
    /// The session's app server; [`NOWHERE`](super::homes::NOWHERE) while it waits for one.
    pub(crate) trunk: TrunkNumber,
    /// The hub's place in the shard's list of switchboards.
    pub(crate) hub: u16,
    /// The state of this session's number between the two ends of the trunk.
    pub(crate) number: NumberState,
    /// Set while the slot is in this turn's list of slots to settle.
    pub(crate) dirty: bool,
    /// Set while the slot has a valid place in the backlog.
    pub(crate) backlogged: bool,
    /// Set while the slot has an entry in the table of watched outboxes.
    pub(crate) watched: bool,
    /// Set when readable bytes were left in the stream: there was no credit, or they must wait for
    /// another turn.
    pub(crate) unread: bool,
    /// Set when the session's input takes much work: the session has its turn after all others.
    pub(crate) heavy: bool,
    /// Set while the session waits for its app server's credit.
    pub(crate) paused: bool,
    /// Set while a post of the session waits for credit: there is at most one.
    pub(crate) parked: bool,
    /// Set while the handshake counts as unanswered at its app server.
    pub(crate) pending: bool,
    /// Set when the client has ended its side of the stream: reading continues until its end is
    /// seen.
    pub(crate) ended: bool,
    /// Set when the last post brought messages: an end in the same payload belongs to the same
    /// turn.
    pub(crate) spoke: bool,
    /// Whether the session is not read from for a while, and why.
    pub(crate) slowed: Slowed,
    /// What the session has sent lately, compared with its app server's window.
    pub(crate) share: Share,
    /// The transport under which the session is counted. Here and not in `Live`, where it would
    /// take eight bytes.
    pub(crate) counted: TransportKind,
    /// The live session in the count of its client's address.
    pub(crate) guest: Option<Guest>,
    /// The tick at which this slot's timer entry is valid.
    pub(crate) armed: Tick,
    pub(crate) state: State,
}

/// Every session has a slot, so its size is limited.
#[cfg(all(not(any(test, feature = "fuzzing")), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Slot>() <= 296);

/// The state of a slot's session.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every slot is live; a box would cost each of them more"
)]
pub(crate) enum State {
    /// A handshake that the app server has not answered yet.
    Opening(Box<Opening>),
    Live(Live),
    /// A session on its way from another node.
    Arriving(Box<Arriving>),
    /// A session that has ended: only its number is left.
    Ended,
}

/// A handshake that waits for its app server.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) protocol: Protocol,
    pub(crate) transport: TransportKind,
    pub(crate) base64_only: bool,
    pub(crate) jsonp: Option<Box<str>>,
    /// What the client's token says of the session.
    pub(crate) token: Token,
    pub(crate) guest: Option<Guest>,
    pub(crate) seat: Seat,
    pub(crate) poll: u32,
    pub(crate) reply: Reply<Answer>,
    pub(crate) trunk: Arc<Trunk>,
    /// The handshake's current place, for the task that waits for `reply`.
    pub(crate) key: Rc<Cell<SlotKey>>,
    /// The request to the app server, kept in case another app server must be asked, too.
    pub(crate) open: Open,
    /// The time when this app server was asked.
    pub(crate) asked_at: Timestamp,
    /// The latest time at which the client gets an answer.
    pub(crate) until: Timestamp,
    /// The trunks of app servers that were asked without success.
    pub(crate) tried: Vec<TrunkNumber>,
}

/// An accepted session.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) session: Session,
    pub(crate) carrier: Carrier,
    /// A second WebSocket that wants to take over from polling.
    pub(crate) probe: Option<Box<Probe>>,
    /// Input that came when there was no credit for it.
    pub(crate) held: Option<Box<Held>>,
    /// What another app server would need to take the session over; `None` when none may.
    pub(crate) keepsake: Option<Box<Keepsake>>,
    /// Data that only some sessions have.
    pub(crate) extra: Option<Box<Extra>>,
}

/// A stream that wants to take over.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) stream: Stream,
    /// Set when its client cannot take bytes.
    pub(crate) base64_only: bool,
}

/// What transports a session's bytes now.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A WebSocket whose `101` is on its way.
    Promised,
    Polling(Box<Polling>),
    Stream(Stream),
    /// The carrier ended before the session did.
    Gone,
}

/// The HTTP requests of a session that polls.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    /// The held GET.
    pub(crate) held: Option<(u32, Reply<Answer>)>,
    /// The GET that was answered last. If it turns out to be gone, its answer is lost, too.
    pub(crate) answered: Option<u32>,
    /// The POST that is in progress; dropping this cuts it off.
    pub(crate) posting: Option<Reply<()>>,
    /// Headers for the next answer, which is that of the handshake.
    pub(crate) first: Vec<Header>,
    /// Answers that have not been written yet; `None` before the first.
    pub(crate) flights: Option<Arc<Flights>>,
}

/// Data that few sessions have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Headers for every HTTP answer of the session.
    pub(crate) lasting: Option<Arc<[Header]>>,
    /// The digits of the callback's number, if the session polls with scripts.
    pub(crate) jsonp: Option<Box<str>>,
    /// The session id, if the app made it.
    pub(crate) custom_sid: Option<Box<str>>,
}

impl Polling {
    pub(crate) fn bytes_in_flight(&self) -> usize {
        self.flights.as_ref().map_or(0, |flights| flights.bytes())
    }
}

/// Why a session is not read from: one byte, because every session has it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slowed(u8);

impl Slowed {
    const BY_ITSELF: u8 = 1;
    const BY_HUB: u8 = 2;

    pub(crate) fn is_slowed(self) -> bool {
        self.0 != 0
    }

    /// Whether its client has sent more than it may.
    pub(crate) fn by_itself(self) -> bool {
        self.0 & Self::BY_ITSELF != 0
    }

    /// Whether the clients of its hub together have.
    pub(crate) fn by_hub(self) -> bool {
        self.0 & Self::BY_HUB != 0
    }

    pub(crate) fn set_by_itself(&mut self, slowed: bool) {
        self.set(Self::BY_ITSELF, slowed);
    }

    pub(crate) fn set_by_hub(&mut self, slowed: bool) {
        self.set(Self::BY_HUB, slowed);
    }

    fn set(&mut self, why: u8, slowed: bool) {
        self.0 = if slowed { self.0 | why } else { self.0 & !why };
    }
}

impl Slot {
    /// A slot that nothing is noted of yet, whose session has no app server.
    pub(crate) fn new(generation: u32, secret: SidSecret, hub: u16, state: State) -> Self {
        Self {
            generation,
            secret,
            trunk: NOWHERE,
            hub,
            number: NumberState::Free,
            dirty: false,
            backlogged: false,
            watched: false,
            unread: false,
            heavy: false,
            spoke: false,
            ended: false,
            paused: false,
            parked: false,
            pending: false,
            slowed: Slowed::default(),
            share: Share::default(),
            counted: TransportKind::WebSocket,
            guest: None,
            armed: Tick::NONE,
            state,
        }
    }

    /// The part of the slot that an uplink needs.
    pub(crate) fn uplink(&self) -> (TrunkNumber, NumberState) {
        (self.trunk, self.number)
    }

    pub(crate) fn live(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Live(live) => Some(live),
            State::Opening(_) | State::Arriving(_) | State::Ended => None,
        }
    }

    /// Whether neither end needs the number any longer, and nothing else is left.
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

    /// Bytes that wait for the client, received bytes that are incomplete or not decoded yet, and
    /// what is kept for another app server.
    pub(crate) fn held_bytes(&self) -> usize {
        let in_carrier = match &self.carrier {
            Carrier::Stream(stream) => stream.held_bytes(),
            Carrier::Polling(polling) => polling.bytes_in_flight(),
            Carrier::Promised | Carrier::Gone => 0,
        };
        let undecoded = self.held.as_ref().map_or(0, |held| held.undecoded_bytes());
        let kept = self.keepsake.as_ref().map_or(0, |keepsake| keepsake.bytes());
        self.session.outbox_bytes() + in_carrier + undecoded + kept
    }

    pub(crate) fn stream_is_idle(&self) -> bool {
        match &self.carrier {
            Carrier::Stream(stream) => stream.is_idle(),
            Carrier::Promised | Carrier::Polling(_) | Carrier::Gone => false,
        }
    }
}

/// The trunk's number for a session combines its slot and shard, so no table is needed to find the
/// session again. `trunkline_trunk::shard_of` gives the shard of a number.
pub(crate) fn number_of(slot: u32, shard: u8, shards: u32) -> SessionNumber {
    SessionNumber(slot * shards + u32::from(shard))
}

/// The slot of a session number.
pub(crate) fn slot_of(number: SessionNumber, shards: u32) -> u32 {
    number.0 / shards
}

impl SlotKey {
    /// The key of a session in this shard of this node.
    pub(crate) fn here(shard: u8, slot: u32, generation: u32) -> Self {
        Self { elsewhere: false, shard, slot, generation }
    }

    /// Where the session is.
    pub(crate) fn site(&self) -> Site {
        if self.elsewhere { Site::Elsewhere } else { Site::Shard(self.shard) }
    }

    pub(crate) fn is_of(&self, slot: &Slot) -> bool {
        slot.generation == self.generation
    }
}
