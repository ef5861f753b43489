//! One line for everything that can be wrong, and the model of the example.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod class;
mod director;
mod example;
mod guard;
mod persistence;
mod scheduler;
mod service;
mod syntax;
mod together;
mod tunnel;

use super::parse;

/// The errors of `text` are these lines.
#[track_caller]
fn check(text: &str, lines: &[&str]) {
    let errors = parse("lb.toml", text).expect_err(text);
    assert_eq!(errors.to_string().lines().collect::<Vec<_>>(), lines, "of\n{text}");
}

/// A file whose `[director]` has this line as its second.
#[track_caller]
fn check_director(line: &str, error: &str) {
    check(&format!("[director]\n{line}\n"), &[&format!("lb.toml:2: director.{error}")]);
}

/// All schedulers, as errors list them.
const SCHEDULERS: &str = "\"rr\", \"wrr\", \"lc\", \"wlc\", \"sed\", \"nq\", \"fo\", \"ovf\", \"twos\", \"lblc\", \"sh\", \"dh\", \"mh\", \"maglev\"";

const SERVICE: [&str; 4] =
    ["[[virtual_service]]", "protocol = 'tcp'", "address = '10.0.0.50:80'", "scheduler = 'wrr'"];

/// A service whose line with this key, line 2 to 4, is replaced, or line 5 if it has none.
#[track_caller]
fn check_service(key: &str, value: &str, error: &str) {
    let replaced = SERVICE.iter().position(|line| line.starts_with(key)).unwrap_or(SERVICE.len());
    let mut lines = SERVICE.map(str::to_owned).to_vec();
    lines.truncate(replaced);
    lines.push(format!("{key} = {value}"));
    lines.extend(SERVICE.iter().skip(replaced + 1).map(|&line| line.to_owned()));
    check(&lines.join("\n"), &[&format!("lb.toml:{}: virtual_service[0].{error}", replaced + 1)]);
}

/// A real server of a service, with these lines from line 6 on; the error is in the first.
#[track_caller]
fn check_real_server(lines: &str, error: &str) {
    let text = format!("{}\n[[virtual_service.real_server]]\n{lines}\n", SERVICE.join("\n"));
    check(&text, &[&format!("lb.toml:6: virtual_service[0].real_server[0].{error}")]);
}
