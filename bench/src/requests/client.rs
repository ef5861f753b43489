//! The client: wrk, and what it says.

use std::fs;

use anyhow::Context as _;

use crate::lab::Host;

/// As many as there are web servers: without a balancer, each thread asks one of them.
const THREADS: &str = "2";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One request after the other.
    KeepAlive,
    /// One request.
    Close,
}

impl Mode {
    pub(super) const fn case(self) -> &'static str {
        match self {
            Self::KeepAlive => "http/keepalive",
            Self::Close => "http/close",
        }
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::KeepAlive => "requests/s",
            Self::Close => "connections/s",
        }
    }
}

/// What one run of wrk had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    /// Requests that were answered.
    pub(super) requests: f64,
    /// The same a second.
    pub(super) rate: f64,
    /// How long half of them took at most, in seconds.
    pub(super) half: f64,
    /// How long 99 of 100 took at most, in seconds.
    pub(super) late: f64,
    /// What failed, or was answered with another status than 200.
    pub(super) errors: f64,
}

/// Asks for so many seconds, a thread each of these addresses in turn.
pub(super) fn ask(
    client: &Host,
    addresses: &[String],
    mode: Mode,
    connections: u32,
    seconds: u32,
) -> anyhow::Result<Answer> {
    let script = client.directory().join("addresses.lua");
    let list: Vec<_> = addresses.iter().map(|address| format!("{address:?}")).collect();
    let text = format!(
        "local all, count = {{ {} }}, 0\nfunction setup(thread)\n  count = count + 1\n  \
         thread.addr = wrk.lookup(all[(count - 1) % #all + 1], \"80\")[1]\nend\n",
        list.join(", ")
    );
    fs::write(&script, text).with_context(|| format!("writing {}", script.display()))?;
    let (connections, seconds) = (connections.to_string(), format!("{seconds}s"));
    let (script, url) = (script.to_string_lossy(), format!("http://{}/", addresses[0]));
    let mut words = vec!["--threads", THREADS, "--connections", &connections, "--duration", &seconds];
    words.extend(["--latency", "--script", &script]);
    if mode == Mode::Close {
        words.extend(["--header", "Connection: close"]);
    }
    words.push(&url);
    let said = client.run("wrk", words)?;
    parse(&said).with_context(|| format!("wrk said:\n{said}"))
}

fn parse(said: &str) -> Option<Answer> {
    let after = |prefix: &str| said.lines().find_map(|line| line.trim().strip_prefix(prefix)).map(str::trim);
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in "))?.0;
    let others = after("Non-2xx or 3xx responses:").map_or(Some(0.0), |count| count.parse().ok())?;
    // connect 0, read 0, write 0, timeout 0
    let failed = after("Socket errors:").map_or(0.0, |errors| {
        let words = errors.split(|c: char| !c.is_ascii_digit());
        words.filter_map(|word| word.parse::<f64>().ok()).sum()
    });
    Some(Answer {
        requests: requests.parse().ok()?,
        rate: after("Requests/sec:")?.parse().ok()?,
        half: seconds(after("50%")?)?,
        late: seconds(after("99%")?)?,
        errors: others + failed,
    })
}

/// `215.00us`, `1.03ms`, `2.00s`, `1.10m`.
fn seconds(text: &str) -> Option<f64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(
        number
            * match unit {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                _ => return None,
            },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 2s test @ http://10.0.0.50/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   250.85us  131.28us   2.81ms   84.68%
    Req/Sec    58.10k     2.87k   62.01k    71.43%
  Latency Distribution
     50%  215.00us
     75%  262.00us
     90%  394.00us
     99%    1.03ms
  121303 requests in 2.10s, 17.70MB read
  Socket errors: connect 0, read 3, write 0, timeout 2
  Non-2xx or 3xx responses: 4
Requests/sec:  57769.96
Transfer/sec:      8.43MB
";

    #[test]
    fn what_wrk_says_is_understood() {
        let answer = parse(SAID);
        let expected =
            Answer { requests: 121_303.0, rate: 57_769.96, half: 215e-6, late: 1.03e-3, errors: 9.0 };
        let answer = answer.unwrap_or_else(|| panic!("not understood"));
        assert!((answer.half - expected.half).abs() < 1e-9 && (answer.late - expected.late).abs() < 1e-9);
        assert_eq!(Answer { half: expected.half, late: expected.late, ..answer }, expected);
        assert_eq!(parse("unable to connect to 10.0.0.50:80 Connection refused"), None);
    }
}
