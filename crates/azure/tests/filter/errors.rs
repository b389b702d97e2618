//! Mistakes are reported at their position, with the expected token.

use trunkline_azure::filter::{BYTES_MAX, DEPTH_MAX, Dialect, Filter, FilterError, Problem};

fn error(filter: &str) -> FilterError {
    Filter::parse(filter, Dialect::Strict).expect_err(filter)
}

#[test]
fn each_mistake_has_its_place_and_its_sentence() {
    let value = "expected a value, an identifier, a function or `(`";
    let cases = [
        ("", 0, format!("{value}, found the end")),
        ("  ", 2, format!("{value}, found the end")),
        ("userId eq", 9, format!("{value}, found the end")),
        ("userId eq 'x' and", 17, format!("{value}, found the end")),
        ("and true", 0, format!("{value}, found `and`")),
        ("true or or true", 8, format!("{value}, found `or`")),
        ("()", 1, format!("{value}, found `)`")),
        ("connectionId in ()", 17, format!("{value}, found `)`")),
        ("true true", 5, "expected `and`, `or` or the end, found `true`".into()),
        ("(true", 5, "expected `)`, found the end".into()),
        ("true)", 4, "expected `and`, `or` or the end, found `)`".into()),
        ("'a' in groups, 'b' in groups", 13, "expected `and`, `or` or the end, found `,`".into()),
        ("userId", 0, "expected a condition, found a text".into()),
        ("groups", 0, "expected a condition, found a collection".into()),
        ("null", 0, "expected a condition, found null".into()),
        ("length(userId)", 0, "expected a condition, found a number".into()),
        ("true and 1", 9, "expected a condition, found a number".into()),
        ("userId or true", 0, "expected a condition, found a text".into()),
        ("userId eq 'x", 10, "the text that begins here has no closing quote".into()),
        ("userId eq 'x''", 10, "the text that begins here has no closing quote".into()),
        ("userId = 'x'", 7, "'=' stands for nothing here".into()),
        ("é", 0, "'é' stands for nothing here".into()),
        ("'é' eq 'é' ;", 11, "';' stands for nothing here".into()),
        ("userId eq \"x\"", 10, "'\"' stands for nothing here".into()),
        (
            "user in ('a')",
            0,
            "`user` is neither an identifier (connectionId, userId, groups) nor a function".into(),
        ),
        (
            "length(userId) gt 1.5",
            19,
            "expected a whole number, found '.' behind its digits".into(),
        ),
        ("length(userId) gt 1x", 19, "expected a whole number, found 'x' behind its digits".into()),
        ("length(userId) gt -", 18, "expected a value, found `-`".into()),
        ("length(userId) gt 9223372036854775808", 18, "the number is too large".into()),
        ("userId eq 1", 7, "a text cannot be compared with a number by `eq`".into()),
        ("true gt false", 5, "a condition cannot be compared with a condition by `gt`".into()),
        ("groups eq 'a'", 7, "a collection cannot be compared with a text by `eq`".into()),
        ("userId in ('a', 1)", 16, "a text cannot be compared with a number by `eq`".into()),
        ("userId in ('a' 'b')", 15, "expected `,` or `)`, found a text".into()),
        ("userId in 'a'", 10, "expected `groups` or a list in parentheses, found a text".into()),
        ("1 in groups", 2, "expected a text before `in groups`, found a number".into()),
        ("length userId", 7, "expected `(` behind a function's name, found `userId`".into()),
        ("length() gt 1", 7, "`length` takes one argument".into()),
        ("length(userId, 'a') gt 1", 13, "`length` takes one argument".into()),
        ("concat('a') eq 'a'", 10, "`concat` takes two arguments".into()),
        ("substring('a') eq 'a'", 13, "`substring` takes two or three arguments".into()),
        ("substring('a','b') eq 'a'", 14, "expected a number, found a text".into()),
        ("startswith(1,'b')", 11, "expected a text, found a number".into()),
        ("startswith(groups,'b')", 11, "expected a text, found a collection".into()),
        ("length(1) gt 0", 7, "expected a text or `groups`, found a number".into()),
        (
            "not length(userId) gt 5",
            4,
            concat!(
                "`not` belongs to the value right behind it, which is a number; ",
                "put the comparison in parentheses"
            )
            .into(),
        ),
        (
            "not 'a' in groups",
            4,
            concat!(
                "`not` belongs to the value right behind it, which is a text; ",
                "put the comparison in parentheses"
            )
            .into(),
        ),
        ("true eq true eq true eq true eq true eq true", 37, "it is nested deeper than 100".into()),
    ];
    for (filter, position, sentence) in cases {
        let error = error(filter);
        assert_eq!((error.position, error.problem.to_string()), (position, sentence), "{filter}");
    }
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |depth: usize| "(".repeat(depth) + "true" + &")".repeat(depth);
    assert!(Filter::parse(&nested(DEPTH_MAX), Dialect::Strict).is_ok());
    let too_deep = [
        (nested(DEPTH_MAX + 1), DEPTH_MAX),
        (nested(1_000_000), DEPTH_MAX),
        ("not ".repeat(1_000_000) + "true", 4 * DEPTH_MAX),
        ("trim(".repeat(800_000), 5 * DEPTH_MAX),
    ];
    for (filter, position) in too_deep {
        let expected = FilterError { position, problem: Problem::TooDeep };
        assert_eq!(error(&filter), expected, "{}", &filter[..20]);
    }
    let long = " ".repeat(BYTES_MAX - 3) + "true";
    let expected = FilterError { position: BYTES_MAX, problem: Problem::TooLong };
    assert_eq!(error(&long), expected);
    assert!(Filter::parse(&long[1..], Dialect::Strict).is_ok());
}
