//! The limit of open files: each stream takes one file descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use trunkline_edge::Limits;

/// Descriptors that are not streams: standard ones, listeners, the log, and some for libraries.
const RESERVE: u64 = 64;
/// Poll and wake descriptors of one shard thread.
const RESERVE_PER_THREAD: u64 = 8;
/// A limit below this number of streams is worth a warning.
const FEW: usize = 10_000;
const RAISE: &str = "raise the hard limit of open files (`ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= for containers)";

/// How many streams this process may hold at once. `None`: the system sets no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StreamsPossible(pub(crate) Option<u64>);

/// Raises the soft limit to the hard limit, and returns what that allows.
pub(crate) fn raise_limit(threads: usize) -> StreamsPossible {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    let limit = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => before.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            before.current
        }
    };
    StreamsPossible(limit.map(|limit| streams_within(limit, threads as u64)))
}

fn streams_within(descriptors: u64, threads: u64) -> u64 {
    descriptors.saturating_sub(RESERVE + RESERVE_PER_THREAD.saturating_mul(threads))
}

impl StreamsPossible {
    /// Lowers `streams_max` to what the system allows, and logs how to get more. `trunk_port`:
    /// whether app servers have a port of their own.
    pub(crate) fn apply(self, limits: &mut Limits, trunk_port: bool) {
        let wanted = limits.streams_max;
        let Some(possible) = self.0 else {
            tracing::info!("this process may hold any number of streams");
            return;
        };
        limits.fit_streams(possible, trunk_port);
        let streams_max = limits.streams_max;
        if streams_max == wanted {
            tracing::info!(streams_max, "this process may hold {possible} streams");
        } else if streams_max < FEW {
            tracing::warn!(streams_max, "this process may hold few streams: {possible}; {RAISE}");
        } else {
            tracing::info!(
                streams_max,
                "this process may hold {possible} streams; for more {RAISE}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_ourselves() {
        for (descriptors, threads, streams) in
            [(1024, 2, 944), (64, 1, 0), (1_048_576, 0, 1_048_512)]
        {
            assert_eq!(streams_within(descriptors, threads), streams);
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_limit(1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
