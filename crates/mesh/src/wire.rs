//! Reads and writes fields. Every length is checked before it is used.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use trunkline_trunk::{Header, Position, Rule, Str};

/// The most bytes of a varint.
const VARINT_BYTES_MAX: usize = 10;

/// The varint at the beginning of `bytes`, and its length.
pub(crate) fn split_varint(bytes: &[u8]) -> Result<(u64, usize), Rule> {
    let mut value = 0u64;
    for at in 0..VARINT_BYTES_MAX {
        let byte = *bytes.get(at).ok_or(Rule::Truncated)?;
        let bits = u64::from(byte & 0x7f);
        if at == VARINT_BYTES_MAX - 1 && bits > 1 {
            return Err(Rule::VarintTooLarge);
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            if byte == 0 && at > 0 {
                return Err(Rule::VarintNotShortest);
            }
            return Ok((value, at + 1));
        }
    }
    Err(Rule::VarintTooLarge)
}

/// The unread rest of one body.
pub(crate) struct Body(pub(crate) Bytes);

impl Body {
    pub(crate) fn long(&mut self) -> Result<u64, Rule> {
        let (value, length) = split_varint(&self.0)?;
        self.0.advance(length);
        Ok(value)
    }

    /// Reads a varint into a smaller integer.
    pub(crate) fn varint<T: TryFrom<u64>>(&mut self) -> Result<T, Rule> {
        T::try_from(self.long()?).map_err(|_| Rule::VarintTooLarge)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Rule> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Rule> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Rule> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Rule> {
        let array = *self.0.first_chunk::<N>().ok_or(Rule::Truncated)?;
        self.0.advance(N);
        Ok(array)
    }

    /// Reads a byte that is 0 or 1.
    pub(crate) fn bool(&mut self) -> Result<bool, Rule> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Rule::UndefinedFlag),
        }
    }

    /// Reads a byte in which only the bits of `defined` may be set.
    pub(crate) fn flags(&mut self, defined: u8) -> Result<u8, Rule> {
        let flags = self.u8()?;
        if flags & !defined == 0 { Ok(flags) } else { Err(Rule::UndefinedFlag) }
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Rule> {
        let length = usize::try_from(self.long()?).map_err(|_| Rule::Truncated)?;
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

    /// Reads a list whose items are at least `item_bytes_min` long.
    pub(crate) fn list<T>(
        &mut self,
        item_bytes_min: usize,
        item: impl Fn(&mut Self) -> Result<T, Rule>,
    ) -> Result<Vec<T>, Rule> {
        let count = usize::try_from(self.long()?).map_err(|_| Rule::ListCount)?;
        if count > self.0.len() / item_bytes_min {
            return Err(Rule::ListCount);
        }
        // An item in memory is longer than its shortest form on the wire: do not believe the count.
        let mut items = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(crate) fn header(&mut self) -> Result<Header, Rule> {
        Ok(Header { name: self.str()?, value: self.str()? })
    }

    pub(crate) fn position(&mut self) -> Result<Position, Rule> {
        Ok(Position { server: self.str()?, number: self.long()? })
    }

    pub(crate) fn finish(&self) -> Result<(), Rule> {
        if self.0.is_empty() { Ok(()) } else { Err(Rule::LeftoverBytes) }
    }
}

/// The destination of fields: the same code first measures, then writes.
pub(crate) enum Sink<'a> {
    Measure(usize),
    Write(&'a mut BytesMut),
}

/// The length of a varint in bytes.
pub(crate) const fn varint_length(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// A length as it is written on the wire.
pub(crate) fn wire_length(length: usize) -> u64 {
    u64::try_from(length).expect("a usize has at most 64 bits")
}

impl Sink<'_> {
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        match self {
            Self::Measure(length) => *length += bytes.len(),
            Self::Write(out) => out.put_slice(bytes),
        }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    pub(crate) fn varint(&mut self, value: impl Into<u64>) {
        let mut value: u64 = value.into();
        match self {
            Self::Measure(length) => *length += varint_length(value),
            Self::Write(out) => {
                while value >= 0x80 {
                    out.put_u8(value as u8 | 0x80);
                    value >>= 7;
                }
                out.put_u8(value as u8);
            }
        }
    }

    pub(crate) fn length(&mut self, length: usize) {
        self.varint(wire_length(length));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn str(&mut self, text: &Str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn list<T>(&mut self, items: &[T], item: impl Fn(&mut Self, &T)) {
        self.length(items.len());
        for each in items {
            item(self, each);
        }
    }

    pub(crate) fn header(&mut self, header: &Header) {
        self.str(&header.name);
        self.str(&header.value);
    }

    pub(crate) fn position(&mut self, position: &Position) {
        self.str(&position.server);
        self.varint(position.number);
    }
}
