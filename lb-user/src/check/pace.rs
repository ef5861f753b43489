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

    /// The shortest and the longest of a thousand; the chance that 1,000 leave out the outer twentieth
    /// at an end is 0.95^1000, 1 in 10^22.
    fn span(of: impl Fn() -> Duration) -> (Duration, Duration) {
        let mut all: Vec<_> = (0..1_000).map(|_| of()).collect();
        all.sort_unstable();
        (all[0], all[all.len() - 1])
    }

    #[test]
    fn probes_are_spread_over_their_whole_span_and_not_beyond() {
        let ms = Duration::from_millis;
        for (span, from, to) in [
            (span(|| first(ms(100))), ms(0), ms(100)),
            (span(|| first(ms(60_000))), ms(0), ms(200)),
            (span(|| next(ms(2_000))), ms(1_800), ms(2_200)),
            (span(|| next(ms(100))), ms(90), ms(110)),
        ] {
            let edge = (to - from) / 20;
            assert!((from..from + edge).contains(&span.0), "{span:?}");
            assert!((to - edge..=to).contains(&span.1), "{span:?}");
        }
    }
}
