//! A shard with its app servers and clients.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;
use trunkline_token::{Names, Secret};
use trunkline_trunk::settings::{EngineSettings, OwnSettings};

use super::app::App;
use super::client::{Client, ClientKind};
use super::wire::Wire;
use crate::HubConfig;
use crate::changing::{Changing, Shared};
use crate::cluster::{Cluster, Inputs};
use crate::compressor::Compressor;
use crate::entrance::Streams;
use crate::environment::Environment;
use crate::gate::{AddressRules, Gate};
use crate::hub::{Directory, Hub, HubLimits, Origin, Trunk};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::metrics::{Carrier, Ending, Metrics, Outcome};
use crate::numbers::Numbers;
use crate::peer::PortKind;
use crate::shard::Shard;
use crate::shard::command::Command;
use crate::shard::poller::Poller;
use crate::shard::slot::{Live, Slot, State};
use crate::sid::Sid;

/// Turns after which a shard that always has something to do counts as stuck in a loop.
const TURNS_MAX: usize = 20_000;

thread_local! {
    static HEAP_BYTES: Cell<usize> = const { Cell::new(0) };
}

pub(super) struct World {
    pub(super) shard: Shard,
    pub(super) env: Arc<Environment>,
    pub(super) now: Timestamp,
    pub(super) hub: Arc<Hub>,
    pub(super) settings: EngineSettings,
    /// What the SDKs of app servers say about their trunks from now on.
    pub(super) own: OwnSettings,
    /// Where app servers come from, from now on.
    pub(super) origin: Origin,
    pub(super) streams: Arc<Streams>,
    pub(super) wires: Vec<Wire>,
    pub(super) apps: Vec<Arc<Trunk>>,
    pub(super) polls: u32,
    /// The window on which clients with WebSockets agree from now on.
    pub(super) deflate_window: Option<u8>,
    /// The properties of clients from now on.
    pub(super) kind: ClientKind,
    /// Set while the invariants are not checked: during the many steps before the one that counts.
    unchecked: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_, _| ())
    }

    /// A world with other limits, or with an app that has other options.
    pub(super) fn with(change: impl FnOnce(&mut Limits, &mut EngineSettings)) -> Self {
        Self::of_shard((0, 1), change)
    }

    /// A world whose shard is one of several.
    pub(super) fn of_shard(
        place: (u8, u32),
        change: impl FnOnce(&mut Limits, &mut EngineSettings),
    ) -> Self {
        Self::build(place, Numbers::new(Some(7)), None, change)
    }

    /// A world whose node has not joined its cluster yet.
    pub(super) fn joining() -> Self {
        Self::build((0, 1), Numbers::new(None), None, |_, _| ())
    }

    /// A world whose node has this number in its cluster, and what its shard gives to the cluster.
    pub(super) fn of_node(
        number: u16,
        change: impl FnOnce(&mut Limits, &mut EngineSettings),
    ) -> (Self, Inputs) {
        let (cluster, inputs) = Cluster::new();
        let numbers = Numbers::new(Some(number));
        (Self::build((0, 1), numbers, Some(cluster), change), inputs)
    }

    /// A world whose node has not joined its cluster yet, and what its shard gives to the cluster.
    pub(super) fn clustered(
        place: (u8, u32),
        change: impl FnOnce(&mut Limits, &mut EngineSettings),
    ) -> (Self, Inputs) {
        let (cluster, inputs) = Cluster::new();
        (Self::build(place, Numbers::new(None), Some(cluster), change), inputs)
    }

    /// Gives up chance: what the node chooses at random from now on follows from this number.
    pub(super) fn seed(&mut self, seed: u64) {
        self.shard.rng = StdRng::seed_from_u64(seed);
        self.hub.seed(seed);
    }

    /// Whether the invariants are checked after each step.
    pub(super) fn set_checked(&mut self, checked: bool) {
        self.unchecked = !checked;
    }

    fn build(
        (index, shards): (u8, u32),
        numbers: Numbers,
        cluster: Option<Cluster>,
        change: impl FnOnce(&mut Limits, &mut EngineSettings),
    ) -> Self {
        let (mut limits, mut settings) = (Limits::default(), EngineSettings::default());
        change(&mut limits, &mut settings);
        HEAP_BYTES.set(0);
        let config = HubConfig {
            name: "chat".into(),
            keys: vec![Secret::new("key")],
            limits: HubLimits::of(&limits),
            ..HubConfig::default()
        };
        let metrics = Metrics::default();
        let gate = Arc::new(Gate::new(&AddressRules::default(), &limits));
        let streams = Streams::new(PortKind::Public, &limits, &gate, metrics.clone());
        let env = Arc::new(Environment {
            node_id: "node".into(),
            numbers,
            version: "test",
            directory: Directory::new(&[config], "chat", 0),
            io_uring: false,
            memory: Memory::new(limits.memory_bytes_max, || HEAP_BYTES.get()),
            compressor: Compressor::start(0, metrics.clone()).expect("no thread is needed"),
            gate,
            limits: Changing::new(limits),
            metrics,
            names: Shared::new(Names::of_listener(([127, 0, 0, 1], 80).into())),
            side_doors: Vec::new(),
            trunk_port: false,
            voucher: None,
            cluster,
            sessions: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            origin: Instant::now(),
        });
        let hub = env.directory.by_name("chat").expect("the only one");
        Self::around((index, shards), env, hub, streams, settings)
    }

    /// Another shard of the same node.
    pub(super) fn beside(&self, index: u8) -> Self {
        let (env, hub) = (Arc::clone(&self.env), Arc::clone(&self.hub));
        let (streams, settings) = (Arc::clone(&self.streams), self.settings.clone());
        let shards = u32::try_from(env.sessions.len()).expect("few");
        Self { unchecked: true, ..Self::around((index, shards), env, hub, streams, settings) }
    }

    fn around(
        place: (u8, u32),
        env: Arc<Environment>,
        hub: Arc<Hub>,
        streams: Arc<Streams>,
        settings: EngineSettings,
    ) -> Self {
        let rng = StdRng::seed_from_u64(42 + u64::from(env.numbers.present().unwrap_or_default()));
        Self {
            shard: Shard::new(place, Arc::clone(&env), rng, Poller::ByHand, None),
            env,
            now: Timestamp::from_micros(1_000_000),
            hub,
            settings,
            own: OwnSettings::default(),
            origin: Origin::Inside,
            streams,
            wires: Vec::new(),
            apps: Vec::new(),
            polls: 0,
            deflate_window: None,
            kind: ClientKind::default(),
            unchecked: false,
        }
    }

    // Time and turns.

    /// Lets time pass, and handles everything that becomes due.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..TURNS_MAX {
            let Some(at) = self.shard.wake_at().filter(|at| *at <= until) else {
                self.now = until;
                return self.run();
            };
            self.now = self.now.max(at);
            self.run();
        }
        panic!("the shard wakes up again and again");
    }

    /// Takes one turn with whatever there is to do.
    pub(super) fn take_one_turn(&mut self) {
        if self.shard.is_behind() {
            self.shard.settle_slice();
        }
        self.shard.begin_turn(self.now);
        let events: Vec<_> = self.wires.iter().filter_map(Wire::take_event).collect();
        for event in events {
            self.shard.stream_ready(event);
        }
        self.shard.serve_timers();
        self.shard.read_unread();
        self.shard.read_heavy(|| self.now);
        self.shard.discard_unread();
        self.shard.finish_turn();
    }

    /// Whether the shard has something to do now.
    pub(super) fn has_work(&self) -> bool {
        self.shard.wake_at().is_some_and(|at| at <= self.now)
            || self.wires.iter().any(Wire::has_event)
            || self.shard.is_behind()
            || self.shard.has_unread()
    }

    /// Takes turns until nothing is left to do.
    pub(super) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.has_work() {
                self.wires.retain(|wire| !wire.is_forgotten());
                if !self.unchecked {
                    self.check();
                }
                return;
            }
            self.take_one_turn();
        }
        panic!("the shard finds no rest");
    }

    /// Opens this many clients with WebSockets, each with a socket `s<place>` in the namespace `/`.
    pub(super) fn many(&mut self, app: &App, count: usize) -> Vec<Client> {
        self.unchecked = true;
        let clients: Vec<_> = (0..count).map(|_| self.websocket(app)).collect();
        for (place, client) in clients.iter().enumerate() {
            self.app_attaches(app, client, &format!("s{place}"), &[]);
        }
        self.unchecked = false;
        self.check();
        clients
    }

    pub(super) fn tell(&mut self, command: Command) {
        self.shard.take_turn(self.now, command);
        self.run();
    }

    /// Sets the number of bytes of heap that count as used.
    pub(super) fn set_heap_bytes(&mut self, bytes: usize) {
        HEAP_BYTES.set(bytes);
    }

    // What is counted.

    pub(super) fn sessions(&self, transport: &'static str) -> i64 {
        self.env.metrics.sessions.get_or_create(&Carrier { transport }).get()
    }

    pub(super) fn handshakes(&self, outcome: &'static str) -> u64 {
        let outcome = Outcome { outcome };
        self.env.metrics.handshakes.get_or_create(&outcome).get()
    }

    pub(super) fn upgrades(&self, outcome: &'static str) -> u64 {
        self.env.metrics.upgrades.get_or_create(&Outcome { outcome }).get()
    }

    pub(super) fn closed(&self, reason: CloseReason) -> u64 {
        self.env.metrics.sessions_closed.get_or_create(&Ending::of(reason)).get()
    }

    pub(super) fn slots(&self) -> usize {
        self.shard.slots.len()
    }

    pub(super) fn live(&self, client: &Client) -> Option<&Live> {
        let slot = self.shard.slots.get(client.key.slot)?;
        match &slot.state {
            State::Live(live) if client.key.is_of(slot) => Some(live),
            State::Live(_) | State::Opening(_) | State::Arriving(_) | State::Ended => None,
        }
    }

    /// Whether a session has this id here.
    pub(super) fn has_session(&self, sid: &str) -> bool {
        let is_it = |index: u32, slot: &Slot| {
            let State::Live(live) = &slot.state else { return false };
            let custom = live.extra.as_ref().and_then(|extra| extra.custom_sid.as_deref());
            let node = self.env.numbers.present().unwrap_or_default();
            let own = Sid { node, shard: 0, slot: index, secret: slot.secret };
            live.session.is_open() && custom.map_or(own.encode() == sid, |custom| custom == sid)
        };
        self.shard.slots.iter().any(|(index, slot)| is_it(index, slot))
    }
}
