//! A shard, as the tasks of its own thread see it.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;

use super::Shard;
use super::command::{Command, SlotKey};
use super::opening::OpenRequest;
use super::poller::Poller;
use super::uring::Ring;
use crate::environment::Environment;

/// A shard, its clock, and the notice that wakes its loop. The loop and the HTTP tasks borrow the
/// shard for one step at a time and never across an await.
#[derive(Debug)]
pub(crate) struct LocalShard {
    shard: RefCell<Shard>,
    index: u8,
    env: Arc<Environment>,
    /// Wakes the loop when a task has set an earlier deadline or left input to read.
    pub(super) kick: Notify,
}

impl LocalShard {
    /// Builds the shard on the thread that will run it.
    pub(crate) fn start(index: u8, shards: u32, env: Arc<Environment>) -> io::Result<Self> {
        let ring = env.io_uring.then(Ring::new).transpose().unwrap_or_else(|error| {
            tracing::info!(shard = index, %error, "no io_uring here: streams are written one by one");
            None
        });
        let rng = StdRng::from_os_rng();
        let shard = Shard::new((index, shards), Arc::clone(&env), rng, Poller::new()?, ring);
        Ok(Self { shard: RefCell::new(shard), index, env, kick: Notify::new() })
    }

    pub(crate) fn index(&self) -> u8 {
        self.index
    }

    pub(super) fn env(&self) -> &Arc<Environment> {
        &self.env
    }

    pub(super) fn borrow(&self) -> RefMut<'_, Shard> {
        self.shard.borrow_mut()
    }

    /// One command, alone in its turn.
    pub(crate) fn take_turn(&self, command: Command) {
        self.borrow().take_turn(self.env.now(), command);
        self.kick.notify_one();
    }

    /// Gives a handshake to an app server, see [`Shard::open`].
    pub(crate) fn open(&self, open: OpenRequest) -> Option<Rc<Cell<SlotKey>>> {
        let key = self.borrow().open(self.env.now(), open);
        self.kick.notify_one();
        key
    }
}
