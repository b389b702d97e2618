//! What can end a run early.

/// Why a run ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// An argument is unknown or malformed.
    #[error("{0}")]
    Argument(String),
    /// The operating system refused something.
    #[error("system call failed")]
    Io(#[from] std::io::Error),
    /// Ctrl-C.
    #[error("interrupted while {0}")]
    Interrupted(&'static str),
    /// No client got through the handshake.
    #[error("no client could connect: {0}")]
    NobodyJoined(String),
    /// `reconnect` without an app server to kill.
    #[error("reconnect needs --kill PID, the app server to kill")]
    NoVictim,
    /// The target is not on this machine, and the option that allows this is missing.
    #[error("{0} is not a loopback address; give --i-own-this-server to load it nevertheless")]
    NotLoopback(String),
    /// An awaited event does not come, and nothing else comes either.
    #[error("nothing arrived for {0} s while {1}")]
    Stalled(u64, &'static str),
    /// The run exceeded its time limit.
    #[error("time limit of {0} s reached while {1}")]
    TimeLimit(u64, &'static str),
    /// A worker process ended or sent an invalid line.
    #[error("worker {0} ended early")]
    WorkerGone(usize),
    /// A line between parent and worker could not be parsed.
    #[error("a line between parent and worker was not understood")]
    Line(#[from] serde_json::Error),
}

impl From<rustix::io::Errno> for BenchError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl BenchError {
    /// Whether the workers can still report their results so far.
    pub(crate) fn leaves_a_report(&self) -> bool {
        matches!(self, Self::Interrupted(_) | Self::Stalled(..) | Self::TimeLimit(..))
    }

    /// Whether the cause is only a wrong argument.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(self, Self::Argument(_) | Self::NoVictim | Self::NotLoopback(_))
    }
}
