//! TLS: which certificates each port offers. The files are read and checked here, so that mistakes
//! show before anything changes.

use core::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use trunkline_tls::{Fault, Loaded, Pair, TlsSettings};

use super::file::HubTable;
use super::given::Given;
use super::mistake::{Mistake, Origin};
use super::reloading::Difference;
use super::table::Settings;

/// What each port offers to TLS clients; `None` for a port without TLS.
#[derive(Clone, Default)]
pub struct Tls {
    /// The public port.
    pub public: Option<Loaded>,
    /// The port for app servers.
    pub trunks: Option<Loaded>,
    /// The admin port.
    pub admin: Option<Loaded>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { public, trunks, admin } = self;
        let [public, trunks, admin] = [public, trunks, admin].map(Option::is_some);
        f.debug_struct("Tls")
            .field("public", &public)
            .field("trunks", &trunks)
            .field("admin", &admin)
            .finish()
    }
}

impl Tls {
    /// Notes how `new` differs. A port that is plain, or has TLS, stays so until a restart.
    pub(super) fn merge(&self, new: &mut Self, difference: &mut Difference) {
        let ports = [
            ("tls_cert_file", &self.public, &mut new.public),
            ("trunk_tls_cert_file", &self.trunks, &mut new.trunks),
            ("admin_tls_cert_file", &self.admin, &mut new.admin),
        ];
        for (key, own, new) in ports {
            match (own, &*new) {
                (None, None) => (),
                (Some(own), Some(new)) if own.certificates() == new.certificates() => (),
                (Some(_), Some(_)) => difference.changed.push(format!("the certificates of {key}")),
                (None, Some(_)) | (Some(_), None) => {
                    difference.changed.retain(|changed| changed != key);
                    difference.needs_restart.push(key);
                    new.clone_from(own);
                }
            }
        }
    }
}

/// A file, and where it was set.
type Named = (String, PathBuf, Origin);

/// Reads the certificates of all ports.
pub(crate) fn assemble(
    settings: &Settings,
    given: &Given,
    tables: &[HubTable],
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<String>,
) -> Tls {
    let mut book = Book { given, settings, mistakes, warnings, files: Vec::new() };
    let public = book.of_key("tls_cert_file", settings.tls_cert_file.as_deref());
    let public = book.pair(public, "tls_key_file", settings.tls_key_file.as_deref());
    let trunks = book.of_key("trunk_tls_cert_file", settings.trunk_tls_cert_file.as_deref());
    let trunks = book.pair(trunks, "trunk_tls_key_file", settings.trunk_tls_key_file.as_deref());
    let admin = book.of_key("admin_tls_cert_file", settings.admin_tls_cert_file.as_deref());
    let admin = book.pair(admin, "admin_tls_key_file", settings.admin_tls_key_file.as_deref());
    let hubs: Vec<Pair> = tables.iter().filter_map(|table| book.of_hub(table)).collect();
    let authorities = book.of_key("trunk_client_ca_file", settings.trunk_client_ca_file.as_deref());
    if public.is_none()
        && let Some(table) = tables.iter().find(|table| table.tls_cert_file.is_some())
    {
        let key = format!("hub.{}.tls_cert_file", table.name);
        let origin = table.tls_cert_file.as_ref().map_or(Origin::Default, |file| file.1.clone());
        book.wrong(
            key,
            origin,
            "is set without `tls_cert_file`",
            "a certificate of the port itself, for clients that ask for no name",
        );
    }
    if trunks.is_some() && settings.trunk_listen.is_none() {
        let key = "trunk_tls_cert_file";
        book.wrong(
            key.into(),
            given.origin(key),
            "is set without `trunk_listen`",
            "a port of its own for app servers; the public port has `tls_cert_file`",
        );
    }
    if trunks.is_none()
        && let Some((key, _, origin)) = &authorities
    {
        book.wrong(
            key.clone(),
            origin.clone(),
            "is set without `trunk_tls_cert_file`",
            "certificates of app servers on a port with TLS",
        );
    }
    let client_authorities = authorities.map(|(_, path, _)| path);
    let load = |book: &mut Book<'_>, own: Option<Pair>, more, client_authorities| {
        let oldest = settings.tls_min_version;
        book.load(&TlsSettings { own: own?, more, client_authorities, oldest })
    };
    Tls {
        public: load(&mut book, public, hubs, None),
        trunks: load(&mut book, trunks, Vec::new(), client_authorities),
        admin: load(&mut book, admin, Vec::new(), None),
    }
}

