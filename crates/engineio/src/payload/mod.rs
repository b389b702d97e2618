//! Payloads: several packets in one HTTP body.

mod encode;
mod v3;

pub(crate) use encode::{Encoded, encode};
pub(crate) use v3::{BinaryRecords, TextRecords};

/// The separator between packets in a payload of revision 4.
pub(crate) const SEPARATOR_V4: char = '\u{1e}';
