//! UTF-8 text that shares the bytes of the batch it came in.

use alloc::string::String;
use core::fmt;
use core::ops::{Deref, Range};
use core::str::Utf8Error;

use bytes::Bytes;

/// UTF-8 text over [`Bytes`]: cheap to clone, never copied out of the batch from which it was
/// decoded.
///
/// It keeps that whole batch alive: copy text that is kept for a long time (room names, ids).
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Str(Bytes);

impl Str {
    /// The empty text.
    pub const EMPTY: Self = Self(Bytes::new());

    /// Text that lives as long as the program.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Takes these bytes as text; the error is core's own, with the place of the first bad byte.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, Utf8Error> {
        core::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }

    /// The text as `&str`.
    ///
    /// Checks the bytes on each call (they are short): in a loop, keep the `&str`.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("no constructor lets anything but UTF-8 in")
    }

    /// A part of the text that shares its bytes.
    ///
    /// # Panics
    ///
    /// When the range ends beyond the text or inside a character.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let bounds = [range.start, range.end];
        // A byte of the form 10xxxxxx continues a character.
        let inside = |at: usize| self.0.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        assert!(!bounds.into_iter().any(inside), "{range:?} cuts a character in two");
        Self(self.0.slice(range))
    }

    /// The bytes of the text.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes of the text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Copies the text.
impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Bytes::from(text.into_bytes()))
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::Str;

    #[test]
    fn parts_share_the_bytes() {
        let text = Str::from("aéb");
        let part = text.slice(1..3);
        assert_eq!(part, "é");
        assert_eq!(part.as_bytes().as_ptr(), text.as_bytes()[1..].as_ptr());
        assert_eq!(text.slice(4..4), "");
    }

    #[test]
    #[should_panic(expected = "cuts a character in two")]
    fn parts_end_between_characters() {
        let _cut = Str::from("aéb").slice(0..2);
    }
}
