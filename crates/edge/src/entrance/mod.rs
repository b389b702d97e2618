//! The entrance: what happens to a stream before a shard has it.
//!
//! Each port has an acceptor. A stream that owes nothing goes to a shard at once. A stream that
//! owes something first (the header of a proxy) is *greeted*: by threads of their own, so that no
//! shard waits for it, and bounded in number and time.

mod acceptor;
mod dealer;
mod greeter;
mod greeting;
mod listener;
mod permits;
mod proxy_header;
mod refusing;
mod reserve;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::Sender;

pub(crate) use listener::Port;
pub(crate) use permits::{StreamPermit, Streams};
pub(crate) use reserve::Claim;

use crate::StartError;
use crate::shard::Command;
use acceptor::Acceptor;
use dealer::Dealer;
use greeter::Greeters;

/// The open ports of a node.
#[derive(Debug)]
pub(crate) struct Entrance {
    ports: Vec<Port>,
    stopping: Arc<AtomicBool>,
}

impl Entrance {
    pub(crate) fn new(ports: Vec<Port>) -> Self {
        Self { ports, stopping: Arc::default() }
    }

    /// Starts to accept streams, for these shards. Returns the threads.
    pub(crate) fn open(
        &self,
        shards: &Arc<[Sender<Command>]>,
        streams: &Arc<Streams>,
    ) -> Result<Vec<JoinHandle<()>>, StartError> {
        let mut threads = Vec::new();
        for port in &self.ports {
            let dealer = Dealer::new(Arc::clone(shards), streams.metrics.clone());
            let fail = |source| StartError { what: "the greeters of streams", source };
            let greeters = if port.greets() {
                let count = Greeters::threads_for(shards.len());
                let (greeters, handles) =
                    Greeters::start(count, &dealer, &self.stopping).map_err(fail)?;
                threads.extend(handles);
                Some(greeters)
            } else {
                None
            };
            let stopping = Arc::clone(&self.stopping);
            let fail = |source| StartError { what: "the acceptor", source };
            let port = port.try_clone().map_err(fail)?;
            let acceptor = Acceptor::new(port, dealer, greeters, Arc::clone(streams));
            let handle = thread::Builder::new()
                .name("acceptor".into())
                .spawn(move || acceptor.run(&stopping))
                .map_err(fail)?;
            threads.push(handle);
        }
        Ok(threads)
    }

    /// Accepts no more streams, and gives up those that are being greeted. The threads end.
    pub(crate) fn close(&self) {
        self.stopping.store(true, Ordering::Release);
        for port in &self.ports {
            port.wake_acceptor();
        }
    }
}
