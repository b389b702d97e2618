//! The entrance for app servers that are parts of this process.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::Sender;

use crate::cluster::Peers;
use crate::environment::Environment;
use crate::shard::{Arrival, Command};

/// Opens trunks that never leave this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inside {
    env: Arc<Environment>,
    shards: Arc<[Sender<Command>]>,
    turn: Arc<AtomicUsize>,
}

/// The reason why a trunk inside of this process could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenInsideError {
    /// There is no such hub.
    #[error("this node serves no hub named '{0}'")]
    HubUnknown(String),
    /// No descriptor is left.
    #[error("cannot make a stream")]
    Stream(#[source] io::Error),
    /// The shard that would serve it is behind or has stopped.
    #[error("the node is too busy, or stops")]
    Unavailable,
}

impl Inside {
    pub(crate) fn new(env: &Arc<Environment>, shards: &Arc<[Sender<Command>]>) -> Self {
        let turn = Arc::new(AtomicUsize::new(0));
        Self { env: Arc::clone(env), shards: Arc::clone(shards), turn }
    }

    /// Opens a trunk of this hub and returns the app server's end: WebSocket frames from the first
    /// byte on, in non-blocking mode.
    ///
    /// Its app server is like any other, with two exceptions: it is not among the `Peers` of
    /// others, and the `path` in its settings is ignored.
    ///
    /// # Errors
    ///
    /// See [`OpenInsideError`].
    pub fn open(&self, hub: &str) -> Result<UnixStream, OpenInsideError> {
        let found = self.env.directory.enter(hub);
        let hub = found.ok_or_else(|| OpenInsideError::HubUnknown(hub.to_owned()))?;
        let (ours, theirs) = UnixStream::pair().map_err(OpenInsideError::Stream)?;
        for stream in [&ours, &theirs] {
            stream.set_nonblocking(true).map_err(OpenInsideError::Stream)?;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        self.shards[turn]
            .try_send(Command::Arrived(Arrival::Trunk { hub, socket: ours.into() }))
            .map_err(|_| OpenInsideError::Unavailable)?;
        Ok(theirs)
    }

    /// The way of side doors to those of the other nodes; `None` when this node is alone.
    #[must_use]
    pub fn peers(&self) -> Option<Peers> {
        self.env.cluster.clone().map(Peers)
    }
}
