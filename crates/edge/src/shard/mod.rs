//! A shard: one thread that owns its sessions, its part of every hub's switchboard, and its
//! streams.
//!
//! Nothing in here is locked. Other threads talk to a shard through its inbox ([`Command`]). HTTP
//! tasks of the shard's own thread borrow it for one step at a time and never across an await.
//! Every caller ends with [`Shard::finish_turn`], which flushes each touched session once and hands
//! each app server one batch.

mod adoption;
mod arriving;
mod backlog;
mod broadcasting;
mod capture;
mod command;
mod downlink;
mod ending;
mod eviction;
#[cfg(not(feature = "fuzzing"))]
mod export;
#[cfg(feature = "fuzzing")]
pub(crate) mod export;
mod flight;
mod flows;
mod foreign;
mod hidden;
mod homes;
mod idle;
mod interner;
mod keepsake;
mod leaving;
mod local;
mod loss;
mod marks;
mod membership;
mod meters;
mod moving;
mod newcomers;
mod opening;
mod operating;
mod parking;
mod poller;
mod polling;
mod posting;
mod probing;
mod reading;
mod recovery;
mod resting;
mod retry;
mod revoking;
mod run;
mod settle;
mod share;
mod slot;
mod slots;
mod slow;
mod streams;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod tests;
mod timers;
mod tokens;
mod turn;
mod uplink;
mod uring;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rand::Rng;
use rand::rngs::StdRng;
use slab::Slab;
use trunkline_clock::Timestamp;
use trunkline_engineio::{Config as EngineConfig, Deflate};
use trunkline_switchboard::recovery::Feed;
use trunkline_switchboard::{NamespaceKey, Switchboard};
use trunkline_trunk::settings::EngineSettings;

use self::arriving::Arrivals;
use self::backlog::Backlog;
pub(crate) use self::command::{
    AdoptedStream, Answer, Arrival, Asked, Command, Inspected, POST_BROKEN, POST_FAULTS, POST_SLOW,
    POST_TOO_LARGE, POST_TOO_MANY_CHUNKS, Payload, PostBegun, PostBounds, Refusal, SlotKey,
    WholePost,
};
use self::downlink::SentCounts;
use self::ending::{DrainPace, Orphans};
use self::eviction::Eviction;
pub(crate) use self::flight::{Flight, Flights};
use self::flows::Flows;
pub(crate) use self::foreign::ForeignStream;
use self::homes::Homes;
use self::interner::Interner;
pub(crate) use self::local::LocalShard;
use self::marks::Watch;
use self::meters::Meters;
use self::moving::Departures;
use self::newcomers::Newcomers;
pub(crate) use self::opening::{OpenRequest, deflate_settings};
use self::operating::Lately;
use self::poller::{Poller, Readiness, Token};
pub(crate) use self::posting::wanted_part;
pub(crate) use self::recovery::{GiveBack, RestoreRequest};
use self::resting::Resting;
pub(crate) use self::run::run;
use self::slot::{Live, Slot};
use self::slots::Slots;
use self::streams::Stream;
use self::timers::Timers;
use self::tokens::Tokens;
pub(crate) use self::tokens::{NotRefreshed, Refresh, Token as ClientToken, TokenCommand, Whose};
use self::uplink::Waiting;
use self::uring::{Job, Ring};
use crate::environment::Environment;
use crate::hub::{Trunk, TrunkNumber};

