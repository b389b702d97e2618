//! SIGTERM and SIGINT, counted: the first asks to end, the second to hurry.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Catches both signals from its making on, so that none is lost during start-up.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Needs the runtime that will wait for them.
    pub(crate) fn catch() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
