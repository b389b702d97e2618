use super::*;

/// A report that has just begun, for a command line.
pub(super) fn report(line: &str) -> Report {
    let words = std::iter::once("bench").chain(line.split_whitespace());
    let matches = crate::command::command().try_get_matches_from(words).unwrap();
    Report::begin(&Options::read(&matches).unwrap()).unwrap()
}

fn finished(scenario: &str, counters: &[(&str, u64)]) -> Report {
    let mut report = report(&format!("{scenario} --url http://127.0.0.1:1 --kill 2147483647"));
    report.joined = report.clients;
    for (name, count) in counters {
        report.set_counter(name, *count);
    }
    report.finish(Vec::new());
    report
}

#[test]
fn whatever_was_lost_doubled_or_out_of_place_is_a_problem() {
    assert!(finished("echo", &[("missing", 0), ("round_trips", 9)]).is_clean());
    for (scenario, name) in [
        ("echo", "missing"),
        ("fanout", "duplicates"),
        ("rooms", "strays"),
        ("upgrade", "not_upgraded"),
        ("upgrade", "upgrade_failures"),
        ("avalanche", "never_came_back"),
        ("jitter", "missed_while_away"),
        ("jitter", "lost_again"),
        ("reconnect", "others_disturbed"),
    ] {
        let report = finished(scenario, &[(name, 3)]);
        assert!(!report.is_clean(), "{name}");
        assert!(report.problems[0].starts_with(&format!("{name}: 3 (")), "{:?}", report.problems);
    }
}

#[test]
fn returns_that_were_not_recovered_matter_where_recovery_is_offered() {
    let with = finished("jitter", &[("recovery_offered", 1), ("not_recovered", 2)]);
    assert_eq!(with.problems, ["2 returns were not recovered"]);
    let without = finished("jitter", &[("recovery_offered", 0), ("not_recovered", 2)]);
    assert!(without.is_clean() && without.notes[0].contains("offers no connectionStateRecovery"));
}

#[test]
fn a_busy_generator_is_told() {
    let point = |at_s, busiest_worker| Point { at_s, busiest_worker, ..Point::default() };
    for (shares, limit) in [([0.2, 0.99, 0.98, 0.1], true), ([0.99, 0.5, 0.6, 0.99], false)] {
        let mut report = report("echo --url http://127.0.0.1:1");
        report.joined = report.clients;
        // Seconds 2 and 3 lie in it as a whole; 1 and 4 do not.
        (report.window_from_s, report.window_to_s) = (0.8, 3.9);
        let points = shares.into_iter().zip(1..).map(|(share, at_s)| point(at_s, share));
        report.finish(points.collect());
        assert_eq!(report.generator.was_the_limit, limit, "{shares:?}");
        assert_eq!(report.notes.iter().any(|note| note.starts_with("WARNING")), limit);
    }
}

#[test]
fn percentiles_end_where_samples_do() {
    let mut histogram = new_histogram();
    (1..=1_000).for_each(|ms| histogram.saturating_record(ms * 1_000_000));
    let steps = distribution(&histogram);
    assert_eq!(steps.last().map(|(step, _)| *step), Some(99.9));
    let median = steps.iter().find(|(step, _)| *step == 50.0).unwrap().1;
    assert!((median - 500.0).abs() < 1.0, "{median}");
}

#[test]
fn the_json_keeps_its_names() {
    let report = finished("echo", &[("round_trips", 10)]);
    let json = serde_json::to_value(&report).unwrap();
    for name in [
        "scenario",
        "urls",
        "clients",
        "joined",
        "window",
        "payload_bytes",
        "rate_per_s",
        "seconds",
        "operation",
        "operations_per_s",
        "counters",
        "losses",
        "latency_ms",
        "processes",
        "generator",
        "other_cores",
        "problems",
        "notes",
        "series",
    ] {
        assert!(json.get(name).is_some(), "{name}");
    }
}

#[test]
fn the_summary_names_what_is_wrong() {
    let text = finished("echo", &[("missing", 3)]).to_string();
    assert!(text.contains("PROBLEM: missing: 3"), "{text}");
}
