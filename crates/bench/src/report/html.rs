//! The report as one page that needs nothing else: style, script and plots are inside.

use core::fmt::Write as _;

use crate::latency::Latency;
use crate::report::Report;
use crate::report::page::{escape, mebibytes, short, table, whole};
use crate::report::plot::{Curve, Plot, linear_step};
use crate::series::Point;

/// Colours of processes; the generator has its own.
const COLOURS: [&str; 4] = ["c1", "c2", "c5", "c6"];
const GENERATOR_COLOUR: &str = "c3";
const FAINT_COLOUR: &str = "c4";

pub(super) fn render(report: &Report) -> String {
    let name = report.scenario.name();
    let mut html = format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>trunkline bench {name}</title>\n\
         <style>\n{}</style>\n<main>\n<header><h1>trunkline bench {name} <small>{}, version {}</small></h1>\
         <code>{}</code></header>\n",
        include_str!("page.css"),
        report.begun,
        report.version,
        escape(&report.command),
    );
    verdicts(report, &mut html);
    tiles(report, &mut html);
    html.push_str("<div class=plots>\n");
    plots(report).iter().for_each(|plot| html.push_str(&plot.render()));
    html.push_str("</div>\n<div class=tables>\n");
    tables(report, &mut html);
    let _ = write!(
        html,
        "</div>\n<footer>The shaded span is the measured window. One point a second.</footer>\n</main>\n\
         <script>\n{}</script>\n</html>\n",
        include_str!("page.js")
    );
    html
}

fn verdicts(report: &Report, html: &mut String) {
    let mut say = |class, text: &str| {
        let _ = writeln!(html, "<p class=\"verdict {class}\">{}</p>", escape(text));
    };
    if let Some(why) = &report.cut_short {
        say("warn", &format!("Partial report: {why}"));
    }
    report.problems.iter().for_each(|text| say("bad", text));
    if report.problems.is_empty() {
        say("good", "Nothing was lost, doubled or out of order.");
    }
    report.notes.iter().for_each(|text| say("warn", text));
}

fn tiles(report: &Report, html: &mut String) {
    let unit = words(report.operation);
    let mut all = vec![
        (
            format!("{} / {}", whole(report.joined.into()), whole(report.clients.into())),
            "clients joined".into(),
        ),
        (short(report.operations_per_s), format!("{unit} per second")),
    ];
    if let Some((name, latency)) = main_latency(report) {
        all.push((time(latency.p50), format!("{} p50", words(name))));
        all.push((time(latency.p99), format!("{} p99", words(name))));
    }
    for (name, process) in &report.processes {
        if process.cpu_us_per_operation > 0.0 {
            let text = format!("{name}: CPU per {}", one(report.operation));
            all.push((format!("{} µs", short(process.cpu_us_per_operation)), text));
        }
    }
    all.push((format!("{} cores", short(report.generator.cores)), "generator's own CPU".into()));
    html.push_str("<div class=tiles>");
    for (value, name) in all {
        let _ = write!(
            html,
            "<div class=tile><b>{}</b><span>{}</span></div>",
            escape(&value),
            escape(&name)
        );
    }
    html.push_str("</div>\n");
}

/// What the scenario is about, or else the handshakes.
fn main_latency(report: &Report) -> Option<(&str, &Latency)> {
    let names = ["round_trip", "delivery", "upgrade", "since_cut", "since_kill", "handshake"];
    names.into_iter().find_map(|name| {
        Some((name, report.latency_ms.get(name).filter(|latency| latency.count > 0)?))
    })
}

fn plots(report: &Report) -> Vec<Plot> {
    let points = &report.series;
    let mut plots = vec![
        latency_plot(report),
        rate_plot(report),
        distribution_plot(report),
        over_time(
            report,
            "Clients".into(),
            "joined",
            &[("joined", "c1", &|point| Some(point.joined.into()))],
        ),
        usage_plot(report, "CPU", "cores", &|used| used.cores),
        usage_plot(report, "Memory", "MiB", &|used| used.rss_bytes as f64 / f64::from(1 << 20)),
    ];
    if points.iter().any(|point| point.lost > 0) {
        let lost: Read<'_> = &|point| Some(point.lost as f64);
        plots.push(over_time(
            report,
            "Losses and failed attempts".into(),
            "in all",
            &[("lost", "c6", lost)],
        ));
    }
    plots.retain(|plot| {
        plot.curves.iter().any(|curve| curve.values.iter().flatten().next().is_some())
    });
    plots
}

