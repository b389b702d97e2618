//! Texts that name something: addresses, names, keys, paths, words.

use core::fmt::{self, Debug};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use trunkline_edge::Endpoint;

use super::ValueKind;

/// A hub's key as it was given. Its `Debug` hides it.
#[derive(Clone, Eq, PartialEq)]
pub struct KeyText(pub(crate) String);

impl Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// An IP address and a port.
pub(crate) struct Address;

impl ValueKind for Address {
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

/// A name of letters, digits and a few signs.
pub(crate) struct Name {
    pub(crate) what: &'static str,
    pub(crate) length_max: usize,
    pub(crate) letter_first: bool,
}

impl ValueKind for Name {
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

/// The shortest key: 128 bits if they are random.
const KEY_BYTES_MIN: usize = 16;
const KEY_BYTES_MAX: usize = 1024;

/// A hub's key. Errors never repeat it.
pub(crate) struct HubKey;

impl ValueKind for HubKey {
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

impl ValueKind for FilePath {
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

/// Addresses, separated by commas; may be empty.
pub(crate) struct Endpoints;

impl ValueKind for Endpoints {
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

/// One of a few words, each of which has a value.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> ValueKind for Choice<T> {
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

impl ValueKind for Filter {
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
            // The library would take a word that is no level, such as a typing mistake, as the name
            // of a part.
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
