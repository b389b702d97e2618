//! Filters that name groups, users or connections find them without testing every connection.

use trunkline_azure::filter::{Dialect, Filter, Reach};

use crate::someone::Someone;

fn show(reach: Reach<'_>) -> String {
    match reach {
        Reach::Groups { any: Some(any), none } => {
            format!("any {} none {}", any.join(","), none.join(","))
        }
        Reach::Groups { any: None, none } => format!("all none {}", none.join(",")),
        Reach::Connections(ids) => format!("connections {}", ids.join(",")),
        Reach::Users(users) => format!("users {}", users.join(",")),
        Reach::Each => "each".into(),
        Reach::Everyone => "everyone".into(),
        Reach::Nobody => "nobody".into(),
    }
}

#[test]
fn filters_are_found_by_what_they_name() {
    use Dialect::{SocketIoAdapter, Strict};
    let cases = [
        (Strict, "true", "everyone"),
        (Strict, "false", "nobody"),
        (Strict, "'a' in groups", "any a none "),
        (Strict, "'b' in groups or 'a' in groups or 'b' in groups", "any a,b none "),
        (Strict, "not ('a' in groups) and not ('b' in groups)", "all none a,b"),
        (Strict, "not ('a' in groups)", "all none a"),
        (Strict, "'a' in groups and not ('b' in groups)", "any a none b"),
        (
            Strict,
            "not ('b' in groups) and 'a' in groups and (not ('c' in groups))",
            "any a none b,c",
        ),
        (Strict, "('a' in groups or 'b' in groups) and not ('c' in groups)", "any a,b none c"),
        (Strict, "'a' in groups or 'b' in groups and not ('c' in groups)", "each"),
        (Strict, "'a' in groups and 'b' in groups", "each"),
        (Strict, "'a' in groups and not ('b' in groups) and true", "each"),
        (Strict, "connectionId eq 'x'", "connections x"),
        (Strict, "connectionId in ('y','x')", "connections x,y"),
        (Strict, "connectionId eq 'x' or 'y' eq connectionId", "connections x,y"),
        (Strict, "userId eq 'x'", "users x"),
        (Strict, "userId in ('x','y') or userId eq 'z'", "users x,y,z"),
        (Strict, "userId in ('x', null)", "each"),
        (Strict, "userId eq 'x' or 'a' in groups", "each"),
        (Strict, "tolower(userId) eq 'x'", "each"),
        (Strict, "not (connectionId eq 'x')", "each"),
        (SocketIoAdapter, "connectionId eq 'x'", "connections x"),
        (SocketIoAdapter, "'0~Lw~' in groups", "any 0~Lw~ none "),
        (
            SocketIoAdapter,
            "not ('0~Lw~a' in groups) and not ('0~Lw~b' in groups)",
            "all none 0~Lw~a,0~Lw~b",
        ),
        (
            SocketIoAdapter,
            "'0~Lw~b' in groups or '0~Lw~a' in groups and not ('0~Lw~c' in groups) and not ('0~Lw~d' in groups)",
            "any 0~Lw~a,0~Lw~b none 0~Lw~c,0~Lw~d",
        ),
    ];
    for (dialect, filter, expected) in cases {
        let parsed = Filter::parse(filter, dialect).expect(filter);
        assert_eq!(show(parsed.reach()), expected, "{filter}");
    }
}

/// Tens of thousands of rooms make one list and no deep tree, and a test of one connection looks at
/// its few groups only.
#[test]
fn very_long_lists_are_lists() {
    let names: Vec<String> = (0..50_000).map(|number| format!("0~Lw~{number}")).collect();
    let allowed: Vec<String> = names.iter().map(|name| format!("'{name}' in groups")).collect();
    let denied: Vec<String> =
        names.iter().map(|name| format!("not ('{name}' in groups)")).collect();
    let last = Someone::new("c", Some("u"), &["x", "0~Lw~49999"]);
    let other = Someone::new("c", Some("u"), &["x", "0~Lw~50000"]);
    for dialect in [Dialect::Strict, Dialect::SocketIoAdapter] {
        let any = Filter::parse(&allowed.join(" or "), dialect).expect("a long list");
        assert!(any.matches(&last) && !any.matches(&other));
        let none = Filter::parse(&denied.join(" and "), dialect).expect("a long list");
        assert!(!none.matches(&last) && none.matches(&other));
        let (Reach::Groups { any: Some(any), .. }, Reach::Groups { any: None, none }) =
            (any.reach(), none.reach())
        else {
            panic!("groups")
        };
        assert_eq!((any.len(), none.len()), (50_000, 50_000));
    }
    let users: Vec<String> = names.iter().map(|name| format!("userId eq '{name}'")).collect();
    let users = Filter::parse(&users.join(" or "), Dialect::Strict).expect("a long list");
    assert!(matches!(users.reach(), Reach::Users(users) if users.len() == 50_000));
    let mixed = vec!["length(userId) gt 5"; 50_000].join(" or ");
    assert!(!Filter::parse(&mixed, Dialect::Strict).expect("a long list").matches(&last));
}
