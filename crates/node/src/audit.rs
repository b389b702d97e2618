//! The audit log: one line for each administrative action, with the target `audit`. It is written at
//! `info` whatever the level of other lines, unless `log` is `off` or names `audit` itself.
//!
//! Fields: `action`, `by` (what asked for it), `outcome`, and the action's own. Never a secret.

use crate::reload::{Outcome, Report};

/// The target of these lines.
pub(crate) const TARGET: &str = "audit";

/// A reload has ended.
pub(crate) fn reload(by: &'static str, report: &Report) {
    let outcome = match report.outcome {
        Outcome::Applied => "applied",
        Outcome::Refused => "refused",
    };
    tracing::info!(
        target: TARGET,
        action = "reload",
        by,
        outcome,
        changed = report.changed.join("; "),
        needs_restart = report.needs_restart.join(", "),
        mistakes = report.mistakes.len(),
        "administrative action"
    );
}

/// A drain has begun, or was cut short.
pub(crate) fn drain(by: &'static str, outcome: &'static str, sessions: usize) {
    tracing::info!(target: TARGET, action = "drain", by, outcome, sessions, "administrative action");
}

/// The node has started.
pub(crate) fn start(hubs: usize) {
    tracing::info!(target: TARGET, action = "start", by = "process", outcome = "ready", hubs, "administrative action");
}