type Read<'a> = &'a dyn Fn(&Point) -> Option<f64>;

fn over_time(
    report: &Report,
    title: String,
    unit: &'static str,
    curves: &[(&str, &'static str, Read<'_>)],
) -> Plot {
    let points = &report.series;
    let curves = curves.iter().map(|(name, colour, read)| Curve {
        name: (*name).to_owned(),
        colour,
        values: points.iter().map(read).collect(),
    });
    let x: Vec<f64> = points.iter().map(|point| point.at_s.into()).collect();
    Plot {
        x_names: points.iter().map(|point| format!("second {}", point.at_s)).collect(),
        x_ticks: time_ticks(&x),
        x,
        curves: curves.collect(),
        title,
        unit,
        logarithmic: false,
        window: (report.window_to_s > 0.0).then_some((report.window_from_s, report.window_to_s)),
    }
}

fn rate_plot(report: &Report) -> Plot {
    let name = words(report.operation);
    let count: Read<'_> = &|point| point.is_whole().then_some(point.operations as f64);
    over_time(report, capital(&name), "per second", &[(&name, "c1", count)])
}

fn time_ticks(x: &[f64]) -> Vec<(f64, String)> {
    let (Some(first), Some(last)) = (x.first(), x.last()) else { return Vec::new() };
    let step = linear_step((last - first).max(1.0) / 2.0).max(1.0);
    let first = (first / step).ceil() as u32;
    let ticks = (first..=(last / step) as u32).map(|index| f64::from(index) * step);
    ticks.map(|at| (at, format!("{at} s"))).collect()
}

fn latency_plot(report: &Report) -> Plot {
    let read = |pick: fn(&Latency) -> f64| move |point: &Point| point.latency_ms.as_ref().map(pick);
    let name = main_latency(report).map_or("latency", |(name, _)| name);
    let mut plot = over_time(
        report,
        format!("Latency: {}", words(name)),
        "ms, logarithmic",
        &[
            ("p50", "c1", &read(|latency| latency.p50)),
            ("p90", "c2", &read(|latency| latency.p90)),
            ("p99", "c3", &read(|latency| latency.p99)),
            ("max", FAINT_COLOUR, &read(|latency| latency.max)),
        ],
    );
    plot.logarithmic = true;
    plot
}

/// Each histogram with its percentiles on an axis on which every further nine has the same width.
fn distribution_plot(report: &Report) -> Plot {
    let place = |percentile: f64| -(1.0 - percentile / 100.0).log10();
    let longest = report.distribution_ms.values().max_by_key(|steps| steps.len());
    let steps: Vec<f64> =
        longest.into_iter().flatten().map(|(percentile, _)| *percentile).collect();
    let curves =
        report.distribution_ms.iter().zip(COLOURS.iter().cycle()).map(|((name, own), colour)| {
            let value = |step: &f64| own.iter().find(|(one, _)| one == step).map(|(_, ms)| *ms);
            Curve { name: words(name), colour, values: steps.iter().map(value).collect() }
        });
    let marks = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
    Plot {
        title: "Latency by percentile".into(),
        unit: "ms, logarithmic",
        x: steps.iter().copied().map(place).collect(),
        x_names: steps.iter().map(|step| format!("{step} %")).collect(),
        x_ticks: marks
            .into_iter()
            .filter(|mark| steps.contains(mark))
            .map(|mark| (place(mark), format!("{mark} %")))
            .collect(),
        curves: curves.collect(),
        logarithmic: true,
        window: None,
    }
}

