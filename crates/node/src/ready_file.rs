//! The ready file: it says that all ports accept connections, and which ports they are.

use core::net::SocketAddr;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The content of the ready file.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Ready {
    pub(crate) listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trunk_listen: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) pid: u32,
    /// Whether SIGHUP reloads the configuration; for `trunkline dev` it is the end.
    #[serde(default)]
    pub(crate) reloadable: bool,
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

/// The file beside the ready file that has the outcome of reloads.
pub(crate) fn of_reloads(ready_file: &Path) -> PathBuf {
    let mut path = ready_file.as_os_str().to_owned();
    path.push(".reload");
    path.into()
}

/// Removes the file of an earlier process, so that it is not mistaken for ours.
pub(crate) fn clear(path: &Path) -> Result<(), ReadyFileError> {
    // It need not be there.
    let _ = std::fs::remove_file(of_reloads(path));
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ReadyFileError { path: path.into(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the file completely or not at all: a reader never sees half of it.
pub(crate) fn write(path: &Path, ready: &Ready) -> Result<(), ReadyFileError> {
    let json = serde_json::to_vec(ready).expect("addresses and a number are JSON");
    replace(path, ready.pid, json).map_err(|source| ReadyFileError { path: path.into(), source })
}

/// Replaces a file in one step.
pub(crate) fn replace(path: &Path, pid: u32, mut json: Vec<u8>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{pid}.tmp"));
    let beside = PathBuf::from(beside);
    json.push(b'\n');
    let written = std::fs::write(&beside, json).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // The half-written copy is worthless; only the first error matters.
        let _ = std::fs::remove_file(&beside);
    }
    written
}
