//! What the swarm asks of a scenario.

use super::Swarm;
use crate::meter::Meter;
use crate::out::Out;
use crate::session::Message;
use crate::wire::{Command, Line, WorkerReport};

/// What a scenario does inside a worker. All calls come from the worker's one loop.
pub(crate) trait Scenario {
    /// A client was shown a message; what is appended to `out` goes back to the server.
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

    /// The parent wants something.
    fn command(&mut self, _command: &Command, _now_ns: u64, _swarm: &mut Swarm) {}

    /// Once per loop: lines for the parent go into `lines`; says when to be called again at the latest.
    fn turn(&mut self, _now_ns: u64, _swarm: &mut Swarm, _lines: &mut Vec<Line>) -> u64 {
        u64::MAX
    }

    /// True when nothing is outstanding any more.
    fn is_drained(&self, _swarm: &Swarm) -> bool {
        true
    }

    /// Operations so far, for the progress line.
    fn operations(&self) -> u64 {
        0
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport);
}
