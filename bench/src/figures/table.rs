//! Rows as a table for a terminal.

use std::fmt::Write as _;

use super::{Report, Row, growth::claims};

pub(super) fn table(report: &Report) -> String {
    let mut text = String::new();
    for (key, value) in &report.machine {
        let _infallible = writeln!(text, "{key:<12} {value}");
    }
    let mut suite = "";
    for row in &report.rows {
        if row.key.suite != suite {
            suite = row.key.suite;
            let _infallible = writeln!(
                text,
                "\n{suite:<44} {:<20} {:>9} {:>12} {:>10} {:>10} {:>10} {:>9} {:>7} {:>6} {:<10}",
                "subject", "flows", "unit", "median", "lowest", "highest", "net", "noise", "ratio", "to"
            );
        }
        let _infallible = writeln!(text, "{}", line(row).trim_end());
    }
    let claims = claims(&report.rows.iter().collect::<Vec<_>>());
    if !claims.is_empty() {
        let _infallible = writeln!(text, "\n{}", claims.join("\n"));
    }
    text
}

fn line(row: &Row) -> String {
    let key = &row.key;
    let flows = if key.flows == 0 { String::new() } else { key.flows.to_string() };
    let or_nothing = |value: Option<f64>| value.map_or_else(String::new, figure);
    format!(
        "{:<44} {:<20} {flows:>9} {:>12} {:>10} {:>10} {:>10} {:>9} {:>7} {:>6} {:<10}",
        key.case,
        key.subject,
        key.unit,
        figure(row.median),
        figure(row.min),
        figure(row.max),
        or_nothing(row.net),
        or_nothing(row.noise),
        ratio(row),
        row.ratio_to.as_deref().unwrap_or_default()
    )
}

/// A ratio, or that there is none to be told.
pub(super) fn ratio(row: &Row) -> String {
    match (&row.ratio_to, row.ratio) {
        (None, _) => String::new(),
        (_, None) => "noise".into(),
        (_, Some(ratio)) => format!("{ratio:.2}"),
    }
}

/// Three digits and more, and no more than help.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
