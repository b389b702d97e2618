//! Keys that must not appear in a log.

use alloc::string::String;
use core::fmt;

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
