//! The kinds of value that a key can have. A kind reads a text, shows a value, and says what it allows.

use core::fmt::{self, Debug};
use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::path::PathBuf;

use trunkline_edge::Endpoint;

use super::units;

/// How the texts of one key become values. All faces (file, environment, flag) share it.
pub(crate) trait Kind {
    type Value;
    /// Stands for the value in help texts.
    fn placeholder(&self) -> &'static str;
    /// Completes "allowed: ".
    fn allowed(&self) -> String;
    /// The error completes "`text` ".
    fn parse(&self, text: &str) -> Result<Self::Value, String>;
    /// A text that [`Kind::parse`] reads as this value.
    fn show(&self, value: &Self::Value) -> String;
    /// Whether values must never be printed.
    fn secret(&self) -> bool {
        false
    }
    /// The value of a key that nobody set and that has no default, if it may be so.
    fn absent(&self) -> Option<Self::Value> {
        None
    }
}

/// A key of a hub as it was given. Its `Debug` shows nothing of it.
#[derive(Clone, Eq, PartialEq)]
pub struct KeyText(pub(crate) String);

impl Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// An IP address and a port.
pub(crate) struct Address;

impl Kind for Address {
    type Value = SocketAddr;

    fn placeholder(&self) -> &'static str {
        "ADDR"
    }

    fn allowed(&self) -> String {
        "an IP address and a port, as in 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080; port 0 takes any free port"
            .into()
    }

    fn parse(&self, text: &str) -> Result<SocketAddr, String> {
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        if let Some(port) = local {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        text.parse().map_err(|_| match text.parse::<IpAddr>() {
            Ok(_) => "has no port".into(),
            Err(_) => "is not an address".into(),
        })
    }

    fn show(&self, value: &SocketAddr) -> String {
        value.to_string()
    }
}

