//! What the Azure doors of two nodes say to one another: `spec/doors.md`.

mod codec;
#[cfg(test)]
mod tests;
mod word;

pub(crate) use word::{NAME_BYTES_MAX, Word};
