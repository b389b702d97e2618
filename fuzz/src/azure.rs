//! Targets of the crate `azure`: its filter language, its tunnel frames, and the words between two
//! nodes, which use nothing else of that crate.

#[path = "../../crates/azure/src/filter/mod.rs"]
mod filter;

#[expect(unused_imports, reason = "the target needs the codec alone")]
#[path = "../../crates/azure/src/tunnel/mod.rs"]
mod tunnel_frames;

#[path = "../../crates/azure/src/peers/codec.rs"]
mod codec;
#[path = "../../crates/azure/src/peers/word.rs"]
mod word;

use bytes::Bytes;
use filter::{Connection, Dialect, Filter, Reach};

/// Filters as people and as Microsoft's SDK write them.
pub const FILTER_SEEDS: &[&[u8]] = &[
    b"'0~Lw~YQ' in groups or '0~Lw~Yg' in groups and not ('0~Lw~c2lk' in groups)",
    b"userId in ('a', 'b''c', null) and (connectionId ne 'x' or not startswith(userId, 'u'))",
    b"length(groups) ge 2 eq true and indexof(tolower(userId), trim(' A ')) gt -1",
    b"substring(concat(userId, 'x'), 1, 2) lt toupper('b') or contains(userId,'a') and endswith('a','')",
    b"not not ((true)) or false or 'a' in (groups)",
];

struct Someone;

const GROUPS: [&str; 3] = ["a", "0~Lw~YQ", "0~Lw~c2lk"];

impl Connection for Someone {
    fn connection_id(&self) -> &str {
        "x"
    }

    fn user_id(&self) -> Option<&str> {
        Some("user")
    }

    fn in_group(&self, group: &str) -> bool {
        GROUPS.contains(&group)
    }

    fn group_count(&self) -> usize {
        GROUPS.len()
    }

    fn any_group(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        GROUPS.iter().any(|group| test(group))
    }
}

/// Any text is refused at a position inside it, or selects the same connections however they are
/// found.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for dialect in [Dialect::Strict, Dialect::SocketIoAdapter] {
        match Filter::parse(text, dialect) {
            Ok(filter) => assert_eq!(filter.matches(&Someone), reached(&filter), "{text}"),
            Err(error) => assert!(error.position <= text.chars().count(), "{text}: {error}"),
        }
    }
}

fn reached(filter: &Filter) -> bool {
    let has = |names: &[Box<str>], name: &str| names.iter().any(|other| **other == *name);
    let in_any = |names: &[Box<str>]| GROUPS.iter().any(|group| has(names, group));
    match filter.reach() {
        Reach::Connections(ids) => has(ids, "x"),
        Reach::Each => filter.matches(&Someone),
        Reach::Everyone => true,
        Reach::Groups { any, none } => any.is_none_or(in_any) && !in_any(none),
        Reach::Nobody => false,
        Reach::Users(users) => has(users, "user"),
    }
}

/// A call of an app server, an answer in parts, a status message.
pub const TUNNEL_SEEDS: &[&[u8]] = &[
    b"F\x00\x00\x00\x93\x01\xd9>{\"AckId\":1,\"HttpMethod\":\"POST\",\"Url\":\"https://host/\",\"Type\":1}\xc4\x02ab",
    b".\x00\x00\x00\x93\x02\xd9){\"AckId\":1,\"StatusCode\":200,\"Headers\":{}}\xc0",
    b"\x0d\x00\x00\x00\x93\x05\xa9{\"a\":\"b\"}\xc0",
];

/// Encoding a decoded frame gives a frame that decodes to the same message.
pub fn tunnel(data: &[u8]) {
    match tunnel_frames::decode(data) {
        Ok(message) => {
            let again = tunnel_frames::decode(&tunnel_frames::encode(&message));
            assert_eq!(again, Ok(message));
        }
        Err(error) => assert!(!error.slug().is_empty()),
    }
}

/// A greeting, a tunnel, an event, a call and its answer.
pub const WORD_SEEDS: &[&[u8]] = &[
    b"\x01\x01\x07\x01a\xac\x02\x02bc",
    b"\x04\x08\x05app-1",
    b"\x06\x08\x01{}",
    b"\x0a\x05\x00\x04POST\x15/api/hubs/chat/:send42",
    b"\x0b\x05\x01\xc8\x01x",
];

/// A word that can be read is written in one way only.
pub fn word(data: &[u8]) {
    if let Ok(Some(word)) = word::Word::decode(Bytes::copy_from_slice(data)) {
        assert_eq!(word.encode(), data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_frames() {
        for seed in TUNNEL_SEEDS {
            assert!(tunnel_frames::decode(seed).is_ok(), "{seed:?}");
        }
    }
}
