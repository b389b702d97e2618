//! The round trip of a link, and how long to wait before a piece is sent again.

use core::time::Duration;

const RESEND_MIN: Duration = Duration::from_millis(20);
const RESEND_MAX: Duration = Duration::from_secs(1);
/// Before anything is measured.
const RESEND_FIRST: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt(Option<Duration>);

impl Rtt {
    pub(crate) const fn smoothed(self) -> Option<Duration> {
        self.0
    }

    /// Takes a measurement of a piece that was sent once.
    pub(crate) fn measure(&mut self, sample: Duration) {
        self.0 = Some(self.0.map_or(sample, |old| (old * 7 + sample) / 8));
    }

    /// The time until a piece that was sent so often is sent again.
    pub(crate) fn resend_after(self, sends: u32) -> Duration {
        let first = self.0.map_or(RESEND_FIRST, |smoothed| (smoothed * 3).max(RESEND_MIN));
        first.saturating_mul(1 << sends.saturating_sub(1).min(10)).min(RESEND_MAX.max(first))
    }
}
