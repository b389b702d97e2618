//! Every metric is on the operators' page, and the page names no others.

use std::collections::BTreeSet;

use super::Finding;

pub(super) const PAGE: &str = "docs/operate/metrics.md";

/// The endings that the registry and OpenMetrics append to a name in the code.
const ENDINGS: &[&str] = &["", "_total", "_info", "_seconds", "_bytes", "_seconds_total"];

/// The metric names that a source file registers: string literals that consist of nothing else.
pub(super) fn registered(source: &str) -> impl Iterator<Item = &str> {
    source.split('"').filter(|literal| is_metric(literal))
}

/// Compares the names that code registers with those that the page shows in backticks.
pub(super) fn check(registered: &BTreeSet<String>, page: &str) -> Vec<Finding> {
    let shown: BTreeSet<&str> = page.split('`').filter(|word| is_metric(word)).collect();
    let shows =
        |name: &str| ENDINGS.iter().any(|end| shown.contains(format!("{name}{end}").as_str()));
    let exists = |word: &str| {
        ENDINGS
            .iter()
            .any(|end| word.strip_suffix(end).is_some_and(|name| registered.contains(name)))
    };
    let missing = registered.iter().filter(|name| !shows(name));
    let missing = missing.map(|name| Finding::new(PAGE, format!("`{name}` is not on the page")));
    let stale = shown.iter().filter(|word| !exists(word));
    let stale = stale.map(|word| Finding::new(PAGE, format!("`{word}` is no metric any more")));
    missing.chain(stale).collect()
}

fn is_metric(word: &str) -> bool {
    let rest = word.strip_prefix("trunkline_").or_else(|| word.strip_prefix("process_"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|char| char.is_ascii_lowercase() || char == '_')
    })
}
