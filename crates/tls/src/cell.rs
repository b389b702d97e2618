//! The certificates of a port, in a cell that can be exchanged.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

use crate::load::{Certificate, Loaded};

/// What a port offers to TLS clients. All clones are one cell: a replacement takes effect for all
/// handshakes that begin after it, and for no connection that exists.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<RwLock<Loaded>>);

impl Certificates {
    /// A cell with these certificates.
    pub fn new(loaded: Loaded) -> Self {
        Self(Arc::new(RwLock::new(loaded)))
    }

    /// Exchanges everything that the port offers. What [`crate::load`] returned is checked, so this
    /// cannot fail.
    pub fn replace(&self, loaded: Loaded) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    /// The configuration for a handshake that begins now.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// The facts of each certificate, the port's own first.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).certificates.clone()
    }
}
