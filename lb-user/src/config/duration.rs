//! Durations: `"90s"`, `"15m"`, `"500ms"`, `"1h 30m"`, or a number of seconds.

use std::{fmt, ops::RangeInclusive, time::Duration};

use serde::Deserialize;

use super::error::Problem;

/// A duration as it was written.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a duration such as \"90s\", \"15m\" or \"500ms\", or a whole number of seconds"
)]
pub(super) enum RawDuration {
    Seconds(i64),
    Text(String),
}

impl fmt::Display for RawDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// What a duration may be, and how that is told.
pub(super) struct Limits {
    pub(super) range: RangeInclusive<Duration>,
    pub(super) told: &'static str,
}

impl RawDuration {
    /// The duration within `limits`.
    pub(super) fn within(&self, limits: &Limits) -> Result<Duration, Problem> {
        let out_of_range = || Problem::DurationOutOfRange { text: self.to_string(), range: limits.told };
        let duration = match self {
            Self::Seconds(seconds) => {
                Duration::from_secs(u64::try_from(*seconds).map_err(|_| out_of_range())?)
            }
            Self::Text(text) => humantime::parse_duration(text).map_err(|error| Problem::NotADuration {
                text: self.to_string(),
                reason: error.to_string(),
            })?,
        };
        if limits.range.contains(&duration) { Ok(duration) } else { Err(out_of_range()) }
    }

    /// The same in whole seconds.
    pub(super) fn whole_seconds_within(&self, limits: &Limits) -> Result<Duration, Problem> {
        match self.within(limits)? {
            duration if duration.subsec_nanos() != 0 => {
                Err(Problem::FractionOfSecond { text: self.to_string() })
            }
            duration => Ok(duration),
        }
    }
}