fn usage_plot(
    report: &Report,
    title: &str,
    unit: &'static str,
    read: &dyn Fn(&crate::series::Used) -> f64,
) -> Plot {
    let mut plot = over_time(report, title.to_owned(), unit, &[]);
    let points = &report.series;
    for (name, colour) in report.processes.keys().zip(COLOURS.iter().cycle()) {
        let values = points.iter().map(|point| point.processes.get(name).map(read)).collect();
        plot.curves.push(Curve { name: name.clone(), colour, values });
    }
    // Seconds that only workers told have no reading of the processes.
    let has_reading = |point: &&Point| point.is_whole();
    let generator =
        |point: &Point| Some(point).filter(has_reading).map(|point| read(&point.generator));
    let values = points.iter().map(generator).collect();
    plot.curves.push(Curve { name: "generator".into(), colour: GENERATOR_COLOUR, values });
    plot
}

fn tables(report: &Report, html: &mut String) {
    let latencies = report.timed().map(|(name, latency)| {
        let figures = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(short);
        [vec![words(name)], figures.into(), vec![whole(latency.count)]].concat()
    });
    let latencies: Vec<_> = latencies.collect();
    html.push_str(&table(
        "Latency, ms",
        &["", "p50", "p90", "p99", "p99.9", "max", "count"],
        &latencies,
    ));
    let heads =
        ["", "cores", "CPU µs/op", "connect µs", "RSS MiB before", "joined", "after", "B/session"];
    html.push_str(&table("Processes", &heads, &process_rows(report)));
    let counters: Vec<_> =
        report.counters.iter().map(|(name, count)| vec![words(name), whole(*count)]).collect();
    html.push_str(&table("Counted", &[], &counters));
    let losses: Vec<_> =
        report.losses.iter().map(|(why, count)| vec![why.clone(), whole(*count)]).collect();
    html.push_str(&table("Losses and failed attempts, by cause", &[], &losses));
    html.push_str(&table("Settings", &[], &settings(report)));
}

fn process_rows(report: &Report) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, process) in &report.processes {
        rows.push(vec![
            name.clone(),
            short(process.cores),
            short(process.cpu_us_per_operation),
            short(process.connect_cpu_us_per_client),
            mebibytes(process.rss_before_bytes),
            mebibytes(process.rss_joined_bytes),
            mebibytes(process.rss_after_bytes),
            short(process.rss_growth_bytes_per_session),
        ]);
    }
    let generator = &report.generator;
    let mut own =
        vec!["generator".to_owned(), short(generator.cores), short(generator.cpu_us_per_operation)];
    own.resize(7, String::new());
    own.push(short(generator.rss_bytes_per_client));
    rows.push(own);
    if !report.processes.is_empty() {
        let mut others = vec!["others".to_owned(), short(report.other_cores)];
        others.resize(8, String::new());
        rows.push(others);
    }
    rows
}

fn settings(report: &Report) -> Vec<Vec<String>> {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rate = if report.rate_per_s > 0.0 {
        format!("{} per second (open loop)", short(report.rate_per_s))
    } else {
        "as fast as answers come (closed loop)".to_owned()
    };
    vec![
        row("servers", report.urls.join(", ")),
        row("transport", format!("{:?}", report.transport).to_lowercase()),
        row("worker processes", report.generator.workers.to_string()),
        row(
            "busiest worker",
            format!("{:.0} % of the window", report.generator.busiest_worker * 100.0),
        ),
        row("window", report.window.to_string()),
        row("payload", format!("{} bytes", report.payload_bytes)),
        row("rate", rate),
        row("measured", format!("{:.1} s", report.seconds)),
    ]
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn time(ms: f64) -> String {
    if ms < 1_000.0 { format!("{} ms", short(ms)) } else { format!("{} s", short(ms / 1e3)) }
}

/// One of what a scenario counts.
fn one(operation: &str) -> String {
    match operation {
        "came_back" => "return".to_owned(),
        "deliveries" => "delivery".to_owned(),
        "pings_answered" => "ping".to_owned(),
        "upgraded" => "upgrade".to_owned(),
        other => words(other.trim_end_matches('s')),
    }
}

/// `round_trips` → `round trips`.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests;
