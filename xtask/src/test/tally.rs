//! The counts of a whole run, and how they are told at its end.
//!
//! Refuses to run or to parse test programs.

use std::fmt;
use std::process::ExitStatus;

use super::libtest::Report;

/// What all test programs said together.
#[derive(Default)]
pub(super) struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Tally {
    /// Counts something that failed as a whole, with the reason.
    pub(super) fn failed(&mut self, name: &str, why: &str) {
        self.failed.push(format!("{name}: {why}"));
    }

    /// Counts something that could not be run here at all, with the reason.
    pub(super) fn skipped(&mut self, name: &str, why: &str) {
        self.skipped.push(format!("{name}: {why}"));
    }

    /// Adds what the test program `name` said before it ended with `status`.
    pub(super) fn add(&mut self, name: &str, report: &Report, status: ExitStatus) {
        self.passed += report.passed;
        self.failed.extend(report.failed.iter().map(|test| format!("{name}: {test}")));
        self.skipped.extend(report.ignored.iter().map(|(test, why)| format!("{test}: {why}")));
        if !report.complete {
            self.failed(name, &format!("ended before its tests were over ({status})"));
        } else if !status.success() && report.failed.is_empty() {
            self.failed(name, &format!("its tests passed, but it ended with {status}"));
        }
    }

    /// Takes the lines `name: why` of tests that found that they can't run here.
    /// They returned early, so libtest counted them as passed.
    pub(super) fn skipped_by_themselves(&mut self, lines: &str) {
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            self.passed = self.passed.saturating_sub(1);
            self.skipped.push(line.to_owned());
        }
    }

    /// Whether nothing ran at all.
    pub(super) fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed.is_empty()
    }

    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Lists of what was skipped and what failed, then the closing line, which scripts read.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, entries) in [("skipped", &self.skipped), ("failed", &self.failed)] {
            if !entries.is_empty() {
                writeln!(f, "{title}:")?;
                entries.iter().try_for_each(|entry| writeln!(f, "  {entry}"))?;
            }
        }
        writeln!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::{ExitStatus, Report, Tally};

    fn report(passed: usize, complete: bool) -> Report {
        Report { passed, complete, ..Report::default() }
    }

    #[test]
    fn the_closing_line_counts_what_the_lists_name() {
        let mut tally = Tally::default();
        tally.add("lb-common (lib)", &report(5, true), ExitStatus::from_raw(0));
        tally.skipped_by_themselves("lab::vlan: no 802.1Q in this kernel\n\n");
        tally.skipped("Miri on lb-common", "nightly has no miri");
        assert_eq!(
            tally.to_string(),
            "skipped:\n  lab::vlan: no 802.1Q in this kernel\n  Miri on lb-common: nightly has no miri\n\
             4 passed, 0 failed, 2 skipped\n"
        );
        assert!(tally.is_good());
    }

    #[test]
    fn a_program_that_dies_is_one_failure() {
        let mut tally = Tally::default();
        tally.add("lb-user (test reload)", &report(0, false), ExitStatus::from_raw(6));
        assert!(!tally.is_good());
        let text = tally.to_string();
        assert!(
            text.contains("lb-user (test reload): ended before its tests were over (signal: 6"),
            "{text}"
        );
        assert!(text.ends_with("0 passed, 1 failed, 0 skipped\n"), "{text}");
    }

    #[test]
    fn an_early_exit_with_code_0_is_a_failure() {
        let mut tally = Tally::default();
        tally.add("a", &report(0, false), ExitStatus::from_raw(0));
        assert!(!tally.is_good());
    }

    #[test]
    fn a_bad_exit_after_good_tests_is_a_failure() {
        let mut tally = Tally::default();
        tally.add("a", &report(3, true), ExitStatus::from_raw(11));
        assert!(!tally.is_good());
    }
}
