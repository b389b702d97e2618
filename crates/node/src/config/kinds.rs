//! The types of values that keys can have. Each one parses a text, shows a value, and describes
//! what it allows.

mod cluster;
mod numbers;
mod texts;

pub(crate) use cluster::{ClusterName, NatsServers, OneUrl};
pub(crate) use numbers::{Count, Size, Span};
pub use texts::KeyText;
pub(crate) use texts::{Address, Choice, Endpoints, FilePath, Filter, HubKey, Name};

use super::units;

/// The type of a key's value. File, environment and flag share it.
pub(crate) trait ValueKind {
    type Value;
    /// A word for the value in help texts.
    fn placeholder(&self) -> &'static str;
    /// The allowed values; completes "allowed: ".
    fn allowed(&self) -> String;
    /// Parses a text. The error completes "`text` ".
    fn parse(&self, text: &str) -> Result<Self::Value, String>;
    /// A text that [`ValueKind::parse`] reads as this value.
    fn show(&self, value: &Self::Value) -> String;
    /// Whether values must never be printed.
    fn secret(&self) -> bool {
        false
    }
    /// The value of a key that is not set and has no default; `None` if the key is required.
    fn absent(&self) -> Option<Self::Value> {
        None
    }
}

/// A type with one word that stands for "none": off, auto, random.
pub(crate) struct Unless<K>(pub(crate) &'static str, pub(crate) K);

impl<K: ValueKind> ValueKind for Unless<K> {
    type Value = Option<K::Value>;

    fn placeholder(&self) -> &'static str {
        self.1.placeholder()
    }

    fn allowed(&self) -> String {
        format!("{}; or \"{}\"", self.1.allowed(), self.0)
    }

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        if text == self.0 { Ok(None) } else { self.1.parse(text).map(Some) }
    }

    fn show(&self, value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| self.0.to_owned(), |value| self.1.show(value))
    }

    fn secret(&self) -> bool {
        self.1.secret()
    }
}

/// A type whose value may be left out.
pub(crate) struct Maybe<K>(pub(crate) K);

impl<K: ValueKind> ValueKind for Maybe<K> {
    type Value = Option<K::Value>;

    fn placeholder(&self) -> &'static str {
        self.0.placeholder()
    }

    fn allowed(&self) -> String {
        self.0.allowed()
    }

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        self.0.parse(text).map(Some)
    }

    fn show(&self, value: &Self::Value) -> String {
        value.as_ref().map_or_else(String::new, |value| self.0.show(value))
    }

    fn secret(&self) -> bool {
        self.0.secret()
    }

    fn absent(&self) -> Option<Self::Value> {
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn wrong<K: ValueKind>(kind: &K, text: &str) -> String {
        kind.parse(text).err().unwrap_or_else(|| panic!("`{text}` was taken"))
    }

    #[test]
    fn values_are_read_and_shown() {
        fn shown<K: ValueKind>(kind: &K, text: &str) -> String {
            kind.show(&kind.parse(text).unwrap())
        }
        assert_eq!(shown(&Address, "localhost:80"), "127.0.0.1:80");
        assert_eq!(shown(&Address, "[::1]:80"), "[::1]:80");
        assert_eq!(shown(&Unless("off", Address), "off"), "off");
        assert_eq!(shown(&Unless("off", Address), "0.0.0.0:1"), "0.0.0.0:1");
        assert_eq!(shown(&Count::<u16>::between(1, 9), "9"), "9");
        assert_eq!(shown(&Size::<usize>::between(1, 1 << 20), "1024"), "1KiB");
        assert_eq!(shown(&Filter, "info,trunkline_edge=debug"), "info,trunkline_edge=debug");
        assert_eq!(shown(&HubKey, "0123456789abcdef"), "[hidden]");
        assert_eq!(shown(&Choice(&[("a", 1), ("b", 2)]), "b"), "b");
    }

    #[test]
    fn what_is_not_allowed_says_why() {
        let name = Name { what: "a name", length_max: 4, letter_first: true };
        let span = Span { least: Duration::from_millis(1), most: Duration::from_secs(60) };
        let cases = [
            (wrong(&Address, "8080"), "is not an address"),
            (wrong(&Address, "example.org:80"), "is not an address"),
            (wrong(&Address, "127.0.0.1"), "has no port"),
            (wrong(&Address, "127.0.0.1:70000"), "is not an address"),
            (wrong(&Address, ""), "is not an address"),
            (wrong(&Count::<u16>::between(1, 9), "0"), "is below the least, 1"),
            (wrong(&Count::<u16>::between(1, 9), "10"), "is above the most, 9"),
            (wrong(&Count::<u16>::between(0, 70_000), "66000"), "is too large a number"),
            (wrong(&Size::<u32>::between(1024, 4096), "1"), "is below the least, 1KiB"),
            (wrong(&Size::<u32>::between(1024, 4096), "1MiB"), "is above the most, 4KiB"),
            (wrong(&span, "0s"), "is below the least, 1ms"),
            (wrong(&span, "1h"), "is above the most, 1m"),
            (wrong(&name, ""), "is empty"),
            (wrong(&name, "1a"), "begins with `1`"),
            (wrong(&name, "a b"), "holds ` `"),
            (wrong(&name, "a\nb"), "holds `\\n`"),
            (wrong(&name, "abcde"), "is 5 characters long"),
            (wrong(&HubKey, "short"), "is 5 bytes long, which can be guessed"),
            (
                wrong(&HubKey, "0123456789abcdef\n"),
                "holds a control character, such as a line break",
            ),
            (wrong(&HubKey, " 0123456789abcdef"), "begins or ends with a space"),
            (wrong(&HubKey, &"k".repeat(1025)), "is 1025 bytes long"),
            (wrong(&Choice(&[("a", 1)]), "c"), "is none of the words"),
            (wrong(&Filter, "inof"), "holds `inof`, which is not a level"),
            (wrong(&Filter, ""), "holds ``, which is not a level"),
            (wrong(&Filter, "info,=debug"), "names a part `` that cannot be"),
            (wrong(&FilePath, ""), "is empty"),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn a_key_never_shows_in_its_debug() {
        let key = HubKey.parse("0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "[hidden]");
    }
}
