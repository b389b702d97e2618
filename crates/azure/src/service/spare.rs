//! Hubs that are created on demand, for development: there an app chooses its hub's name freely.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::hubs::{HubHandle, Inbox};
use super::{Config, Edge, HubConfig, Made, Secret, make};
use crate::identity::Identity;
use crate::metrics::Metrics;

/// The parts that such hubs are made of.
#[derive(Debug)]
pub(super) struct Spare {
    config: Config,
    metrics: Metrics,
    edge: Arc<dyn Edge>,
    /// Where the tasks of new hubs are started.
    tasks: UnboundedSender<Made>,
    /// Stands in for a hub that does not exist yet, while a token for it is checked.
    stranger: HubHandle,
}

impl Spare {
    /// `None` when every hub is configured. New hubs are started through `tasks`.
    pub(super) fn new(
        config: &Config,
        metrics: &Metrics,
        edge: &Arc<dyn Edge>,
        tasks: &UnboundedSender<Made>,
    ) -> Option<Self> {
        let default = |hub: &&HubConfig| hub.name.eq_ignore_ascii_case(&config.default_hub);
        let default = config.hubs.iter().find(default).filter(|_| config.spare_hubs > 0);
        default.map(|default| {
            let (inbox, _) = Inbox::new();
            let like_it = like(default.keys.clone(), "");
            let identity = Identity::none(&metrics.identity);
            Self {
                config: config.clone(),
                metrics: metrics.clone(),
                edge: Arc::clone(edge),
                tasks: tasks.clone(),
                stranger: HubHandle::new(&like_it, identity, inbox),
            }
        })
    }

    /// The hub against which a request for an unknown hub is checked.
    pub(super) fn stranger(&self) -> &HubHandle {
        &self.stranger
    }

    /// How many hubs there may be in all.
    pub(super) fn hubs_max(&self) -> usize {
        self.config.hubs.len() + self.config.spare_hubs
    }

    /// Makes a hub of that name and starts its task.
    pub(super) fn make(&self, name: &str) -> io::Result<HubHandle> {
        let keys = self.stranger.keys.iter().map(|key| key.secret().clone());
        let hub = like(keys.collect(), name);
        let (handle, made) = make(&self.config, &hub, &self.metrics, &self.edge)?;
        // If the thread has ended, the node stops.
        let _ = self.tasks.send(made);
        Ok(handle)
    }
}

fn like(keys: Vec<Secret>, name: &str) -> HubConfig {
    HubConfig { name: name.to_owned(), keys, serverless: None, identity_providers: Vec::new() }
}
