//! A report as one HTML file with its plots in it: it names no other file, so it can be sent and kept.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    Report, Row,
    growth::{claims, grown},
    plot::{Bar, Curve, bars, curves, escaped},
    table::{figure, ratio},
};

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:76em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}
td:nth-child(-n+2),th:nth-child(-n+2){text-align:left}svg{font:12px sans-serif;max-width:100%;height:auto}
dt{float:left;width:8em;font-weight:bold}dd{margin-left:9em}";

const READ: &str = "Every round measures a case and what it is compared with in turns. Figures are medians \
of all rounds; net is the median of what a round has more than the same round of the other one, noise how far \
the quartiles of that are apart. Where noise is larger than what a ratio would say, none is said.";

pub(super) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>lb: benchmark</title><style>{STYLE}</style>\
         <h1>lb: benchmark</h1><p>{READ}</p><h2>The machine</h2><dl>"
    );
    for (key, value) in &report.machine {
        let _infallible = write!(page, "<dt>{}</dt><dd>{}</dd>", escaped(key), escaped(value));
    }
    page.push_str("</dl>");
    let mut suites: Vec<&'static str> = Vec::new();
    for row in &report.rows {
        if !suites.contains(&row.key.suite) {
            suites.push(row.key.suite);
        }
    }
    for suite in suites {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.key.suite == suite).collect();
        let _infallible = write!(page, "<h2>{}</h2>", escaped(suite));
        page.push_str(&if suite == "growth" { growth_plots(&rows) } else { bar_plots(&rows) });
        page.push_str(&table(&rows));
    }
    page.push_str("</html>\n");
    page
}

/// One plot a unit: what a case costs net where that is known, else all of it.
fn bar_plots(rows: &[&Row]) -> String {
    let mut units: BTreeMap<&str, Vec<Bar>> = BTreeMap::new();
    for row in rows {
        let key = &row.key;
        let is_net = key.unit == "ns/packet" && !key.subject.starts_with("floor:");
        let half = row.noise.unwrap_or_default() / 2.0;
        let (value, low, high, unit) = match row.net {
            Some(net) if is_net => (net, net - half, net + half, "ns/packet, net of the floor"),
            _ => (row.median, row.min, row.max, key.unit),
        };
        let flows = if key.flows == 0 { String::new() } else { format!(", {} flows", key.flows) };
        let label = format!("{} {}{flows}", key.case, key.subject);
        units.entry(unit).or_default().push(Bar { label, value, low, high });
    }
    let mut plots = String::new();
    for (unit, those) in units {
        let _infallible = write!(plots, "<h3>{}</h3>{}", escaped(unit), bars(unit, &those));
    }
    plots
}

/// One plot for each case and thing that grows, one curve a subject.
fn growth_plots(rows: &[&Row]) -> String {
    let mut plots = String::new();
    for ((case, grows), those) in grown(rows) {
        let of: Vec<Curve> =
            those.into_iter().map(|(subject, points)| Curve { label: subject, points }).collect();
        let _infallible = write!(plots, "<h3>{} by {}</h3>", escaped(&case), escaped(&grows));
        plots.push_str(&curves("ns/packet, net of the floor", &grows, &of));
    }
    plots.push_str("<ul>");
    for claim in claims(rows) {
        let _infallible = write!(plots, "<li>{}</li>", escaped(&claim));
    }
    plots.push_str("</ul>");
    plots
}

fn table(rows: &[&Row]) -> String {
    let mut table = String::from("<table><tr>");
    for head in
        ["case", "subject", "flows", "unit", "median", "lowest", "highest", "net", "noise", "ratio", "to"]
    {
        let _infallible = write!(table, "<th>{head}</th>");
    }
    table.push_str("</tr>");
    let or_nothing = |value: Option<f64>| value.map_or_else(String::new, figure);
    for row in rows {
        let key = &row.key;
        let cells = [
            key.case.clone(),
            key.subject.clone(),
            if key.flows == 0 { String::new() } else { key.flows.to_string() },
            key.unit.to_owned(),
            figure(row.median),
            figure(row.min),
            figure(row.max),
            or_nothing(row.net),
            or_nothing(row.noise),
            ratio(row),
            row.ratio_to.clone().unwrap_or_default(),
        ];
        table.push_str("<tr>");
        for cell in cells {
            let _infallible = write!(table, "<td>{}</td>", escaped(&cell));
        }
        table.push_str("</tr>");
    }
    table.push_str("</table>");
    table
}
