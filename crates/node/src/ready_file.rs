//! The ready file: it says that all ports accept connections, and which ports they are.

use core::net::SocketAddr;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The content of the ready file.
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
    /// The path as configured.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// Removes the file of an earlier process, so that it is not mistaken for ours.
pub(crate) fn clear(path: &Path) -> Result<(), ReadyFileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ReadyFileError { path: path.into(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the file completely or not at all: a reader never sees half of it.
pub(crate) fn write(path: &Path, ready: &Ready) -> Result<(), ReadyFileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", ready.pid));
    let beside = PathBuf::from(beside);
    let mut json = serde_json::to_vec(ready).expect("addresses and a number are JSON");
    json.push(b'\n');
    let written = std::fs::write(&beside, json).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| {
        // The half-written copy is worthless; only the first error matters.
        let _ = std::fs::remove_file(&beside);
        ReadyFileError { path: path.into(), source }
    })
}
