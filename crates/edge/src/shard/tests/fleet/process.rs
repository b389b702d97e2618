//! One life of a node: its shard, its cluster's core, and the HTTP tasks between them and the
//! balancer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trunkline_clock::Timestamp;
use trunkline_mesh::{BusEvent, ClusterKey, Config, Identity, Mesh, PeerKey, Transmit};

use super::facts::{News, Observer};
use super::tasks::{Ask, Task};
use crate::cluster::core::Core;
use crate::cluster::{Input, Inputs};
use crate::door::Site;
use crate::shard::command::Command;
use crate::shard::tests::world::World;

const KEY: &[u8] = b"a key for all of them, long enough";
/// The longest time for which something waits between two threads of a node.
const BETWEEN_THREADS: u64 = 3_000;

/// What makes a process what it is.
pub(super) struct Birth {
    pub(super) place: usize,
    pub(super) now: Timestamp,
    pub(super) seed: u64,
    /// The number that the operator gave it.
    pub(super) number: Option<u16>,
    /// Whether its threads take their time.
    pub(super) is_slow: bool,
    pub(super) checked: bool,
}

/// The process of a node.
pub(super) struct Process {
    pub(super) world: World,
    pub(super) core: Core,
    pub(super) inputs: Inputs,
    pub(super) incarnation: u64,
    /// The numbers under which it has subscribed.
    pub(super) subscribed: Vec<u16>,
    pub(super) tasks: Vec<Task>,
    pub(super) news: Arc<News>,
    /// Its clock is so far ahead of the fleet's.
    pub(super) ahead: Duration,
    /// The shards that it says it has; the last one exists.
    pub(super) shards: usize,
    is_slow: bool,
    /// Whether another node may have its number.
    is_shared: bool,
    rng: StdRng,
    to_core: VecDeque<(Timestamp, Input)>,
    to_shard: VecDeque<(Timestamp, Command)>,
    /// The last time at which it did its work.
    worked_at: Timestamp,
}

/// What a process gives to the outside.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) published: Vec<Transmit>,
}

impl Process {
    pub(super) fn new(birth: &Birth, change: impl FnOnce(&mut World)) -> Self {
        let mut rng = StdRng::seed_from_u64(birth.seed);
        let ahead = Duration::from_millis(rng.random_range(0..60_000));
        let now = birth.now + ahead;
        // Every other node has two shards, of which only the second has sessions.
        let shards = 1 + birth.place % 2;
        let place = (u8::try_from(shards - 1).unwrap(), u32::try_from(shards).unwrap());
        let (mut world, inputs) = World::clustered(place, |_, settings| {
            settings.numbers = true;
            settings.ping_interval = Duration::from_secs(8);
            settings.ping_timeout = Duration::from_secs(8);
        });
        world.now = now;
        world.seed(rng.random());
        world.own.moves = true;
        world.set_checked(birth.checked);
        change(&mut world);
        let incarnation = rng.random();
        let identity = Identity {
            cluster: "test".into(),
            node_id: format!("n{}", birth.place),
            incarnation,
            number: birth.number,
            advertise: String::new(),
            version: "1".into(),
            hubs_digest: [0; 8],
        };
        let key = ClusterKey::new(KEY.to_vec());
        let mesh = Mesh::new(now, identity, &key, Config::default(), rng.random());
        let news = Arc::default();
        let witness = Box::new(Observer(Arc::clone(&news)));
        let core = Core::new(Arc::clone(&world.env), shards, mesh, witness);
        Self {
            world,
            core,
            inputs,
            incarnation,
            subscribed: Vec::new(),
            tasks: Vec::new(),
            news,
            ahead,
            shards,
            is_slow: birth.is_slow,
            is_shared: birth.number.is_some(),
            rng,
            to_core: VecDeque::new(),
            to_shard: VecDeque::new(),
            worked_at: Timestamp::ORIGIN,
        }
    }

    /// Whether it takes new clients.
    pub(super) fn is_ready(&self) -> bool {
        let is_draining =
            self.world.env.directory.draining.load(std::sync::atomic::Ordering::Relaxed);
        self.world.env.numbers.present().is_some() && !is_draining
    }

