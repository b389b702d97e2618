//! The places of files and folders.

use std::path::{Path, PathBuf};

/// The root of the repository: the folder above this crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder inside the repository")
}

/// Cargo's target folder, which the environment may change.
pub(crate) fn target() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // A relative folder is relative to cargo's working directory, which is always the root.
    chosen.map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The release binary that the demo and the tests drive.
pub(crate) fn binary() -> PathBuf {
    target().join("release/trunkline")
}

/// A folder for logs and scratch files of these commands.
pub(crate) fn scratch() -> PathBuf {
    target().join("xtask")
}

/// The cargo that runs us, so that the same toolchain is used.
pub(crate) fn cargo() -> std::process::Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(program);
    command.current_dir(root());
    command
}
