//! Curves out of rows whose case ends in what grows and to what, such as `../services-1000`; and whether they
//! are flat.

use std::collections::BTreeMap;

use super::Row;

/// What is said to be flat is flat within this part of its smallest size's cost.
const FLAT: f64 = 0.15;

/// The points of each subject, by what grows.
pub(super) type Curves = BTreeMap<String, Vec<(f64, f64)>>;

/// Curves by case and by what grows.
pub(super) fn grown(rows: &[&Row]) -> BTreeMap<(String, String), Curves> {
    let mut grown: BTreeMap<_, Curves> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.key.suite == "growth") {
        let Some((case, last)) = row.key.case.rsplit_once('/') else { continue };
        let Some((grows, size)) = last.rsplit_once('-') else { continue };
        let Ok(size) = size.parse::<f64>() else { continue };
        let cost = row.net.unwrap_or(row.median);
        let curves = grown.entry((case.to_owned(), grows.to_owned())).or_default();
        curves.entry(row.key.subject.clone()).or_default().push((size, cost));
    }
    grown
}

/// A sentence a curve: flat, or how much it rises, or that noise hides it.
pub(super) fn claims(rows: &[&Row]) -> Vec<String> {
    let noise_of = |case: &str, grows: &str, subject: &str| {
        let prefix = format!("{case}/{grows}-");
        let those = rows.iter().filter(|row| row.key.subject == subject && row.key.case.starts_with(&prefix));
        those.filter_map(|row| row.noise).fold(0.0, f64::max)
    };
    let mut claims = Vec::new();
    for ((case, grows), curves) in grown(rows) {
        for (subject, points) in curves {
            let noise = noise_of(&case, &grows, &subject);
            claims.push(format!("{case} by {subject}: {}", claim(&grows, &points, noise)));
        }
    }
    claims
}

fn claim(grows: &str, points: &[(f64, f64)], noise: f64) -> String {
    let (Some(&(from, first)), Some(&(to, last))) = (points.first(), points.last()) else {
        return "nothing measured".into();
    };
    let costs = || points.iter().map(|(_, cost)| *cost);
    let (low, high) = (costs().fold(f64::INFINITY, f64::min), costs().fold(f64::NEG_INFINITY, f64::max));
    let span = format!("from {from} to {to} {grows}");
    if high - low <= FLAT * first.abs() {
        format!("flat within {:.0} % {span}", FLAT * 100.0)
    } else if high - low <= noise {
        format!("differs by {:.1} ns {span}, which is within the noise of {noise:.1} ns", high - low)
    } else {
        let slope = (last - first) / (to - from).max(1.0);
        format!(
            "{first:.1} ns to {last:.1} ns {span}, {low:.1} to {high:.1} ns between: {slope:.4} ns for each one more"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_flat_or_rises_or_is_lost_in_noise() {
        let flat = [(1.0, 10.0), (100.0, 11.0), (1_000.0, 10.5)];
        assert!(claim("services", &flat, 0.1).starts_with("flat within 15 %"));
        let rises = [(1.0, 10.0), (11.0, 40.0)];
        let said = claim("real-servers", &rises, 0.1);
        assert!(said.contains("10.0 ns to 40.0 ns") && said.contains("3.0000 ns"), "{said}");
        assert!(claim("flows", &rises, 50.0).contains("within the noise"));
        assert_eq!(claim("flows", &[], 0.0), "nothing measured");
    }
}
