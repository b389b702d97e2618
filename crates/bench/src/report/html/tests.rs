use super::*;
use crate::report::tests::report;

/// Every element that is opened is closed, in order; no entity is left raw in text.
fn assert_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = &html[html.find("<main>").unwrap()..html.find("</main>").unwrap()];
    for tag in body.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').expect("a tag ends");
        let name = inside.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{}", &tag[..tag.len().min(60)]);
        } else if !inside.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, ["main"]);
}

#[test]
fn a_page_holds_all_of_it_and_asks_for_nothing_else() {
    let mut report = report("echo --url http://127.0.0.1:1/ --process app=1");
    report.counters.insert("round_trips".into(), 1_234);
    report.add_histogram("round_trip", &vec![(1_000_000, 900), (50_000_000, 100)]);
    report.window_to_s = 3.0;
    let points = (1..=3).map(|at_s| Point {
        at_s,
        joined: 100,
        operations: 411,
        latency_ms: Some(Latency {
            count: 411,
            min: 1.0,
            p50: 1.0,
            p90: 1.0,
            p99: 50.0,
            p999: 50.0,
            max: 50.0,
        }),
        ..Point::default()
    });
    report.joined = 100;
    report.finish(points.collect());
    let html = render(&report);
    for want in
        ["1,234", "Latency: round trip", "Latency by percentile", "closed loop", "Nothing was lost"]
    {
        assert!(html.contains(want), "no {want}");
    }
    for network in ["src=", "href=", "@import", "url("] {
        assert!(!html.contains(network), "{network}");
    }
    assert_well_formed(&html);
}

#[test]
fn names_from_outside_cannot_break_the_page() {
    let evil = "<script>alert(1)</script>";
    let mut report = report("echo --url http://127.0.0.1:1/ --process <b>&=1");
    report.losses.insert(evil.into(), 1);
    report.command = evil.into();
    report.cut_short = Some(evil.into());
    report.finish(vec![Point::default()]);
    let html = render(&report);
    assert!(!html.contains(evil) && !html.contains("<b>&"));
    assert!(html.contains("Partial report"));
    assert_well_formed(&html);
}

#[test]
fn an_empty_run_renders() {
    let mut report = report("idle --url http://127.0.0.1:1/");
    report.finish(Vec::new());
    let html = render(&report);
    assert!(!html.contains("NaN") && !html.contains("<figure>"));
    assert!(html.contains("100 clients never joined"));
    assert_well_formed(&html);
}
