//! Runs npm without noise, and always with the same result.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::repo;

pub(crate) fn sdk() -> PathBuf {
    repo::root().join("sdk/node")
}

/// `npm <arguments>` in `folder`.
pub(crate) fn npm(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    // Set as environment variables: after `--`, options would be arguments of the script.
    for option in ["audit", "fund", "update_notifier"] {
        command.env(format!("npm_config_{option}"), "false");
    }
    command.current_dir(folder).args(arguments);
    command
}

/// Installs exactly what the lock file names, from npm's cache if possible.
pub(crate) fn ci(folder: &Path) -> Command {
    npm(folder, &["ci", "--prefer-offline"])
}

/// Installs what the SDK's lock file names, but only if something is missing: an app that links to
/// the SDK's folder needs its content all the time, and `npm ci` begins by removing it.
pub(crate) fn install_sdk() -> Command {
    if sdk().join("node_modules").exists() {
        npm(&sdk(), &["install", "--no-save", "--prefer-offline"])
    } else {
        ci(&sdk())
    }
}

/// Whether everything that the lock file of `folder` names is installed in that version.
pub(crate) fn is_installed(folder: &Path) -> bool {
    let read = |file: &str| {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    };
    has_all(&read("package-lock.json"), &read("node_modules/.package-lock.json"))
}

/// Compares the lock file with npm's own list of installed packages. Optional packages may be
/// missing: they are for other systems.
fn has_all(wanted: &serde_json::Value, there: &serde_json::Value) -> bool {
    let Some(packages) = wanted["packages"].as_object() else { return false };
    packages.iter().filter(|(path, _)| path.contains("node_modules/")).all(|(path, package)| {
        let present = &there["packages"][path];
        let optional = package["optional"] == true || package["devOptional"] == true;
        (optional && present.is_null())
            || present["version"] == package["version"] && !present.is_null()
    })
}

/// The folders with a lock file, relative to the root.
pub(crate) fn locks() -> Result<Vec<PathBuf>, crate::Failure> {
    let files = crate::tidy::files(repo::root())?;
    let locks = files.iter().filter(|file| file.ends_with("package-lock.json"));
    let folders = locks.filter_map(|lock| lock.parent()?.strip_prefix(repo::root()).ok());
    Ok(folders.map(Path::to_path_buf).collect())
}

/// Whether the package in `folder` has that script.
pub(crate) fn has_script(folder: &Path, script: &str) -> bool {
    let manifest = std::fs::read_to_string(folder.join("package.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
    manifest["scripts"][script].is_string()
}

/// Whether the SDK has been built since its sources last changed.
pub(crate) fn sdk_is_built() -> bool {
    let built = modified(&sdk().join("dist/esm/index.js"));
    built.is_some() && newest(&sdk().join("src")) < built
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().ok()?.modified().ok()
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let times = entries.map(|entry| match entry.path() {
        path if path.is_dir() => newest(&path),
        path => modified(&path),
    });
    times.max().flatten()
}

#[cfg(test)]
mod tests {
    use super::has_all;

    #[test]
    fn what_is_missing_or_old_is_seen() {
        let parse = |text: &str| serde_json::from_str(text).unwrap();
        let wanted = parse(
            r#"{"packages": {"": {}, "node_modules/a": {"version": "2.0.0"}, "node_modules/b": {"version": "1.0.0", "optional": true}}}"#,
        );
        let cases = [
            (r#"{"packages": {"node_modules/a": {"version": "2.0.0"}}}"#, true),
            (r#"{"packages": {"node_modules/a": {"version": "1.0.0"}}}"#, false),
            (r#"{"packages": {"node_modules/b": {"version": "1.0.0"}}}"#, false),
            ("{}", false),
            ("null", false),
        ];
        for (there, expected) in cases {
            assert_eq!(has_all(&wanted, &parse(there)), expected, "{there}");
        }
        assert!(!has_all(&serde_json::Value::Null, &wanted));
    }
}
