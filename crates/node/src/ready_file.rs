//! The ready file: tells whoever started this process that all ports accept, and which ones they are.

use core::net::SocketAddr;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// What the ready file holds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ready {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) pid: u32,
}

/// The ready file could not be written or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write or remove the ready file {}", .path.display())]
pub struct ReadyFileError {
    /// As it was configured.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Removes what an earlier process left, so that nobody takes it for ours.
pub(crate) fn clear(path: &Path) -> Result<(), ReadyFileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ReadyFileError { path: path.into(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes it whole or not at all: a reader never sees half of it.
pub(crate) fn write(path: &Path, ready: &Ready) -> Result<(), ReadyFileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", ready.pid));
    let beside = PathBuf::from(beside);
    let mut json = serde_json::to_vec(ready).expect("addresses and a number are JSON");
    json.push(b'\n');
    let written = std::fs::write(&beside, json).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| {
        // What is left of it is worth nothing; the first error is the one that matters.
        let _ = std::fs::remove_file(&beside);
        ReadyFileError { path: path.into(), source }
    })
}
