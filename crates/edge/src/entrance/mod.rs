//! The entrance: what happens to a stream before a shard has it.
//!
//! Each port has an acceptor. A stream that owes nothing goes to a shard at once. A stream that
//! owes something first (the header of a proxy) is *greeted*: by threads of their own, so that no
//! shard waits for it, and bounded in number and time.

mod acceptor;
mod dealer;
mod facts;
mod greeter;
mod greeting;
mod last_words;
mod listener;
mod permits;
mod proxy_header;
mod refusing;
mod reserve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::Sender;
use trunkline_tls::Certificates;

pub(crate) use listener::Port;
pub(crate) use permits::{StreamPermit, Streams};
pub(crate) use reserve::Claim;

use crate::StartError;
use crate::environment::Environment;
use crate::peer::PortKind;
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
        streams: impl Fn(PortKind) -> Arc<Streams>,
        env: &Arc<Environment>,
    ) -> Result<Vec<JoinHandle<()>>, StartError> {
        let mut threads = Vec::new();
        for port in &self.ports {
            let streams = streams(port.kind);
            let dealer = Dealer::new(Arc::clone(shards), streams.metrics.clone());
            let fail = |source| StartError { what: "the greeters of streams", source };
            let greeters = if port.greets() {
                // Trunks are few, and do not wait for the handshakes of clients.
                let count = match port.kind {
                    PortKind::Public => Greeters::threads_for(shards.len()),
                    PortKind::Trunks => 1,
                };
                let (greeters, handles) =
                    Greeters::start(count, &dealer, env, &self.stopping).map_err(fail)?;
                threads.extend(handles);
                Some(greeters)
            } else {
                None
            };
            let stopping = Arc::clone(&self.stopping);
            let fail = |source| StartError { what: "the acceptor", source };
            let port = port.try_clone().map_err(fail)?;
            let name = port.name();
            let acceptor = Acceptor::new(port, dealer, greeters, streams);
            let handle = thread::Builder::new()
                .name(name.into())
                .spawn(move || acceptor.run(&stopping))
                .map_err(fail)?;
            threads.push(handle);
        }
        Ok(threads)
    }

    /// The address of the port of this kind.
    pub(crate) fn address(&self, kind: PortKind) -> Option<SocketAddr> {
        self.ports.iter().find(|port| port.kind == kind).map(|port| port.address)
    }

    /// The certificates of the port of this kind; `None` without TLS.
    pub(crate) fn certificates(&self, kind: PortKind) -> Option<&Certificates> {
        self.ports.iter().find(|port| port.kind == kind)?.tls.as_ref()
    }

    /// Accepts no more streams, and gives up those that are being greeted. The threads end.
    pub(crate) fn close(&self) {
        self.stopping.store(true, Ordering::Release);
        for port in &self.ports {
            port.wake_acceptor();
        }
    }
}
