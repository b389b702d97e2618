//! The shard's loop: waits for whatever comes first, takes a turn, and again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task;
use tokio::time::{Instant, sleep_until};
use trunkline_clock::Timestamp;

use super::{Command, Shard, streams};
use crate::http;

/// Commands of one turn.
const COMMANDS_MAX: usize = 64;

/// Runs until `Command::Stop`. Must run inside a `LocalSet`.
pub(crate) async fn run(
    shard: Rc<RefCell<Shard>>,
    mut inbox: Receiver<Command>,
    door: http::Door,
) -> std::io::Result<()> {
    let events = streams::watch(shard.borrow().poller.handle()?)?;
    let kick = Rc::clone(&shard.borrow().kick);
    let mut commands = Vec::with_capacity(COMMANDS_MAX);
    loop {
        let (wake_at, unread) = {
            let shard = shard.borrow();
            (shard.wake_at(), shard.has_unread())
        };
        tokio::select! {
            received = inbox.recv_many(&mut commands, COMMANDS_MAX) => {
                if received == 0 {
                    return Ok(());
                }
                if !take_commands(&shard, &mut commands, &door) {
                    return Ok(());
                }
            }
            ready = events.readable() => {
                let mut ready = ready?;
                let mut shard = shard.borrow_mut();
                shard.begin_turn();
                if !shard.handle_readiness()? {
                    ready.clear_ready();
                }
                shard.finish_turn();
            }
            () = kick.notified() => (),
            () = sleep_until(wake_at.unwrap_or_else(far)), if wake_at.is_some() => {
                let mut shard = shard.borrow_mut();
                shard.begin_turn();
                shard.serve_timers();
                shard.finish_turn();
            }
            () = task::yield_now(), if unread => {
                let mut shard = shard.borrow_mut();
                shard.begin_turn();
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

/// False when the shard is to stop.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are the shard's own")]
fn take_commands(
    shard: &Rc<RefCell<Shard>>,
    commands: &mut Vec<Command>,
    door: &http::Door,
) -> bool {
    let mut shard_now = shard.borrow_mut();
    shard_now.begin_turn();
    for command in commands.drain(..) {
        match command {
            Command::Accepted { stream, address, permit } => {
                door.serve(stream, address, permit);
            }
            Command::Inside { hub, stream } => door.serve_inside(hub, stream),
            Command::Stop => return false,
            command => shard_now.handle(command),
        }
    }
    shard_now.finish_turn();
    true
}

impl Shard {
    fn has_unread(&self) -> bool {
        !self.unread.is_empty() || !self.linger_unread.is_empty()
    }

    fn wake_at(&self) -> Option<Instant> {
        let at = [self.timers.next(), self.paced_deadline()].into_iter().flatten().min()?;
        Some(Instant::from_std(self.origin + at.since(Timestamp::ORIGIN)))
    }

    fn serve_timers(&mut self) {
        while let Some((tick, slots)) = self.timers.pop_due(self.now) {
            for index in slots {
                self.timer_fired(index, tick);
            }
        }
        self.go_on_closing();
    }
}
