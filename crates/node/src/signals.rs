//! SIGTERM and SIGINT, counted: the first asks the node to end, the second to hurry. SIGHUP asks it
//! to reload its configuration; it ends `trunkline dev`.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Mode;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    /// The end of the node; the name of the signal.
    End(&'static str),
    /// A reload.
    Reload,
}

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

    /// Waits for the next signal. Several SIGHUPs that came meanwhile are one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = self.hangup.recv() => {
                if self.hangup_ends { Asked::End("SIGHUP") } else { Asked::Reload }
            }
        }
    }

    /// Waits for the next signal that asks for the end; others are refused.
    pub(crate) async fn next_end(&mut self, refuse_reload: impl Fn()) -> &'static str {
        loop {
            match self.next().await {
                Asked::End(signal) => return signal,
                Asked::Reload => refuse_reload(),
            }
        }
    }
}
