//! The cluster's thread: waits for the first input, handles everything that is there, and repeats.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, Sleep, sleep_until};
use trunkline_clock::Timestamp;
use trunkline_mesh::{Mesh, NodeState};

use super::core::Core;
use super::{ClusterConfig, Input, Inputs, OpenBus};
use crate::environment::Environment;
use crate::shard::Command;

/// The most inputs of one kind that are handled before the outputs leave.
const INPUTS_MAX: usize = 256;
/// Commands that may wait for a shard that is behind, before requests are refused.
const WAITING_MAX: usize = 16 * 1024;
/// The time after which a shard that takes no command is tried again.
const AGAIN: Duration = Duration::from_millis(1);
/// The time in which the owners of held polls answer them.
const LAST_ANSWERS: Duration = Duration::from_millis(250);
/// The time in which the last datagrams leave: a beat may have to wait for its turn.
const LAST_WORDS: Duration = Duration::from_millis(150);

/// What the thread owns.
pub(crate) struct Parts {
    pub(crate) config: ClusterConfig,
    pub(crate) inputs: Inputs,
    pub(crate) env: Arc<Environment>,
    pub(crate) shards: Arc<[Sender<Command>]>,
}

/// Starts the thread.
pub(crate) fn spawn(parts: Parts) -> io::Result<JoinHandle<()>> {
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let handle = thread::Builder::new().name("cluster".into()).spawn(move || {
        let Parts { config, inputs, env, shards } = parts;
        let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _guard = crate::running::AbortOnPanic;
        runtime.block_on(async {
            let ClusterConfig { identity, mesh, key, seed, open, witness } = config;
            let bus = match open() {
                Ok(bus) => bus,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            let mesh = Mesh::new(env.now(), identity, &key, mesh, seed);
            let core = Core::new(Arc::clone(&env), shards.len(), mesh, witness);
            let outgoing = Outgoing::new(shards);
            let alarm = Alarm::new();
            let thread = Thread { core, bus, inputs, env, outgoing, alarm };
            // As a task: what wakes the outermost future has the runtime look at the kernel first.
            if let Err(error) = tokio::spawn(thread.run()).await {
                std::panic::resume_unwind(error.into_panic());
            }
        });
    })?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("its thread ended")),
    }
}

struct Thread {
    core: Core,
    bus: OpenBus,
    inputs: Inputs,
    env: Arc<Environment>,
    outgoing: Outgoing,
    alarm: Alarm,
}

impl Thread {
    async fn run(mut self) {
        let mut next = None;
        loop {
            if let Some(stopped) = self.take_inputs(next) {
                self.say_goodbye().await;
                let _ = stopped.send(());
                return;
            }
            self.settle().await;
            next = self.wait().await;
        }
    }

    /// Sends what waits, and that the node leaves. The bus sends within its own tasks.
    async fn say_goodbye(&mut self) {
        // First the answers: after the node's last beat nobody takes them.
        self.core.give_polls_back(self.env.now());
        let until = Instant::now() + LAST_ANSWERS;
        self.go_on_while(|core| core.relayed().asking > 0 && Instant::now() < until).await;
        self.core.handle(self.env.now(), Input::State(NodeState::Leaving));
        let until = Instant::now() + LAST_WORDS;
        self.go_on_while(|_| Instant::now() < until).await;
    }

    async fn go_on_while(&mut self, wanted: impl Fn(&Core) -> bool) {
        // Twice at least: shards may be about to answer.
        for round in 0.. {
            self.settle().await;
            if round > 0 && !wanted(&self.core) {
                return;
            }
            tokio::time::sleep(AGAIN).await;
            self.core.handle_timeout(self.env.now());
        }
    }

    /// Handles what is there. `Some`: the node leaves.
    fn take_inputs(&mut self, first: Option<Input>) -> Option<SyncSender<()>> {
        let now = self.env.now();
        self.core.handle_timeout(now);
        if self.inputs.drains() {
            self.core.handle(now, Input::State(NodeState::Draining));
        }
        let mut next = first;
        for _ in 0..INPUTS_MAX {
            match next.take().or_else(|| self.inputs.try_recv().ok()) {
                Some(Input::Stop(stopped)) => return Some(stopped),
                Some(input) => self.core.handle(now, input),
                None => break,
            }
        }
        None
    }

    /// Handles what came on the bus and from the shards, and sends what is to be sent.
    async fn settle(&mut self) {
        poll_fn(|cx| {
            self.look(cx);
            Poll::Ready(())
        })
        .await;
        while let Some((shard, command)) = self.core.next_for_shard() {
            self.outgoing.push(shard, command);
        }
        self.outgoing.flush();
        let now = self.env.now();
        while let Some(transmit) = self.core.poll_transmit(now) {
            transmit.apply(&mut *self.bus.bus);
        }
    }

    /// Whether anything came.
    fn look(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.env.now();
        let mut came = false;
        for _ in 0..INPUTS_MAX {
            let Poll::Ready(event) = self.bus.events.poll_next(cx) else { break };
            self.core.handle_bus(now, event);
            came = true;
        }
        self.core.settle(now, cx) || came
    }

    /// Waits until something is to be done.
    async fn wait(&mut self) -> Option<Input> {
        let at = self.env.origin + self.core.deadline().since(Timestamp::ORIGIN);
        let mut at = Instant::from_std(at);
        if self.outgoing.is_behind() {
            at = at.min(Instant::now() + AGAIN);
        }
        self.alarm.set(at);
        poll_fn(|cx| {
            // All of them are asked, so that each wakes this task.
            let came = self.look(cx);
            if let Poll::Ready(Some(input)) = self.inputs.poll_recv(cx) {
                return Poll::Ready(Some(input));
            }
            if came || self.alarm.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }
}

/// The timer of the thread. It is set anew only for an earlier time: most deadlines move on before
/// they are due.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now())), is_over: true }
    }

    /// Rings at this time, or before.
    fn set(&mut self, at: Instant) {
        if self.is_over || at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
            self.is_over = false;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let rings = self.sleep.as_mut().poll(cx);
        self.is_over |= rings.is_ready();
        rings
    }
}

/// Commands on their way to the shards. A shard that is behind delays none of the others.
struct Outgoing {
    shards: Arc<[Sender<Command>]>,
    waiting: Vec<VecDeque<Command>>,
}

impl Outgoing {
    fn new(shards: Arc<[Sender<Command>]>) -> Self {
        let waiting = shards.iter().map(|_| VecDeque::new()).collect();
        Self { shards, waiting }
    }

    fn push(&mut self, shard: u8, command: Command) {
        let Some(waiting) = self.waiting.get_mut(usize::from(shard)) else { return };
        let begins = matches!(
            command,
            Command::Poll { .. }
                | Command::PostBegin { .. }
                | Command::Post(_)
                | Command::Inspect { .. }
        );
        // Without its reply, the request is answered at once.
        if waiting.len() < WAITING_MAX || !begins {
            waiting.push_back(command);
        }
    }

    /// Sends what the shards take now.
    fn flush(&mut self) {
        for (shard, waiting) in self.shards.iter().zip(&mut self.waiting) {
            while let Some(command) = waiting.pop_front() {
                match shard.try_send(command) {
                    Ok(()) => (),
                    Err(TrySendError::Full(command)) => {
                        waiting.push_front(command);
                        break;
                    }
                    // The end of a shard ends the whole node.
                    Err(TrySendError::Closed(_)) => waiting.clear(),
                }
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.is_empty())
    }
}
