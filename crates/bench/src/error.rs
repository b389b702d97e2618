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
    /// The target is not on this machine and nobody said that this is wanted.
    #[error("{0} is not a loopback address; give --i-own-this-server to load it nevertheless")]
    NotLoopback(String),
    /// What was waited for does not come, and nothing else either.
    #[error("nothing arrived for {0} s while {1}")]
    Stalled(u64, &'static str),
    /// The hard time limit.
    #[error("time limit of {0} s reached while {1}")]
    TimeLimit(u64, &'static str),
    /// A worker process ended or spoke nonsense.
    #[error("worker {0} ended early")]
    WorkerGone(usize),
    /// A line between parent and worker was not understood.
    #[error("a line between parent and worker was not understood")]
    Line(#[from] serde_json::Error),
}

impl From<rustix::io::Errno> for BenchError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl BenchError {
    /// Whether the workers can still tell what there was until then.
    pub(crate) fn leaves_a_report(&self) -> bool {
        matches!(self, Self::Interrupted(_) | Self::Stalled(..) | Self::TimeLimit(..))
    }

    /// Whether other arguments would help, and nothing else.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(self, Self::Argument(_) | Self::NoVictim | Self::NotLoopback(_))
    }
}