    /// This life's name for a peer, if the peer is present for it.
    pub(super) fn knows(&self, incarnation: u64) -> Option<PeerKey> {
        let mut members = self.core.mesh().members();
        members.find(|member| member.key.incarnation == incarnation).map(|member| member.key)
    }

    /// The fleet's time at which it has something to do by itself.
    pub(super) fn wake_at(&self) -> Timestamp {
        let own = [self.world.shard.wake_at()].into_iter().flatten();
        let queued = self.to_core.front().map(|(at, _)| *at);
        let told = self.to_shard.front().map(|(at, _)| *at);
        let bodies = self.tasks.iter().filter_map(Task::wake_at);
        let all = own.chain(queued).chain(told).chain(bodies);
        let at = all.fold(self.core.deadline(), Timestamp::min);
        // Whatever it waits for, it does not turn in circles.
        at.max(self.worked_at + Duration::from_micros(100)) - self.ahead
    }

    pub(super) fn bus(&mut self, now: Timestamp, event: BusEvent) {
        self.core.handle_bus(now + self.ahead, event);
    }

    fn between_threads(&mut self) -> Duration {
        if !self.is_slow || self.rng.random_bool(0.5) {
            return Duration::ZERO;
        }
        Duration::from_micros(self.rng.random_range(0..BETWEEN_THREADS))
    }

    /// Gives a command to the shard, or to the cluster's thread, as a task does.
    pub(super) fn tell(&mut self, site: Site, command: Command) {
        match site {
            Site::Shard(_) => self.world.tell(command),
            Site::Elsewhere => self.tell_core(Input::Command(command)),
        }
    }

    pub(super) fn tell_core(&mut self, input: Input) {
        let at = self.world.now + self.between_threads();
        let last = self.to_core.back().map_or(at, |(last, _)| *last);
        self.to_core.push_back((at.max(last), input));
    }

    fn tell_shard(&mut self, command: Command) {
        let at = self.world.now + self.between_threads();
        let last = self.to_shard.back().map_or(at, |(last, _)| *last);
        self.to_shard.push_back((at.max(last), command));
    }

    /// Begins a client's request.
    pub(super) fn ask(&mut self, now: Timestamp, ask: Ask) {
        self.world.now = now + self.ahead;
        let task = Task::begin(self, ask);
        self.tasks.extend(task);
    }

    /// Does everything that can be done now.
    pub(super) fn work(&mut self, now: Timestamp) -> Output {
        let mut output = Output::default();
        let local = now + self.ahead;
        self.worked_at = local;
        self.world.now = local;
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10_000 {
            let mut busy = false;
            if self.world.has_work() {
                self.world.run();
            }
            while let Ok(input) = self.inputs.try_recv() {
                self.tell_core(input);
            }
            self.core.handle_timeout(local);
            while let Some((_, input)) = self.to_core.pop_front_if(|(at, _)| *at <= local) {
                self.core.handle(local, input);
                busy = true;
            }
            busy |= self.core.settle(local, &mut cx);
            while let Some((shard, command)) = self.core.next_for_shard() {
                // Of two nodes with one number, one may be asked for a session of the other.
                let is_right = usize::from(shard) + 1 == self.shards;
                assert!(is_right || self.is_shared, "only the last one has sessions");
                self.tell_shard(command);
            }
            while let Some((_, command)) = self.to_shard.pop_front_if(|(at, _)| *at <= local) {
                self.world.tell(command);
                busy = true;
            }
            busy |= self.serve();
            while let Some(transmit) = self.core.poll_transmit(local) {
                match transmit {
                    Transmit::Subscribe { number } => self.subscribed.push(number),
                    publish @ Transmit::Publish { .. } => output.published.push(publish),
                }
            }
            if !busy {
                return output;
            }
        }
        panic!("the node finds no rest");
    }

    /// Lets the HTTP tasks go on. Whether one did.
    fn serve(&mut self) -> bool {
        let mut any = false;
        for task in std::mem::take(&mut self.tasks) {
            let (task, did) = task.go_on(self);
            any |= did;
            self.tasks.extend(task);
        }
        any
    }
}
