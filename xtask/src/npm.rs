//! npm, quiet and repeatable.

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
    command.current_dir(folder).args(arguments).args(["--no-audit", "--no-fund"]);
    command.env("npm_config_update_notifier", "false");
    command
}

/// Installs exactly what the lock file says, from npm's cache where it can.
pub(crate) fn ci(folder: &Path) -> Command {
    npm(folder, &["ci", "--prefer-offline"])
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
