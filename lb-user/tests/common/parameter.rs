//! What a test may be told by whoever runs it.

use crate::common::report::say;

/// A number from the environment, or the default; said, so that a run can be repeated.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    let number = match std::env::var(variable) {
        Ok(text) => {
            text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}: a whole number is wanted"))
        }
        Err(_) => default,
    };
    say(&format!("{variable}={number}"));
    number
}
