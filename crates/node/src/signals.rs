//! SIGTERM and SIGINT, counted: the first asks the node to end, the second to hurry. SIGHUP ends
//! only `trunkline dev`.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Mode;

/// Catches the signals as soon as it exists, so that none is lost during start-up.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Whether SIGHUP ends the node: the developer's terminal is closed, so nothing else could stop
    /// it.
    hangup_ends: bool,
}

impl Signals {
    /// Catches the signals; needs the runtime that will wait for them.
    pub(crate) fn catch(mode: Mode) -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { terminate, interrupt, hangup, hangup_ends: mode == Mode::Dev })
    }

    /// Waits for the next signal and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    if self.hangup_ends {
                        return "SIGHUP";
                    }
                    tracing::warn!(
                        "SIGHUP is ignored: there is no reload; restart the node for new keys or settings"
                    );
                }
            }
        }
    }
}
