//! Whether this node keeps up with what NATS sends. NATS cuts off a client that does not, as a *slow consumer*,
//! without a word to it: so the node itself has to know.

use core::time::Duration;

use tokio::time::Instant;

/// The interval of looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// A look that comes later than this was kept from its time: the process or its thread did not run.
const STALL_MIN: Duration = Duration::from_secs(1);
/// The time for which a stall may be the cause of what follows: NATS waits for a client for 10 s at most.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Notices when this node does not run, or drops what came.
#[derive(Debug)]
pub(super) struct Pace {
    due: Instant,
    behind: Option<(Instant, Behind)>,
}

/// How this node fell behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Behind {
    Stalled(Duration),
    Dropped,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now + TICK, behind: None }
    }

    /// The time of the next look.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Looks at the clock.
    pub(super) fn look(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.due);
        if late >= STALL_MIN {
            self.behind = Some((now, Behind::Stalled(late)));
        }
        if now >= self.due {
            self.due = now + TICK;
        }
    }

    /// Messages were dropped, because they came faster than this node takes them.
    pub(super) fn dropped(&mut self, now: Instant) {
        self.behind = Some((now, Behind::Dropped));
    }

    /// Why the connection is likely to have ended now; `None`: this node has kept up.
    pub(super) fn cause_of_end(&mut self, now: Instant) -> Option<String> {
        self.look(now);
        let (at, behind) = self.behind.take()?;
        if now > at + REMEMBERED {
            return None;
        }
        let what = match behind {
            Behind::Stalled(time) => format!("did not run for {:.1} s", time.as_secs_f32()),
            Behind::Dropped => "took its messages too slowly".into(),
        };
        Some(format!("this node {what}, and NATS cuts off a slow consumer (see its max_pending)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: f32) -> Duration {
        Duration::from_secs_f32(count)
    }

    #[test]
    fn a_connection_that_ends_after_this_node_stood_still_names_that() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        // The end is noticed before the clock is looked at.
        let cause = pace.cause_of_end(start + seconds(3.25)).expect("it stood still");
        assert!(cause.contains("did not run for 3.0 s"), "{cause}");
        assert!(cause.contains("slow consumer"), "{cause}");
        // One stall ends one connection.
        assert_eq!(pace.cause_of_end(start + seconds(3.5)), None);
        // The end is noticed after it.
        pace.look(start + seconds(8.0));
        assert!(pace.cause_of_end(start + seconds(17.0)).is_some());
    }

    #[test]
    fn a_node_that_keeps_up_or_did_so_lately_is_not_the_cause() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        while now < start + seconds(20.0) {
            now = pace.due() + seconds(0.9); // A busy machine.
            pace.look(now);
        }
        assert_eq!(pace.cause_of_end(now), None);
        pace.look(pace.due() + seconds(2.0));
        now = pace.due();
        while now < start + seconds(60.0) {
            pace.look(now);
            now = pace.due();
        }
        assert_eq!(pace.cause_of_end(now), None, "that was long ago");
    }

    #[test]
    fn a_node_that_drops_what_comes_is_the_cause() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.dropped(start);
        let cause = pace.cause_of_end(start + seconds(0.1)).expect("it was too slow");
        assert!(cause.contains("too slowly"), "{cause}");
    }
}