/// The core of one shard: it does not wait and owns no thread.
#[derive(Debug)]
pub(crate) struct Shard {
    index: u8,
    shards: u32,
    env: Arc<Environment>,
    /// The time at the start of this turn.
    now: Timestamp,
    /// Set when memory use had reached its limit at the start of this turn.
    memory_full: bool,
    slots: Slots,
    next_generation: u32,
    /// The switchboards: one per hub, in the directory's order.
    boards: Vec<Switchboard>,
    /// The logs for clients that return: one per hub, in the directory's order.
    recoveries: Vec<recovery::Log>,
    /// The next time at which old entries of the logs are removed; this is rare.
    recoveries_due: Timestamp,
    trunks: HashMap<TrunkNumber, ShardTrunk>,
    /// What is known of the tokens of sessions' clients.
    tokens: Tokens,
    timers: Timers,
    /// Slots to settle before the turn ends.
    dirty: Vec<u32>,
    /// Slots to settle between turns: what was too much for one turn.
    backlog: Backlog,
    /// Bytes flushed in this slice for clients that take many.
    slice_bytes: usize,
    /// Writes a slice of single frames in one call.
    ring: Option<Ring>,
    jobs: Vec<Job>,
    /// Messages put into outboxes in this turn.
    delivered: usize,
    /// Messages of this turn; the node's metrics get them at its end.
    sent: SentCounts,
    poller: Poller,
    /// Slots whose stream has more to read than one turn's share.
    unread: VecDeque<u32>,
    meters: Meters,
    /// Sessions that wait because of their hubs.
    flows: Flows,
    newcomers: Newcomers,
    /// The bytes that a session which sends much may have read in one turn, while others like it
    /// wait for the window of their app server.
    quantum: usize,
    /// Slots whose stream or post costs much time for few bytes: read after all others, for a share
    /// of the time.
    heavy: VecDeque<u32>,
    /// The time before which the `heavy` ones are not read.
    heavy_at: Timestamp,
    /// Bytes that may still be compressed in this turn.
    deflatable: Rc<Cell<usize>>,
    /// Bytes inflated in this turn.
    inflated: usize,
    /// Streams whose session has ended and that still have a close frame to deliver.
    lingering: Slab<Lingering>,
    /// Lingering streams with more to read than one turn's share.
    linger_unread: VecDeque<Token>,
    /// The times at which lingering streams are given up, in order; some of the streams have gone
    /// before.
    linger_ends: VecDeque<(Timestamp, u32, u32)>,
    /// Connections between two requests.
    resting: Resting,
    /// Answers whose session has ended and that are still to be read, with the times at which each
    /// is given up.
    parting: VecDeque<(Timestamp, Arc<Flights>)>,
    eviction: Eviction,
    /// Sessions with a full outbox, and those whose app server asked what waits; by slot.
    watches: HashMap<u32, Watch>,
    /// The time of the next check of slow clients; `None` while there are none.
    slow_due: Option<Timestamp>,
    orphans: Orphans,
    /// Sessions that wait for an app server.
    homes: Homes,
    /// Sessions that go to other nodes.
    departures: Departures,
    /// Sessions that come from other nodes.
    arrivals: Arrivals,
    /// What app servers have lately done to sockets, by hub.
    lately: HashMap<u16, Lately>,
    /// What the kept requests of many sessions have in common.
    interner: Interner,
    drain: Option<DrainPace>,
    rng: StdRng,
    /// One read buffer for all streams of the shard.
    scratch: Box<[u8]>,
    /// Reused lists: frames of one write, and events of one wake.
    gathered: Vec<Bytes>,
    readiness: Vec<Readiness>,
}

/// A shard's view of one trunk.
#[derive(Debug)]
struct ShardTrunk {
    trunk: Arc<Trunk>,
    config: Rc<EngineConfig>,
    /// The app's options, if they have changed since `Hello`.
    settings: Option<Arc<EngineSettings>>,
    /// The compressor, if the app wants messages to be compressed.
    deflate: Option<Rc<Deflate>>,
    /// Frames of this turn, pushed to the trunk when the turn ends.
    out: BytesMut,
    /// The weight of the messages among them.
    out_weight: u64,
    /// Sessions and posts that wait for credit, first come first.
    waiting: VecDeque<Waiting>,
    /// The app server's numbers for namespaces, as this hub's switchboard knows them.
    namespaces: HashMap<u32, NamespaceKey>,
    /// The numbers of the app server's broadcasts; `None` without connection state recovery and for
    /// an app server whose sessions never move.
    feed: Option<Feed>,
    /// Sessions of other app servers that it was asked to take over and has not answered.
    adopting: usize,
}

#[derive(Debug)]
struct Lingering {
    generation: u32,
    stream: Stream,
    /// Set when the client has ended its side.
    ended: bool,
}

const SCRATCH_BYTES: usize = 64 * 1024;

