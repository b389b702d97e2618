//! Reads what a port offers to TLS clients from files, and checks it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use crate::names::ByName;
use crate::validity::Validity;
use crate::{pem, validity};

/// A certificate that ends within this time is worth a warning.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// A certificate with its chain, and its private key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pair {
    /// The certificate, then those that sign it.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The oldest version of TLS that a port offers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[default]
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

/// What a port offers to TLS clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsSettings {
    /// The port's own certificate, for clients that ask for no name or an unknown one.
    pub own: Pair,
    /// More certificates, each for the names in it.
    pub more: Vec<Pair>,
    /// Certificates of the authorities that sign those of clients. `None`: clients need none.
    pub client_authorities: Option<PathBuf>,
    /// The oldest version.
    pub oldest: TlsVersion,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("`{}` cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file holds no certificate in PEM.
    #[error("`{}` holds no certificate (PEM, -----BEGIN CERTIFICATE-----)", .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no private key in PEM.
    #[error("`{}` holds no private key (PEM, -----BEGIN PRIVATE KEY-----, without a password)", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The certificate cannot be read or used.
    #[error("the certificate in `{}` cannot be used: {why}", .path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The private key cannot be read or used.
    #[error("the key in `{}` cannot be used: {why}", .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The key is not that of the certificate.
    #[error("the key in `{}` is not the key of the certificate in `{}`", .key.display(), .certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The certificate has expired.
    #[error("the certificate in `{}` has expired {} ago", .path.display(), rounded(.since))]
    Expired {
        /// The file.
        path: PathBuf,
        /// The time since then.
        since: Duration,
    },
    /// Two certificates are for one name.
    #[error("`{name}` is a name in the certificate of `{}` and in that of another hub", .path.display())]
    NameTwice {
        /// The name.
        name: String,
        /// The later file.
        path: PathBuf,
    },
}

impl Fault {
    /// The file that the fault is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. }
            | Self::NoCertificate { path }
            | Self::NoKey { path }
            | Self::BadCertificate { path, .. }
            | Self::BadKey { path, .. }
            | Self::Mismatch { key: path, .. }
            | Self::Expired { path, .. }
            | Self::NameTwice { path, .. } => path,
        }
    }
}

/// What is worth a log line about a certificate that is used all the same.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Warning {
    /// The certificate expires soon.
    #[error("the certificate in `{}` expires in {}", .path.display(), rounded(.left))]
    EndsSoon {
        /// The file.
        path: PathBuf,
        /// The time until then.
        left: Duration,
    },
    /// The certificate is not valid yet.
    #[error("the certificate in `{}` becomes valid in {}", .path.display(), rounded(.left))]
    NotYet {
        /// The file.
        path: PathBuf,
        /// The time until then.
        left: Duration,
    },
    /// The certificate is for no name.
    #[error("the certificate in `{}` names no host (subjectAltName), so clients will refuse it", .path.display())]
    NoNames {
        /// The file.
        path: PathBuf,
    },
}

fn rounded(span: &Duration) -> String {
    let hours = span.as_secs() / 3600;
    match hours {
        0 => "less than an hour".into(),
        1..48 => format!("{hours} h"),
        48.. => format!("{} days", hours / 24),
    }
}

/// The facts of a certificate in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// The file that it came from.
    pub path: PathBuf,
    /// The hosts that it is for.
    pub names: Vec<String>,
    /// The time at which it expires, in seconds of the Unix epoch.
    pub ends_s: i64,
}

/// Checked certificates, ready for [`Certificates`](crate::Certificates).
#[derive(Clone, Debug)]
pub struct Loaded {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificates: Vec<Certificate>,
    /// What is worth a log line.
    pub warnings: Vec<Warning>,
}

