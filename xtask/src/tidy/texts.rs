//! Rules for every text file, by file name.

use super::Finding;

const LINES_MAX: usize = 500;

/// Files that are longer than the limit, each with its own limit: they may only shrink, and no file
/// may be added.
const LONG: &[(&str, usize)] =
    &[("crates/node/tests/configuration.rs", 540), ("sdk/node/test/recovery.test.js", 560)];

const CODE: &[&str] = &[".rs", ".ts", ".mjs", ".cjs", ".js"];

/// Words for postponed work, which belongs in an issue. They are split here, so that this file
/// passes.
const PUT_OFF: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

const WRITTEN: &[&str] = &[
    ".rs", ".toml", ".md", ".mjs", ".cjs", ".js", ".ts", ".py", ".html", ".css", ".sh", ".yml",
    ".yaml",
];

pub(super) fn check(place: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if CODE.iter().any(|end| place.ends_with(end)) {
        let lines_max =
            LONG.iter().find(|(long, _)| *long == place).map_or(LINES_MAX, |(_, max)| *max);
        let lines = text.lines().count();
        if lines > lines_max {
            let text = format!("{lines} lines; a file over {lines_max} wants to be split");
            findings.push(Finding::new(place, text));
        }
    }
    if place.ends_with("package-lock.json") {
        findings.extend(registry_hosts(place, text));
    } else if WRITTEN.iter().any(|end| place.ends_with(end)) {
        findings.extend(put_off(place, text));
    }
    findings
}

/// A lock file that names a registry would force everyone to use that registry.
fn registry_hosts(place: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate();
    let broken = lines.filter(|(_, line)| {
        let line = line.trim_start();
        line.starts_with("\"resolved\"") && line.contains("://")
    });
    broken
        .map(|(number, _)| {
            let text = "names a registry: install with `omit-lockfile-registry-resolved`";
            Finding::new(format!("{place}:{}", number + 1), text)
        })
        .collect()
}

fn put_off(place: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        if let Some(word) = words.find(|word| PUT_OFF.contains(word)) {
            let text = format!("`{word}`: do it, or write an issue");
            findings.push(Finding::new(format!("{place}:{}", number + 1), text));
        }
    }
    findings
}
