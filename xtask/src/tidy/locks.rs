//! The fuzz workspace's lock file keeps up with the crates that it fuzzes: the run demands it as it
//! is, and nothing else would show that it is old.

use super::{Finding, arrows};

pub(super) const LOCK: &str = "fuzz/Cargo.lock";

/// Checks one manifest of ours against the lock file: what a locked crate of ours imports is locked.
pub(super) fn check(lock: &toml::Table, manifest: &toml::Table) -> Vec<Finding> {
    let name = manifest.get("package").and_then(|package| package.get("name")?.as_str());
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let locked = packages.into_iter().flatten().find(|package| {
        package.get("source").is_none() && package.get("name").and_then(toml::Value::as_str) == name
    });
    let Some(locked) = locked else {
        return Vec::new(); // A crate that is not fuzzed.
    };
    // `name`, or `name version` where several versions are locked.
    let listed = locked.get("dependencies").and_then(toml::Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(toml::Value::as_str);
    let listed: Vec<&str> = listed.filter_map(|word| word.split(' ').next()).collect();
    let imports = arrows::imports(manifest);
    let missing = imports.iter().filter(|wanted| !listed.contains(&wanted.as_str()));
    missing
        .map(|wanted| {
            let how = "cargo metadata --manifest-path fuzz/Cargo.toml > /dev/null";
            let name = name.unwrap_or_default();
            Finding::new(
                LOCK,
                format!("lacks `{wanted}` of `{name}`: bring it up to date with `{how}`"),
            )
        })
        .collect()
}
