//! When a check probes: about every interval, and never in step with the others.
//! It refuses to know what is probed.

use std::time::Duration;

/// The first probe of a check is made within this time, so that a start isn't held up.
const FIRST_WITHIN: Duration = Duration::from_millis(200);

/// How long a check waits before its first probe: anything below 200 ms and the interval.
pub(super) fn first(interval: Duration) -> Duration {
    interval.min(FIRST_WITHIN).mul_f64(fastrand::f64())
}

/// How long it is from one probe's begin to the next one's: the interval, give or take a tenth.
pub(super) fn next(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shortest and the longest of a thousand, in microseconds. The chance that a thousand leave out
    /// the outer twentieth at an end is 0.95^1000, 1 in 10^22.
    fn extremes(of: impl Fn() -> Duration) -> (u128, u128) {
        let mut all: Vec<_> = (0..1_000).map(|_| of().as_micros()).collect();
        all.sort_unstable();
        (all[0], all[all.len() - 1])
    }

    #[test]
    fn probes_are_spread_over_their_whole_span_and_not_beyond() {
        let ms = Duration::from_millis;
        for ((shortest, longest), from, to) in [
            (extremes(|| first(ms(100))), 0, 100_000),
            (extremes(|| first(ms(60_000))), 0, 200_000),
            (extremes(|| next(ms(2_000))), 1_800_000, 2_200_000),
            (extremes(|| next(ms(100))), 90_000, 110_000),
        ] {
            let edge = (to - from) / 20;
            assert!((from..from + edge).contains(&shortest), "{shortest} of {from} to {to}");
            assert!((to - edge..=to).contains(&longest), "{longest} of {from} to {to}");
        }
    }
}
