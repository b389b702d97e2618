//! Which certificate a client gets: the one for the name that it asks for (SNI), or else the port's
//! own.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by the names that they are for.
#[derive(Debug)]
pub(crate) struct ByName {
    own: Arc<CertifiedKey>,
    /// By names in lower case. A name that begins with `*.` stands for one label.
    others: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    pub(crate) fn new(own: Arc<CertifiedKey>) -> Self {
        Self { own, others: HashMap::new() }
    }

    /// Adds a certificate for a name. False when the name has another one.
    pub(crate) fn add(&mut self, name: &str, key: &Arc<CertifiedKey>) -> bool {
        let there = self.others.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(key));
        Arc::ptr_eq(there, key)
    }

    fn find(&self, name: &str) -> Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let found = self.others.get(&name);
        let found = found.or_else(|| self.others.get(&wildcard?));
        Arc::clone(found.unwrap_or(&self.own))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A client that asks for an unknown name gets the port's own certificate, as from nginx: it
        // can say best what it expected.
        Some(hello.server_name().map_or_else(|| Arc::clone(&self.own), |name| self.find(name)))
    }
}