struct Book<'a> {
    given: &'a Given,
    settings: &'a Settings,
    mistakes: &'a mut Vec<Mistake>,
    warnings: &'a mut Vec<String>,
    /// All files, to find the key of one that is wrong.
    files: Vec<Named>,
}

impl Book<'_> {
    fn wrong(&mut self, key: String, origin: Origin, wrong: &str, allowed: &str) {
        let (wrong, allowed) = (wrong.to_owned(), allowed.to_owned());
        self.mistakes.push(Mistake { key, origin, wrong, allowed });
    }

    fn of_key(&mut self, key: &str, path: Option<&Path>) -> Option<Named> {
        let named = (key.to_owned(), path?.to_owned(), self.given.origin(key));
        self.files.push(named.clone());
        Some(named)
    }

    /// A certificate and its key: both, or neither.
    fn pair(&mut self, certificate: Option<Named>, key: &str, path: Option<&Path>) -> Option<Pair> {
        let own = self.of_key(key, path);
        match (certificate, own) {
            (None, None) => None,
            (Some((_, certificate, _)), Some((_, key, _))) => Some(Pair { certificate, key }),
            (Some((name, _, origin)), None) | (None, Some((name, _, origin))) => {
                let other = if name == key { key.replace("key", "cert") } else { key.to_owned() };
                self.wrong(
                    name,
                    origin,
                    &format!("is set without `{other}`"),
                    "a certificate and its private key",
                );
                None
            }
        }
    }

    fn of_hub(&mut self, table: &HubTable) -> Option<Pair> {
        let mut named = |field: &str, file: &Option<(String, Origin)>| {
            let (path, origin) = file.clone()?;
            let path = origin.place(Path::new(&path));
            let named = (format!("hub.{}.{field}", table.name), path, origin);
            self.files.push(named.clone());
            Some(named)
        };
        let certificate = named("tls_cert_file", &table.tls_cert_file);
        let key = named("tls_key_file", &table.tls_key_file);
        match (certificate, key) {
            (None, None) => None,
            (Some((_, certificate, _)), Some((_, key, _))) => Some(Pair { certificate, key }),
            (Some((name, _, origin)), None) | (None, Some((name, _, origin))) => {
                self.wrong(
                    name,
                    origin,
                    "is set without the other",
                    "tls_cert_file and tls_key_file, both in the hub's table",
                );
                None
            }
        }
    }

    fn load(&mut self, settings: &TlsSettings) -> Option<Loaded> {
        match trunkline_tls::load(settings, SystemTime::now()) {
            Ok(loaded) => {
                self.warnings.extend(loaded.warnings.iter().map(ToString::to_string));
                Some(loaded)
            }
            Err(faults) => {
                for fault in faults {
                    self.fault(&fault);
                }
                None
            }
        }
    }

    fn fault(&mut self, fault: &Fault) {
        let named = self.files.iter().find(|(_, path, _)| path == fault.path()).cloned();
        let (key, _, origin) = named.unwrap_or_else(|| {
            let path = self.settings.tls_cert_file.clone().unwrap_or_default();
            ("tls_cert_file".into(), path, self.given.origin("tls_cert_file"))
        });
        self.wrong(key, origin, &fault.to_string(), "PEM files of a certificate that is valid now (its chain after it) and of its private key");
    }
}
