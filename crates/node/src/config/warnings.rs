//! Warnings about settings that are allowed but may be a mistake: logged at the start, and printed
//! by `trunkline config check`.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::file::HubTable;
use super::given::Given;
use super::{Mode, Origin, Settings};

/// Variables that other Rust programs use.
pub(super) fn of_environment(variables: &[(OsString, OsString)]) -> Option<String> {
    let set =
        |name: &str| variables.iter().any(|(known, value)| *known == *name && !value.is_empty());
    (set("RUST_LOG") && !set("TRUNKLINE_LOG")).then(|| {
        "RUST_LOG is not read; the level of log lines is TRUNKLINE_LOG, `log` or --log".into()
    })
}

/// Warns that the admin port, which has no password, is exposed.
pub(super) fn of_addresses(mode: Mode, settings: &Settings, given: &Given) -> Option<String> {
    let admin = settings.admin.filter(|admin| !admin.ip().to_canonical().is_loopback())?;
    // `trunkline dev` refuses such an address.
    (mode != Mode::Dev).then(|| {
        format!(
            "admin ({}): `{admin}` can be reached from other machines and asks for no password; \
             see that only probes and Prometheus can reach it",
            given.origin("admin")
        )
    })
}

/// Warns about files with keys that every user of the machine may read.
pub(super) fn of_files(
    settings: &Settings,
    given: &Given,
    tables: &[HubTable],
    config: Option<&(PathBuf, Origin)>,
) -> Vec<String> {
    let in_config = |key| matches!(given.origin(key), Origin::File { .. });
    let holds_keys = in_config("key")
        || in_config("cluster_key")
        || in_config("key_previous")
        || tables.iter().any(|table| !table.keys.is_empty());
    let config = config.filter(|_| holds_keys).map(|(path, _)| path.clone());
    let of_tables = tables
        .iter()
        .filter_map(|table| table.key_file.as_ref())
        .map(|(path, origin)| origin.place(Path::new(path)));
    let of_keys = [&settings.key_file, &settings.cluster_key_file, &settings.nats_credentials_file];
    let of_keys = of_keys.into_iter().flatten().cloned();
    let mut files: Vec<PathBuf> = config.into_iter().chain(of_keys).chain(of_tables).collect();
    files.sort();
    files.dedup();
    files.iter().filter(|path| readable_by_all(path)).map(|path| warning(path)).collect()
}

fn warning(path: &Path) -> String {
    let path = path.display();
    format!(
        "`{path}` holds a key and can be read by every user of this machine; `chmod o-r {path}`"
    )
}

fn readable_by_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}
