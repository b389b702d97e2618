//! SIGTERM and SIGINT, counted: the first asks to end, the second to hurry. SIGHUP is not one of them.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Mode;

/// Catches the signals from its making on, so that none is lost during start-up.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// The terminal of a developer is closed: nobody is left to stop the node.
    hangup_ends: bool,
}

impl Signals {
    /// Needs the runtime that will wait for them.
    pub(crate) fn catch(mode: Mode) -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { terminate, interrupt, hangup, hangup_ends: mode == Mode::Dev })
    }

    /// The name of the next one that asks to end.
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
