//! Line plots as SVG text. Colours are the page's; what the pointer shows is read from the figure's data by its script.

use core::fmt::Write as _;

use serde::Serialize;

use crate::report::page::{escape, short};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;
/// Points that a line is drawn with at most; more would only make the page large.
const POINTS_MAX: usize = 1_200;

/// One curve; a gap where there is no value.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    /// One of the page's colours.
    pub(super) colour: &'static str,
    pub(super) values: Vec<Option<f64>>,
}

/// One plot with its curves and axes.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) unit: &'static str,
    /// Positions on the horizontal axis, ascending.
    pub(super) x: Vec<f64>,
    /// The text that the pointer shows for each position.
    pub(super) x_names: Vec<String>,
    /// The marks of the horizontal axis.
    pub(super) x_ticks: Vec<(f64, String)>,
    pub(super) curves: Vec<Curve>,
    pub(super) logarithmic: bool,
    /// A span of the horizontal axis that is the measured window.
    pub(super) window: Option<(f64, f64)>,
}

/// The data of one curve for the page's script.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    colour: &'static str,
    texts: Vec<Option<String>>,
    y: Vec<Option<f64>>,
}

/// A vertical axis from `low` to `high`.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(plot: &Plot) -> Self {
        let values = plot.curves.iter().flat_map(|curve| curve.values.iter().flatten().copied());
        let positive = values.filter(|value| *value > 0.0);
        let (low, high) = positive
            .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if high == 0.0 {
            return Self { low: 0.0, high: 1.0, logarithmic: false };
        }
        if plot.logarithmic {
            let (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
            return Self { low, high: high.max(low * 10.0), logarithmic: true };
        }
        let step = linear_step(high);
        Self { low: 0.0, high: (high / step).ceil() * step, logarithmic: false }
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low).log10() - self.low.log10())
                / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        TOP + (1.0 - share.clamp(0.0, 1.0)) * (HEIGHT - TOP - BOTTOM)
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let step = linear_step(self.high);
            let count = (self.high / step).round() as u32;
            return (0..=count).map(|index| f64::from(index) * step).collect();
        }
        let decades = (self.high / self.low).log10().round() as i32;
        let within: &[f64] = if decades > 2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = (0..decades).flat_map(|decade| {
            within.iter().map(move |factor| self.low * 10_f64.powi(decade) * factor)
        });
        ticks.chain([self.high]).collect()
    }
}

/// Four or five steps of 1, 2 or 5 times a power of ten up to `high`.
pub(super) fn linear_step(high: f64) -> f64 {
    let rough = high / 4.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(magnitude * 10.0)
}

impl Plot {
    /// A `figure` with legend, plot and the data that the script shows.
    pub(super) fn render(&self) -> String {
        let mut html = format!(
            "<figure><figcaption>{} <span class=unit>{}</span></figcaption><ul class=legend>",
            escape(&self.title),
            escape(self.unit)
        );
        for Curve { name, colour, .. } in &self.curves {
            let _ = write!(
                html,
                "<li><i style=\"background:var(--{colour})\"></i>{}</li>",
                escape(name)
            );
        }
        html.push_str("</ul><div class=plot>");
        self.draw(&mut html);
        html.push_str("<div class=tip hidden></div></div></figure>\n");
        html
    }

    fn x_of(&self, value: f64) -> f64 {
        let (first, last) = (self.x.first().copied(), self.x.last().copied());
        let (low, high) = (first.unwrap_or(0.0), last.unwrap_or(1.0));
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn draw(&self, svg: &mut String) {
        let scale = Scale::of(self);
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">",
            escape(&self.title)
        );
        if let Some((from, to)) = self.window {
            let (from, to) = (self.x_of(from), self.x_of(to));
            let height = HEIGHT - TOP - BOTTOM;
            let width = (to - from).max(0.0);
            let _ = write!(
                svg,
                "<rect class=window x={from:.1} y={TOP} width={width:.1} height={height} />"
            );
        }
        self.draw_axes(&scale, svg);
        // The first is the most important one: nothing covers it.
        for curve in self.curves.iter().rev() {
            let _ = write!(
                svg,
                "<path style=\"stroke:var(--{})\" d=\"{}\" />",
                curve.colour,
                self.path(&scale, &curve.values)
            );
        }
        let _ = write!(svg, "<line class=cross y1={TOP} y2={:.1} hidden />", HEIGHT - BOTTOM);
        svg.push_str("</svg>");
        self.draw_data(&scale, svg);
    }

