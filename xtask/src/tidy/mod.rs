//! The rules that no compiler checks: which crate may import which, and what files must not
//! contain.

mod arrows;
mod limits;
mod locks;
mod metrics;
mod purity;
mod source;
mod texts;
mod versions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{Failure, repo};

/// Folders with generated content.
const MADE: &[&str] =
    &["target", "node_modules", "dist", "corpus", "artifacts", ".git", ".venv", "coverage"];

/// A broken rule: the place, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) place: String,
    pub(crate) text: String,
}

impl Finding {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }
}

pub(crate) fn command() -> Result<ExitCode, Failure> {
    let findings = check(repo::root())?;
    for Finding { place, text } in &findings {
        println!("{place}: {text}");
    }
    println!("tidy: {} broken", findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks every rule over the repository in `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let mut manifests = 0;
    let mut registered = BTreeSet::new();
    let lock = std::fs::read_to_string(root.join(locks::LOCK)).unwrap_or_default().parse()?;
    for file in files(root)? {
        let place = file.strip_prefix(root)?.display().to_string();
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue; // Not text: no rule of ours reads it.
        };
        findings.extend(texts::check(&place, &text));
        if place.ends_with("Cargo.toml") {
            manifests += 1;
            findings.extend(arrows::check(&place, &text));
            // One that cannot be read has its finding from the arrows.
            findings.extend(text.parse().iter().flat_map(|manifest| locks::check(&lock, manifest)));
        }
        if let Some((name, _)) = crate_source(&place) {
            findings.extend(source::check(&place, &text, test_only(&file)));
            registered.extend(metrics::registered(&text).map(str::to_owned));
            if arrows::is_pure(name) {
                findings.extend(purity::check(&place, &text, test_only(&file)));
            }
        }
    }
    if manifests == 0 {
        return Err(format!("no Cargo.toml under {}", root.display()).into());
    }
    let read = |page: &str| std::fs::read_to_string(root.join(page)).unwrap_or_default();
    let page = read(metrics::PAGE);
    findings.extend(metrics::check(&registered, &page));
    findings.extend(limits::check(&read(limits::MODEL), &read(limits::KEYS), &page));
    findings.extend(versions::check(root));
    findings.sort();
    Ok(findings)
}

/// `crates/<name>/src/<rest>.rs` → name and rest.
fn crate_source(place: &str) -> Option<(&str, &str)> {
    let (name, inside) = place.strip_prefix("crates/")?.split_once('/')?;
    let rest = inside.strip_prefix("src/")?;
    rest.ends_with(".rs").then_some((name, rest))
}

/// Whether a source file is only compiled for tests: a parent module contains `#[cfg(test)] mod
/// <this>;`.
fn test_only(file: &Path) -> bool {
    let mut module = file.to_path_buf();
    while let (Some(name), Some(folder)) = (module.file_stem(), module.parent()) {
        let name = name.to_string_lossy().into_owned();
        let parents = [
            folder.join("mod.rs"),
            folder.join("lib.rs"),
            folder.join("main.rs"),
            folder.with_extension("rs"),
        ];
        let declares = |parent: &PathBuf| {
            std::fs::read_to_string(parent)
                .is_ok_and(|text| source::test_modules(&text).any(|declared| declared == name))
        };
        if parents.iter().any(declares) {
            return true;
        }
        if folder.ends_with("src") {
            return false;
        }
        module = folder.to_path_buf();
    }
    false
}

/// Every file below `root` that nobody generates, in order.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let made = MADE.iter().any(|made| entry.file_name() == *made);
            let kind = entry.file_type()?;
            if kind.is_dir() && !made {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
