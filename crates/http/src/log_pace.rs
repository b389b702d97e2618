//! Limits log lines that strangers can cause: one line per interval and cause, with a count.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The interval in which a repeated cause is logged.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time of the last log line of each cause. Causes are our own literals, so there are few.
#[derive(Debug, Default)]
pub struct LogPace(Mutex<HashMap<&'static str, Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl LogPace {
    /// Notes one more occurrence. `Some` when a line is due: the number of occurrences since the
    /// last line, including this one.
    pub fn note(&self, cause: &'static str, now: Instant) -> Option<u64> {
        // A panic in between leaves nothing half done.
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = causes.get_mut(cause) else {
            causes.insert(cause, Said { at: now, unsaid: 0 });
            return Some(1);
        };
        said.unsaid += 1;
        if now.duration_since(said.at) < INTERVAL {
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_at_once_then_once_per_interval_with_its_count() {
        let pace = LogPace::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let noted = [("a", 0), ("a", 1), ("b", 2), ("a", 9), ("a", 10), ("a", 11), ("a", 20)];
        let said: Vec<_> =
            noted.iter().map(|&(cause, seconds)| pace.note(cause, after(seconds))).collect();
        assert_eq!(said, [Some(1), None, Some(1), None, Some(3), None, Some(2)]);
    }
}
