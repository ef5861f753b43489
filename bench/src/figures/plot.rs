//! Plots as SVG, to stand in a page.
//!
//! Refuses to know what is plotted.

use std::fmt::Write as _;

use super::table::figure;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 330.0;
const BAR: f64 = 16.0;
const HEIGHT: f64 = 280.0;
const MARGIN: f64 = 60.0;

/// Colours that differ to most eyes, in the order of curves.
const COLOURS: [&str; 6] = ["#1f6f8b", "#c8553d", "#588157", "#8d5a97", "#b08900", "#555555"];

/// A bar with its spread.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A curve, its points by what grows.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Bars that lie, one below the other, from zero.
pub(super) fn bars(unit: &str, bars: &[Bar]) -> String {
    let height = bars.len() as f64 * (BAR + 6.0) + 30.0;
    let most = bars.iter().map(|bar| bar.high).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + value.max(0.0) / most * (WIDTH - LEFT - 80.0);
    let mut svg = begin(height);
    for (index, bar) in bars.iter().enumerate() {
        let y = index as f64 * (BAR + 6.0) + 4.0;
        let (middle, text) = (y + BAR / 2.0, y + BAR - 4.0);
        let _infallible = write!(
            svg,
            r##"<text x="{}" y="{text}" text-anchor="end">{}</text><rect x="{LEFT}" y="{y}" width="{:.1}" height="{BAR}" fill="{}"/><path d="M{:.1} {middle}H{:.1}" stroke="#222"/><text x="{:.1}" y="{text}">{}</text>"##,
            LEFT - 6.0,
            escaped(&bar.label),
            x(bar.value) - LEFT,
            COLOURS[0],
            x(bar.low),
            x(bar.high),
            x(bar.high.max(bar.value)) + 6.0,
            figure(bar.value),
        );
    }
    let _infallible = write!(svg, r#"<text x="{LEFT}" y="{}">{}</text></svg>"#, height - 8.0, escaped(unit));
    svg
}

/// Curves over what grows, which is drawn by its logarithm.
pub(super) fn curves(unit: &str, grows: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let most_x = points().map(|(x, _)| x.max(1.0).log2()).fold(1.0, f64::max);
    let most_y = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max) * 1.05;
    let x = |value: f64| MARGIN + value.max(1.0).log2() / most_x * (WIDTH - 2.0 * MARGIN - 140.0);
    let y = |value: f64| HEIGHT - MARGIN / 2.0 - value.max(0.0) / most_y * (HEIGHT - MARGIN);
    let mut svg = begin(HEIGHT + 20.0);
    let bottom = y(0.0);
    for part in 0..=4 {
        let value = most_y * f64::from(part) / 4.0;
        let at = y(value);
        let _infallible = write!(
            svg,
            r##"<path d="M{MARGIN} {at:.1}H{:.1}" stroke="#ddd"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
            WIDTH - MARGIN - 140.0,
            MARGIN - 6.0,
            at + 4.0,
            figure(value)
        );
    }
    let mut ticks: Vec<f64> = points().map(|(x, _)| *x).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for tick in ticks {
        let _infallible = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{tick}</text>"#,
            x(tick),
            bottom + 16.0
        );
    }
    for (curve, (colour, row)) in curves.iter().zip(COLOURS.iter().cycle().zip(0_u32..)) {
        let line: Vec<_> = curve.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let at = 20.0 + f64::from(row) * 16.0;
        let _infallible = write!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/><text x="{}" y="{at}" fill="{colour}">{}</text>"#,
            line.join(" "),
            WIDTH - MARGIN - 130.0,
            escaped(&curve.label)
        );
    }
    let _infallible = write!(
        svg,
        r#"<text x="{MARGIN}" y="12">{}</text><text x="{MARGIN}" y="{}">{}</text></svg>"#,
        escaped(unit),
        HEIGHT + 12.0,
        escaped(grows)
    );
    svg
}

/// Text as it stands in HTML and SVG.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn begin(height: f64) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_all_that_it_was_given_and_no_number_that_is_none() {
        let bar = |label: &str, value| Bar { label: label.into(), value, low: value, high: value };
        let plot = bars("ns & more", &[bar("a<b", 0.0), bar("c", 12.5)]);
        assert!(plot.contains("a&lt;b") && plot.contains("12.5") && plot.contains("ns &amp; more"), "{plot}");
        let empty = bars("ns", &[]);
        let curve = Curve { label: "rr".into(), points: vec![(1.0, 0.0), (1024.0, 7.0)] };
        let grown = curves("ns", "flows", &[curve, Curve { label: "none".into(), points: vec![] }]);
        assert!(grown.contains("rr") && grown.contains(">1024<"), "{grown}");
        for svg in [plot, empty, grown] {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        }
    }
}
