//! Judges whether a run was correct, and whether its figures describe the server.

use crate::kind::ScenarioKind;
use crate::report::Report;

/// How many cores other programs may use before the report notes it.
const OTHER_CORES_MAX: f64 = 0.15;
/// A worker that ran or waited for more than this share of the time could not have done much more.
const BUSY_MAX: f64 = 0.9;

/// Counters that have to be zero, and what it means when they are not.
const PROBLEMS: &[(&str, &str)] = &[
    ("missing", "messages never came"),
    ("duplicates", "messages came twice"),
    ("strays", "messages to rooms came to clients outside of them"),
    ("refused_sends", "messages could not be sent: the connection did not take more"),
    ("others_disturbed", "clients of other app servers were disturbed"),
    ("lost_again", "clients were lost that nobody had cut off"),
    ("never_came_back", "clients never came back"),
    ("not_upgraded", "clients stayed with polling"),
    ("upgrade_failures", "upgrades failed"),
    ("missed_while_away", "messages were missed by clients that were away"),
];

pub(super) fn judge(report: &mut Report) {
    let mut problems = Vec::new();
    if report.joined < report.clients && report.cut_short.is_none() {
        problems.push(format!("{} clients never joined", report.clients - report.joined));
    }
    for (name, meaning) in PROBLEMS {
        if let Some(count) = report.counters.get(*name).filter(|count| **count > 0) {
            problems.push(format!("{name}: {count} ({meaning})"));
        }
    }
    if !report.scenario.reconnects() && !report.losses.is_empty() {
        let all = report.losses.iter().map(|(why, count)| format!("{count} x {why}"));
        problems.push(format!("losses: {}", all.collect::<Vec<_>>().join(", ")));
    }
    report.problems.append(&mut problems);
    note_recovery(report);
    note_shares(report);
}

fn note_recovery(report: &mut Report) {
    if report.scenario != ScenarioKind::Jitter {
        return;
    }
    let count = |name: &str| report.counters.get(name).copied().unwrap_or(0);
    if count("recovery_offered") == 0 {
        let text = "the server offers no connectionStateRecovery: who is away misses what is sent meanwhile";
        report.notes.push(text.to_owned());
    } else if count("not_recovered") > 0 {
        let text = format!("{} returns were not recovered", count("not_recovered"));
        report.problems.push(text);
    }
}

/// Which processes used the machine only matters when a rate was driven to its limit.
fn note_shares(report: &mut Report) {
    let busiest = report.generator.busiest_worker;
    let drives = !matches!(
        report.scenario,
        ScenarioKind::Idle | ScenarioKind::Reconnect | ScenarioKind::Jitter
    );
    report.generator.was_the_limit = drives
        && (busiest > BUSY_MAX
            || report.generator.cores > 0.95 * f64::from(report.generator.workers));
    if report.generator.was_the_limit {
        let text = format!(
            "WARNING: the generator was busy {:.0} % of the time: these may be its limits, not the server's. \
             Give it more --workers, or cores of its own",
            busiest.max(report.generator.cores / f64::from(report.generator.workers)) * 100.0
        );
        report.notes.push(text);
    }
    if !drives || report.processes.is_empty() {
        return;
    }
    let servers: f64 = report.processes.values().map(|process| process.cores).sum();
    if !report.generator.was_the_limit && report.generator.cores > servers {
        report.notes.push("the generator used more CPU than the measured processes".to_owned());
    }
    if report.other_cores > OTHER_CORES_MAX {
        let cores = report.other_cores;
        report.notes.push(format!("others kept {cores:.2} cores busy: rates and latencies suffer"));
    }
}
