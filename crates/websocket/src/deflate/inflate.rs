//! Decompression: RFC 7692, section 7.2.2.

use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::TAIL;
use crate::error::PeerMisbehaved;

/// The first guess of what a message inflates to, in bytes: at least this, and this many times its
/// length.
const GUESS_BYTES_MIN: usize = 512;
const GUESS_RATIO: usize = 4;

/// Inflates the payload of one compressed message, which is read without what came before it.
///
/// Memory is taken as output is made, by doubling, and never for more than `message_bytes_max`
/// bytes and one. As in `ws`, what follows a final block is passed over, and a payload that is cut
/// off gives what it has.
///
/// # Errors
///
/// [`PeerMisbehaved::MessageTooBig`] as soon as there is more than `message_bytes_max` bytes of
/// output, [`PeerMisbehaved::DeflateInvalid`] when the payload is not DEFLATE (RFC 1951).
pub fn inflate(payload: &[u8], message_bytes_max: usize) -> Result<Vec<u8>, PeerMisbehaved> {
    // One byte beyond the limit distinguishes a message that fills the limit from one that exceeds
    // it.
    let mut output = Output { bytes: Vec::new(), len: 0, cap: message_bytes_max.saturating_add(1) };
    output.grow(payload.len().saturating_mul(GUESS_RATIO).max(GUESS_BYTES_MIN));
    let mut state = Box::<DecompressorOxide>::default();
    for input in [payload, &TAIL] {
        if output.extend(&mut state, input)? == Stream::Over {
            break;
        }
    }
    output.finish(message_bytes_max)
}

/// Whether another block follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stream {
    GoesOn,
    Over,
}

struct Output {
    bytes: Vec<u8>,
    /// How many of the bytes are filled.
    len: usize,
    cap: usize,
}

impl Output {
    /// Inflates all of `input`.
    fn extend(
        &mut self,
        state: &mut DecompressorOxide,
        input: &[u8],
    ) -> Result<Stream, PeerMisbehaved> {
        const FLAGS: u32 = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_HAS_MORE_INPUT;
        let mut rest = input;
        loop {
            let (status, taken, written) =
                decompress(state, rest, &mut self.bytes, self.len, FLAGS);
            self.len += written;
            rest = &rest[taken..];
            match status {
                TINFLStatus::Done => return Ok(Stream::Over),
                TINFLStatus::NeedsMoreInput => return Ok(Stream::GoesOn),
                TINFLStatus::HasMoreOutput if self.len == self.cap => {
                    return Err(PeerMisbehaved::MessageTooBig);
                }
                TINFLStatus::HasMoreOutput => self.grow(self.bytes.len().saturating_mul(2)),
                TINFLStatus::Adler32Mismatch
                | TINFLStatus::BadParam
                | TINFLStatus::Failed
                | TINFLStatus::FailedCannotMakeProgress
                | _ => return Err(PeerMisbehaved::DeflateInvalid),
            }
        }
    }

    fn grow(&mut self, wanted: usize) {
        let len = wanted.min(self.cap);
        self.bytes.reserve_exact(len - self.bytes.len());
        self.bytes.resize(len, 0);
    }

    fn finish(mut self, message_bytes_max: usize) -> Result<Vec<u8>, PeerMisbehaved> {
        if self.len > message_bytes_max {
            return Err(PeerMisbehaved::MessageTooBig);
        }
        self.bytes.truncate(self.len);
        Ok(self.bytes)
    }
}
