//! Changes of the configuration while the port serves.

use std::sync::Arc;

use trunkline_token::Names;

use crate::environment::Environment;
use crate::gate::AddressRules;
use crate::hub::TooManyHubs;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::shard::Command;
use crate::{HubConfig, Running};

/// What may change while the port serves.
#[derive(Clone, Debug)]
pub struct Reload {
    /// All hubs from now on.
    pub hubs: Vec<HubConfig>,
    /// The hub of the path `/socket.io/`.
    pub default_hub: String,
    /// The names by which tokens may address this node, as in [`Config::names`].
    pub names: Option<Names>,
    /// Every bound of the public port.
    pub limits: Limits,
    /// The rules for addresses, with the lists as they are now.
    pub addresses: AddressRules,
}

/// The memory ceiling of a running port.
#[derive(Clone, Debug)]
pub struct MemoryCeiling(pub(crate) Memory);

impl MemoryCeiling {
    /// Its bytes at present; `None`: there is none.
    pub fn bytes_max(&self) -> Option<usize> {
        self.0.bytes_max()
    }
}

/// Why a changed configuration cannot be taken without a restart.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is no room for its hubs.
    #[error(transparent)]
    Hubs(#[from] TooManyHubs),
    /// The limits have been changed as often as one process allows.
    #[error(
        "the limits have been changed too often since the node was started: a restart is needed"
    )]
    Limits,
}

impl Running {
    /// Whether [`Self::reload`] can take this; changes nothing.
    ///
    /// # Errors
    ///
    /// See [`ReloadError`].
    pub fn check_reload(&self, reload: &Reload) -> Result<(), ReloadError> {
        self.env.directory.check(&reload.hubs)?;
        if self.env.limits.has_room() { Ok(()) } else { Err(ReloadError::Limits) }
    }

    /// Changes hubs, keys and limits. What is open goes on, except trunks and sessions that used
    /// what is gone. Blocks until every shard has been told; not for a runtime's thread.
    ///
    /// # Errors
    ///
    /// As in [`Self::check_reload`]: nothing has changed.
    pub fn reload(&self, reload: Reload) -> Result<(), ReloadError> {
        self.check_reload(&reload)?;
        let Reload { hubs, default_hub, names, limits, addresses } = reload;
        let Environment { memory, directory, .. } = &*self.env;
        memory.set_ceiling(limits.memory_bytes_max);
        self.streams.set_max(limits.streams_max);
        self.env.gate.set(&addresses, &limits);
        self.trunk_streams.set_max(limits.trunk_streams_max);
        self.env.limits.set(limits);
        self.env.names.set(names.unwrap_or_else(|| Names::of_listener(self.address)));
        let changes = Arc::new(directory.change(&hubs, &default_hub));
        self.tell_all(|| Command::Reloaded(Arc::clone(&changes)));
        Ok(())
    }

    /// The limits at present.
    pub fn limits(&self) -> &Limits {
        &self.env.limits
    }

    /// Tells the other nodes of the cluster that this one has other hubs.
    pub fn set_hubs_digest(&self, digest: [u8; 8]) {
        if let Some(cluster) = &self.env.cluster {
            cluster.set_hubs_digest(digest);
        }
    }
}