/// Bytes of messages that one turn compresses for WebSockets: some milliseconds of work.
const DEFLATED_PER_TURN: usize = 64 * 1024;

impl Shard {
    fn new(
        (index, shards): (u8, u32),
        env: Arc<Environment>,
        rng: StdRng,
        poller: Poller,
        ring: Option<Ring>,
    ) -> Self {
        let mut shard = Self {
            index,
            shards,
            env,
            now: Timestamp::ORIGIN,
            memory_full: false,
            slots: Slots::default(),
            next_generation: 0,
            boards: Vec::new(),
            recoveries: Vec::new(),
            tokens: Tokens::default(),
            recoveries_due: Timestamp::ORIGIN,
            trunks: HashMap::new(),
            timers: Timers::default(),
            dirty: Vec::new(),
            backlog: Backlog::default(),
            slice_bytes: 0,
            ring,
            jobs: Vec::new(),
            delivered: 0,
            sent: SentCounts::default(),
            poller,
            unread: VecDeque::new(),
            meters: Meters::default(),
            flows: Flows::default(),
            newcomers: Newcomers::default(),
            quantum: SCRATCH_BYTES,
            heavy: VecDeque::new(),
            heavy_at: Timestamp::ORIGIN,
            deflatable: Rc::new(Cell::new(DEFLATED_PER_TURN)),
            inflated: 0,
            lingering: Slab::new(),
            linger_unread: VecDeque::new(),
            linger_ends: VecDeque::new(),
            resting: Resting::default(),
            parting: VecDeque::new(),
            eviction: Eviction::default(),
            watches: HashMap::new(),
            slow_due: None,
            orphans: Orphans::default(),
            homes: Homes::default(),
            departures: Departures::default(),
            arrivals: Arrivals::default(),
            lately: HashMap::new(),
            interner: Interner::default(),
            drain: None,
            rng,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            gathered: Vec::new(),
            readiness: Vec::new(),
        };
        let hubs = shard.env.directory.hubs().count();
        shard.make_room_for(hubs);
        shard
    }

    /// Makes what each of so many hubs has.
    fn make_room_for(&mut self, hubs: usize) {
        while self.boards.len() < hubs {
            self.boards.push(Switchboard::new(self.rng.random()));
            // Unique among all shards of all nodes for as long as clients may return.
            let id = format!("{:016x}", self.rng.random::<u64>());
            // The shards share the packets themselves; the limit is for what each shard keeps in
            // addition.
            self.recoveries.push(recovery::Log::new(&id, self.env.limits.recovery_bytes_max));
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Arrived(_) | Command::Stop => (), // Handled by the loop.
            Command::TrunkUp(trunk, known) => {
                self.trunk_up(trunk);
                // The trunk may have ended by now; the shard receives a command for that.
                let _ = known.send(());
            }
            Command::TrunkDown { trunk, remains } => self.trunk_down(trunk, &remains),
            Command::Past(reply) => {
                // The requester may have ended since.
                let _ = reply.send(());
            }
            Command::Pulse(pulse) => pulse.answer(),
            Command::Batch { trunk, frames, credit } => {
                self.handle_batch(trunk, frames);
                // One flush per batch: messages that the app wrote together are sent together.
                self.settle_dirty();
                self.backlog.push_credit(credit);
            }
            Command::CreditReturned { trunk, reply } => {
                // A trunk that has ended does not need it.
                let _ = reply.send(self.resume_paused(trunk));
            }
            Command::Poll { asked, poll, reply } => self.poll(&asked, poll, reply),
            Command::PollGone { sid, poll } => self.poll_gone(&sid, poll),
            Command::PollBack { sid, poll } => self.poll_back(&sid, poll),
            Command::PostBegin { asked, reply } => self.post_begin(asked, reply),
            Command::Post(post) => self.post(post),
            Command::PostBody { key, binary, body, reply } => {
                self.post_body(key, binary, body, reply);
            }
            Command::PostGone { key, fault } => self.post_gone(key, fault),
            Command::Inspect { asked, reply } => {
                // A requester that has gone does not need the answer.
                let _ = reply.send(self.inspect(&asked).map_err(Answer::Refused));
            }
            Command::Adopt { key, stream } => self.adopt(key, stream),
            Command::Probe { key, base64_only, stream } => {
                self.adopt_probe(key, base64_only, stream);
            }
            Command::ForeignProbe(foreign) => self.take_foreign_probe(*foreign),
            Command::HandshakeGone { key, poll } => self.handshake_gone(key, poll),
            Command::Move { key, step } => self.move_step(key, step),
            Command::Restore(request) => self.restore(&request),
            Command::GiveBack(back) => {
                self.recoveries[usize::from(back.hub)].release(&back.nsp, &back.pid);
            }
            Command::Settings(trunk, settings) => self.settings_changed(trunk, settings),
            Command::Rest { socket, from, permit, span } => {
                self.rest((socket, from, permit), span);
            }
            Command::Token(command) => self.token_command(*command),
            Command::Drain(deadline) => self.begin_drain(deadline),
            Command::Reloaded(changes) => self.reloaded(&changes),
        }
    }

