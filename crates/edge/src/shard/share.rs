//! What each session may have read while the window of its app server is full.
//!
//! The window ([`trunkline_trunk::Window`]) bounds how long messages wait at an app server. When it
//! is full, the sessions that have sent much in this round wait for it, and have turns of a
//! bounded number of bytes. A session that has sent little is read at once: it cannot have
//! caused the wait, and adds little to it. If there are so many of those that they alone exceed the
//! window several times, they wait like the others.

use super::SCRATCH_BYTES;
use crate::hub::Trunk;

/// The bytes of one unit in which a session's share is counted: 255 of them are not little.
const UNIT_BYTES: usize = 16;
/// The least and the most bytes that count as little.
const LITTLE_BYTES_MIN: usize = 64;
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
        let room = trunk.credit.room_bytes();
        if room >= SCRATCH_BYTES as i64 {
            return SCRATCH_BYTES;
        }
        let window = trunk.credit.window_bytes();
        let little = (window as usize / LITTLE_SHARE).clamp(LITTLE_BYTES_MIN, LITTLE_BYTES_MAX);
        let room_bytes = usize::try_from(room).unwrap_or(0);
        let is_of_this_round = self.round == present_round(trunk);
        if is_of_this_round && usize::from(self.units) * UNIT_BYTES >= little {
            return room_bytes.min(quantum);
        }
        if room <= -WINDOWS_BEYOND * i64::from(window) { 0 } else { room_bytes.max(little) }
    }
}

/// The bytes of one turn when so many sessions wait.
pub(super) fn quantum(trunk: &Trunk, waiting: usize) -> usize {
    let room = usize::try_from(trunk.credit.room_bytes()).unwrap_or(0);
    (room / waiting.max(1)).clamp(QUANTUM_BYTES_MIN, QUANTUM_BYTES_MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits tell rounds apart")]
fn present_round(trunk: &Trunk) -> u8 {
    trunk.credit.round() as u8
}
