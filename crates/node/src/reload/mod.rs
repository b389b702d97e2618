//! Reload: a changed configuration is checked as a whole and then takes effect as a whole, while
//! sessions go on.

mod asking;
mod report;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::admin::View;
use crate::audit;
use crate::azure::{self, Azure};
use crate::cluster;
use crate::config::{Config, Difference, Mistakes};
use crate::{logging, memory, resolve};

pub(crate) use self::asking::ask_admin;
pub use self::asking::{AskError, Asked, ask};
pub use self::report::{Outcome, Report};
pub(crate) use self::report::{ReloadCollector, Reloads, Shown};

/// Carries reloads out, one after another.
pub(crate) struct Reloader {
    /// What the node runs with.
    config: Mutex<Config>,
    view: Arc<View>,
    azure: Arc<Azure>,
    ready_file: Option<PathBuf>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] Mistakes),
    #[error(transparent)]
    Edge(#[from] trunkline_edge::ReloadError),
    #[error("hubs with event handlers or identity providers cannot be prepared: {0}")]
    Azure(io::Error),
    #[error("the log's level cannot be changed: {0}")]
    Log(String),
}

impl ReloadError {
    fn mistakes(&self) -> Vec<String> {
        match self {
            Self::Config(mistakes) => mistakes.0.iter().map(ToString::to_string).collect(),
            other @ (Self::Edge(_) | Self::Azure(_) | Self::Log(_)) => vec![other.to_string()],
        }
    }
}

impl Reloader {
    pub(crate) fn new(config: &Config, view: &Arc<View>, azure: &Arc<Azure>) -> Self {
        Self {
            config: Mutex::new(config.clone()),
            view: Arc::clone(view),
            azure: Arc::clone(azure),
            ready_file: config.settings.ready_file.clone(),
        }
    }

    /// What the node runs with.
    pub(crate) fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the configuration again and takes it over, if it has no mistakes. Blocks; not for a
    /// runtime's thread.
    pub(crate) fn reload(&self, by: &'static str) {
        self.note_begun();
        match self.try_reload() {
            Ok(difference) => self.done(by, Report::applied(difference)),
            Err(error) => self.done(by, Report::refused(error.mistakes())),
        }
    }

    /// Notes a reload that is not carried out.
    pub(crate) fn refuse(&self, by: &'static str, why: &str) {
        self.note_begun();
        self.done(by, Report::refused(vec![why.to_owned()]));
    }

    fn note_begun(&self) {
        self.view.reloads.begin();
        self.view.reloads.write_beside(self.ready_file.as_deref(), self.view.facts.pid);
    }

    fn done(&self, by: &'static str, report: Report) {
        match report.outcome {
            Outcome::Applied => tracing::info!(
                changed = report.changed.join("; "),
                needs_restart = report.needs_restart.join(", "),
                "the configuration was reloaded"
            ),
            Outcome::Refused => tracing::error!(
                "the configuration was not reloaded, and nothing has changed:\n  {}",
                report.mistakes.join("\n  ")
            ),
        }
        if !report.needs_restart.is_empty() {
            tracing::warn!(
                keys = report.needs_restart.join(", "),
                "these keys have changed and need a restart: the node goes on with their former values"
            );
        }
        audit::reload(by, &report);
        self.view.reloads.end(report);
        self.view.reloads.write_beside(self.ready_file.as_deref(), self.view.facts.pid);
    }

    /// Checks everything, then changes everything.
    fn try_reload(&self) -> Result<Difference, ReloadError> {
        let mut present = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = present.load_again()?;
        let (mut config, mut difference) = present.merge(loaded);
        keep_within_frames(&present, &mut config, &mut difference);
        let edge = &self.view.edge;
        let mut limits = config.settings.limits.clone();
        if let Some(possible) = self.view.facts.streams_possible {
            limits.fit_streams(possible, self.view.facts.trunk_listen.is_some());
        }
        limits.memory_bytes_max = if present.settings.has_same("memory_bytes_max", &config.settings)
        {
            edge.limits().memory_bytes_max
        } else {
            memory::ceiling(limits.memory_bytes_max)
        };
        let reload = trunkline_edge::Reload {
            hubs: resolve::hubs(&config),
            default_hub: config.default_hub.clone(),
            names: resolve::names(&config),
            limits,
            addresses: config.addresses.clone(),
        };
        edge.check_reload(&reload)?;
        let listen = self.view.facts.listen;
        let azure =
            self.azure.prepare(&azure::settings(&config, listen)).map_err(ReloadError::Azure)?;
        let filter =
            logging::filter_of(&config).map_err(|error| ReloadError::Log(error.to_string()))?;

        // Nothing below this line fails.
        logging::set_filter(filter);
        for warning in config.warnings.iter().filter(|line| !present.warnings.contains(line)) {
            tracing::warn!("{warning}");
        }
        // Hubs are there before their event handlers open trunks, and gone after they have ended.
        edge.reload(reload)?;
        self.azure.change(azure);
        self.view.certificates.replace(&config.tls);
        self.view.set_unready_on(config.settings.unready_on.clone());
        if let Some(cluster) = &config.cluster {
            edge.set_hubs_digest(cluster::digest(&config.hubs, &cluster.key));
        }
        *present = config;
        Ok(difference)
    }
}

/// The nodes of a cluster have agreed at their start on the longest frame between them: limits that
/// would need a longer one keep their present values.
fn keep_within_frames(present: &Config, config: &mut Config, difference: &mut Difference) {
    if config.cluster.is_none() || cluster::frame_bytes(config) <= cluster::frame_bytes(present) {
        return;
    }
    for key in ["outbox_bytes_max", "trunk_batch_bytes_max"] {
        if !present.settings.has_same(key, &config.settings) {
            config.settings.keep(key, &present.settings);
            difference.changed.retain(|changed| changed != key);
            difference.needs_restart.push(key);
        }
    }
}