    fn trunk_up(&mut self, trunk: Arc<Trunk>) {
        // Nothing of a hub comes before its first app server.
        self.make_room_for(usize::from(trunk.hub.number) + 1);
        let config = Rc::new(opening::engine_config(&trunk.settings, &self.env.limits));
        let deflate = opening::compressor(&trunk.settings, &self.deflatable);
        let is_numbered = trunk.own.moves || trunk.settings.connection_state_recovery.is_some();
        let feed = is_numbered
            .then(|| self.recoveries[usize::from(trunk.hub.number)].source_up(&trunk.server_id));
        self.trunks.insert(
            trunk.number,
            ShardTrunk {
                trunk,
                config,
                settings: None,
                deflate,
                out: BytesMut::new(),
                out_weight: 0,
                waiting: VecDeque::new(),
                namespaces: HashMap::new(),
                feed,
                adopting: 0,
            },
        );
    }

    /// Changes the settings for sessions that are accepted from now on.
    fn settings_changed(&mut self, trunk: TrunkNumber, settings: Arc<EngineSettings>) {
        if let Some(shard_trunk) = self.trunks.get_mut(&trunk) {
            shard_trunk.config = Rc::new(opening::engine_config(&settings, &self.env.limits));
            shard_trunk.settings = Some(settings);
        }
    }

    fn mark_dirty(&mut self, slot: u32) {
        if let Some(entry) = self.slots.get_mut(slot)
            && !entry.dirty
        {
            entry.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Like `mark_dirty`, for one of the many receivers of a broadcast: a later slice may flush it.
    fn mark_for_later(&mut self, slot: u32) {
        // The backlog may hold slots that were flushed since; `pop` skips them. It must not fill up
        // with them.
        if self.backlog.slots() > 2 * self.slots.len() {
            self.mark_dirty(slot);
            return;
        }
        if let Some(entry) = self.slots.get_mut(slot)
            && !entry.dirty
            && !entry.backlogged
        {
            entry.backlogged = true;
            self.backlog.push(slot);
        }
    }

    /// The slot of a key, if the same session is still in it.
    fn slot(&mut self, key: SlotKey) -> Option<&mut Slot> {
        self.slots.of(key)
    }

    fn live(&mut self, key: SlotKey) -> Option<&mut Live> {
        self.slot(key).and_then(Slot::live)
    }

    /// Lets `act` change the live session in a slot, which is flushed when the turn ends. `None`
    /// when there is none.
    fn with<T>(&mut self, index: u32, act: impl FnOnce(&mut Live, Timestamp) -> T) -> Option<T> {
        let now = self.now;
        let done = act(self.slots.live(index)?, now);
        self.mark_dirty(index);
        Some(done)
    }

    /// Like [`Self::with`], for the session of a key, if it is still in its slot.
    fn with_key<T>(
        &mut self,
        key: SlotKey,
        act: impl FnOnce(&mut Live, Timestamp) -> T,
    ) -> Option<T> {
        self.slot(key)?;
        self.with(key.slot, act)
    }

    fn key_of(&self, index: u32, slot: &Slot) -> SlotKey {
        SlotKey::here(self.index, index, slot.generation)
    }
}