impl Loaded {
    /// The facts of each certificate, the port's own first.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

/// Reads and checks all files; on failure, everything that is wrong with them.
pub fn load(settings: &TlsSettings, now: SystemTime) -> Result<Loaded, Vec<Fault>> {
    let provider = Arc::new(default_provider());
    let mut reader = Reader { provider, now, faults: Vec::new(), warnings: Vec::new() };
    let own = reader.pair(&settings.own);
    let more: Vec<_> = settings.more.iter().filter_map(|pair| reader.pair(pair)).collect();
    let roots = settings.client_authorities.as_deref().map(|path| reader.authorities(path));
    let Some((own_facts, own_key)) = own else { return Err(reader.faults) };
    let mut by_name = ByName::new(own_key);
    let mut certificates = vec![own_facts];
    for (facts, key) in more {
        for name in &facts.names {
            if !by_name.add(name, &key) {
                let (name, path) = (name.clone(), facts.path.clone());
                reader.faults.push(Fault::NameTwice { name, path });
            }
        }
        certificates.push(facts);
    }
    let Reader { provider, faults, warnings, .. } = reader;
    if !faults.is_empty() {
        return Err(faults);
    }
    let config = server_config(provider, settings, roots.flatten(), by_name)?;
    Ok(Loaded { config: Arc::new(config), certificates, warnings })
}

fn server_config(
    provider: Arc<CryptoProvider>,
    settings: &TlsSettings,
    roots: Option<RootCertStore>,
    by_name: ByName,
) -> Result<ServerConfig, Vec<Fault>> {
    let unusable =
        |path: &Path, why: String| vec![Fault::BadCertificate { path: path.into(), why }];
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = match settings.oldest {
        TlsVersion::V1_2 => builder.with_protocol_versions(&[&TLS13, &TLS12]),
        TlsVersion::V1_3 => builder.with_protocol_versions(&[&TLS13]),
    };
    let own = &settings.own.certificate;
    let builder = builder.map_err(|error| unusable(own, error.to_string()))?;
    let knows_clients = roots.is_some();
    let builder = match (roots, &settings.client_authorities) {
        (Some(roots), Some(path)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build().map_err(|error| unusable(path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket holds what a client needs to resume, so the node keeps nothing for those that left.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    let ticketer = if knows_clients { Ticketer::new() } else { shared_ticketer() };
    config.ticketer = ticketer.map_err(|error| unusable(own, error.to_string()))?;
    Ok(config)
}

/// The keys of tickets, which survive the exchange of certificates. Where clients need certificates
/// each configuration has keys of its own: a ticket must not outlive a withdrawn authority.
fn shared_ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    static SHARED: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(there) = SHARED.get() {
        return Ok(Arc::clone(there));
    }
    let new = Ticketer::new()?;
    Ok(Arc::clone(SHARED.get_or_init(|| new)))
}

struct Reader {
    provider: Arc<CryptoProvider>,
    now: SystemTime,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

impl Reader {
    fn pair(&mut self, pair: &Pair) -> Option<(Certificate, Arc<CertifiedKey>)> {
        let (chain, key) = (pem::certificates(&pair.certificate), pem::key(&pair.key));
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                self.faults.extend([chain.err(), key.err()].into_iter().flatten());
                return None;
            }
        };
        let facts = self.facts(&pair.certificate, &chain[0]);
        let key = match self.provider.key_provider.load_private_key(key) {
            Ok(key) => key,
            Err(error) => {
                let (path, why) = (pair.key.clone(), error.to_string());
                self.faults.push(Fault::BadKey { path, why });
                return None;
            }
        };
        let certified = CertifiedKey::new(chain, key);
        if certified.keys_match().is_err() {
            let Pair { certificate, key } = pair.clone();
            self.faults.push(Fault::Mismatch { certificate, key });
            return None;
        }
        Some((facts?, Arc::new(certified)))
    }

    /// The facts of a certificate, if it can be used now.
    fn facts(
        &mut self,
        path: &Path,
        der: &rustls::pki_types::CertificateDer<'_>,
    ) -> Option<Certificate> {
        let parsed = webpki::EndEntityCert::try_from(der).map_err(|error| error.to_string());
        let validity = validity::of(der).ok_or_else(|| "its validity cannot be read".to_owned());
        let (parsed, Validity { begins_s, ends_s }) = match (parsed, validity) {
            (Ok(parsed), Ok(validity)) => (parsed, validity),
            (Err(why), _) | (_, Err(why)) => {
                self.faults.push(Fault::BadCertificate { path: path.into(), why });
                return None;
            }
        };
        let now_s = self.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
        let span = |from: i64, to: i64| {
            Duration::from_secs(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
        };
        let path = path.to_owned();
        if ends_s < now_s {
            self.faults.push(Fault::Expired { path, since: span(ends_s, now_s) });
            return None;
        }
        let left = span(now_s, ends_s);
        if left < ENDS_SOON {
            self.warnings.push(Warning::EndsSoon { path: path.clone(), left });
        }
        if begins_s > now_s {
            let left = span(now_s, begins_s);
            self.warnings.push(Warning::NotYet { path: path.clone(), left });
        }
        let names: Vec<_> = parsed.valid_dns_names().map(str::to_owned).collect();
        if names.is_empty() {
            self.warnings.push(Warning::NoNames { path: path.clone() });
        }
        Some(Certificate { path, names, ends_s })
    }

    /// The authorities that sign clients' certificates.
    fn authorities(&mut self, path: &Path) -> Option<RootCertStore> {
        let found = pem::certificates(path).map_err(|fault| self.faults.push(fault)).ok()?;
        let mut roots = RootCertStore::empty();
        for one in found {
            if let Err(error) = roots.add(one) {
                let why = error.to_string();
                self.faults.push(Fault::BadCertificate { path: path.into(), why });
                return None;
            }
        }
        Some(roots)
    }
}
