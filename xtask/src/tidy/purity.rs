//! Rules for the code of pure crates: what it must declare, and what it must not name.

use super::{Finding, source};

/// Paths that would bring in the clock, sockets, threads or randomness.
const FORBIDDEN: &[&str] = &[
    "std::time",
    "std::net",
    "std::thread",
    "std::fs",
    "std::env",
    "core::time::Instant",
    "rand::",
    "getrandom",
    "extern crate std",
    "extern crate rand",
];

/// Checks one source file of a pure crate.
pub(super) fn check(place: &str, text: &str, test_only: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_root = place.matches('/').count() == 3 && place.ends_with("/lib.rs");
    if is_root && !text.lines().any(|line| line.trim() == "#![no_std]") {
        findings.push(Finding::new(place, "a pure crate must say `#![no_std]`"));
    }
    if test_only {
        return findings;
    }
    for (number, line) in source::production(text).lines().enumerate() {
        let named = FORBIDDEN.iter().filter(|name| names(line, name));
        findings.extend(named.map(|name| {
            let text = format!("a pure crate must not name `{name}`");
            Finding::new(format!("{place}:{}", number + 1), text)
        }));
    }
    findings
}

/// Whether `line` names `path` as a whole, not as the end of a longer word.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|char| char.is_alphanumeric() || char == '_')
    })
}
