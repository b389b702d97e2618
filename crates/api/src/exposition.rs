//! The two formats of metrics: OpenMetrics, as the registry writes it, and Prometheus' text format 0.0.4.

use std::collections::HashMap;

/// The format that a request asks for in its header `Accept`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    OpenMetrics,
    Text,
}

impl Format {
    /// OpenMetrics for a request that names it and does not prefer the text format; text for all
    /// others.
    pub(crate) fn accepted(accept: &str) -> Self {
        let quality = |kind: &str| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(kind));
                let quality = parts.find_map(|part| part.strip_prefix("q="));
                named.then(|| quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
            });
            ranges.fold(0.0_f32, f32::max)
        };
        let open = quality("application/openmetrics-text");
        if open > 0.0 && open >= quality("text/plain") { Self::OpenMetrics } else { Self::Text }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Converts OpenMetrics to the text format 0.0.4. There a family has the name of its samples, and
/// there are no units, no infos and no end marker.
pub(crate) fn to_text(open_metrics: &str) -> String {
    let kinds: HashMap<&str, &str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let family = |name: &str| match kinds.get(name) {
        Some(&"counter") => format!("{name}_total"),
        Some(&"info") => format!("{name}_info"),
        Some(_) | None => name.to_owned(),
    };
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if let Some((name, about)) =
            line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            text.push_str(&format!("# HELP {} {about}\n", family(name)));
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let kind = match kind {
                "info" | "stateset" => "gauge",
                "unknown" => "untyped",
                kind => kind,
            };
            text.push_str(&format!("# TYPE {} {kind}\n", family(name)));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_given_as_asked() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        for (accept, want) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/plain; q=0.5, Application/OpenMetrics-Text; q=0.5", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.9", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("*/*", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), want, "{accept}");
        }
    }

    #[test]
    fn the_text_format_names_families_as_their_samples() {
        let open = "\
# HELP a Cs.
# TYPE a counter
a_total{x=\"1\"} 2
# HELP b_seconds Gs.
# TYPE b_seconds gauge
# UNIT b_seconds seconds
b_seconds 1.5
# HELP c Build.
# TYPE c info
c_info{v=\"1\"} 1
# HELP d Hs.
# TYPE d histogram
d_sum 1.0
d_count 1
d_bucket{le=\"+Inf\"} 1
# EOF
";
        let text = "\
# HELP a_total Cs.
# TYPE a_total counter
a_total{x=\"1\"} 2
# HELP b_seconds Gs.
# TYPE b_seconds gauge
b_seconds 1.5
# HELP c_info Build.
# TYPE c_info gauge
c_info{v=\"1\"} 1
# HELP d Hs.
# TYPE d histogram
d_sum 1.0
d_count 1
d_bucket{le=\"+Inf\"} 1
";
        assert_eq!(to_text(open), text);
    }
}