    fn draw_axes(&self, scale: &Scale, svg: &mut String) {
        let right = WIDTH - RIGHT;
        for tick in scale.ticks() {
            let y = scale.y(tick);
            let _ = write!(
                svg,
                "<line class=grid x1={LEFT} x2={right} y1={y:.1} y2={y:.1} />\
                 <text class=y x={:.1} y={:.1}>{}</text>",
                LEFT - 6.0,
                y + 3.5,
                short(tick)
            );
        }
        for (at, name) in &self.x_ticks {
            let (x, y) = (self.x_of(*at), HEIGHT - 9.0);
            let _ = write!(svg, "<text class=x x={x:.1} y={y:.1}>{}</text>", escape(name));
        }
    }

    fn path(&self, scale: &Scale, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut pen = 'M';
        for (index, value) in
            self.drawn().map(|index| (index, values.get(index).copied().flatten()))
        {
            let Some(value) = value else {
                pen = 'M';
                continue;
            };
            let (x, y) = (self.x_of(self.x[index]), scale.y(value));
            let _ = write!(path, "{pen}{x:.1} {y:.1}");
            // A lone point between gaps shows as a dot: round caps draw a line of no length.
            if pen == 'M' {
                path.push_str("h0");
            }
            pen = 'L';
        }
        path
    }

    /// The indices that are drawn.
    fn drawn(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.x.len()).step_by(self.x.len().div_ceil(POINTS_MAX).max(1))
    }

    fn draw_data(&self, scale: &Scale, html: &mut String) {
        let shown = self.curves.iter().map(|curve| {
            let values = || self.drawn().map(|index| curve.values.get(index).copied().flatten());
            Shown {
                name: &curve.name,
                colour: curve.colour,
                texts: values().map(|value| value.map(short)).collect(),
                y: values().map(|value| value.map(|value| round(scale.y(value)))).collect(),
            }
        });
        let shown: Vec<_> = shown.collect();
        let x: Vec<f64> = self.drawn().map(|index| round(self.x_of(self.x[index]))).collect();
        let names: Vec<&str> =
            self.drawn().filter_map(|index| self.x_names.get(index)).map(String::as_str).collect();
        let data =
            serde_json::json!({ "x": x, "names": names, "unit": self.unit, "curves": shown });
        // A script element ends at the first `</`, wherever that is.
        let text = data.to_string().replace("</", "<\\/");
        let _ = write!(html, "<script type=application/json>{text}</script>");
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(values: Vec<Option<f64>>, logarithmic: bool) -> Plot {
        let count = values.len();
        Plot {
            title: "a < b".into(),
            unit: "ms",
            x: (0..count).map(|index| index as f64).collect(),
            x_names: (0..count).map(|index| format!("{index} s")).collect(),
            x_ticks: vec![(0.0, "0 s".into())],
            curves: vec![Curve { name: "p99</script>".into(), colour: "c1", values }],
            logarithmic,
            window: Some((1.0, 2.0)),
        }
    }

    #[test]
    fn axes_have_few_round_marks() {
        for (high, step) in
            [(4.0, 1.0), (9.7, 5.0), (0.03, 0.01), (130_000.0, 50_000.0), (7.9, 2.0)]
        {
            assert!(
                (linear_step(high) - step).abs() < step * 1e-9,
                "{high}: {}",
                linear_step(high)
            );
        }
        let scale = Scale::of(&plot(vec![Some(0.7), Some(130.0)], true));
        let ticks: Vec<_> = scale.ticks().iter().map(|tick| short(*tick)).collect();
        assert_eq!(ticks, ["0.1", "1", "10", "100", "1k"]);
    }

    #[test]
    fn a_gap_is_no_line() {
        let plot = plot(vec![Some(1.0), Some(2.0), None, Some(2.0)], false);
        let path = plot.path(&Scale::of(&plot), &plot.curves[0].values);
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
    }

    #[test]
    fn names_cannot_break_out() {
        let html = plot(vec![Some(1.0)], false).render();
        assert_eq!(html.matches("</script>").count(), 1, "{html}");
        assert!(html.contains("a &lt; b"));
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }

    #[test]
    fn nothing_and_very_much_can_be_drawn() {
        for html in [plot(vec![], true).render(), plot(vec![None], false).render()] {
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
        let html = plot(vec![Some(1.0); 3_600], false).render();
        assert!(html.len() < 100_000, "{} bytes", html.len());
    }
}
