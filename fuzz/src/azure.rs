//! Targets of the crate `azure`: its filter language, which knows nothing else of that crate.

#[path = "../../crates/azure/src/filter/mod.rs"]
mod filter;

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

/// Any text is refused at a place inside, or means the same however its connections are found.
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
