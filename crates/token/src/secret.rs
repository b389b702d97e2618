//! Keys that must not appear in a log.

use alloc::string::String;
use core::fmt;

use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::Value;

/// A hub's key. It prints as `[hidden]`, so that no log line or debug output can contain it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a key; its UTF-8 bytes are the HMAC key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A short name of a key: what used a key remembers its mark, and is found when the key is taken
/// away. It does not give the key away. The same key has the same mark in every process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyMark([u8; 8]);

/// What is signed to make a mark: no token begins like this.
const MARK_OF: &[u8] = b"trunkline key mark 1";

impl KeyMark {
    fn of(key: &Secret) -> Self {
        let signed =
            crypto::sign(MARK_OF, &EncodingKey::from_secret(key.expose()), Algorithm::HS256);
        let mut mark = [0; 8];
        // Base64 letters of a keyed digest: 48 bits of it.
        for (place, letter) in mark.iter_mut().zip(signed.unwrap_or_default().bytes()) {
            *place = letter;
        }
        Self(mark)
    }

    /// The mark, for another process that has the same keys.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// A mark of another process.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

/// A short name of a text in a token, such as its user or its id: equal texts have equal marks, in
/// every process, and a mark takes the same few bytes however long the text is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TextMark([u8; 16]);

impl TextMark {
    /// The mark of a text.
    pub fn of(text: &str) -> Self {
        // A cryptographic digest: nobody can choose a text that has another one's mark.
        let key = EncodingKey::from_secret(b"trunkline text mark 1");
        let signed = crypto::sign(text.as_bytes(), &key, Algorithm::HS256);
        let mut mark = [0; 16];
        // Base64 letters of the digest: 96 bits of it.
        for (place, letter) in mark.iter_mut().zip(signed.unwrap_or_default().bytes()) {
            *place = letter;
        }
        Self(mark)
    }

    /// The mark of a claim's value; `None` if there is none. A number and the text that looks like it
    /// have marks of their own.
    pub fn of_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::String(text) => Some(Self::of(text)),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Some(Self::of(&alloc::format!("\0{value}")))
            }
        }
    }

    /// The mark, for another process.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// A mark of another process.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// A key with its mark.
#[derive(Clone, Debug)]
pub struct MarkedKey {
    secret: Secret,
    mark: KeyMark,
}

impl MarkedKey {
    /// Makes the mark of a key.
    pub fn new(secret: Secret) -> Self {
        let mark = KeyMark::of(&secret);
        Self { secret, mark }
    }

    /// The key.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The mark.
    pub fn mark(&self) -> KeyMark {
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_have_marks_that_differ() {
        let texts = ["", "7", "07", "anna", "Anna", "a much longer name than a mark has bytes"];
        for (place, text) in texts.iter().enumerate() {
            assert_eq!(TextMark::of(text), TextMark::from_bytes(TextMark::of(text).to_bytes()));
            assert!(texts[..place].iter().all(|other| TextMark::of(other) != TextMark::of(text)));
        }
        let values: [Value; 5] = [7.into(), 8.into(), "7".into(), "8".into(), true.into()];
        let marks = values.each_ref().map(|value| TextMark::of_value(value).expect("a value"));
        for (place, mark) in marks.iter().enumerate() {
            assert!(!marks[..place].contains(mark), "{}", values[place]);
        }
        assert_eq!(marks[2], TextMark::of("7"));
        assert_eq!(TextMark::of_value(&Value::Null), None);
    }

    #[test]
    fn a_mark_follows_from_the_key_and_does_not_show_it() {
        let mark = |key: &str| MarkedKey::new(Secret::new(key)).mark();
        assert_eq!(
            mark("the-hub's-own-key-of-32-bytes-ok"),
            mark("the-hub's-own-key-of-32-bytes-ok")
        );
        assert_ne!(
            mark("the-hub's-own-key-of-32-bytes-ok"),
            mark("the-hub's-own-key-of-32-bytes-no")
        );
        let shown = alloc::format!("{:?}", MarkedKey::new(Secret::new("abcdefghijklmnop")));
        assert!(!shown.contains("abcd"), "{shown}");
    }
}
