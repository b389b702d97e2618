//! The reloads so far, for the admin port, metrics and `trunkline reload`.

use core::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use serde::{Deserialize, Serialize};

use crate::config::Difference;
use crate::ready_file;

/// What became of a reload.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The configuration has taken effect.
    Applied,
    /// Nothing has changed.
    Refused,
}

/// One reload. Names and mistakes; never the value of a secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// Its number; the first of a process is 1.
    pub number: u64,
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused.
    pub mistakes: Vec<String>,
    /// What has changed: keys, and hubs.
    pub changed: Vec<String>,
    /// Keys that have changed in the configuration and need a restart.
    pub needs_restart: Vec<String>,
}

impl Report {
    pub(super) fn applied(difference: Difference) -> Self {
        let Difference { changed, needs_restart } = difference;
        let needs_restart = needs_restart.into_iter().map(str::to_owned).collect();
        Self { changed, needs_restart, ..Self::of(Outcome::Applied) }
    }

    pub(super) fn refused(mistakes: Vec<String>) -> Self {
        Self { mistakes, ..Self::of(Outcome::Refused) }
    }

    fn of(outcome: Outcome) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mistakes, changed, needs_restart) = (Vec::new(), Vec::new(), Vec::new());
        Self { number: 0, at: since.as_secs(), outcome, mistakes, changed, needs_restart }
    }
}

/// The reloads of a process, as others see them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Shown {
    /// How many were begun.
    pub(crate) begun: u64,
    /// How many have ended.
    pub(crate) done: u64,
    /// The last one that has ended.
    pub(crate) last: Option<Report>,
}

#[derive(Debug, Default)]
struct State {
    shown: Shown,
    applied: u64,
    refused: u64,
    last_good: Option<u64>,
}

/// The reloads of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloads(Arc<Mutex<State>>);

/// What is in the file beside the ready file.
#[derive(Deserialize, Serialize)]
pub(super) struct Beside {
    pub(super) pid: u32,
    #[serde(flatten)]
    pub(super) reloads: Shown,
}

impl Reloads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shown(&self) -> Shown {
        self.state().shown.clone()
    }

    pub(super) fn begin(&self) {
        self.state().shown.begun += 1;
    }

    pub(super) fn end(&self, mut report: Report) {
        let mut state = self.state();
        match report.outcome {
            Outcome::Applied => {
                state.applied += 1;
                state.last_good = Some(report.at);
            }
            Outcome::Refused => state.refused += 1,
        }
        state.shown.done += 1;
        report.number = state.shown.done;
        state.shown.last = Some(report);
    }

    /// Writes the present state beside the ready file, if there is one.
    pub(crate) fn write_beside(&self, path: Option<&Path>, pid: u32) {
        let Some(path) = path else { return };
        let written = serde_json::to_vec(&Beside { pid, reloads: self.shown() })
            .map_err(std::io::Error::other)
            .and_then(|json| ready_file::replace(&ready_file::of_reloads(path), pid, json));
        if let Err(error) = written {
            tracing::warn!(%error, "the file with the outcome of reloads cannot be written");
        }
    }
}

/// The metrics.
#[derive(Debug)]
pub(crate) struct ReloadCollector(pub(crate) Reloads);

impl Collector for ReloadCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (applied, refused, last_good) = {
            let state = self.0.state();
            (state.applied, state.refused, state.last_good)
        };
        let about = "Reloads of the configuration.";
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor("trunkline_reloads", about, None, kind)?;
        for (outcome, count) in [("applied", applied), ("refused", refused)] {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let last_good =
            ConstGauge::new(last_good.and_then(|at| i64::try_from(at).ok()).unwrap_or(0));
        let about = "When the last reload was applied, in seconds since 1970; 0: none was.";
        let name = "trunkline_reload_last_applied_timestamp";
        let kind = last_good.metric_type();
        last_good.encode(encoder.encode_descriptor(name, about, Some(&Unit::Seconds), kind)?)
    }
}
