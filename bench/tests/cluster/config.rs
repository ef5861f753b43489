//! Configs for the lab's topologies, and what tests ask of them.

use std::fmt::Write as _;

use lb_bench::lab::Host;

/// One service with these real servers, by the last byte of their addresses, and their weights.
#[derive(Clone, Copy)]
pub(crate) struct Service<'a> {
    /// `10.0.0.50:80` or the like.
    pub(crate) address: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) scheduler: &'a str,
    /// Address and weight.
    pub(crate) real_servers: &'a [(&'a str, u32)],
    /// A line `check = {..}`, or nothing.
    pub(crate) check: &'a str,
}

/// A check that fails and rises soon.
pub(crate) const CHECK: &str =
    r#"check = { type = "tcp", interval = "200ms", timeout = "200ms", rise = 2, fall = 3 }"#;

/// A config of `eth0` and these services. `director` is what else stands in its table.
pub(crate) fn config(director: &str, services: &[Service<'_>]) -> String {
    let mut text = format!("[director]\ninterfaces = [\"eth0\"]\n{director}\n");
    for service in services {
        let Service { address, protocol, scheduler, real_servers, check } = service;
        writeln!(text, "\n[[virtual_service]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"")
            .expect("a string");
        writeln!(text, "scheduler = \"{scheduler}\"\n{check}").expect("a string");
        for (address, weight) in *real_servers {
            writeln!(text, "\n[[virtual_service.real_server]]\naddress = \"{address}\"\nweight = {weight}")
                .expect("a string");
        }
    }
    text
}

/// The sum of all samples of a host's `/metrics` that begin like this.
pub(crate) fn metric(host: &Host, beginning: &str) -> u64 {
    let text = host.run("curl", ["--silent", "--fail", "http://127.0.0.1:9105/metrics"]).expect("metrics");
    let samples = text.lines().filter(|line| line.starts_with(beginning));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
