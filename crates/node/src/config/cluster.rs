//! The cluster that a node joins: which keys belong together, and which are missing.

use std::path::{Path, PathBuf};

use trunkline_backplane::nats::Servers;
use trunkline_edge::Endpoint;

use super::file;
use super::given::Given;
use super::kinds::{HubKey, KeyText, ValueKind};
use super::mistake::{Mistake, Origin};
use super::{Mode, Settings};

/// The cluster's key of `trunkline dev` when none is given.
pub const DEVELOPMENT_CLUSTER_KEY: &str = "trunkline-development-cluster-do-not-use-in-production";

/// Where `trunkline dev` looks for NATS when no server is named.
const DEVELOPMENT_NATS: &str = "nats://127.0.0.1:4222";

/// The keys that mean something only together with `cluster`.
const DEPENDENT: [&str; 7] = [
    "nats",
    "nats_credentials_file",
    "nats_ca_file",
    "cluster_key",
    "cluster_key_file",
    "advertise",
    "cluster_strict",
];

/// The cluster that a node joins.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The NATS servers.
    pub servers: Servers,
    /// The credentials for NATS.
    pub credentials_file: Option<PathBuf>,
    /// The authorities that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The key that all nodes share.
    pub key: KeyText,
    /// The address at which app servers reach this node.
    pub advertise: Advertise,
    /// Whether the node is not ready while NATS is away.
    pub strict: bool,
}

/// The address that a node tells the others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Advertise {
    /// None.
    No,
    /// This one.
    Url(String),
    /// The address that the node listens on, as it turns out.
    Listener,
}

/// Checks the keys together. `None`: the node is alone, or there is a mistake.
pub(super) fn assemble(
    mode: Mode,
    settings: &Settings,
    given: &Given,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<String>,
) -> Option<Cluster> {
    let mut check = Check { mode, settings, given, mistakes };
    let Some(name) = settings.cluster.clone() else {
        check.nothing_without_name();
        return None;
    };
    let servers = check.servers();
    let key = check.key();
    for (name, path) in [
        ("nats_credentials_file", &settings.nats_credentials_file),
        ("nats_ca_file", &settings.nats_ca_file),
    ] {
        check.is_readable(name, path.as_deref());
    }
    let advertise = match (&settings.advertise, mode) {
        (Some(url), _) => Advertise::Url(url.clone()),
        (None, Mode::Dev) => Advertise::Listener,
        (None, Mode::Serve | Mode::Inspect) => Advertise::No,
    };
    let (servers, key) = (servers?, key?);
    warnings.extend(advertise_warning(&advertise, &servers, given));
    Some(Cluster {
        name,
        servers,
        credentials_file: settings.nats_credentials_file.clone(),
        ca_file: settings.nats_ca_file.clone(),
        key,
        advertise,
        strict: settings.cluster_strict,
    })
}

fn advertise_warning(advertise: &Advertise, servers: &Servers, given: &Given) -> Option<String> {
    match advertise {
        Advertise::Url(url) if is_loopback(url) && !servers.are_loopback() => Some(format!(
            "advertise ({}): `{url}` leads each machine to itself, but NATS is on another one; \
             app servers elsewhere cannot reach this node",
            given.origin("advertise")
        )),
        Advertise::No => Some(
            "advertise is not set: app servers find this node only if their own `endpoint` leads to it"
                .into(),
        ),
        Advertise::Url(_) | Advertise::Listener => None,
    }
}

fn is_loopback(url: &str) -> bool {
    let Some(endpoint) = Endpoint::parse(url) else { return false };
    let host = endpoint.host().trim_matches(['[', ']']);
    let ip: Option<core::net::IpAddr> = host.parse().ok();
    host == "localhost" || ip.is_some_and(|ip| ip.to_canonical().is_loopback())
}

struct Check<'a> {
    mode: Mode,
    settings: &'a Settings,
    given: &'a Given,
    mistakes: &'a mut Vec<Mistake>,
}

