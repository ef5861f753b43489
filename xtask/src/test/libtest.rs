//! Reading what libtest prints: counts, and the names of what failed or was ignored.
//!
//! Refuses to run anything.

use std::io::{self, Read, Write};

/// What one test program said so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) passed: usize,
    pub(super) failed: Vec<String>,
    /// Name and reason.
    pub(super) ignored: Vec<(String, String)>,
    /// Whether the closing line was there. Without it the program died, or left by `exit`, before its tests were over.
    pub(super) complete: bool,
}

/// Copies a test program's output as it comes, byte for byte, and reads it.
pub(super) fn follow(mut output: impl Read, mut copy: impl Write) -> io::Result<Report> {
    let mut report = Report::default();
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = output.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        copy.write_all(&chunk[..length])?;
        copy.flush()?;
        for &byte in &chunk[..length] {
            if byte == b'\n' {
                report.read_line(&plain(&line));
                line.clear();
            } else {
                line.push(byte);
            }
        }
    }
    report.read_line(&plain(&line));
    Ok(report)
}

impl Report {
    fn read_line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                counts.split("; ").find_map(|part| {
                    let (number, word) = part.rsplit(". ").next()?.trim().split_once(' ')?;
                    (word == what).then(|| number.parse::<usize>().ok()).flatten()
                })
            };
            self.passed += count("passed").unwrap_or(0);
            // A name can be lost where a test prints into its own line; a count can't.
            for nameless in self.failed.len()..count("failed").unwrap_or(0) {
                self.failed.push(format!("failure {}", nameless + 1));
            }
            self.complete = true;
        } else if let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... "))
        {
            if outcome == "FAILED" {
                self.failed.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.trim_start_matches(", ");
                let reason = if reason.is_empty() { "marked #[ignore]" } else { reason };
                self.ignored.push((name.to_owned(), reason.to_owned()));
            }
        }
    }
}

/// A line without the colours that libtest gives it on a terminal: `ESC [ .. m`, and newer ones `ESC ( B`.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = match part.strip_prefix('[') {
            Some(sequence) => {
                sequence.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
            }
            None => part.get(2..).unwrap_or(""),
        };
        plain.push_str(rest);
    }
    plain.trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{Report, follow};

    fn read(output: &str) -> Report {
        let mut copy = Vec::new();
        let report = follow(output.as_bytes(), &mut copy).unwrap();
        assert_eq!(copy, output.as_bytes(), "output is passed on unchanged");
        report
    }

    #[test]
    fn a_good_run() {
        let report = read(
            "\nrunning 2 tests\ntest wire::tests::sizes ... ok\ntest tests::b - should panic ... ok\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s\n\n",
        );
        assert_eq!(report, Report { passed: 2, complete: true, ..Report::default() });
    }

    #[test]
    fn failures_and_ignored_tests_have_names() {
        let report = read(
            "test a ... FAILED\ntest b ... ignored\ntest c ... ignored, no such device\ntest d ... ok\n\
             failures:\n\n---- a stdout ----\ntest result: is what a test may print too\n\
             test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s\n",
        );
        assert_eq!(report.passed, 1);
        assert_eq!(report.failed, ["a"]);
        let ignored: Vec<_> =
            report.ignored.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
        assert_eq!(ignored, [("b", "marked #[ignore]"), ("c", "no such device")]);
    }

    #[test]
    fn a_failure_whose_name_is_lost_is_still_counted() {
        let report = read(
            "test a ... text of the test's own\nFAILED\n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n",
        );
        assert_eq!(report.failed, ["failure 1"]);
    }

    #[test]
    fn results_of_several_programs_add_up() {
        let line =
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(read(&line.repeat(3)).passed, 15);
    }

    #[test]
    fn colours_are_read_through() {
        let report = read(
            "test a ... \x1b[31mFAILED\x1b(B\x1b[m\n\
             test result: \x1b[31mFAILED\x1b(B\x1b[m. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 0.1s\n",
        );
        assert_eq!((report.passed, report.failed), (4, vec!["a".to_owned()]));
    }

    #[test]
    fn a_program_that_dies_is_not_complete() {
        assert!(!read("running 2 tests\ntest a ... ok\ntest b ... ").complete);
        assert!(!read("").complete);
    }
}
