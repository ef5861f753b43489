//! From rounds to a row: medians, spread, and whether two subjects differ by more than noise.
//!
//! Two subjects are compared round by round, since a machine's speed wanders more from round to round than
//! most programs differ.

use super::{Key, Row};

/// A ratio is said at all if it is known to within this part of itself, or if it differs from 1 by more than
/// its noise.
const KNOWN_WITHIN: f64 = 0.05;

impl Row {
    /// A row that is compared with nobody. No rounds: all figures are 0.
    pub fn alone(key: Key, values: &[f64]) -> Self {
        let sorted = sorted(values);
        Self {
            key,
            median: quantile(&sorted, 0.5),
            min: sorted.first().copied().unwrap_or_default(),
            max: sorted.last().copied().unwrap_or_default(),
            rounds: sorted.len(),
            net: None,
            noise: None,
            ratio_to: None,
            ratio: None,
        }
    }

    /// A row beside another subject's figures of the same rounds.
    pub fn beside(key: Key, values: &[f64], ratio_to: &str, others: &[f64]) -> Self {
        let pairs = || values.iter().zip(others);
        let nets = sorted(&pairs().map(|(value, other)| value - other).collect::<Vec<_>>());
        let ratios = sorted(&pairs().map(|(value, other)| value / other).collect::<Vec<_>>());
        let (ratio, noise) = (quantile(&ratios, 0.5), spread(&ratios));
        let is_known = noise < (ratio - 1.0).abs() || noise < KNOWN_WITHIN * ratio.abs();
        Self {
            net: Some(quantile(&nets, 0.5)),
            noise: Some(spread(&nets)),
            ratio_to: Some(ratio_to.to_owned()),
            // One round has no noise to be seen, and of what noise has made negative there is no part.
            ratio: (is_known && values.len() > 1 && ratio.is_finite() && ratio > 0.0).then_some(ratio),
            ..Self::alone(key, values)
        }
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// How far apart the quartiles are.
fn spread(sorted: &[f64]) -> f64 {
    quantile(sorted, 0.75) - quantile(sorted, 0.25)
}

/// By straight lines between the values; 0 of none.
#[expect(clippy::cast_sign_loss, reason = "a part of a length is not negative")]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * sorted.len().saturating_sub(1) as f64;
    let (low, high) = (sorted.get(at.floor() as usize), sorted.get(at.ceil() as usize));
    match (low, high) {
        (Some(low), Some(high)) => low + (high - low) * at.fract(),
        _ => 0.0,
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these figures have no rounding")]
mod tests {
    use super::*;

    fn key() -> Key {
        let (case, subject) = ("case".to_owned(), "subject".to_owned());
        Key { suite: "testrun", case, subject, flows: 1, unit: "ns/packet" }
    }

    #[test]
    fn a_median_lies_between_the_two_in_the_middle() {
        let row = Row::alone(key(), &[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((row.median, row.min, row.max, row.rounds), (2.5, 1.0, 4.0, 4));
        assert!(row.net.is_none() && row.ratio.is_none());
        assert_eq!(Row::alone(key(), &[]).median, 0.0);
    }

    #[test]
    fn what_a_slow_round_does_to_both_is_no_noise() {
        let floors = [10.0, 30.0, 11.0, 50.0, 12.0, 13.0, 20.0];
        let values = floors.map(|floor| floor + 5.0);
        let row = Row::beside(key(), &values, "floor:tx", &floors);
        assert_eq!((row.net, row.noise), (Some(5.0), Some(0.0)));
        assert!(row.ratio.is_some_and(|ratio| ratio > 1.1));
    }

    #[test]
    fn a_ratio_below_the_noise_is_not_said() {
        let floors = [10.0; 7];
        let noisy = [8.0, 14.0, 9.0, 13.0, 10.5, 12.0, 8.5];
        let row = Row::beside(key(), &noisy, "floor:tx", &floors);
        assert_eq!(row.ratio, None, "{row:?}");
        assert!(row.net.is_some(), "what was measured is told anyway");
        // Hardly any noise: that there is no difference is a finding.
        let same = [10.1, 10.0, 9.9, 10.0, 10.1, 10.0, 10.0];
        assert_eq!(Row::beside(key(), &same, "floor:tx", &floors).ratio, Some(1.0));
        assert_eq!(Row::beside(key(), &[20.0], "floor:tx", &[10.0]).ratio, None, "of one round");
    }
}
