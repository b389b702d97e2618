//! The interface between the swarm and a scenario.

use super::Swarm;
use crate::meter::Meter;
use crate::out::Out;
use crate::session::Message;
use crate::wire::{Command, Line, WorkerReport};

/// What a scenario does inside a worker. All calls come from the worker's one loop.
pub(crate) trait Scenario {
    /// Handles a client's message; bytes appended to `out` go to the server.
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, out: &mut Out);

    /// JSON for the connect packet of a client that is about to join; nothing by default.
    fn auth(&mut self, _id: u32) -> Vec<u8> {
        Vec::new()
    }

    /// A client has gone from polling to WebSocket.
    fn upgraded(&mut self, _id: u32, _now_ns: u64, _swarm: &mut Swarm) {}

    /// The latency that is shown over time, when it is not that of handshakes.
    fn meter(&mut self) -> Option<&mut Meter> {
        None
    }

    /// A joined client is gone.
    fn lost(&mut self, _id: u32, _now_ns: u64) {}

    /// Handles a command of the parent.
    fn command(&mut self, _command: &Command, _now_ns: u64, _swarm: &mut Swarm) {}

    /// Called once per loop: lines for the parent go into `lines`; returns the latest time of the
    /// next call.
    fn turn(&mut self, _now_ns: u64, _swarm: &mut Swarm, _lines: &mut Vec<Line>) -> u64 {
        u64::MAX
    }

    /// Whether nothing is outstanding.
    fn is_drained(&self, _swarm: &Swarm) -> bool {
        true
    }

    /// Operations so far, for the progress line.
    fn operations(&self) -> u64 {
        0
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport);
}
