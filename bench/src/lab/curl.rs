//! A real client for the part of the client: curl, asking many times.
//! Refuses to know how answers should be spread.

use std::{collections::BTreeMap, process::ExitStatus, time::Duration};

use super::{Host, LabError, command};

/// Connecting may take this long, in seconds.
const CONNECT_SECONDS: &str = "2";
/// One request may take this long, in seconds.
const REQUEST_SECONDS: &str = "5";
/// All requests together may take this long, and [`EACH`] more for each. They need a third of that.
const START: Duration = Duration::from_secs(20);
const EACH: Duration = Duration::from_millis(1);

/// Ends a body, before curl's report on it: the unit and record separators of ASCII.
const UNIT: char = '\u{1f}';
const RECORD: char = '\u{1e}';

/// What came back, in the order of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// One a request: the body of a success (2xx), or what went wrong.
    pub each: Vec<Result<String, String>>,
}

impl Answers {
    /// The bodies of the requests that succeeded.
    pub fn bodies(&self) -> impl Iterator<Item = &str> {
        self.each.iter().filter_map(|answer| answer.as_deref().ok())
    }

    /// What went wrong with those that failed.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        self.each.iter().filter_map(|answer| answer.as_ref().err().map(String::as_str))
    }

    /// How many failed.
    pub fn failed(&self) -> usize {
        self.failures().count()
    }

    /// How often each body came: with servers that answer their names, how many connections each got.
    pub fn tally(&self) -> BTreeMap<&str, usize> {
        let mut tally = BTreeMap::new();
        for body in self.bodies() {
            *tally.entry(body).or_default() += 1;
        }
        tally
    }
}

impl Host {
    /// Asks for `url` `requests` times from this host, one after the other, each on a connection of its own.
    ///
    /// A request may take 5 s. All may take 20 s and 1 ms each: those that were not asked by then have failed.
    /// In `url`, `[1-3]` and `{a,b}` are curl's globs, and what follows a `#` is replaced.
    ///
    /// # Errors
    /// Only if curl could not be run: a request that fails is an answer.
    pub fn curl(&self, url: &str, requests: usize) -> Result<Answers, LabError> {
        let Some(deadline) = u32::try_from(requests).ok().filter(|n| *n > 0).map(|n| START + EACH * n) else {
            return Ok(Answers { each: Vec::new() });
        };
        let mut curl = self.command("curl");
        // `--disable` must come first: it is what keeps a .curlrc out.
        curl.args(["--disable", "--silent", "--noproxy", "*", "--header", "Connection: close"]);
        curl.args(["--connect-timeout", CONNECT_SECONDS, "--max-time", REQUEST_SECONDS]);
        curl.args(["--write-out", &format!("{UNIT}%{{exitcode}} %{{http_code}} %{{errormsg}}{RECORD}")]);
        // A fragment is never sent, so the glob makes many requests that are all the same.
        let page = url.split_once('#').map_or(url, |(page, _fragment)| page);
        curl.arg(format!("{page}#[1-{requests}]"));

        let line = command::line(&curl);
        let output = command::output(&self.name(), curl, deadline)?;
        let mut each = parse(&output.stdout);
        match output.status {
            Some(status) if each.len() < requests => {
                return Err(self.did_not_ask(line, status, &output.stderr));
            }
            _ => each.resize(requests, Err(format!("not asked within {deadline:?}"))),
        }
        Ok(Answers { each })
    }

    /// curl ended without asking: the URL or an option is wrong.
    fn did_not_ask(&self, command: String, status: ExitStatus, stderr: &str) -> LabError {
        LabError::Command { namespace: self.name(), command, status, stderr: stderr.trim_end().to_owned() }
    }
}

fn parse(stdout: &str) -> Vec<Result<String, String>> {
    // What follows the last separator is the answer during which curl was killed, or nothing.
    let records = stdout.split_inclusive(RECORD).filter_map(|record| record.strip_suffix(RECORD));
    records.map(parse_record).collect()
}

fn parse_record(record: &str) -> Result<String, String> {
    let (body, report) = record.rsplit_once(UNIT).ok_or("curl did not report")?;
    match report.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["0", code, _] if code.starts_with('2') => Ok(body.to_owned()),
        ["0", code, _] => Err(format!("HTTP status {code}")),
        [exit, _, message] => Err(format!("curl error {exit}: {message}")),
        _ => Err(format!("curl reported `{report}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_their_order_and_their_failures() {
        let stdout = "rs1\u{1f}0 200 \u{1e}\u{1f}7 000 Failed to connect\u{1e}no\u{1f}0 500 \u{1e}rs2\u{1f}0 200 \u{1e}rs";
        let answers = Answers { each: parse(stdout) };
        let failed = |text: &str| Err(text.to_owned());
        assert_eq!(
            answers.each,
            [
                Ok("rs1".to_owned()),
                failed("curl error 7: Failed to connect"),
                failed("HTTP status 500"),
                Ok("rs2".to_owned()),
            ]
        );
        assert_eq!(answers.failed(), 2);
        assert_eq!(answers.tally(), BTreeMap::from([("rs1", 1), ("rs2", 1)]));
    }
}
