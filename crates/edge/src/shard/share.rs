//! What each session may have read while the window of its app server is full.
//!
//! The window ([`trunkline_trunk::Window`]) bounds how long messages wait at an app server. When it
//! is full, the sessions that have sent much in this round wait for it, and have turns of a
//! bounded number of bytes. A session that has sent little is read at once: it cannot have
//! caused the wait, and adds little to it. If there are so many of those that they alone exceed the
//! window several times, they wait like the others.

use super::SCRATCH_BYTES;
use crate::hub::Trunk;

/// What a byte of short messages weighs, about.
const SHORT_WEIGHT: i64 = 4;
/// The bytes of one unit in which a session's share is counted: 255 of them are not little.
const UNIT_BYTES: usize = 16;
/// The least and the most bytes that count as little.
const LITTLE_BYTES_MIN: usize = 256;
const LITTLE_BYTES_MAX: usize = UNIT_BYTES * u8::MAX as usize;
/// The share of the window that counts as little.
const LITTLE_SHARE: usize = 8;
/// How many windows may be under way because of sessions that send little, beyond the one for all.
const WINDOWS_BEYOND: i64 = 3;
/// The least and the most bytes of one turn of a session that sends much.
const QUANTUM_BYTES_MIN: usize = 64;
const QUANTUM_BYTES_MAX: usize = 16 * 1024;

/// What a session has sent in the present round of its app server's window: two bytes, because
/// every session has them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    round: u8,
    units: u8,
}

impl Share {
    /// Adds bytes that were read from the session's client.
    pub(super) fn add(&mut self, trunk: &Trunk, bytes: usize) {
        let round = present_round(trunk);
        if self.round != round {
            *self = Self { round, units: 0 };
        }
        let units = u8::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u8::MAX);
        self.units = self.units.saturating_add(units);
    }

    /// The bytes that may be read from the session's client now; 0 when it has to wait. `quantum`:
    /// the bytes of one turn if the session has sent much.
    pub(super) fn readable(self, trunk: &Trunk, quantum: usize) -> usize {
        let room = trunk.credit.room();
        let room_bytes = bytes_of(room);
        if room_bytes >= SCRATCH_BYTES {
            return SCRATCH_BYTES;
        }
        let window = trunk.credit.window();
        let little = bytes_of(i64::from(window)) / LITTLE_SHARE;
        let little = little.clamp(LITTLE_BYTES_MIN, LITTLE_BYTES_MAX);
        let is_of_this_round = self.round == present_round(trunk);
        if is_of_this_round && usize::from(self.units) * UNIT_BYTES >= little {
            // At least a little, as long as there is room at all.
            return if room > 0 { room_bytes.max(QUANTUM_BYTES_MIN).min(quantum) } else { 0 };
        }
        if room <= -WINDOWS_BEYOND * i64::from(window) { 0 } else { room_bytes.max(little) }
    }
}

/// The bytes that have this weight if all of them are short messages.
fn bytes_of(weight: i64) -> usize {
    usize::try_from(weight / SHORT_WEIGHT).unwrap_or(0)
}

/// The bytes of one turn when so many sessions wait.
pub(super) fn quantum(trunk: &Trunk, waiting: usize) -> usize {
    (bytes_of(trunk.credit.room()) / waiting.max(1)).clamp(QUANTUM_BYTES_MIN, QUANTUM_BYTES_MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits tell rounds apart")]
fn present_round(trunk: &Trunk) -> u8 {
    trunk.credit.round() as u8
}
