//! Fields of words: numbers, texts, and what is left.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The rule that a word broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadWord {
    #[error("it goes on after its last field")]
    Leftover,
    #[error("a number has more bytes than it needs, or more than 64 bits")]
    Number,
    #[error("a text is not UTF-8, or too long")]
    Text,
    #[error("it ends too early")]
    Truncated,
    #[error("a byte has a value without a meaning")]
    Value,
}

/// Appends a number: seven bits a byte, the lowest first.
pub(super) fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.put_u8(u8::try_from(number).unwrap_or_default());
}

pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    put_number(out, text.len() as u64);
    out.put_slice(text.as_bytes());
}

/// Takes fields from the front of a word.
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn byte(&mut self) -> Result<u8, BadWord> {
        if self.0.is_empty() { Err(BadWord::Truncated) } else { Ok(self.0.get_u8()) }
    }

    pub(super) fn bool(&mut self) -> Result<bool, BadWord> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadWord::Value),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, BadWord> {
        let mut number = 0_u64;
        for place in 0..10 {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                return Err(BadWord::Number);
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                // One form only.
                return if byte == 0 && place > 0 { Err(BadWord::Number) } else { Ok(number) };
            }
        }
        Err(BadWord::Number)
    }

    pub(super) fn text(&mut self, bytes_max: usize) -> Result<Box<str>, BadWord> {
        let length = usize::try_from(self.number()?).map_err(|_| BadWord::Text)?;
        if length > bytes_max {
            return Err(BadWord::Text);
        }
        if length > self.0.len() {
            return Err(BadWord::Truncated);
        }
        let bytes = self.0.split_to(length);
        std::str::from_utf8(&bytes).map(Into::into).map_err(|_| BadWord::Text)
    }

    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(super) fn end(&self) -> Result<(), BadWord> {
        if self.0.is_empty() { Ok(()) } else { Err(BadWord::Leftover) }
    }
}