impl Check<'_> {
    fn mistake(&mut self, key: &str, origin: Origin, wrong: &str, allowed: &str) {
        let (key, wrong, allowed) = (key.into(), wrong.into(), allowed.into());
        self.mistakes.push(Mistake { key, origin, wrong, allowed });
    }

    fn nothing_without_name(&mut self) {
        // The name may be there and wrong, which is reported already.
        if self.given.origin("cluster") != Origin::Default {
            return;
        }
        for key in DEPENDENT {
            // A default that is written out, as `config print` does, is not a choice of the operator.
            let is_chosen = key != "cluster_strict" || self.settings.cluster_strict;
            let origin = self.given.origin(key);
            if is_chosen && origin != Origin::Default {
                let allowed = "`cluster` beside it, or neither: a node without a cluster is alone";
                self.mistake(key, origin, "is set without `cluster`", allowed);
            }
        }
    }

    fn servers(&mut self) -> Option<Servers> {
        let origin = self.given.origin("nats");
        match (&self.settings.nats, self.mode) {
            (Some(servers), Mode::Dev) if !servers.are_loopback() && !self.has_own_key() => {
                let wrong = "leads to another machine, and the development cluster's key is public";
                let allowed = "NATS on this machine, or a `cluster_key` of your own";
                self.mistake("nats", origin, wrong, allowed);
                None
            }
            (Some(servers), _) => Some(servers.clone()),
            // It may be there and wrong, which is reported already.
            (None, _) if origin != Origin::Default => None,
            (None, Mode::Dev) => {
                Some(Servers::parse(DEVELOPMENT_NATS).expect("a test reads this address"))
            }
            (None, Mode::Inspect) => None,
            (None, Mode::Serve) => {
                let wrong = "is missing: the nodes of a cluster find one another through NATS";
                let allowed = "the addresses of NATS servers, as in nats://10.0.0.4:4222";
                self.mistake("nats", origin, wrong, allowed);
                None
            }
        }
    }

    fn has_own_key(&self) -> bool {
        ["cluster_key", "cluster_key_file"]
            .into_iter()
            .any(|key| self.given.origin(key) != Origin::Default)
    }

    fn key(&mut self) -> Option<KeyText> {
        let origin = self.given.origin("cluster_key");
        let file_origin = self.given.origin("cluster_key_file");
        if origin != Origin::Default && file_origin != Origin::Default {
            let wrong = "is set beside `cluster_key`";
            self.mistake("cluster_key_file", file_origin, wrong, "a key file, or a key, not both");
            return None;
        }
        if let Some(path) = self.settings.cluster_key_file.clone() {
            let key = self.read_key(&path, &file_origin)?;
            return self.fit_for_mode("cluster_key_file", file_origin, key);
        }
        match (self.settings.cluster_key.clone(), self.mode) {
            (Some(key), _) => self.fit_for_mode("cluster_key", origin, key),
            (None, Mode::Dev) if !self.has_own_key() => {
                Some(KeyText(DEVELOPMENT_CLUSTER_KEY.into()))
            }
            (None, Mode::Serve) if !self.has_own_key() => {
                let wrong = "is missing: without it any program at NATS could pass for a node";
                let allowed = "a key that all nodes share, in TRUNKLINE_CLUSTER_KEY or cluster_key_file; \
                               `trunkline key` prints a new one";
                self.mistake("cluster_key", origin, wrong, allowed);
                None
            }
            // Given and wrong, which is reported already; or not needed.
            (None, Mode::Dev | Mode::Serve | Mode::Inspect) => None,
        }
    }

    fn read_key(&mut self, path: &Path, origin: &Origin) -> Option<KeyText> {
        let allowed = "a readable file with the key on one line";
        let text = match file::read_text(path) {
            Ok(text) => text,
            Err(error) => {
                let wrong = format!("`{}` cannot be read: {error}", path.display());
                self.mistake("cluster_key_file", origin.clone(), &wrong, allowed);
                return None;
            }
        };
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let (first, second) = (lines.next().unwrap_or_default(), lines.next());
        if second.is_some() {
            let wrong = format!("`{}` holds more than one line", path.display());
            self.mistake("cluster_key_file", origin.clone(), &wrong, allowed);
            return None;
        }
        match HubKey.parse(first) {
            Ok(key) => Some(key),
            Err(wrong) => {
                let wrong = format!("the key in `{}` {wrong}", path.display());
                self.mistake("cluster_key_file", origin.clone(), &wrong, &HubKey.allowed());
                None
            }
        }
    }

    fn fit_for_mode(&mut self, name: &str, origin: Origin, key: KeyText) -> Option<KeyText> {
        if self.mode == Mode::Dev || key.0 != DEVELOPMENT_CLUSTER_KEY {
            return Some(key);
        }
        let wrong = "the value is the key of development clusters, which everybody knows";
        let allowed = "a key of your own; `trunkline key` prints a new one";
        self.mistake(name, origin, wrong, allowed);
        None
    }

    fn is_readable(&mut self, key: &str, path: Option<&Path>) {
        let Some(path) = path else { return };
        if let Err(error) = file::read_text(path) {
            let wrong = format!("`{}` cannot be read: {error}", path.display());
            let origin = self.given.origin(key);
            self.mistake(key, origin, &wrong, "the path of a readable text file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_development_is_on_this_machine() {
        assert!(Servers::parse(DEVELOPMENT_NATS).expect("it is an address").are_loopback());
    }

    #[test]
    fn addresses_of_this_machine_are_recognised() {
        for (url, loopback) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:8080", true),
            ("http://10.0.0.7:8080", false),
            ("https://node-7.example.com/path", false),
        ] {
            assert_eq!(is_loopback(url), loopback, "{url}");
        }
    }
}