/// A kind with one word that stands for "none": off, auto, random.
pub(crate) struct Unless<K>(pub(crate) &'static str, pub(crate) K);

impl<K: Kind> Kind for Unless<K> {
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

/// A kind whose value may be left out altogether.
pub(crate) struct Maybe<K>(pub(crate) K);

impl<K: Kind> Kind for Maybe<K> {
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

/// A whole number between two bounds, both allowed.
pub(crate) struct Count<T>(pub(crate) u64, pub(crate) u64, PhantomData<T>);

impl<T> Count<T> {
    pub(crate) const fn between(least: u64, most: u64) -> Self {
        Self(least, most, PhantomData)
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Kind for Count<T> {
    type Value = T;

    fn placeholder(&self) -> &'static str {
        "N"
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        let number = units::parse_whole(text)?;
        narrow(within(number, self.0, self.1, |bound| bound.to_string())?)
    }

    fn show(&self, value: &T) -> String {
        widen(*value).to_string()
    }
}

/// A number of bytes between two bounds, both allowed.
pub(crate) struct Size<T>(pub(crate) u64, pub(crate) u64, PhantomData<T>);

impl<T> Size<T> {
    pub(crate) const fn between(least_bytes: u64, most_bytes: u64) -> Self {
        Self(least_bytes, most_bytes, PhantomData)
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Kind for Size<T> {
    type Value = T;

    fn placeholder(&self) -> &'static str {
        "SIZE"
    }

    fn allowed(&self) -> String {
        let (least, most) = (units::show_size(self.0), units::show_size(self.1));
        format!("a size from {least} to {most}, as in 64KiB, 1MiB or plain bytes")
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        let bytes = units::parse_size(text)?;
        narrow(within(bytes, self.0, self.1, |bound| units::show_size(*bound))?)
    }

    fn show(&self, value: &T) -> String {
        units::show_size(widen(*value))
    }
}

fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, String> {
    T::try_from(number).map_err(|_| "is too large a number".into())
}

fn widen<T: TryInto<u64>>(number: T) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

fn within<T: PartialOrd>(
    value: T,
    least: T,
    most: T,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if value < least {
        Err(format!("is below the least, {}", show(&least)))
    } else if value > most {
        Err(format!("is above the most, {}", show(&most)))
    } else {
        Ok(value)
    }
}

/// A time between two bounds, both allowed.
pub(crate) struct Span {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

impl Kind for Span {
    type Value = Duration;

    fn placeholder(&self) -> &'static str {
        "TIME"
    }

    fn allowed(&self) -> String {
        let (least, most) = (units::show_duration(self.least), units::show_duration(self.most));
        format!("a time from {least} to {most}, as in 30s or 500ms")
    }

    fn parse(&self, text: &str) -> Result<Duration, String> {
        let time = units::parse_duration(text)?;
        within(time, self.least, self.most, |bound| units::show_duration(*bound))
    }

    fn show(&self, value: &Duration) -> String {
        units::show_duration(*value)
    }
}

/// A name of letters, digits and a few signs.
pub(crate) struct Name {
    pub(crate) what: &'static str,
    pub(crate) length_max: usize,
    pub(crate) letter_first: bool,
}

impl Kind for Name {
    type Value = String;

    fn placeholder(&self) -> &'static str {
        "NAME"
    }

    fn allowed(&self) -> String {
        let first = if self.letter_first { "a letter" } else { "a letter or digit" };
        format!(
            "{}: {first}, then letters, digits, `_`, `.`, `-`; at most {} in all",
            self.what, self.length_max
        )
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        let first_fits = |first: char| {
            first.is_ascii_alphabetic() || (!self.letter_first && first.is_ascii_digit())
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match text.chars().next() {
            None => Err("is empty".into()),
            Some(first) if !first_fits(first) => Err(format!("begins with `{first}`")),
            Some(_) => match text.chars().find(|c| !fits(*c)) {
                Some(odd) => Err(format!("holds `{}`", odd.escape_debug())),
                None if text.len() > self.length_max => {
                    Err(format!("is {} characters long", text.len()))
                }
                None => Ok(text.to_owned()),
            },
        }
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

/// The fewest bytes of a key: 128 bits if they are random.
pub(crate) const KEY_BYTES_MIN: usize = 16;
const KEY_BYTES_MAX: usize = 1024;

/// A hub's key. Errors never repeat it.
pub(crate) struct HubKey;

impl Kind for HubKey {
    type Value = KeyText;

    fn placeholder(&self) -> &'static str {
        "KEY"
    }

    fn allowed(&self) -> String {
        format!(
            "{KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes of text without control characters; `trunkline key` prints a new one"
        )
    }

    fn parse(&self, text: &str) -> Result<KeyText, String> {
        if text.len() < KEY_BYTES_MIN {
            return Err(format!("is {} bytes long, which can be guessed", text.len()));
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(format!("is {} bytes long", text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character, such as a line break".into());
        }
        if text.trim() != text {
            return Err("begins or ends with a space".into());
        }
        Ok(KeyText(text.to_owned()))
    }

    fn show(&self, _: &KeyText) -> String {
        "[hidden]".into()
    }

    fn secret(&self) -> bool {
        true
    }
}

/// A path of the file system.
pub(crate) struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn placeholder(&self) -> &'static str {
        "PATH"
    }

    fn allowed(&self) -> String {
        "a path".into()
    }

    fn parse(&self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() { Err("is empty".into()) } else { Ok(PathBuf::from(text)) }
    }

    fn show(&self, value: &PathBuf) -> String {
        value.display().to_string()
    }
}

/// Addresses with commas between them; none at all is allowed.
pub(crate) struct Endpoints;

impl Kind for Endpoints {
    type Value = Vec<Endpoint>;

    fn placeholder(&self) -> &'static str {
        "URLS"
    }

    fn allowed(&self) -> String {
        "URLs such as https://example.com or https://example.com/path, with commas between them"
            .into()
    }

    fn parse(&self, text: &str) -> Result<Vec<Endpoint>, String> {
        let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
        urls.map(|url| Endpoint::parse(url).ok_or_else(|| format!("has `{url}`, which is no URL")))
            .collect()
    }

    fn show(&self, value: &Vec<Endpoint>) -> String {
        value.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// One of a few words, each with its value.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn placeholder(&self) -> &'static str {
        "WORD"
    }

    fn allowed(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        words.join(", ")
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| "is none of the words".into())
    }

    fn show(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, candidate)| candidate == value);
        found.map_or_else(String::new, |(word, _)| (*word).to_owned())
    }
}

/// A level, or levels by part of the program, as in `info,trunkline_edge=debug`.
pub(crate) struct Filter;

impl Kind for Filter {
    type Value = String;

    fn placeholder(&self) -> &'static str {
        "LEVEL"
    }

    fn allowed(&self) -> String {
        "off, error, warn, info, debug or trace; or levels by part, as in info,trunkline_edge=debug"
            .into()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        for directive in text.split(',') {
            // The library would take a word that is no level, such as a slip of the pen, as the name of a part.
            let (part, level) = directive.rsplit_once('=').unwrap_or(("trunkline", directive));
            let part_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
            if part.is_empty() || !part.chars().all(part_fits) {
                return Err(format!("names a part `{part}` that cannot be"));
            }
            if !["off", "error", "warn", "info", "debug", "trace"].contains(&level) {
                return Err(format!("holds `{level}`, which is not a level"));
            }
        }
        Ok(text.to_owned())
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<K: Kind>(kind: &K, text: &str) -> String {
        kind.parse(text).err().unwrap_or_else(|| panic!("`{text}` was taken"))
    }

    #[test]
    fn values_are_read_and_shown() {
        fn shown<K: Kind>(kind: &K, text: &str) -> String {
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
