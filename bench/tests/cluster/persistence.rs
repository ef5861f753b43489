//! A client's requests reach one real server, whatever happens to the director, until the client is forgotten.

use std::thread;
use std::time::{Duration, Instant};

use super::config::{Service, config, metric};
use lb_bench::lab::OneArm;

const URL: &str = "http://10.0.0.50/";

/// For how long the director remembers a client.
const REMEMBERED: Duration = Duration::from_secs(25);

/// The service on real servers of these weights. Connections that were closed are soon no reason to remember.
fn cluster(weights: [u32; 3]) -> String {
    let addresses = ["10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80"];
    let real_servers: Vec<_> = addresses.into_iter().zip(weights).collect();
    let persistent = format!("persistent = {}", REMEMBERED.as_secs());
    config(
        "metrics = \"127.0.0.1:9105\"\ntimeouts = { tcp_fin = 1 }",
        &[Service {
            address: "10.0.0.50:80",
            protocol: "tcp",
            scheduler: "rr",
            real_servers: &real_servers,
            check: &persistent,
        }],
    )
}

/// Who has answered all of so many requests.
fn only_one(lab: &OneArm, requests: usize) -> String {
    let answers = lab.client.curl(URL, requests).unwrap();
    assert_eq!(answers.failed(), 0, "{:?}", answers.failures().next());
    let tally: Vec<_> = answers.tally().into_keys().map(str::to_owned).collect();
    let [one] = &tally[..] else { panic!("{tally:?} have answered one client") };
    one.clone()
}

/// Who answers the client under another address of its.
fn answers_as(lab: &OneArm, address: &str) -> String {
    let host = &lab.client;
    host.run("ip", ["address", "add", &format!("{address}/24"), "dev", "eth0"]).unwrap();
    let arguments = ["--silent", "--fail", "--noproxy", "*", "--max-time", "5", "--interface", address, URL];
    host.run("curl", arguments).unwrap().trim().to_owned()
}

fn wait_until(most: Duration, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < most, "not within {most:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn one_client_stays_with_one_real_server_through_crash_and_reload_until_it_is_forgotten() {
    let lab = OneArm::new("persist", 3).unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let mut director = lab.director.director(&cluster([1, 1, 1])).unwrap();
    let server = only_one(&lab, 300);
    let other = answers_as(&lab, "10.0.0.101");
    assert_ne!(other, server, "another client is sent to the next one");

    director.crash_and_restart().unwrap();
    assert_eq!(only_one(&lab, 50), server);

    // It drains: who is known still comes, and nobody else.
    let index = usize::from(server.as_bytes()[2] - b'1');
    let mut weights = [1, 1, 1];
    weights[index] = 0;
    let said = director.reload(&cluster(weights)).unwrap();
    assert!(!said.contains("not reloaded"), "{said}");
    assert_eq!(only_one(&lab, 50), server);
    for last in 102..108 {
        assert_ne!(answers_as(&lab, &format!("10.0.0.{last}")), server);
    }

    let begin = Instant::now();
    let remembered = || metric(&lab.director, "lb_templates{");
    wait_until(Duration::from_secs(5), || remembered() == 8);
    wait_until(4 * REMEMBERED, || remembered() == 0);
    let after = begin.elapsed();
    assert!(after + Duration::from_secs(5) > REMEMBERED, "forgotten after {after:?}");
    assert_ne!(only_one(&lab, 50), server, "whom nobody remembers is scheduled as anybody");
}
