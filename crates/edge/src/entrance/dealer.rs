//! Gives streams to the shards, round-robin.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::StreamPermit;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::shard::{Arrival, Command};
use crate::socket::Socket;

/// One thread's way to the shards.
#[derive(Clone, Debug)]
pub(super) struct Dealer {
    shards: Arc<[Sender<Command>]>,
    turn: usize,
    metrics: Metrics,
}

impl Dealer {
    pub(super) fn new(shards: Arc<[Sender<Command>]>, metrics: Metrics) -> Self {
        Self { shards, turn: 0, metrics }
    }

    /// Begins with another shard, so that several threads do not all give to the same one.
    pub(super) fn starting_at(&self, turn: usize) -> Self {
        Self { turn: turn % self.shards.len(), ..self.clone() }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn deal(&mut self, socket: Socket, from: Peer, permit: StreamPermit) {
        let shard = &self.shards[self.turn];
        self.turn = (self.turn + 1) % self.shards.len();
        match shard.try_send(Command::Arrived(Arrival::Client { socket, from, permit })) {
            Ok(()) | Err(TrySendError::Closed(_)) => (),
            // The shard is behind: wait here, so that the kernel's backlog holds the other streams.
            Err(TrySendError::Full(command)) => {
                let _ = shard.blocking_send(command);
                self.metrics.acceptor_stalls.inc();
            }
        }
    }
}
