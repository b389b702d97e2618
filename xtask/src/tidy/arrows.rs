//! Which crate may import which.
//!
//! Pure crates import pure crates only. The I/O crates import the pure ones and the shared I/O
//! crate, never each other; `node` composes them; the command line imports `node` and `bench`.

use super::Finding;

const PURE: &[&str] = &[
    "clock",
    "websocket",
    "engineio",
    "socketio",
    "token",
    "trunk",
    "switchboard",
    "mesh",
    "admission",
];
/// The peers that the ledger compares us with: they import nothing of ours.
const PEERS: &[&str] = &["bare", "socketioxide"];
const INPUT_OUTPUT: &[&str] = &["edge", "azure", "api", "bench", "backplane"];
/// The crates that I/O crates share: they import none of them.
const GROUND: &[&str] = &["http", "tls"];

/// Crates that would bring a clock, a socket, a thread or a random source into a pure crate.
const IMPURE: &[&str] = &[
    "async-std",
    "chrono",
    "fastrand",
    "futures-timer",
    "getrandom",
    "hyper",
    "instant",
    "libc",
    "mio",
    "nix",
    "quanta",
    "rand",
    "rand_core",
    "rustix",
    "smol",
    "socket2",
    "time",
    "tokio",
    "uuid",
    "web-time",
];

pub(super) fn is_pure(name: &str) -> bool {
    PURE.contains(&name)
}

/// Checks the arrows of one manifest.
pub(super) fn check(place: &str, manifest: &str) -> Vec<Finding> {
    let manifest: toml::Table = match manifest.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::new(place, format!("is not TOML: {error}"))],
    };
    let Some(package) = manifest.get("package") else {
        return Vec::new(); // The workspace's own manifest.
    };
    let package = package.get("name").and_then(toml::Value::as_str).unwrap_or_default();
    let Some(from) = short_name(place, package) else {
        return vec![Finding::new(
            place,
            format!("no ring is known for `{package}`: give it one in xtask/src/tidy/arrows.rs"),
        )];
    };
    let mut findings = Vec::new();
    for (kind, dependency) in dependencies(&manifest) {
        if let Some(to) = dependency.strip_prefix("trunkline-") {
            if !allowed(from, to, kind) {
                let text = format!("`{from}` must not import `{to}` ({})", kind.word());
                findings.push(Finding::new(place, text));
            }
        } else if is_pure(from)
            && kind != DependencyKind::Dev
            && IMPURE.contains(&dependency.as_str())
        {
            let text = format!("`{from}` is pure and must not be able to name `{dependency}`");
            findings.push(Finding::new(place, text));
        }
    }
    findings
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DependencyKind {
    Normal,
    Dev,
}

impl DependencyKind {
    fn word(self) -> &'static str {
        match self {
            Self::Normal => "dependency",
            Self::Dev => "dev-dependency",
        }
    }
}

/// The crate's name in the map; `None` for a crate that is not on it.
fn short_name<'a>(place: &str, package: &'a str) -> Option<&'a str> {
    let short = package.strip_prefix("trunkline-").unwrap_or(match package {
        "trunkline" => "cli",
        other => other,
    });
    let known = is_pure(short)
        || INPUT_OUTPUT.contains(&short)
        || GROUND.contains(&short)
        || PEERS.contains(&short)
        || ["node", "cli", "testkit", "fuzz", "instructions", "xtask"].contains(&short);
    // A folder whose name differs from its crate would hide the crate from the map.
    let folder = place.trim_end_matches("/Cargo.toml").rsplit('/').next();
    (known && folder == Some(short)).then_some(short)
}

fn allowed(from: &str, to: &str, kind: DependencyKind) -> bool {
    if kind == DependencyKind::Dev && to == "testkit" && from != "xtask" {
        return true;
    }
    match from {
        "node" => is_pure(to) || (INPUT_OUTPUT.contains(&to) && to != "bench") || to == "tls",
        "cli" => to == "node" || to == "bench",
        // Of the edge, the fuzzer runs only the core of a shard, which is as pure as a pure crate:
        // see its feature `fuzzing`.
        "fuzz" => is_pure(to) || ["testkit", "edge"].contains(&to),
        "edge" | "azure" => is_pure(to) || GROUND.contains(&to),
        "api" => is_pure(to) || to == "tls",
        "xtask" | "bare" | "socketioxide" => false,
        // Pure crates, the I/O crates, and the tools that run pure crates: the testkit and the
        // instruction counter.
        _ => is_pure(to),
    }
}

/// The package names of what a crate imports outside of its tests.
pub(super) fn imports(manifest: &toml::Table) -> Vec<String> {
    let found = dependencies(manifest).into_iter();
    found.filter(|(kind, _)| *kind == DependencyKind::Normal).map(|(_, name)| name).collect()
}

/// The package name of every dependency, from every table that can contain one.
fn dependencies(manifest: &toml::Table) -> Vec<(DependencyKind, String)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values());
    let tables = targets.filter_map(toml::Value::as_table).chain([manifest]);
    let mut found = Vec::new();
    for table in tables {
        let kinds = [
            ("dependencies", DependencyKind::Normal),
            ("build-dependencies", DependencyKind::Normal),
            ("dev-dependencies", DependencyKind::Dev),
        ];
        for (key, kind) in kinds {
            let listed = table.get(key).and_then(toml::Value::as_table);
            for (name, value) in listed.into_iter().flatten() {
                // `alias = { package = "real-name" }`
                let renamed = value.get("package").and_then(toml::Value::as_str);
                found.push((kind, renamed.unwrap_or(name).to_owned()));
            }
        }
    }
    found
}
