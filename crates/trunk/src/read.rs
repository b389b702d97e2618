//! Reads the fields of one body. Every length is checked before it is used.

use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use crate::decode::Rule;
use crate::text::Str;

/// The most bytes of a varint of 32 bits.
const VARINT_BYTES_MAX: usize = 5;

/// The unread rest of one body.
pub(crate) struct Body(pub(crate) Bytes);

/// The varint at the beginning of `bytes`, and its length.
pub(crate) fn split_varint(bytes: &[u8]) -> Result<(u32, usize), Rule> {
    let mut value = 0u64;
    for at in 0..VARINT_BYTES_MAX {
        let byte = *bytes.get(at).ok_or(Rule::Truncated)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if byte == 0 && at > 0 {
                return Err(Rule::VarintNotShortest);
            }
            let value = u32::try_from(value).map_err(|_| Rule::VarintTooLarge)?;
            return Ok((value, at + 1));
        }
    }
    Err(Rule::VarintTooLarge)
}

impl Body {
    pub(crate) fn varint(&mut self) -> Result<u32, Rule> {
        let (value, length) = split_varint(&self.0)?;
        self.0.advance(length);
        Ok(value)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Rule> {
        if self.0.is_empty() {
            return Err(Rule::Truncated);
        }
        Ok(self.0.get_u8())
    }

    /// Reads a byte that `meaning` must know; otherwise `rule` is broken.
    pub(crate) fn coded<T>(
        &mut self,
        rule: Rule,
        meaning: impl Fn(u8) -> Option<T>,
    ) -> Result<T, Rule> {
        meaning(self.u8()?).ok_or(rule)
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Rule> {
        let length = usize::try_from(self.varint()?).map_err(|_| Rule::Truncated)?;
        if length > self.0.len() {
            return Err(Rule::Truncated);
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn str(&mut self) -> Result<Str, Rule> {
        Str::from_utf8(self.bytes()?).map_err(|_| Rule::BadUtf8)
    }

    pub(crate) fn rest(&mut self) -> Bytes {
        core::mem::take(&mut self.0)
    }

    /// Reads a list whose items are at least `item_bytes_min` long. A count that the remaining
    /// bytes could not hold is an error.
    pub(crate) fn list<T>(
        &mut self,
        item_bytes_min: usize,
        item: impl Fn(&mut Self) -> Result<T, Rule>,
    ) -> Result<Vec<T>, Rule> {
        let count = usize::try_from(self.varint()?).map_err(|_| Rule::ListCount)?;
        if count > self.0.len() / item_bytes_min {
            return Err(Rule::ListCount);
        }
        // Do not reserve the full count: an item in memory can be 32 times as long as its shortest
        // form on the wire.
        let mut items = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(crate) fn finish(&self) -> Result<(), Rule> {
        if self.0.is_empty() { Ok(()) } else { Err(Rule::LeftoverBytes) }
    }
}
