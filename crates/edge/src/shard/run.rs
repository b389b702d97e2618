//! The shard's loop: waits for the first event, takes a turn, and repeats.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task;
use tokio::time::{Instant, sleep_until};
use trunkline_clock::Timestamp;

use super::local::LocalShard;
use super::{Arrival, Command, Shard, poller};
use crate::environment::Environment;

/// The most commands of one turn.
const COMMANDS_MAX: usize = 64;
/// Messages put into outboxes after which a turn takes no more commands: well below a millisecond
/// of work.
const DELIVERIES_MAX: usize = 4096;
/// The longest time for which a stopping shard works on what earlier turns have left.
const LAST_SLICES_MAX: Duration = Duration::from_secs(1);

/// Runs until `Command::Stop`. Passes every arrival to `serve`, which spawns a task and does not
/// wait. Must run inside a `LocalSet`.
pub(crate) async fn run(
    shard: Rc<LocalShard>,
    mut inbox: Receiver<Command>,
    serve: impl Fn(Arrival),
) -> std::io::Result<()> {
    let events = poller::watch(shard.borrow().poller.handle()?)?;
    let env = Arc::clone(shard.env());
    let at = |at: Timestamp| Instant::from_std(env.origin + at.since(Timestamp::ORIGIN));
    loop {
        let awake = shard.borrow().take_awake();
        awake.into_iter().for_each(&serve);
        let (wake_at, unread) = {
            let mut shard = shard.borrow();
            if shard.is_behind() {
                shard.settle_slice();
            }
            (shard.wake_at().map(at), shard.has_unread())
        };
        if shard.borrow().is_behind() {
            // Between two slices, everything else has its chance: the tasks of this thread, and the
            // events that they and the kernel have for the shard.
            task::yield_now().await;
            let first = match inbox.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return Ok(()),
            };
            if !take_commands(&shard, first, &mut inbox, &serve) {
                return Ok(());
            }
            shard.borrow().take_all_turns(|| env.now())?;
            continue;
        }
        tokio::select! {
            first = inbox.recv() => {
                if first.is_none() || !take_commands(&shard, first, &mut inbox, &serve) {
                    return Ok(());
                }
            }
            ready = events.readable() => {
                let mut ready = ready?;
                let mut shard = shard.borrow();
                shard.begin_turn(env.now());
                if !shard.handle_readiness()? {
                    ready.clear_ready();
                }
                shard.finish_turn();
            }
            () = shard.kick.notified() => (),
            () = sleep_until(wake_at.unwrap_or_else(far)), if wake_at.is_some() => {
                let mut shard = shard.borrow();
                shard.begin_turn(env.now());
                shard.serve_timers();
                shard.read_heavy(|| env.now());
                shard.finish_turn();
            }
            () = task::yield_now(), if unread => {
                let mut shard = shard.borrow();
                shard.begin_turn(env.now());
                shard.read_unread();
                shard.discard_unread();
                shard.finish_turn();
            }
        }
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Takes one turn with the commands that the inbox has by now, within bounds. False when the shard
/// is to stop.
fn take_commands(
    shard: &LocalShard,
    first: Option<Command>,
    inbox: &mut Receiver<Command>,
    serve: &impl Fn(Arrival),
) -> bool {
    let env = shard.env();
    let mut shard = shard.borrow();
    shard.begin_turn(env.now());
    let mut next = first;
    let mut taken = 0;
    while let Some(command) = next {
        if !take(&mut shard, env, command, serve) {
            return false;
        }
        taken += 1;
        let enough = taken == COMMANDS_MAX || shard.delivered > DELIVERIES_MAX;
        next = if enough { None } else { inbox.try_recv().ok() };
    }
    shard.finish_turn();
    true
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are the shard's own")]
fn take(shard: &mut Shard, env: &Environment, command: Command, serve: &impl Fn(Arrival)) -> bool {
    match command {
        Command::Arrived(arrival) => serve(arrival),
        Command::Stop => {
            let begun = Instant::now();
            while shard.is_behind() && begun.elapsed() < LAST_SLICES_MAX {
                // One turn per slice: messages that wait to be compressed get a share of every
                // turn.
                shard.begin_turn(env.now());
                shard.settle_slice();
            }
            return false;
        }
        command => shard.handle(command),
    }
    true
}
