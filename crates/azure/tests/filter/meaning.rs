//! The meaning of filters: a table of filters against a few connections.

use trunkline_azure::filter::{Dialect, Filter};

use crate::someone::Someone;

fn matches(filter: &str, someone: &Someone) -> bool {
    let parsed = Filter::parse(filter, Dialect::Strict);
    parsed.unwrap_or_else(|error| panic!("{filter}: {error}")).matches(someone)
}

#[test]
fn each_operator_and_function_means_what_is_documented() {
    let ann = Someone::new("c1", Some("user-ab-de"), &["a", "b"]);
    let nobody = Someone::new("c2", None, &[]);
    // Columns: filter, result for ann, result for a connection without a user.
    let cases = [
        ("true", true, true),
        ("false", false, false),
        ("userId eq 'user-ab-de'", true, false),
        ("'user-ab-de' eq userId", true, false),
        ("USERID EQ 'user-ab-de'", true, false),
        ("userId eq 'User-ab-de'", false, false),
        ("userId eq null", false, true),
        ("null eq userId", false, true),
        ("userId ne null", true, false),
        ("userId ne 'x'", true, true),
        ("connectionId eq 'c1'", true, false),
        ("connectionId ne 'c1'", false, true),
        ("connectionId in ('c0','c2')", false, true),
        ("userId in ('x', 'user-ab-de')", true, false),
        ("userId in ('x', null)", false, true),
        ("userId in (userId)", true, true),
        ("tolower(userId) in (concat('user','-ab-de'), 'y')", true, false),
        ("'a' in groups", true, false),
        ("'a' in (groups)", true, false),
        ("'A' in groups", false, false),
        ("connectionId in groups", false, false),
        ("null in groups", false, false),
        ("not ('a' in groups)", false, true),
        ("('a' in groups) eq false", false, true),
        ("length(groups) eq 2", true, false),
        ("length((groups)) lt 1", false, true),
        ("length(userId) eq 10", true, false),
        ("length(userId) gt 0", true, false),
        ("length(userId) le 10 and length(userId) ge 10", true, false),
        ("not (length(userId) gt 5)", false, true),
        ("tolower('ÀB') eq 'àb'", true, true),
        ("toupper(userId) eq 'USER-AB-DE'", true, false),
        ("trim(concat(' ', concat(userId, ' '))) eq userId", true, true),
        ("substring(userId,5) eq 'ab-de'", true, false),
        ("substring(userId,5,2) eq 'ab'", true, false),
        ("substring('abc',-1) eq 'abc'", true, true),
        ("substring('abc',9) eq ''", true, true),
        ("substring('abc',1,-1) eq ''", true, true),
        ("startswith(userId,'user')", true, false),
        ("endswith(userId,'de')", true, false),
        ("contains(userId,'-ab-')", true, false),
        ("indexof(userId,'-ab-') eq 4", true, false),
        ("indexof('abc','z') eq -1", true, true),
        // Positions and lengths count UTF-16 units.
        ("length('a😀') eq 3", true, true),
        ("indexof('😀b','b') eq +2", true, true),
        ("substring('😀b',2) eq 'b'", true, true),
        // A function of a missing user id is neither true nor false.
        ("startswith(userId,'x')", false, false),
        ("not startswith(userId,'x')", true, false),
        ("startswith(userId,'x') or true", true, true),
        ("startswith(userId,'x') or false", false, false),
        ("not (startswith(userId,'x') and false)", true, true),
        ("startswith(userId, null)", false, false),
        ("startswith(userId,'x') eq null", false, true),
        ("userId gt 'a'", true, false),
        ("userId lt 'a'", false, false),
        ("1 lt 2 eq true", true, true),
        ("'it''s' eq concat('it', '''s')", true, true),
        ("'' eq ''", true, true),
        ("\t(\r\ntrue ) ", true, true),
        ("not not true", true, true),
        ("not(true)or true", true, true),
    ];
    for (filter, for_ann, for_nobody) in cases {
        assert_eq!(matches(filter, &ann), for_ann, "{filter} for ann");
        assert_eq!(matches(filter, &nobody), for_nobody, "{filter} for nobody");
    }
}

#[test]
fn and_binds_tighter_than_or_and_not_tightest() {
    let in_a = Someone::new("c", None, &["a"]);
    let cases = [
        ("true or true and false", true),
        ("(true or true) and false", false),
        ("false and true or true", true),
        ("false and (true or true)", false),
        ("not false or true", true),
        ("not (false or true)", false),
        ("not true eq false", true),
        ("'a' in groups or 'b' in groups and not ('a' in groups)", true),
    ];
    for (filter, expected) in cases {
        assert_eq!(matches(filter, &in_a), expected, "{filter}");
    }
}

#[test]
fn the_adapters_shape_excepts_from_all_of_its_groups() {
    // Columns: filter, result read as the adapter's, result read as OData.
    let cases = [
        ("'0~Lw~YQ' in groups or '0~Lw~Yg' in groups and not ('0~Lw~c2lk' in groups)", false, true),
        (
            "'0~Lw~Yg' in groups or '0~Lw~YQ' in groups and not ('0~Lw~c2lk' in groups)",
            false,
            false,
        ),
        // This is not the adapter's shape, so OData decides.
        (
            "'0~Lw~YQ' in groups or ('0~Lw~Yg' in groups and not ('0~Lw~c2lk' in groups))",
            true,
            true,
        ),
        ("'0~Lw~YQ' in groups or 'b' in groups and not ('0~Lw~c2lk' in groups)", true, true),
        ("'0~Lw~YQ' in groups  or '0~Lw~Yg' in groups and not ('0~Lw~c2lk' in groups)", true, true),
    ];
    let sender = Someone::new("c", None, &["0~Lw~YQ", "0~Lw~c2lk"]);
    for (filter, expected, as_odata) in cases {
        let adapter = Filter::parse(filter, Dialect::SocketIoAdapter).expect(filter);
        assert_eq!(adapter.matches(&sender), expected, "{filter}");
        assert_eq!(matches(filter, &sender), as_odata, "{filter} on the public API");
    }
}
