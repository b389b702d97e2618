//! Changes of hubs while the service runs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use trunkline_token::{KeyMark, MarkedKey, Names, Secret};

use super::door::Door;
use super::hubs::{HubHandle, Input};
use super::webhooks::{Serverless, Webhooks};
use super::{Config, Edge, HubConfig, Made, Service, make};
use crate::identity::{Fetching, Identity};
use crate::metrics::Metrics;
use crate::serverless;

/// What a hub's task is told of a change.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) keys: Vec<Secret>,
    pub(super) marks: Vec<KeyMark>,
    pub(super) origin: String,
    /// Present when the handlers, or what their calls are made of, have changed.
    pub(super) webhooks: Option<Option<Webhooks>>,
    pub(super) serverless: Option<serverless::Settings>,
}

/// What a change needs of the service.
#[derive(Debug)]
pub(super) struct Parts {
    config: Mutex<Config>,
    door: Door,
    metrics: Metrics,
    edge: Arc<dyn Edge>,
    tasks: UnboundedSender<Made>,
}

/// A change that can no longer fail.
#[derive(Debug)]
pub struct Reload {
    config: Config,
    handles: Vec<Arc<HubHandle>>,
    made: Vec<Made>,
    told: Vec<(Arc<HubHandle>, Input)>,
    names: Names,
}

impl Parts {
    pub(super) fn new(
        config: &Config,
        door: Door,
        metrics: &Metrics,
        edge: Arc<dyn Edge>,
        tasks: UnboundedSender<Made>,
    ) -> Self {
        let (config, metrics) = (Mutex::new(config.clone()), metrics.clone());
        Self { config, door, metrics, edge, tasks }
    }
}

impl Service {
    /// Prepares a change to this configuration, of which the hubs, their origin, the names and the
    /// limits of identity providers count. Nothing has changed yet.
    ///
    /// # Errors
    ///
    /// The system has no authorities for HTTPS, or no random bytes.
    pub fn prepare(&self, config: &Config) -> io::Result<Reload> {
        let Parts { door, metrics, edge, .. } = &self.parts;
        let former = self.parts.config.lock().unwrap_or_else(PoisonError::into_inner);
        let present = door.hubs();
        let mut reload = Reload {
            config: config.clone(),
            handles: Vec::new(),
            made: Vec::new(),
            told: Vec::new(),
            names: config.names.clone(),
        };
        for hub in &config.hubs {
            let handle = present.iter().find(|one| one.name.eq_ignore_ascii_case(&hub.name));
            let Some(handle) = handle else {
                let (handle, made) = make(config, hub, metrics, edge)?;
                reload.handles.push(Arc::new(handle));
                reload.made.push(made);
                continue;
            };
            let (identity, fetches) = identity_of(handle, hub, config, metrics)?;
            let changed = Arc::new(handle.with(hub, identity));
            reload.made.extend(fetches.map(|fetches| Made { task: None, fetches: Some(fetches) }));
            let was = former.hubs.iter().find(|one| one.name.eq_ignore_ascii_case(&hub.name));
            let input = changed_of(&former, was, config, hub, metrics, &changed)?;
            reload.told.push((Arc::clone(&changed), Input::Changed(Box::new(input))));
            reload.handles.push(changed);
        }
        let stays = |one: &HubHandle| {
            config.hubs.iter().any(|hub| hub.name.eq_ignore_ascii_case(&one.name))
        };
        let gone = present.iter().filter(|one| !stays(one));
        reload.told.extend(gone.map(|one| (Arc::clone(one), Input::Removed)));
        Ok(reload)
    }

    /// Carries a prepared change out. Blocks while a hub's inbox is full; not for a runtime's
    /// thread.
    pub fn change(&self, reload: Reload) {
        let Reload { config, handles, made, told, names } = reload;
        let Parts { door, tasks, .. } = &self.parts;
        for made in made {
            // If the thread has ended, the node stops.
            let _ = tasks.send(made);
        }
        door.set_names(names);
        door.set_hubs(handles);
        for (handle, input) in told {
            handle.inbox.send_blocking(input);
        }
        *self.parts.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

fn identity_of(
    handle: &HubHandle,
    hub: &HubConfig,
    config: &Config,
    metrics: &Metrics,
) -> io::Result<(Identity, Option<Fetching>)> {
    if handle.identity.is_of(&hub.identity_providers, &config.identity) {
        return Ok((handle.identity.clone(), None));
    }
    let made =
        Identity::new(&hub.name, &hub.identity_providers, &config.identity, &metrics.identity);
    let (identity, fetches) = made.map_err(io::Error::other)?;
    Ok((identity, Some(fetches)))
}

fn changed_of(
    former: &Config,
    was: Option<&HubConfig>,
    config: &Config,
    hub: &HubConfig,
    metrics: &Metrics,
    handle: &HubHandle,
) -> io::Result<Changed> {
    let keys_of = |hub: &HubConfig| -> Vec<KeyMark> {
        hub.keys.iter().cloned().map(|key| MarkedKey::new(key).mark()).collect()
    };
    let marks: Vec<KeyMark> = handle.keys.iter().map(MarkedKey::mark).collect();
    let is_same = was.is_some_and(|was| {
        was.serverless == hub.serverless && keys_of(was) == marks && former.origin == config.origin
    });
    let webhooks = (!is_same).then(|| Webhooks::new(config, hub, metrics)).transpose();
    Ok(Changed {
        keys: hub.keys.clone(),
        marks,
        origin: config.origin.clone(),
        webhooks: webhooks.map_err(io::Error::other)?,
        serverless: hub.serverless.as_ref().map(Serverless::settings),
    })
}
